#include "framework/train/segment_cost.h"

#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/nn/mixers/attention.h"

namespace og {

std::string describe_segments(const Config& config, const Degrees& degrees, int64_t element) {
  const int64_t segment = config.train.segment_length, length = config.data.sequence_length;
  if (segment == 0 || segment >= length) return "";
  std::string text =
      fmt::format("rows in {} segments of {} tokens, {} of them on each sequence rank",
                  (length + segment - 1) / segment, segment, (segment + degrees.sequence - 1) / degrees.sequence);
  int64_t layers = 0, numbers = 0;  // full softmax layers; numbers of their K and V for one token on this rank
  const std::string& pattern = config.model.layer_pattern;
  for (int64_t i = 0; i < config.model.num_hidden_layers; ++i) {
    const Options& mixer = config.model.mixers.at(pattern[static_cast<size_t>(i) % pattern.size()]);
    if (kind_of(mixer) != MixerKind::softmax) continue;
    const AttentionSizes sizes(mixer, config.model.hidden_size);
    numbers += 2 * sizes.key_heads_of_rank(degrees.tensor) * sizes.head_dim;
    layers += 1;
  }
  if (layers == 0) return text;
  const auto bytes = static_cast<double>(numbers * length * config.train.micro_batch_size * element);
  return text + fmt::format(
                    "\n{} keep{} K and V of the whole row on every sequence rank, {} in all, as "
                    "much for their gradients, and gather{} each segment's twice",
                    counted(layers, "full softmax layer"), layers == 1 ? "s" : "", human_bytes(bytes),
                    layers == 1 ? "s" : "");
}

}  // namespace og

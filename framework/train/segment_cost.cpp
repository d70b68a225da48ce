#include "framework/train/segment_cost.h"

#include <algorithm>

#include "framework/train/progress.h"

namespace og {

std::string describe_segments(const Config& config, const Degrees& degrees, int64_t element) {
  const int64_t segment = config.train.segment_length, length = config.data.sequence_length;
  if (segment == 0 || segment >= length) return "";
  std::string text =
      fmt::format("rows in {} segments of {} tokens, {} of them on each sequence rank",
                  (length + segment - 1) / segment, segment, (segment + degrees.sequence - 1) / degrees.sequence);
  int64_t layers = 0, numbers = 0;  // full softmax layers, and their K and V of a token on this rank
  const std::string& pattern = config.model.layer_pattern;
  for (int64_t i = 0; i < config.model.num_hidden_layers; ++i) {
    const Options& mixer = config.model.mixers.at(pattern[static_cast<size_t>(i) % pattern.size()]);
    if (mixer.type != "attention" || !mixer.is_null("sliding_window")) continue;
    const auto or_else = [&](const char* key, int64_t other) {
      return mixer.is_null(key) ? other : mixer.integer(key);
    };
    const int64_t heads = mixer.integer("num_attention_heads");
    const int64_t keys = std::max<int64_t>(1, or_else("num_key_value_heads", heads) / degrees.tensor);
    numbers += 2 * keys * or_else("head_dim", config.model.hidden_size / heads);
    layers += 1;
  }
  if (layers == 0) return text;
  const auto bytes = static_cast<double>(numbers * length * config.train.micro_batch_size * element);
  return text + fmt::format(
                    "\n{} full softmax layer{} keep{} K and V of the whole row on every sequence rank, {} in all, as "
                    "much for their gradients, and gather{} each segment's twice",
                    layers, layers == 1 ? "" : "s", layers == 1 ? "s" : "", human_bytes(bytes), layers == 1 ? "s" : "");
}

}  // namespace og

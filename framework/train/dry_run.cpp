#include "framework/train/dry_run.h"

#include "framework/config/notes.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/data/tokenizer.h"
#include "framework/train/choose_method.h"
#include "framework/train/flops.h"
#include "framework/train/segment_cost.h"
#include "framework/train/session.h"

namespace og {

std::string describe_run(Config config, Comm& world) {
  if (config.model.vocab_size == 0) config.model.vocab_size = make_tokenizer(config.data.tokenizer)->vocab_size();
  const Degrees degrees = resolve_degrees(config, world.size());
  Session session(config, world, degrees, Weights::shapes);
  ParameterStore& store = session.store();
  const ModelFlops flops = flops_per_token(session.model(), store, config.data.sequence_length);
  const int64_t size = size_of(store.dtype());
  int64_t local = 0;
  for (const Parameter& p : store.all()) local += p.local_shape.count() * size;
  const int64_t moments = 2 * lay_out(store, config.optimizer_sharding()).own_count() * size;
  const int64_t rows = config.rows_per_step();
  std::string text = to_yaml(config, true);
  text += fmt::format("\nmesh: {}\n", session.mesh().describe());
  if (!session.sequence_reason().empty())
    text += session.sequence_reason() + "\n" + choose_sequence_methods(config, session.mesh()).costs;
  text += fmt::format(
      "parameters: {} in all; this rank holds {} of weights, as much of gradients and {} of AdamW moments{}\n",
      human_count(static_cast<double>(store.global_count())), human_bytes(static_cast<double>(local)),
      human_bytes(static_cast<double>(moments)),
      config.parallel.zero == 1
          ? fmt::format(" ({} with parallel.zero: 0)", human_bytes(static_cast<double>(2 * local)))
          : std::string());
  text += fmt::format(
      "model FLOPs a token: {} forward, {} training (products {}, experts {}, head {}, mixers {}, attention {})\n",
      human_count(flops.forward()), human_count(flops.training()), human_count(flops.products),
      human_count(flops.experts), human_count(flops.head), human_count(flops.mixers), human_count(flops.attention));
  text += fmt::format("a step: {} of {}; {} of {} on each data rank\n", counted(rows, "row"),
                      counted(config.data.sequence_length, "token"),
                      counted(rows / (config.train.micro_batch_size * degrees.data), "micro step"),
                      counted(config.train.micro_batch_size, "row"));
  if (const std::string segments = describe_segments(config, degrees, size); !segments.empty()) text += segments + "\n";
  text += fmt::format("precision: {}; {} a rank\n", session.precision().name,
                      counted(session.context().stream.num_threads, "thread"));
  for (const std::string& note : config_notes(config)) text += "warning: " + note + "\n";
  return text;
}

}  // namespace og

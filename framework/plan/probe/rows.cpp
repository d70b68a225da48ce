#include "framework/plan/probe/rows.h"

#include <algorithm>
#include <mutex>

#include "framework/measure/random_rows.h"
#include "framework/train/segments.h"
#include "framework/train/session.h"

namespace og {

namespace {

void take_most(std::vector<CollectiveCount>& most, const std::vector<CollectiveCount>& own) {
  for (const CollectiveCount& c : own) {
    auto found = std::find_if(most.begin(), most.end(), [&](const CollectiveCount& m) {
      return m.axis == c.axis && m.verb == c.verb && m.site == c.site;
    });
    if (found == most.end()) found = most.insert(most.end(), c);
    found->calls = std::max(found->calls, c.calls);
    found->bytes = std::max(found->bytes, c.bytes);
  }
}

}  // namespace

Config probe_config(Config config, int64_t layers, char mixer, char channel) {
  config.model.num_hidden_layers = layers;
  config.model.layer_pattern = std::string(1, mixer);
  config.model.channel_pattern = std::string(1, channel);
  config.train.tokens_per_step = config.data.sequence_length;
  config.train.micro_batch_size = 1;
  config.train.segment_length = 0;
  config.train.threads = 1;
  config.parallel.data_auto = false;
  config.model.initializer_range = 0;  // zeros, which take no memory in a session of Weights::reserved
  return config;
}

std::vector<ProbedRows> probe_rows(const Config& config, const Degrees& degrees, const std::vector<int64_t>& lengths) {
  std::vector<ProbedRows> result(lengths.size());
  std::mutex mutex;
  run_thread_world(degrees.world(), [&](Comm& world) {
    Session session(config, world, degrees, Weights::reserved);
    Context& cx = session.context();
    const RowsOptions options{.recompute = config.train.recompute == "block"};
    const auto pass = [&](int64_t length) {
      const Batch batch = random_rows(*cx.pool, 0, 1, length, config.model.vocab_size);
      cx.pool->reset_peak();
      world.counters().reset();
      train_rows(session.model(), batch, options, 1, StepSums(), {});
    };
    pass(lengths.front());
    for (size_t i = 0; i < lengths.size(); ++i) {
      pass(lengths[i]);
      const std::lock_guard lock(mutex);
      result[i].peak_bytes = std::max(result[i].peak_bytes, static_cast<double>(cx.pool->stats().peak_bytes));
      take_most(result[i].collectives, world.counters().rows());
    }
  });
  return result;
}

}  // namespace og

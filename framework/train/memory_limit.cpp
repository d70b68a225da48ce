#include "framework/train/memory_limit.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "framework/core/error.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/measure/host_memory.h"
#include "parallel/layers/vocabulary.h"

namespace og {

namespace {

std::string table(const MemoryNeed& need) {
  std::string text;
  const auto row = [&](const char* name, double bytes) {
    text += fmt::format("  {:<12} {:>10}\n", name, human_bytes(bytes));
  };
  row("weights", need.weights);
  row("gradients", need.gradients);
  row("moments", need.moments);
  row("activations", need.activations);
  return text;
}

// Keys that lower it, those of what takes most first.
std::string advice(const MemoryNeed& need, const Config& config, int ranks) {
  std::vector<const char*> model, batch;
  if (ranks == 1) {
    model.push_back("more ranks with parallel.tensor, parallel.pipeline or parallel.expert");
  } else {
    if (config.parallel.zero == 0) model.push_back("parallel.zero: 1");
    model.push_back("higher parallel.tensor, parallel.pipeline or parallel.expert");
  }
  model.push_back("lower model.hidden_size or model.num_hidden_layers");
  if (config.train.precision == "f64") model.push_back("train.precision: f32");
  if (config.train.micro_batch_size > 1) batch.push_back("lower train.micro_batch_size");
  if (config.train.recompute == "none" && config.train.segment_length == 0) batch.push_back("train.recompute: block");
  if (config.train.segment_length == 0) batch.push_back("train.segment_length");
  batch.push_back("lower data.sequence_length");
  const bool model_first = need.total() - need.activations > need.activations;
  return fmt::format("What lowers it: {}; {}. `onegather plan` shows what each layout takes",
                     fmt::join(model_first ? model : batch, ", "), fmt::join(model_first ? batch : model, ", "));
}

}  // namespace

MemoryNeed least_memory(const Config& config, Session& session) {
  const ParameterStore& store = session.store();
  const Degrees& degrees = session.mesh().degrees();
  const auto size = static_cast<double>(size_of(store.dtype()));
  MemoryNeed need;
  for (const Parameter& p : store.all()) need.weights += size * static_cast<double>(p.local_shape.count());
  need.gradients = need.weights;
  need.moments = 2 * size * static_cast<double>(lay_out(store, config.optimizer_sharding()).own_count());
  // Whatever is recomputed, the input of every layer is kept until its backward pass.
  const int64_t length = config.train.segment_length > 0
                             ? std::min(config.train.segment_length, config.data.sequence_length)
                             : config.data.sequence_length;
  const auto tokens = static_cast<double>(config.train.micro_batch_size * (length / degrees.sequence));
  const double norms = session.mesh().sequence_norms ? degrees.tensor : 1;
  const auto layers = static_cast<double>(config.model.num_hidden_layers / degrees.pipeline);
  need.activations = size * tokens * layers * static_cast<double>(config.model.hidden_size) / norms;
  if (session.model().has_head())
    need.activations += size * std::min(tokens, static_cast<double>(kLossBlockRows)) *
                        static_cast<double>(config.model.padded_vocab_size() / degrees.tensor);
  return need;
}

MemoryBounds memory_bounds() {
  MemoryBounds b;
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  b.host = host;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) b.group += line + ";";
  const auto swap = static_cast<double>(free_swap_bytes());
  b.machine = static_cast<double>(available_memory_bytes()) + swap;
  b.control_group = static_cast<double>(total_memory_bytes()) + swap;
  b.address_space = static_cast<double>(free_address_bytes());
  return b;
}

void check_memory(const MemoryNeed& need, const MemoryBounds& bounds, Comm& world, const Config& config) {
  const Site site = Sites::startup;
  // Each rank adds up what those beside it take, so that one gather of texts is all that travels.
  const std::vector<std::string> told =
      world.gather_text(fmt::format("{:.17g}\n{}\n{}", need.total(), bounds.host, bounds.group), site);
  double on_host = 0, in_group = 0;
  int host_ranks = 0, group_ranks = 0;
  for (const std::string& text : told) {
    std::istringstream in(text);
    std::string total, host, group;
    std::getline(in, total), std::getline(in, host), std::getline(in, group);
    if (host != bounds.host) continue;
    on_host += std::stod(total), ++host_ranks;
    if (group == bounds.group) in_group += std::stod(total), ++group_ranks;
  }
  std::optional<Problem> problem;
  const auto hold = [&](double wanted, double allowed, int ranks, const char* what) {
    if (wanted <= allowed || problem) return;
    problem = Problem{fmt::format("{} {} take at least {}, and {} leaves {}", counted(ranks, "rank"),
                                  ranks == 1 ? "would" : "of this host would together", human_bytes(wanted), what,
                                  human_bytes(allowed))};
  };
  hold(need.total(), bounds.address_space, 1, "the limit of the address space (ulimit -v)");
  hold(in_group, bounds.control_group, group_ranks, "the machine or the control group (memory.max)");
  hold(on_host, bounds.machine, host_ranks, "the machine, now,");
  if (problem)
    problem->text = fmt::format("not enough memory: {}. Rank {} holds at least\n{}{}", problem->text, world.rank(),
                                table(need), advice(need, config, world.size()));
  // All ranks end with the text of the first that has one.
  for (const std::string& text : world.gather_text(problem ? problem->text : "", site))
    if (!text.empty()) fail(Status::usage, "{}", text);
}

std::string out_of_memory_text(const std::string& what, const MemoryNeed& need, const PoolStats& pool,
                               const Config& config, int ranks) {
  return fmt::format(
      "{}\nTensors took {} at most, {} taken from the system. Of it this rank holds at least\n{}{}. A run that has "
      "saved "
      "goes on from its last checkpoint with the same command",
      what, human_bytes(static_cast<double>(pool.peak_bytes)), human_bytes(static_cast<double>(pool.held_bytes)),
      table(need), advice(need, config, ranks));
}

}  // namespace og

#include "framework/program/commands/eval.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "framework/config/key_names.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/program/commands/command_line.h"
#include "framework/program/world.h"
#include "framework/train/corpus.h"
#include "framework/train/evaluate.h"
#include "framework/train/trained_model.h"

namespace og {

namespace {

void print_positions(const Evaluation& e) {
  std::printf("\n  position          tokens      loss\n");
  const auto length = static_cast<int64_t>(e.loss_at.size());
  for (int64_t begin = 0, end = 64; begin < length; begin = end, end *= 2) {
    const int64_t last = std::min(end, length);
    double loss = 0, tokens = 0;
    for (int64_t t = begin; t < last; ++t) {
      loss += e.loss_at[static_cast<size_t>(t)];
      tokens += e.tokens_at[static_cast<size_t>(t)];
    }
    if (tokens > 0)
      std::printf("  %6lld - %-6lld %9.0f  %8.4f\n", static_cast<long long>(begin), static_cast<long long>(last - 1),
                  tokens, loss / tokens);
  }
}

}  // namespace

int eval_command(const std::vector<std::string>& args) {
  CommandLine line("onegather eval",
                   "Loss, perplexity and bits per byte of a checkpoint on files, and the loss by position in the row.");
  std::string path;
  std::vector<std::string> overrides, files;
  int64_t length = 0;
  line.add("CHECKPOINT", path, "a run folder (its newest checkpoint) or a checkpoint folder", Need::required);
  line.add("key=value", overrides, "config values, e.g. parallel.sequence=2");
  line.add("--data", files, "text, JSONL or token files; globs allowed", Need::required);
  line.add("--length", length, "tokens a row; default: as trained", Bound::positive);
  if (!line.parse(args)) return 0;
  // The list of files takes all that follows it, key=value too.
  const auto is_override = [](const std::string& s) {
    const size_t equals = s.find('=');
    return equals != std::string::npos && !std::filesystem::exists(s) &&
           !guess_key(s.substr(0, equals), true).key.empty();
  };
  std::copy_if(files.begin(), files.end(), std::back_inserter(overrides), is_override);
  std::erase_if(files, is_override);
  if (files.empty()) fail(Status::usage, "--data: expected files, found none");
  if (length > 0) overrides.push_back(fmt::format("data.sequence_length={}", length));

  return run_in_world(300, [&](Comm& world) {
    TrainedModel model = open_trained_model(path, overrides, world);
    const std::unique_ptr<Loader> data = open_files("--data", files, *model.tokenizer, model.config, world);
    Context& cx = model.session->context();
    const int64_t rows = data->rows_per_epoch();
    const Evaluation e = evaluate_data(model.session->model(), *data, 0, 1, model.config.train.segment_length, true);
    if (!std::isfinite(e.loss()))
      fail(Status::numbers, "{}: the loss on {} is {}: the weights are out of range; take an earlier checkpoint",
           model.checkpoint, files[0], printable(e.loss()));
    if (world.rank() != 0) return 0;
    double all_bytes = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const Batch batch = data->rows(*cx.pool, r, 1);
      for (int64_t i = 0; i < batch.targets_BT.count(); ++i)
        all_bytes += static_cast<double>(model.tokenizer->bytes_of(static_cast<int32_t>(batch.targets_BT.at(i))));
    }
    std::printf("checkpoint      %s (step %lld)\n", model.checkpoint.c_str(), static_cast<long long>(model.step));
    std::printf("tokens          %.0f in %s of %lld\n", e.valid_tokens, counted(rows, "row").c_str(),
                static_cast<long long>(model.config.data.sequence_length));
    std::printf("loss            %.6f nats a token\n", e.loss());
    std::printf("perplexity      %.4f\n", std::exp(e.loss()));
    if (all_bytes > 0) std::printf("bits per byte   %.4f\n", e.loss_sum / std::log(2.0) / all_bytes);
    print_positions(e);
    return 0;
  });
}

}  // namespace og

#include "framework/program/commands/generate.h"

#include <cstdio>

#include "framework/core/log.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/program/commands/command_line.h"
#include "framework/program/world.h"
#include "framework/train/sample.h"
#include "framework/train/trained_model.h"

namespace og {

int generate_command(const std::vector<std::string>& args) {
  CommandLine line("onegather generate", "Continues a prompt. The text goes to standard output as it is decoded.");
  std::string path, prompt;
  std::vector<std::string> overrides;
  int64_t tokens = 256;
  SamplingOptions sampling{.temperature = 0.8, .top_k = 0, .top_p = 0.95, .seed = 1};
  line.add("CHECKPOINT", path, "a run folder (its newest checkpoint) or a checkpoint folder", Need::required);
  line.add("key=value", overrides, "config values, e.g. parallel.tensor=2 or train.precision=f32");
  line.add("--prompt", prompt, "text to continue; '': a new document", Need::required);
  line.add("--tokens", tokens, "how many tokens to draw at most", Bound::positive);
  line.add("--temperature", sampling.temperature, "0: always the most likely token", Bound::not_negative);
  line.add("--top-k", sampling.top_k, "draw from the k most likely; 0: all", Bound::not_negative);
  line.add("--top-p", sampling.top_p, "draw from the most likely with this probability together", Bound::probability);
  line.add("--seed", sampling.seed, "seed of the random draws");
  if (!line.parse(args)) return 0;

  return run_in_world(300, [&](Comm& world) {
    const TrainedModel model = open_trained_model(path, overrides, world);
    log::info("{} (step {}), {}", model.checkpoint, model.step, model.session->precision().name);
    if (const int ranks = model.session->mesh().sequence().size(); ranks > 1)
      fail(Status::usage,
           "parallel.sequence: expected 1, found {}: a token that is decoded is not split; use parallel.tensor, "
           "parallel.expert or parallel.data",
           ranks);
    Decoder decoder(model.session->context(), model.session->mesh(), model.session->model());
    const bool speaks = world.rank() == 0;
    if (speaks) std::fputs(prompt.c_str(), stdout);
    const double begin = now_seconds();
    const auto show = [&](const std::string& piece) {
      if (!speaks) return;
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    };
    int64_t drawn = 0;
    try {
      drawn = generate_text(decoder, *model.tokenizer, prompt, tokens, sampling, show);
    } catch (const Error& e) {
      if (e.status() != Status::numbers) throw;
      fail(Status::numbers, "{}: {}", model.checkpoint, e.what());
    }
    if (speaks) std::fputs("\n", stdout);
    std::fflush(stdout);
    log::info("{}, {:.0f} tokens/s, {} of state", counted(drawn, "token"),
              static_cast<double>(drawn) / (now_seconds() - begin),
              human_bytes(static_cast<double>(decoder.state_bytes())));
    return 0;
  });
}

}  // namespace og

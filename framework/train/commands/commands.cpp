#include "framework/train/commands/commands.h"

#include "framework/train/commands/bench.h"
#include "framework/train/commands/data.h"
#include "framework/train/commands/doctor.h"
#include "framework/train/commands/eval.h"
#include "framework/train/commands/generate.h"
#include "framework/train/commands/inspect.h"
#include "framework/train/commands/mixer.h"
#include "framework/train/commands/plan.h"
#include "framework/train/commands/train.h"

namespace og {

std::span<const Command> commands() {
  static const Command table[] = {
      {"train", "train a model: CONFIG [key=value ...]", train_command},
      {"eval", "loss, perplexity and bits per byte of a checkpoint on files", eval_command},
      {"generate", "continue a prompt from a checkpoint", generate_command},
      {"bench", "measure a training step or an operation", bench_command},
      {"plan", "memory, bytes and time of every layout on a cluster", plan_command},
      {"data", "prepare token files, show documents as read", data_command},
      {"convert", "to and from Hugging Face folders", nullptr},
      {"inspect", "what a checkpoint, run folder, token or tensor file holds", inspect_command},
      {"mixer", "one sequence mixer on tensors from a file", mixer_command},
      {"doctor", "devices, libraries, measured rates, what is missing", doctor_command},
  };
  return table;
}

}  // namespace og

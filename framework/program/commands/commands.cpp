#include "framework/program/commands/commands.h"

#include "framework/program/commands/bench.h"
#include "framework/program/commands/data.h"
#include "framework/program/commands/doctor.h"
#include "framework/program/commands/eval.h"
#include "framework/program/commands/generate.h"
#include "framework/program/commands/inspect.h"
#include "framework/program/commands/mixer.h"
#include "framework/program/commands/plan.h"
#include "framework/program/commands/train.h"

namespace og {

std::span<const Command> commands() {
  static const Command table[] = {
      {"train", "train a model: CONFIG [key=value ...]", train_command},
      {"eval", "loss, perplexity and bits per byte of a checkpoint on files", eval_command},
      {"generate", "continue a prompt from a checkpoint", generate_command},
      {"bench", "measure a training step, ops, collectives, sequence lengths", bench_command},
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

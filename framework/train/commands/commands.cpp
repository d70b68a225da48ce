#include "framework/train/commands/commands.h"

#include "framework/train/commands/inspect.h"
#include "framework/train/commands/mixer.h"

namespace og {

std::span<const Command> commands() {
  static const Command table[] = {
      {"train", "train a model: CONFIG [key=value ...]", nullptr},
      {"eval", "loss, perplexity and bits per byte of a checkpoint on files", nullptr},
      {"generate", "continue a prompt from a checkpoint", nullptr},
      {"bench", "measure a training step or an operation", nullptr},
      {"plan", "memory, bytes and time of every layout on a cluster", nullptr},
      {"data", "prepare token files, show documents as read", nullptr},
      {"convert", "to and from Hugging Face folders", nullptr},
      {"inspect", "what a checkpoint, run folder, token or tensor file holds", inspect_command},
      {"mixer", "one sequence mixer on tensors from a file", mixer_command},
      {"doctor", "devices, libraries, measured rates, what is missing", nullptr},
  };
  return table;
}

}  // namespace og

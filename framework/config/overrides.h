// The key=value words of a command line as YAML, or what to write instead of them.
#pragma once

#include <string>
#include <vector>

#include "framework/core/problem.h"
#include "framework/io/yaml.h"

namespace og {

struct Override {
  std::string key;  // "train.num_steps"; "" where the word has none
  YamlNode root;    // {train: {num_steps: 5}}
  std::optional<Problem> problem;
};

// Words that were meant to be one ("train.num_steps = 5") are one problem.
std::vector<Override> read_overrides(const std::vector<std::string>& words);

}  // namespace og

// Names of keys: which there are, and what a name that is none was meant to be: the same name in another group, what
// other projects call it, or a misspelt one.
#pragma once

#include <string>
#include <vector>

#include "framework/config/config.h"

namespace og {

// "model" and "x": "model.x"; "" and "x": "x".
std::string path_in(const std::string& group, const std::string& name);
bool is_letter_group(const std::string& path);  // model.mixers, model.channels
bool is_letter(const std::string& path);        // model.mixers.L
bool is_group(const std::string& path);         // any of them, and what keys stand in

struct KeyGuess {
  std::string key;          // "train.optimizer.learning_rate"; "": none
  std::string remark;       // where it is not quite the same thing
  std::string str() const;  // "; did you mean train.num_steps? (it counts steps)", or ""
};

// name: alone ("lr") or with a group ("train.lr"). misspelt: near ones count too.
KeyGuess guess_key(const std::string& name, bool misspelt);

// "; did you mean ...?" of a name that is no key of the group, or of no option of a letter; "" if nothing is near.
std::string suggestion(const std::string& group, const std::string& name, const ConfigRules& rules);
std::string option_suggestion(const std::string& letter, const std::string& name,
                              const std::vector<std::string>& options);

}  // namespace og

// What a name that is no key was meant to be: the same name in another group, what other projects call it, or a
// misspelt one.
#pragma once

#include <string>

namespace og {

struct KeyGuess {
  std::string key;          // "train.optimizer.learning_rate"; "": none
  std::string remark;       // where it is not quite the same thing
  std::string str() const;  // "; did you mean train.num_steps? (it counts steps)", or ""
};

// name: alone ("lr") or with a group ("train.lr"). misspelt: near ones count too.
KeyGuess guess_key(const std::string& name, bool misspelt);

}  // namespace og

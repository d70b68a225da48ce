// All that is wrong with a config, collected to be told at once.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "framework/config/config.h"
#include "framework/core/problem.h"

namespace og {

class Problems {
 public:
  // key: what it is about, dotted; "": the message says it.
  void add(const Origin& origin, const std::string& key, const std::string& message);
  // Whether something was said about the key or one within it.
  bool about(const std::string& key) const;
  // All of them in one text.
  std::optional<Problem> all();
  // Throws Error(Status::usage) if there is any.
  void report();

 private:
  struct Told {
    Origin origin;
    std::string text;
  };
  std::vector<Told> told_;
  std::set<std::string> keys_;
};

// Whether values fit together: heads and tensor, experts and expert, rows and data, patterns and letters. Reads only
// keys about which nothing was said.
void check_config(const Config& config, const ConfigRules& rules, Problems& problems);

}  // namespace og

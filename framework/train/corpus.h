// Corpus: the data of a run as loaders. Rank 0 prepares what is not in the cache yet; all ranks then map the same token
// files (on several hosts the cache must lie on a shared file system).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "framework/config/config.h"
#include "framework/data/loader.h"
#include "framework/data/tokenizer.h"
#include "parallel/comm/comm.h"

namespace og {

struct Corpus {
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Loader> train, eval;  // null where the config names no files
};

// What of the data is left out or not used, for people: one sentence each.
std::vector<std::string> remarks(const Corpus& corpus, const Config& config);

// Collective. Sets config.model.vocab_size to the tokenizer's where it is 0.
Corpus open_corpus(Config& config, Comm& world);

// Collective. Files given on the command line, as one unshuffled source.
std::unique_ptr<Loader> open_files(const std::string& what, const std::vector<std::string>& files,
                                   const Tokenizer& tokenizer, const Config& config, Comm& world);

}  // namespace og

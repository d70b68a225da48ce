#include "framework/train/corpus.h"

#include <algorithm>
#include <filesystem>

#include "framework/core/number.h"
#include "framework/core/threads.h"
#include "framework/data/prepare.h"
#include "framework/data/text_reader.h"
#include "framework/io/json.h"
#include "framework/train/data_progress.h"
#include "framework/train/stop.h"
#include "parallel/comm/together.h"

namespace og {

namespace {

// Refuses files that are not there. A comma may be part of a name or stand between two, and only YAML tells which: the
// message says so where a name that is not there may be several, or several may be one.
void check_named(const std::string& what, const std::vector<DataConfig::Source>& sources) {
  std::error_code error;
  std::string all;
  for (const DataConfig::Source& s : sources) all += (all.empty() ? "" : ",") + s.path;
  for (const DataConfig::Source& s : sources) {
    if (std::filesystem::exists(s.path, error) || s.path.find_first_of("*?[") != std::string::npos) continue;
    if (s.path.find(',') != std::string::npos)
      fail(Status::data, "{}: {}: no such file; several are a list: [{}]", what, s.path, s.path);
    if (sources.size() > 1 && std::filesystem::exists(all, error))
      fail(Status::data, "{}: {}: no such file; the one file is '{}=\"{}\"'", what, s.path, what, all);
    fail(Status::data, "{}: {}: no such file", what, s.path);
  }
}

// Token files of every source, as rank 0 finds or makes them.
std::vector<LoaderSource> prepare(const std::string& what, const std::vector<DataConfig::Source>& sources,
                                  const Tokenizer& tokenizer, const Config& config, Comm& world) {
  std::vector<LoaderSource> prepared;
  const TextRules rules = text_rules(config.data.text_field, config.data.format, config.data.bad_lines);
  const StopSignals signals(StopSignals::Then::ask);
  const int threads = config.train.threads > 0 ? config.train.threads : default_threads();
  together_at_length(world, Sites::startup, [&] {
    if (world.rank() != 0) return;
    check_named(what, sources);
    for (const DataConfig::Source& s : sources) {
      LoaderSource source{{}, s.weight};
      for (const std::string& path : expand_paths(s.path)) {
        DataProgress progress({path});
        source.token_files.push_back(
            cached_tokens(path, tokenizer, rules, threads, [&](int64_t read) { progress.at(read); }));
      }
      prepared.push_back(std::move(source));
    }
    stop_if_requested();  // a command without steps must not miss a signal that came during the last file
  });
  Json list = Json::array();
  for (const LoaderSource& s : prepared) {
    Json files = Json::array();
    for (const std::string& f : s.token_files) files.push(escaped_bytes(f));
    list.push(Json::object({{"weight", s.weight}, {"files", files}}));
  }
  const std::string text = world.broadcast_text(list.dump(), 0, Sites::startup);
  prepared.clear();
  const Json received = Json::parse(text, "rank 0's data files");
  for (const Json& s : received.items()) {
    prepared.push_back({{}, s["weight"].real()});
    for (const Json& f : s["files"].items()) prepared.back().token_files.push_back(unescaped_bytes(f.string()));
  }
  return prepared;
}

std::unique_ptr<Loader> open(const std::string& what, const std::vector<DataConfig::Source>& sources,
                             const Tokenizer& tokenizer, const Config& config, bool training, Comm& world) {
  const std::vector<LoaderSource> prepared = prepare(what, sources, tokenizer, config, world);
  const LoaderOptions options{.sequence_length = config.data.sequence_length,
                              .pack_documents = config.data.pack_documents,
                              .shuffle = training && config.data.shuffle,
                              .seed = static_cast<uint64_t>(config.train.seed),
                              .fill_last_row = !training,
                              .end_of_document = tokenizer.end_of_document()};
  std::unique_ptr<Loader> loader;
  together(world, Sites::startup, [&] {
    loader = std::make_unique<Loader>(what, prepared, options, config.model.vocab_size, tokenizer.identity());
  });
  return loader;
}

}  // namespace

std::vector<std::string> remarks(const Corpus& corpus, const Config& config) {
  std::vector<std::string> list;
  const auto empty_documents = [&](const char* key, const Loader& data) {
    if (data.num_empty_documents() > 0)
      list.push_back(fmt::format("{}: {} of {} documents are empty: nothing but their end is learned or measured", key,
                                 data.num_empty_documents(), data.num_documents()));
  };
  empty_documents("data.train", *corpus.train);
  if (const int64_t left = corpus.train->tokens_left_out(); left > 0)
    list.push_back(fmt::format("data.train: {} of {} tokens are left out of every epoch: they fill no row of {}", left,
                               corpus.train->num_tokens(), config.data.sequence_length));
  const bool evaluates = config.train.eval_every > 0;
  if (corpus.eval) {
    empty_documents("data.eval", *corpus.eval);
    const int64_t all = corpus.eval->rows_per_epoch();
    const int64_t most = config.most_eval_rows(), rows = most == 0 ? all : std::min(most, all);
    list.push_back(
        evaluates
            ? fmt::format("evaluation: every {}, {} of {} of data.eval{}", counted(config.train.eval_every, "step"),
                          rows, counted(all, "row"), rows < all ? ", spread evenly (train.eval_rows)" : "")
            : std::string("data.eval is given, but train.eval_every is 0: it is not evaluated during the run"));
  } else if (evaluates) {
    list.push_back(fmt::format("train.eval_every is {}, but no data.eval is given: nothing is evaluated",
                               config.train.eval_every));
  }
  return list;
}

Corpus open_corpus(Config& config, Comm& world) {
  Corpus corpus;
  together(world, Sites::startup, [&] { corpus.tokenizer = make_tokenizer(config.data.tokenizer); });
  if (config.model.vocab_size == 0) config.model.vocab_size = corpus.tokenizer->vocab_size();
  if (config.model.vocab_size < corpus.tokenizer->vocab_size())
    fail(Status::data,
         "model.vocab_size: {} is smaller than the {} tokens of data.tokenizer {}; leave the key out to take the "
         "tokenizer's",
         config.model.vocab_size, corpus.tokenizer->vocab_size(), config.data.tokenizer);
  if (!config.data.train.empty())
    corpus.train = open("data.train", config.data.train, *corpus.tokenizer, config, true, world);
  if (!config.data.eval.empty())
    corpus.eval = open("data.eval", config.data.eval, *corpus.tokenizer, config, false, world);
  return corpus;
}

std::unique_ptr<Loader> open_files(const std::string& what, const std::vector<std::string>& files,
                                   const Tokenizer& tokenizer, const Config& config, Comm& world) {
  std::vector<DataConfig::Source> sources;
  for (const std::string& f : files) sources.push_back({f, 0});
  return open(what, sources, tokenizer, config, false, world);
}

}  // namespace og

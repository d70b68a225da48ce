#include "framework/program/commands/data.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "framework/core/error.h"
#include "framework/core/number.h"
#include "framework/core/threads.h"
#include "framework/data/prepare.h"
#include "framework/data/text_reader.h"
#include "framework/data/token_file.h"
#include "framework/data/tokenizer_training.h"
#include "framework/program/commands/command_line.h"
#include "framework/train/data_progress.h"
#include "framework/train/stop.h"
#include "parallel/comm/launched.h"

namespace og {

namespace {

constexpr size_t kShown = 160;  // characters of a document

// Text on one line: what a terminal would not show is escaped.
std::string visible(const std::string& text, size_t most) {
  std::string out;
  for (char c : text) {
    if (out.size() >= most) return out + " ...";
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 32) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string left_out(int64_t lines) {
  return lines == 0 ? "" : fmt::format("; {} left out", counted(lines, "bad line"));
}

std::vector<std::string> expand(const std::vector<std::string>& patterns) {
  std::vector<std::string> paths;
  for (const std::string& p : patterns) {
    const auto found = expand_paths(p);
    paths.insert(paths.end(), found.begin(), found.end());
  }
  return paths;
}

// How text is read, as options of both commands.
struct ReadingOptions {
  std::string text_field = "text", format = "auto", bad_lines = "refuse";
  void add_to(CommandLine& line) {
    line.add("--text-field", text_field, "the key of a JSONL line that holds its text");
    line.add("--format", format, "what FILES are: auto, text or jsonl");
    line.add("--bad-lines", bad_lines, "what to do with lines that are not JSON: refuse, or skip and count them");
  }
  TextRules rules() const { return text_rules(text_field, format, bad_lines); }
};

void train_tokenizer(const std::vector<std::string>& paths, const TextRules& rules, int64_t vocab_size,
                     const std::string& prefix) {
  TokenizerTrainer trainer;
  {
    const StopSignals signals(StopSignals::Then::ask);
    DataProgress progress(paths);
    int64_t before = 0, here = 0;
    for (const std::string& path : paths) {
      for_each_text(
          path, rules, true, [&](std::string_view text) { trainer.add(text); }, [&] { trainer.end_document(); },
          [&](int64_t at) {
            here = at;
            progress.at(before + at);
          });
      before += std::exchange(here, 0);
    }
  }
  const StopSignals signals(StopSignals::Then::exit);
  const Training t = trainer.train(vocab_size, prefix, default_threads());
  std::string left_out;
  if (t.skipped_lines > 0)
    left_out = fmt::format("; {} lines, {} bytes left out (at most {} MiB are taken, and no line with U+2585)",
                           t.skipped_lines, t.skipped_bytes, TokenizerTrainer::kMostBytes >> 20);
  if (t.cut_lines > 0) left_out += fmt::format("; {} long lines taken in parts", t.cut_lines);
  std::printf("tokenizer: %s.model, %lld pieces (%lld asked for), trained on %lld lines, %lld bytes%s\n",
              prefix.c_str(),
              static_cast<long long>(make_tokenizer("sentencepiece:" + prefix + ".model")->vocab_size()),
              static_cast<long long>(vocab_size), static_cast<long long>(t.lines), static_cast<long long>(t.bytes),
              left_out.c_str());
}

int prepare(const std::vector<std::string>& args) {
  CommandLine line("onegather data prepare", "Makes a token file of text or JSONL files (plain, .gz, .zst).");
  std::vector<std::string> patterns;
  std::string output, tokenizer = "bytes", prefix;
  ReadingOptions reading;
  int64_t vocab_size = 8192;
  line.add("FILES", patterns, "text or JSONL files; globs allowed", Need::required);
  line.add("--output", output, "token file to write");
  line.add("--tokenizer", tokenizer, "bytes or sentencepiece:PATH");
  reading.add_to(line);
  line.add("--train-tokenizer", prefix, "first train a SentencePiece model on the files: PREFIX.model");
  line.add("--vocab-size", vocab_size, "pieces of a tokenizer to train", Bound::positive);
  if (!line.parse(args)) return 0;
  if (output.empty() && prefix.empty())
    fail(Status::usage, "onegather data prepare: give --output FILE, --train-tokenizer PREFIX, or both");
  const TextRules rules = reading.rules();
  const std::vector<std::string> paths = expand(patterns);
  if (!prefix.empty()) {
    train_tokenizer(paths, rules, vocab_size, prefix);
    tokenizer = "sentencepiece:" + prefix + ".model";
  }
  if (output.empty()) return 0;
  std::error_code error;
  if (std::filesystem::exists(output, error) && !TokenFile::is_token_file(output))
    fail(Status::data, "{}: exists and is no token file; choose another --output", output);
  for (const std::string& path : paths)
    if (TokenFile::is_token_file(path)) fail(Status::data, "{}: is a token file already", path);
  const StopSignals signals(StopSignals::Then::ask);
  std::optional<DataProgress> progress(std::in_place, paths);
  const Prepared made = prepare_tokens(paths, *make_tokenizer(tokenizer), rules, output, default_threads(),
                                       [&](int64_t read) { progress->at(read); });
  progress.reset();
  std::printf("%s: %s, %lld tokens of %lld bytes (%.2f bytes a token)%s\n", output.c_str(),
              counted(made.documents, "document").c_str(), static_cast<long long>(made.tokens),
              static_cast<long long>(made.bytes), static_cast<double>(made.bytes) / static_cast<double>(made.tokens),
              left_out(made.skipped_lines).c_str());
  return 0;
}

void show_document(int64_t d, int64_t num_tokens, const std::string& text) {
  std::printf("  document %lld, %lld tokens: %s\n", static_cast<long long>(d), static_cast<long long>(num_tokens),
              visible(text, kShown).c_str());
}

// tokenizer: null shows ids.
void inspect_tokens(const std::string& path, const Tokenizer* tokenizer, int64_t count) {
  const TokenFile file(path, true);
  if (tokenizer && file.tokenizer() != tokenizer->identity())
    fail(Status::data, "{}: made with the tokenizer {}, --tokenizer is {}", path, file.tokenizer(),
         tokenizer->identity());
  std::printf("%s: %s, %lld tokens, vocabulary %lld, tokenizer %s, checksums right\n", path.c_str(),
              counted(file.num_documents(), "document").c_str(), static_cast<long long>(file.num_tokens()),
              static_cast<long long>(file.vocab_size()), file.tokenizer().c_str());
  for (int64_t d = 0; d < std::min(count, file.num_documents()); ++d) {
    const auto [begin, end] = file.document(d);
    std::vector<int32_t> ids;
    std::string numbers;
    for (int64_t i = begin; i < std::min<int64_t>(end, begin + kShown); ++i) {
      ids.push_back(file.token(i));
      numbers += fmt::format("{} ", ids.back());
    }
    show_document(d, end - begin, tokenizer ? tokenizer->decode(ids) : numbers);
  }
}

void inspect_text(const std::string& path, const TextRules& rules, const Tokenizer& tokenizer, int64_t count) {
  int64_t documents = 0, tokens = 0, bytes = 0;
  std::vector<int32_t> ids;
  const int64_t skipped = for_each_document(path, rules, !tokenizer.takes_any_bytes(), [&](const std::string& text) {
    ids.clear();
    tokenizer.encode(text, ids);
    ids.push_back(tokenizer.end_of_document());
    if (documents < count) show_document(documents, std::ssize(ids), text);
    documents += 1;
    tokens += std::ssize(ids);
    bytes += std::ssize(text);
  });
  std::printf("%s: %s, %lld bytes, %lld tokens by %s%s\n", path.c_str(), counted(documents, "document").c_str(),
              static_cast<long long>(bytes), static_cast<long long>(tokens), tokenizer.identity().c_str(),
              left_out(skipped).c_str());
}

int inspect(const std::vector<std::string>& args) {
  CommandLine line("onegather data inspect",
                   "Shows documents as training reads them, and verifies checksums of token files.");
  std::vector<std::string> patterns;
  std::string spec;
  ReadingOptions reading;
  int64_t count = 3;
  line.add("FILES", patterns, "token, text or JSONL files; globs allowed", Need::required);
  line.add("--tokenizer", spec, "bytes (default) or sentencepiece:PATH");
  reading.add_to(line);
  line.add("--documents", count, "how many to show of each file");
  if (!line.parse(args)) return 0;
  const TextRules rules = reading.rules();
  const auto tokenizer = make_tokenizer(spec.empty() ? "bytes" : spec);
  for (const std::string& path : expand(patterns)) {
    if (TokenFile::is_token_file(path)) {
      const bool readable = !spec.empty() || TokenFile(path).tokenizer() == tokenizer->identity();
      inspect_tokens(path, readable ? tokenizer.get() : nullptr, count);
    } else {
      inspect_text(path, rules, *tokenizer, count);
    }
  }
  return 0;
}

}  // namespace

int data_command(const std::vector<std::string>& args) {
  if (launched_rank() > 0) return 0;  // one process writes, and says it
  if (!args.empty() && args[0] == "prepare") return prepare({args.begin() + 1, args.end()});
  if (!args.empty() && args[0] == "inspect") return inspect({args.begin() + 1, args.end()});
  if (!args.empty() && (args[0] == "--help" || args[0] == "-h")) {
    std::puts(
        "onegather data prepare FILES --output OUT.tokens   make a token file\n"
        "onegather data inspect FILES                       show documents as read\nEach has --help.");
    return 0;
  }
  fail(Status::usage, "onegather data: expected prepare or inspect, found {}", args.empty() ? "nothing" : args[0]);
}

}  // namespace og

#include "framework/data/loader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "framework/core/error.h"
#include "framework/core/rng.h"
#include "framework/io/checksum.h"

namespace og {

namespace {
constexpr int64_t kCycle = 1000;
}

// A Feistel network of four rounds on the next even number of bits, walked until it lands inside (at most four times as
// many points).
int64_t permuted(uint64_t key, int64_t index, int64_t n) {
  if (n <= 1) return 0;
  const int half = (static_cast<int>(std::bit_width(static_cast<uint64_t>(n - 1))) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  auto x = static_cast<uint64_t>(index);
  do {
    uint64_t left = x >> half, right = x & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t mixed = left ^ (philox(key + round, right)[0] & mask);
      left = right;
      right = mixed;
    }
    x = left << half | right;
  } while (x >= static_cast<uint64_t>(n));
  return static_cast<int64_t>(x);
}

Loader::Loader(const std::string& what, const std::vector<LoaderSource>& sources, const LoaderOptions& options,
               int64_t vocab_size, const std::string& tokenizer_identity)
    : what_(what), options_(options), vocab_size_(vocab_size) {
  const bool mixed =
      sources.size() > 1 && std::any_of(sources.begin(), sources.end(), [](const auto& s) { return s.weight > 0; });
  std::string contents;
  for (size_t s = 0; s < sources.size(); ++s) {
    if (s == 0 || mixed) {
      sets_.emplace_back();
      sets_.back().key = random_key(options.seed, fmt::format("rows of source {}", s));
      sets_.back().first_token.push_back(0);
    }
    Set& set = sets_.back();
    if (mixed) contents += fmt::format(" {}:", sources[s].weight);
    for (const std::string& path : sources[s].token_files) {
      TokenFile file(path);
      if (file.tokenizer() != tokenizer_identity)
        fail(Status::data, "{}: {} was made with the tokenizer {}, this run uses {}", what, path, file.tokenizer(),
             tokenizer_identity);
      if (file.largest_id() >= vocab_size)
        fail(
            Status::data,
            "{}: {}: token {} is outside the vocabulary, expected ids below model.vocab_size {}. Leave that key out to "
            "take the tokenizer's size",
            what, path, file.largest_id(), vocab_size);
      set.first_token.push_back(set.first_token.back() + file.num_tokens());
      contents += " " + file.content();
      for (int64_t d = 0; d < file.num_documents(); ++d) {
        const auto [begin, end] = file.document(d);
        num_empty_ += end == begin || (end - begin == 1 && file.token(begin) == options.end_of_document);
      }
      set.files.push_back(std::move(file));
    }
  }
  identity_ = checksum(contents);
  for (Set& set : sets_) {
    const int64_t tokens = set.num_tokens(), length = options.sequence_length;
    set.num_rows = (tokens + (options.fill_last_row ? length - 1 : 0)) / length;
    if (set.num_rows < 1)
      fail(Status::data,
           "{}: {} tokens with the one that opens the first document, but a row needs data.sequence_length + 1 = {}. "
           "Give more data or shorter rows",
           what, tokens + 1, length + 1);
  }
  if (num_empty_ == num_documents())
    fail(Status::data, "{}: all documents ({}) are empty: nothing to learn or measure. Give files with text", what,
         num_empty_);
  if (sets_.size() == 1) return;
  // Shares of a cycle by largest remainder, so that they sum to it.
  const auto weight_of = [](const LoaderSource& source) { return source.weight > 0 ? source.weight : 1; };
  double total = 0;
  for (const LoaderSource& s : sources) total += weight_of(s);
  std::vector<int64_t> share;
  std::vector<std::pair<double, size_t>> rest;
  for (size_t s = 0; s < sources.size(); ++s) {
    const double exact = kCycle * weight_of(sources[s]) / total;
    share.push_back(static_cast<int64_t>(exact));
    rest.emplace_back(static_cast<double>(share.back()) - exact, s);
  }
  std::sort(rest.begin(), rest.end());
  int64_t missing = kCycle - std::accumulate(share.begin(), share.end(), int64_t{0});
  for (size_t i = 0; missing > 0; ++i, --missing) share[rest[i].second] += 1;
  for (size_t s = 0; s < share.size(); ++s)
    if (share[s] == 0)
      fail(Status::usage, "{}: source {} of weight {} would give no row; expected at least 1/{} of the sum {}", what,
           s + 1, weight_of(sources[s]), kCycle, total);
  std::vector<uint16_t> ordered;
  for (size_t s = 0; s < share.size(); ++s)
    ordered.insert(ordered.end(), static_cast<size_t>(share[s]), static_cast<uint16_t>(s));
  const uint64_t key = random_key(options.seed, "mixture");
  for (int64_t i = 0; i < kCycle; ++i) cycle_.push_back(ordered[static_cast<size_t>(permuted(key, i, kCycle))]);
}

int64_t Loader::rows_per_epoch() const {
  int64_t rows = 0;
  for (const Set& s : sets_) rows += s.num_rows;
  return rows;
}

int64_t Loader::num_tokens() const {
  int64_t n = 0;
  for (const Set& s : sets_) n += s.num_tokens();
  return n;
}

int64_t Loader::tokens_left_out() const {
  int64_t n = 0;
  for (const Set& s : sets_) n += std::max<int64_t>(0, s.num_tokens() - s.num_rows * options_.sequence_length);
  return n;
}

int64_t Loader::num_documents() const {
  int64_t n = 0;
  for (const Set& s : sets_)
    for (const TokenFile& f : s.files) n += f.num_documents();
  return n;
}

Loader::SourceRow Loader::source_row(int64_t row) const {
  if (cycle_.empty()) return {0, row};
  const int64_t slot = row % kCycle;
  const uint16_t set = cycle_[static_cast<size_t>(slot)];
  const int64_t share = std::count(cycle_.begin(), cycle_.end(), set);
  return {set, row / kCycle * share + std::count(cycle_.begin(), cycle_.begin() + slot, set)};
}

Batch Loader::rows(Pool& pool, int64_t first, int64_t count) const {
  std::vector<int64_t> which(static_cast<size_t>(count));
  std::iota(which.begin(), which.end(), first);
  return rows(pool, which);
}

Batch Loader::rows(Pool& pool, std::span<const int64_t> which) const {
  const int64_t length = options_.sequence_length, count = std::ssize(which);
  Batch batch;
  batch.tokens_BT = Tensor::empty(pool, {count, length}, DType::i32);
  batch.targets_BT = Tensor::empty(pool, {count, length}, DType::i32);
  batch.starts_BT = Tensor::empty(pool, {count, length}, DType::i32);
  for (int64_t b = 0; b < count; ++b) {
    const SourceRow source = source_row(which[static_cast<size_t>(b)]);
    const Set& set = sets_[source.set];
    const int64_t epoch = source.row / set.num_rows;
    int64_t row = source.row % set.num_rows;
    if (options_.shuffle) row = permuted(set.key + 4 * static_cast<uint64_t>(epoch), row, set.num_rows);
    fill(set, row, batch.tokens_BT.data<int32_t>() + b * length, batch.targets_BT.data<int32_t>() + b * length,
         batch.starts_BT.data<int32_t>() + b * length, batch.valid_tokens);
  }
  return batch;
}

int32_t Loader::Set::token(size_t file, int64_t at) const {
  while (at < first_token[file]) --file;
  return files[file].token(at - first_token[file]);
}

void Loader::fill(const Set& set, int64_t row, int32_t* tokens, int32_t* targets, int32_t* starts,
                  int64_t& valid) const {
  const int64_t begin = row * options_.sequence_length, row_end = begin + options_.sequence_length;
  const int64_t end = std::min(row_end, set.num_tokens());
  size_t f = static_cast<size_t>(std::upper_bound(set.first_token.begin(), set.first_token.end(), begin) -
                                 set.first_token.begin()) -
             1;
  const TokenFile* file = &set.files[f];
  int64_t document = file->document_of(begin - set.first_token[f]);
  int64_t document_begin = set.first_token[f] + file->document(document).first;
  int64_t document_end = set.first_token[f] + file->document(document).second;
  int64_t start = 0;  // where the current document begins in this row
  int32_t before = begin == 0 ? options_.end_of_document : set.token(f, begin - 1);
  for (int64_t at = begin; at < end; ++at) {
    if (at == document_end) {
      document_begin = at;
      // The next document that has tokens, in this file or the next that has any.
      do {
        if (++document == file->num_documents()) {
          do file = &set.files[++f];
          while (file->num_tokens() == 0);
          document = 0;
        }
        document_end = set.first_token[f] + file->document(document).second;
      } while (document_end == at);
    }
    if (at == document_begin && options_.pack_documents) {
      start = at - begin;
      before = options_.end_of_document;
    }
    const int32_t id = file->token(at - set.first_token[f]);
    if (id < 0 || id >= vocab_size_)
      fail(Status::data, "{}: {}: token {} at {} is outside the vocabulary of {} (model.vocab_size)", what_,
           file->path(), id, at - set.first_token[f], vocab_size_);
    *tokens++ = std::exchange(before, id);
    *targets++ = id;
    *starts++ = static_cast<int32_t>(start);
  }
  valid += end - begin;
  for (int64_t at = end; at < row_end; ++at) {
    *tokens++ = options_.end_of_document;
    *targets++ = -1;
    *starts++ = static_cast<int32_t>(start);
  }
}

}  // namespace og

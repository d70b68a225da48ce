// Loader: rows of tokens for training and evaluation. A row is a pure function of (sources, seed, row number), so that
// any rank gets any row, a run resumes at any row, and batches are the same at any layout. Thread safe once made.
//
// Token i of a source's files is the target of place i mod length of row i / length, so every token is a target once an
// epoch, and a row's targets are all there. What is read at that place is the token before it; at a document's first
// token, and at the first of the source, it is the end-of-document token, which opens the document (batch.h).
//
// pack_documents: documents fill the rows back to back; one longer than a row goes on in the next with a fresh state.
// Otherwise the files are one stream and borders are ignored. Each epoch visits every row once, in an order drawn from
// (seed, epoch). Weighted sources are mixed: of each 1000 rows, each source gives its share, and starts its own next
// epoch when it is through. Without weights all files are one source.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "framework/core/pool.h"
#include "framework/data/batch.h"
#include "framework/data/token_file.h"

namespace og {

// How rows are made of documents, to be kept with whatever was trained on them. 1: what was read at a document's first
// token was the last token of the document before, and that place had no target. 2: as above.
constexpr int64_t kRowRule = 2;

struct LoaderOptions {
  int64_t sequence_length = 2048;
  bool pack_documents = true;
  bool shuffle = true;
  uint64_t seed = 1;
  // For evaluation: the last row is filled up, without targets. Otherwise what fills no row is left out.
  bool fill_last_row = false;
  int32_t end_of_document = 256;  // the tokenizer's; this is that of bytes
};

struct LoaderSource {
  std::vector<std::string> token_files;
  double weight = 0;  // 0: none given; counts as 1 beside sources that have one
};

class Loader {
 public:
  // what: "data.train", for messages. Too little data or tokens outside the vocabulary: Error(Status::data).
  Loader(const std::string& what, const std::vector<LoaderSource>& sources, const LoaderOptions& options,
         int64_t vocab_size, const std::string& tokenizer_identity);

  // Rows [first, first + count) of the run.
  Batch rows(Pool& pool, int64_t first, int64_t count) const;
  Batch rows(Pool& pool, std::span<const int64_t> which) const;

  int64_t rows_per_epoch() const;  // all sources together
  int64_t epoch_of(int64_t row) const { return row / rows_per_epoch(); }
  int64_t num_tokens() const;
  int64_t num_documents() const;
  int64_t num_empty_documents() const { return num_empty_; }  // nothing but their end
  int64_t tokens_left_out() const;                            // each epoch leaves out what fills no row
  // Hash of the files' contents and weights: with the same options, equal identities give equal rows.
  const std::string& identity() const { return identity_; }

 private:
  struct Set {  // files that are mixed with one weight
    std::vector<TokenFile> files;
    std::vector<int64_t> first_token;  // where each file begins, and the total
    int64_t num_rows = 0;
    uint64_t key = 0;
    int64_t num_tokens() const { return first_token.back(); }
    int32_t token(size_t file, int64_t at) const;  // file: the one that it lies in or one after that
  };
  struct SourceRow {
    size_t set;
    int64_t row;  // the row within that set, counting through its epochs
  };
  SourceRow source_row(int64_t row) const;
  void fill(const Set& set, int64_t row, int32_t* tokens, int32_t* targets, int32_t* starts, int64_t& valid) const;

  std::string what_, identity_;
  LoaderOptions options_;
  int64_t vocab_size_, num_empty_ = 0;
  std::vector<Set> sets_;
  std::vector<uint16_t> cycle_;  // which set gives each row of a cycle; empty with one set
};

// A permutation of 0 .. n-1 drawn from the key, computed point by point.
int64_t permuted(uint64_t key, int64_t index, int64_t n);

}  // namespace og

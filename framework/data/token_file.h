// Token files: documents as token ids, memory mapped. Layout (little-endian), described in docs/formats.md:
//   "OGTOKENS"  u64 version = 1  u64 length of the header  u64 its checksum  header (JSON)  zeros up to 4096
//   ids (u16 if the vocabulary fits, else i32)  zeros up to a multiple of 64  u64 offsets[documents + 1] (in tokens)
// The header holds counts, the largest id, the tokenizer's identity and the checksums of ids and offsets (XXH3, 64
// bits). A TokenFile may be read by any thread; a writer belongs to one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "framework/io/file.h"

namespace og {

class TokenFile {
 public:
  // Checks every field of the header, sizes, and that the offsets rise from 0 to the number of tokens; with verify_ids
  // (it reads the whole file) the ids too, by checksum and by range. What is wrong: Error(Status::data) by name.
  explicit TokenFile(const std::string& path, bool verify_ids = false);

  const std::string& path() const { return file_.path(); }
  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_documents() const { return num_documents_; }
  int64_t vocab_size() const { return vocab_size_; }
  int64_t largest_id() const { return largest_id_; }           // -1: no tokens
  int64_t skipped_lines() const { return skipped_lines_; }     // bad lines that were left out when it was made
  const std::string& tokenizer() const { return tokenizer_; }  // identity
  const std::string& content() const { return content_; }      // equal for the same ids in the same documents
  int32_t token(int64_t i) const {
    return wide_ ? reinterpret_cast<const int32_t*>(ids_)[i] : reinterpret_cast<const uint16_t*>(ids_)[i];
  }
  // [first token, one past the last) of a document.
  std::pair<int64_t, int64_t> document(int64_t d) const { return {offsets_[d], offsets_[d + 1]}; }
  // The document that token i lies in.
  int64_t document_of(int64_t i) const;

  // By its first bytes, or by the name *.tokens in any case: then other content is a damaged token file, not text.
  static bool is_token_file(const std::string& path);

 private:
  void check_offsets() const;
  void check_ids() const;
  MappedFile file_;
  int64_t num_tokens_ = 0, num_documents_ = 0, vocab_size_ = 0, largest_id_ = -1, skipped_lines_ = 0;
  std::string tokenizer_, content_;
  bool wide_ = false;
  const int64_t* offsets_ = nullptr;
  const std::byte* ids_ = nullptr;
};

// Writes ids as they come; memory holds only the offsets. The file appears under its name whole, at finish(), or never.
class TokenFileWriter {
 public:
  TokenFileWriter(std::string path, int64_t vocab_size, std::string tokenizer);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  void append(std::span<const int32_t> ids);  // to the document under way
  void end_document();
  void add_document(std::span<const int32_t> ids) {
    append(ids);
    end_document();
  }
  void set_skipped_lines(int64_t lines) { skipped_lines_ = lines; }
  void finish();
  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_documents() const { return static_cast<int64_t>(offsets_.size()) - 1; }

 private:
  struct Hash;
  void flush();
  std::string path_, temporary_, tokenizer_;
  int64_t vocab_size_, num_tokens_ = 0, skipped_lines_ = 0;
  int32_t largest_id_ = -1;
  bool wide_;
  std::vector<int64_t> offsets_{0};
  std::vector<std::byte> pending_;  // ids on their way to the file
  std::unique_ptr<Hash> hash_;
  FileWriter file_;
};

}  // namespace og

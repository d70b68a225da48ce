// Token files: documents as token ids, memory mapped. Layout (little-endian), described in data/README.md:
//   "OGTOKENS"  u64 version = 1  u64 length of the header  header (JSON)  zeros up to a multiple of 64
//   u64 offsets[documents + 1] (in tokens)  zeros up to a multiple of 64  ids (u16 if the vocabulary fits, else i32)
// The header holds counts, the tokenizer's identity and a checksum (XXH3, 64 bits) of each section.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "framework/io/file.h"

namespace og {

class TokenFile {
 public:
  // Checks header, sizes and the offsets' checksum; the ids' only with verify_ids (it reads the whole file).
  explicit TokenFile(const std::string& path, bool verify_ids = false);

  const std::string& path() const { return file_.path(); }
  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_documents() const { return num_documents_; }
  int64_t vocab_size() const { return vocab_size_; }
  const std::string& tokenizer() const { return tokenizer_; }  // identity
  int32_t token(int64_t i) const {
    return wide_ ? reinterpret_cast<const int32_t*>(ids_)[i] : reinterpret_cast<const uint16_t*>(ids_)[i];
  }
  // [first token, one past the last) of a document.
  std::pair<int64_t, int64_t> document(int64_t d) const { return {offsets_[d], offsets_[d + 1]}; }
  // The document that token i lies in.
  int64_t document_of(int64_t i) const;

  static bool is_token_file(const std::string& path);

 private:
  MappedFile file_;
  int64_t num_tokens_ = 0, num_documents_ = 0, vocab_size_ = 0;
  std::string tokenizer_;
  bool wide_ = false;
  const int64_t* offsets_ = nullptr;
  const std::byte* ids_ = nullptr;
};

class TokenFileWriter {
 public:
  TokenFileWriter(std::string path, int64_t vocab_size, std::string tokenizer);
  void add_document(std::span<const int32_t> ids);
  void finish();  // atomic: the file is there whole, or not at all

 private:
  std::string path_, tokenizer_;
  int64_t vocab_size_;
  std::vector<int64_t> offsets_{0};
  std::vector<int32_t> wide_;
  std::vector<uint16_t> narrow_;
};

}  // namespace og

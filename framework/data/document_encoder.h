// DocumentEncoder: texts to ids on many threads, written in the order given, so that the file is the same at any number
// of threads. Holds some hundred KiB of text a thread, however long a document is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "framework/data/token_file.h"
#include "framework/data/tokenizer.h"

namespace og {

class DocumentEncoder {
 public:
  DocumentEncoder(const Tokenizer& tokenizer, TokenFileWriter& writer, int threads)
      : tokenizer_(tokenizer), writer_(writer), threads_(threads) {}

  void add(std::string_view text);  // to the document under way
  void end_document();
  void finish();  // after the last document: writes what waits; the file stays open

 private:
  struct TextPart {
    std::string text;
    bool first = false;  // its document begins with it
    bool end = false;    // no text: the document ends here
    std::vector<int32_t> ids;
  };
  void cut(bool whole);
  void run();
  const Tokenizer& tokenizer_;
  TokenFileWriter& writer_;
  int threads_;
  std::string pending_;  // text of the document under way that is in no part yet
  size_t wanted_ = 0;    // bytes of it that make another look for a part worth it
  bool begun_ = false;   // the document has parts already
  std::vector<TextPart> parts_;
  size_t waiting_ = 0;  // bytes of text in the parts
};

}  // namespace og

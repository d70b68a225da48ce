#include "framework/data/document_encoder.h"

#include <algorithm>

#include "framework/core/threads.h"

namespace og {

namespace {
constexpr size_t kOfThread = size_t{1} << 18;  // bytes of text that a thread takes at a time
constexpr size_t kOfPart = 64;  // what a part costs beside its text: many empty documents fill a turn too
}  // namespace

void DocumentEncoder::add(std::string_view text) {
  pending_ += text;
  if (pending_.size() >= wanted_) cut(false);
}

void DocumentEncoder::end_document() {
  cut(true);
  parts_.push_back({{}, false, true, {}});
  waiting_ += kOfPart;
  begun_ = false;
  wanted_ = 0;
  if (waiting_ >= kOfThread * static_cast<size_t>(threads_)) run();
}

void DocumentEncoder::cut(bool whole) {
  size_t at = 0;
  while (at < pending_.size()) {
    const size_t size = tokenizer_.next_part(std::string_view(pending_).substr(at), whole);
    if (size == 0) break;
    parts_.push_back({pending_.substr(at, size), !begun_, false, {}});
    begun_ = true;
    at += size;
    waiting_ += size + kOfPart;
    if (waiting_ >= kOfThread * static_cast<size_t>(threads_)) run();
  }
  pending_.erase(0, at);
  // Twice as much: a text without a place to cut is searched a few times, not once a block.
  wanted_ = 2 * pending_.size();
}

void DocumentEncoder::run() {
  // Shares of about equal bytes, one a thread.
  std::vector<size_t> begin{0};
  size_t bytes = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    bytes += parts_[i].text.size() + kOfPart;
    const size_t due = bytes * static_cast<size_t>(threads_) / std::max<size_t>(1, waiting_);
    while (begin.size() <= std::min(due, static_cast<size_t>(threads_) - 1)) begin.push_back(i + 1);
  }
  begin.resize(static_cast<size_t>(threads_), parts_.size());
  begin.push_back(parts_.size());
  parallel_for(threads_, threads_, 1, [&](int64_t from, int64_t to) {
    for (size_t i = begin[static_cast<size_t>(from)]; i < begin[static_cast<size_t>(to)]; ++i)
      if (!parts_[i].text.empty()) tokenizer_.encode_part(parts_[i].text, parts_[i].first, parts_[i].ids);
  });
  const int32_t end = tokenizer_.end_of_document();
  for (const TextPart& p : parts_) {
    writer_.append(p.ids);
    if (p.end) writer_.add_document({&end, 1});
  }
  parts_.clear();
  waiting_ = 0;
}

void DocumentEncoder::finish() { run(); }

}  // namespace og

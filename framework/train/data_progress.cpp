#include "framework/train/data_progress.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "framework/core/log.h"
#include "framework/core/profile.h"
#include "framework/core/text.h"
#include "framework/train/progress.h"
#include "framework/train/stop.h"

namespace og {

DataProgress::DataProgress(const std::vector<std::string>& paths)
    : terminal_(on_terminal()), begin_(now_seconds()), said_(begin_) {
  for (const std::string& path : paths) {
    std::error_code error;
    const auto size = std::filesystem::file_size(path, error);
    if (!error) total_ += static_cast<int64_t>(size);
  }
  constexpr size_t kMostOfName = 24;  // the line fits 80 columns
  name_ =
      paths.size() == 1 ? std::filesystem::path(paths[0]).filename().string() : fmt::format("{} files", paths.size());
  if (name_.size() > kMostOfName) name_ = "..." + name_.substr(name_.size() - (kMostOfName - 3));
}

DataProgress::~DataProgress() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
}

void DataProgress::at(int64_t read) {
  stop_if_requested();
  if (read <= 0) begin_ = now_seconds();  // the rate counts from here, not from what came before
  const double now = now_seconds(), taken = now - begin_;
  constexpr double kDraw = 0.1, kFirst = 2, kSay = 10;
  if (read <= 0 || read >= total_ || now - said_ < (terminal_ ? kDraw : begin_ >= said_ ? kFirst : kSay)) return;
  said_ = now;
  const double done = static_cast<double>(read) / static_cast<double>(total_);
  const std::string line = fmt::format(
      "preparing {}: {:.0f}% of {}  {}/s  ETA {}", name_, 100 * done, human_bytes(static_cast<double>(total_)),
      human_bytes(static_cast<double>(read) / std::max(taken, 1e-3)), human_seconds(taken / done * (1 - done)));
  if (!terminal_) return log::info("{}", line);
  drawn_ = true;
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
}

}  // namespace og

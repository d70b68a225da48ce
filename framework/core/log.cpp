#include "framework/core/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <memory>
#include <mutex>

namespace og::log {

namespace {

struct State {
  std::mutex mutex;
  int rank = 0;
  std::shared_ptr<spdlog::logger> screen = make("screen", std::make_shared<spdlog::sinks::stderr_sink_mt>(), "%v");
  std::shared_ptr<spdlog::logger> file;

  static std::shared_ptr<spdlog::logger> make(const char* name, spdlog::sink_ptr sink, const char* pattern) {
    auto logger = std::make_shared<spdlog::logger>(name, std::move(sink));
    logger->set_pattern(pattern);
    logger->flush_on(spdlog::level::trace);
    return logger;
  }
};

thread_local int thread_rank = 0;

State& state() {
  static State s;
  return s;
}

spdlog::level::level_enum to_spdlog(Level level) {
  if (level == Level::info) return spdlog::level::info;
  return level == Level::warning ? spdlog::level::warn : spdlog::level::err;
}

}  // namespace

void set_rank(int rank) {
  std::lock_guard lock(state().mutex);
  state().rank = rank;
}

void set_thread_rank(int rank) { thread_rank = rank; }

void open_file(const std::string& path) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path, false);
  std::lock_guard lock(state().mutex);
  state().file = State::make("file", std::move(sink), "%Y-%m-%d %H:%M:%S.%e %l %v");
}

void write(Level level, const std::string& line) {
  std::lock_guard lock(state().mutex);
  const int rank = thread_rank != 0 ? thread_rank : state().rank;
  if (rank != 0 && level != Level::error) return;
  std::string text = level == Level::warning ? "warning: " + line : level == Level::error ? "error: " + line : line;
  if (rank != 0) text = fmt::format("[rank {}] {}", rank, text);
  state().screen->log(to_spdlog(level), text);
  if (state().file) state().file->log(to_spdlog(level), line);
}

}  // namespace og::log

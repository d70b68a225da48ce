// Log lines of the program: to standard error, and to the run folder's log.txt once it is open. Only rank 0 speaks
// unless a line is an error; error lines of other ranks carry "[rank r]". A process has one log and one rank; a thread
// that is a rank has a rank of its own. Thread safe. spdlog is behind log.cpp alone.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>

namespace og::log {

enum class Level { info, warning, error };

void write(Level level, const std::string& line);
void set_rank(int rank);                  // this process's; ranks other than 0 drop info and warning lines
void set_thread_rank(int rank);           // this thread's, in a world of threads
void open_file(const std::string& path);  // also append to this file, flushed line by line

template <class... A>
void info(fmt::format_string<A...> f, A&&... a) {
  write(Level::info, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void warning(fmt::format_string<A...> f, A&&... a) {
  write(Level::warning, fmt::format(f, std::forward<A>(a)...));
}
template <class... A>
void error(fmt::format_string<A...> f, A&&... a) {
  write(Level::error, fmt::format(f, std::forward<A>(a)...));
}

}  // namespace og::log

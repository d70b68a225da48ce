#include "framework/train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "framework/core/log.h"
#include "framework/core/profile.h"
#include "framework/core/text.h"

namespace og {

namespace {

// What the launcher says, 0: nothing.
size_t columns_given() {
  const char* text = std::getenv("ONEGATHER_COLUMNS");
  return text ? std::strtoul(text, nullptr, 10) : 0;
}

size_t terminal_width() {
  if (const size_t given = columns_given(); given > 20) return given;
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

}  // namespace

bool on_terminal() { return isatty(STDERR_FILENO) == 1 || columns_given() > 0; }

std::string fitted(const std::vector<std::string>& fields, size_t width) {
  std::string line;
  for (const std::string& field : fields) {
    const size_t gap = line.empty() ? 0 : 2;
    if (line.size() + gap + field.size() > width) break;
    line += std::string(gap, ' ') + field;
  }
  return line;
}

Progress::Progress(int64_t num_steps, int64_t log_every, bool terminal)
    : num_steps_(num_steps), log_every_(std::max<int64_t>(1, log_every)), terminal_(terminal), begin_(now_seconds()) {}

Progress::~Progress() { finish(); }

void Progress::step(const StepMetrics& m) {
  if (first_step_ == 0) first_step_ = m.step - 1;
  const double now = now_seconds();
  const auto done = static_cast<double>(m.step - first_step_);
  const double left = (now - begin_) / done * static_cast<double>(num_steps_ - m.step);
  const bool last = m.step == num_steps_;
  std::vector<std::string> fields{fmt::format("step {}/{}", m.step, num_steps_),
                                  fmt::format("loss {:.4f}", m.loss),
                                  fmt::format("grad {:.3f}", m.grad_norm),
                                  fmt::format("lr {:.2e}", m.learning_rate),
                                  human_count(m.tokens_per_second) + " tok/s",
                                  human_rate(m.flops_per_second),
                                  human_time(m.step_seconds)};
  if (m.step_seconds > 0 && m.comm_seconds > 0)
    fields.push_back(fmt::format("comm {:.0f}%", 100 * m.comm_exposed_seconds / m.step_seconds));
  if (m.eval_loss) fields.push_back(fmt::format("eval {:.4f}", printable(*m.eval_loss)));
  fields.push_back(human_bytes(static_cast<double>(m.memory_bytes)));
  if (terminal_) {
    if (!last && now - last_drawn_ < 0.1) return;
    last_drawn_ = now;
    drawn_ = true;
    // A bar is worth its place only beside the numbers.
    const size_t width = terminal_width();
    const int64_t cells = width < 60 ? 0 : width < 100 ? 12 : 24;
    const int64_t full = cells * m.step / std::max<int64_t>(1, num_steps_);
    std::string head = fmt::format("{:3}% ETA {}", 100 * m.step / num_steps_, human_seconds(left));
    if (cells > 0)
      head = fmt::format("[{}{}] {}", std::string(static_cast<size_t>(full), '='),
                         std::string(static_cast<size_t>(cells - full), ' '), head);
    fields.insert(fields.begin(), head);
    const std::string bar = fitted(fields, width - 1);
    std::fprintf(stderr, "\r\033[K%s", bar.c_str());
    std::fflush(stderr);
    return;
  }
  if (last || m.step % log_every_ == 0 || m.step == first_step_ + 1)
    log::info("{}  ETA {}", fitted(fields, std::string::npos), human_seconds(left));
}

void Progress::finish() {
  if (drawn_) std::fprintf(stderr, "\n");
  drawn_ = false;
}

}  // namespace og

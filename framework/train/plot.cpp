#include "framework/train/plot.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "framework/train/metrics.h"

namespace og {

namespace {

std::string data_block(const char* name, const Series& series) {
  std::string block = fmt::format("${} << EOD\n", name);
  for (size_t i = 0; i < series.steps.size(); ++i) block += fmt::format("{} {}\n", series.steps[i], series.values[i]);
  return block + "EOD\n";
}

// Mean over the last 1/20 of the steps seen, so that the trend shows through the noise of single steps.
Series smooth(const Series& raw) {
  Series out;
  const size_t window = std::max<size_t>(1, raw.values.size() / 20);
  double sum = 0;
  for (size_t i = 0; i < raw.values.size(); ++i) {
    sum += raw.values[i];
    if (i >= window) sum -= raw.values[i - window];
    out.steps.push_back(raw.steps[i]);
    out.values.push_back(sum / static_cast<double>(std::min(i + 1, window)));
  }
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

// script: what draws the picture, behind `set output`. what: the name of the picture, for messages. A gnuplot that
// cannot open its output goes on and writes the picture to the terminal, so it draws beside the path, and what it says
// on its own is dropped.
std::optional<Problem> draw(const std::string& script, const std::string& path, const std::string& what) {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0)
    return Problem{"gnuplot is not installed, so there is no " + what + ": apt-get install gnuplot-nox"};
  FILE* pipe = popen("gnuplot >/dev/null 2>&1", "w");
  if (pipe == nullptr) return Problem{"gnuplot could not be started, so there is no " + what};
  const std::string part = path + ".part";
  const std::string all =
      "set terminal pngcairo size 1000,600 font 'Sans,11'\nset output " + quoted(part) + "\n" + script;
  std::fwrite(all.data(), 1, all.size(), pipe);
  const int status = pclose(pipe);
  std::error_code error;
  const bool drawn = WIFEXITED(status) && WEXITSTATUS(status) == 0 && std::filesystem::exists(part, error);
  if (drawn) std::filesystem::rename(part, path, error);
  if (!drawn || error) return Problem{fmt::format("gnuplot could not write {}, so there is no {}", path, what)};
  return std::nullopt;
}

}  // namespace

std::optional<Problem> plot_loss(const std::string& metrics_path, const std::string& png_path,
                                 const std::string& title) {
  const Series loss = read_series(metrics_path, "loss"), eval = read_series(metrics_path, "eval_loss");
  if (loss.steps.size() < 2) return std::nullopt;
  std::string script = data_block("loss", loss) + data_block("smooth", smooth(loss)) + data_block("eval", eval);
  script += "set title " + quoted(title) +
            " noenhanced\nset xlabel 'step'\nset ylabel 'loss (nats per token)'\n"
            "set grid lc rgb '#dddddd'\nset key top right\nset border 3\nset tics nomirror\n"
            "plot $loss with lines lc rgb '#b7cfe8' title 'training', $smooth with lines lw 2 lc rgb '#1f5fa8' title "
            "'training, smoothed'";
  if (!eval.steps.empty()) script += ", $eval with linespoints pt 7 ps 0.8 lc rgb '#c8442c' title 'evaluation'";
  script += "\n";
  return draw(script, png_path, "loss.png");
}

std::optional<Problem> plot_speed(const std::vector<SpeedLine>& lines, const std::string& png_path,
                                  const std::string& title) {
  std::string script, plots;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].points.empty()) continue;
    script += fmt::format("$line{} << EOD\n", i);
    for (const auto& [x, y] : lines[i].points) script += fmt::format("{} {}\n", x, y);
    script += "EOD\n";
    // gnuplot has eight colours: after them come other dashes and points.
    plots += fmt::format("{}$line{} with linespoints lw 2 dt {} pt {} ps 0.8 title {} noenhanced",
                         plots.empty() ? "" : ", ", i, i / 8 + 1, 7 + i / 8 * 2, quoted(lines[i].name));
  }
  if (plots.empty()) return Problem{"nothing was measured, so there is no " + png_path};
  script += "set title " + quoted(title) +
            " noenhanced\nset xlabel 'sequence length (tokens)'\nset ylabel 'tokens a second'\n"
            "set logscale x 2\nset logscale y\nset format x '%.0b%B'\nset grid lc rgb '#dddddd'\nset key outside right "
            "top\nset border 3\nset tics nomirror\nplot " +
            plots + "\n";
  return draw(script, png_path, png_path);
}

}  // namespace og

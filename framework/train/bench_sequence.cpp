#include "framework/train/bench_sequence.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>

#include "framework/core/error.h"
#include "framework/io/file.h"
#include "framework/train/progress.h"
#include "framework/train/size_range.h"

namespace og {

namespace {

constexpr Site kSite{"bench"};
constexpr int64_t kCheckLength = 2048, kStepCheckLength = 256;
constexpr int64_t kProbeFactor = 8;          // an estimate reaches at most this far; longer: shorter passes on the way
constexpr double kAnnounceTokens = 1 << 16;  // of a pass that only the estimate of the whole sweep needs

struct Anchor {
  int64_t length, rows;
  double seconds, bytes, memory;
  double tokens() const { return static_cast<double>(length * rows); }
};

// Ranks of the group on this machine, whatever network names they see: they share its memory.
int ranks_on_machine(Comm& comm) {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  const std::vector<std::string> all = comm.gather_text(id, kSite);
  return static_cast<int>(std::count(all.begin(), all.end(), id));
}

class Sweep {
 public:
  Sweep(const SequenceBench& bench, Comm& comm, std::vector<SequencePoint>& points)
      : bench_(bench), comm_(comm), points_(points), neighbours_(ranks_on_machine(comm)) {}

  void run() {
    announce();
    say(fmt::format("\n{} ranks\n{:<20} {:>8} {:>6} {:>12} {:>12} {:>12} {:>10} {:>12} {:>12} {:>9}\n", comm_.size(),
                    "method", "length", "rows", "tokens/s", "ms a pass", "estimated", "received", "exposed ms",
                    "memory", "check"));
    for (int64_t length : bench_.lengths) {
      run_length(length);
      if (comm_.rank() == 0) save();
    }
  }

 private:
  struct Timing {
    double seconds, bytes, exposed, memory;
  };
  int64_t check_length() const { return bench_.subject.config.empty() ? kCheckLength : kStepCheckLength; }

  struct Extent {
    int64_t length, rows;
  };
  // What a listed length means for this group.
  Extent extent(int64_t listed) const {
    const int64_t length =
        bench_.mode == ScalingMode::weak ? std::max<int64_t>(1, listed * comm_.size() / bench_.ranks.back()) : listed;
    return {length, bench_.mode == ScalingMode::fixed ? bench_.tokens_per_rank * comm_.size() / length : 1};
  }
  int64_t repeats(double longest) const {
    return std::clamp(static_cast<int64_t>(bench_.seconds_limit / std::max(longest, 1e-9)) - 1, int64_t{1},
                      bench_.repeats);
  }

  // The whole sweep, from the short passes that check every method: rough, but before anything long runs.
  void announce() {
    double seconds = 0, bytes = 0;
    int64_t points = 0, too_long = 0;
    for (int64_t listed : bench_.lengths) {
      const Extent e = extent(listed);
      std::vector<double> passes;
      for (const SequenceMethod& method : bench_.methods) {
        if (!impossible(method, e.rows).empty()) continue;
        check(method, std::min(e.length, check_length()));
        probe(method, e, kAnnounceTokens);
        SequencePoint p;
        p.method = method.name;
        p.length = e.length;
        p.rows = e.rows;
        estimate(p);
        points += 1;
        if (2 * p.estimated_seconds > bench_.seconds_limit) {
          too_long += 1;
          continue;
        }
        passes.push_back(p.estimated_seconds);
        bytes = std::max(bytes, p.estimated_bytes);
      }
      if (passes.empty()) continue;
      const double longest = *std::max_element(passes.begin(), passes.end());
      for (double pass : passes) seconds += pass * static_cast<double>(repeats(longest) + 1);
    }
    say(fmt::format(
        "\n{} ranks: {} points, {} of them longer than {:.0f} s and not run; about {:.0f} s in all, at most {} "
        "received by a rank in a pass\n",
        comm_.size(), points, too_long, bench_.seconds_limit, seconds, human_bytes(bytes)));
  }

  void say(const std::string& text) const {
    if (comm_.rank() != 0) return;
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  void save() const {
    if (bench_.json_path.empty()) return;
    replace_text(bench_.json_path, to_json(bench_, points_).dump(1) + "\n");
  }

  // One pass; the numbers are those of the worst rank, the same on all.
  Timing pass(SequenceSubject& subject) {
    subject.pool().reset_peak();
    comm_.barrier(kSite);
    comm_.counters().reset();
    const double begin = now_seconds();
    subject.run();
    const double seconds = now_seconds() - begin;
    double bytes = 0, exposed = 0;
    for (const CollectiveCount& row : comm_.counters().rows()) {
      bytes += static_cast<double>(row.bytes);
      exposed += row.exposed_seconds;
    }
    const auto memory = static_cast<double>(subject.pool().stats().peak_bytes);
    return {comm_.max(seconds, kSite), comm_.max(bytes, kSite), comm_.max(exposed, kSite), comm_.max(memory, kSite)};
  }

  void learn(const std::string& method, int64_t length, int64_t rows, const Timing& t) {
    anchors_[method].push_back({length, rows, t.seconds, t.bytes, t.memory});
  }

  // Largest relative difference from one rank at this length; also the first timing.
  double check(const SequenceMethod& method, int64_t length) {
    const auto key = std::pair(method.name, length);
    if (const auto found = checked_.find(key); found != checked_.end()) return found->second;
    const auto alone = make_self_comm();
    const auto one = make_subject(bench_.subject, *alone, 1, length),
               many = make_subject(bench_.subject, comm_, 1, length);
    one->keep_results(true);
    one->run();
    many->use(method.options);
    many->keep_results(true);
    many->run();
    const double error = comm_.max(std::min(many->difference_from(*one), 1e300), kSite);
    allowed_ = many->allowed_difference();
    many->keep_results(false);
    if (anchors_[method.name].empty()) learn(method.name, length, 1, pass(*many));
    return checked_[key] = error;
  }

  // From the two newest lengths: seconds a token grow as a power of the length between 0 and 1, bytes likewise.
  void estimate(SequencePoint& p) {
    const std::vector<Anchor>& known = anchors_[p.method];
    const Anchor& last = known.back();
    const double ratio = static_cast<double>(p.length) / static_cast<double>(last.length), tokens = p.tokens();
    const bool quadratic =
        bench_.subject.config.empty() && (bench_.subject.mixer == "attention" || p.method.starts_with("ring-left"));
    double power = quadratic ? 1 : 0, bytes_power = last.bytes > 0 ? 1 : 0;
    if (known.size() > 1) {
      const Anchor& before = known[known.size() - 2];
      const double steps = std::log(static_cast<double>(last.length) / static_cast<double>(before.length));
      if (steps > 0.5) {
        const double growth = (last.seconds / last.tokens()) / (before.seconds / before.tokens());
        power = std::clamp(std::log(growth) / steps, quadratic ? 0.5 : 0.0, 1.0);
        if (before.bytes > 0 && before.rows == last.rows)
          bytes_power = std::clamp(std::log(last.bytes / before.bytes) / steps, 0.0, 1.0);
      }
    }
    p.estimated_seconds = last.seconds * tokens / last.tokens() * std::pow(ratio, power);
    p.estimated_bytes =
        last.bytes * static_cast<double>(p.rows) / static_cast<double>(last.rows) * std::pow(ratio, bytes_power);
    p.estimated_memory = last.memory * tokens / last.tokens();
  }

  // Empty: it may run.
  std::string obstacle(const SequencePoint& p) {
    if (2 * p.estimated_seconds > bench_.seconds_limit)
      return fmt::format("two passes are estimated at {:.0f} s, limit {:.0f} s", 2 * p.estimated_seconds,
                         bench_.seconds_limit);
    const double free = -comm_.max(-static_cast<double>(free_memory_bytes()), kSite);
    if (p.estimated_memory * neighbours_ > free)
      return fmt::format("estimated memory {} for {} ranks, free {}", human_bytes(p.estimated_memory * neighbours_),
                         neighbours_, human_bytes(free));
    return "";
  }

  // Passes in between, first longer ones, then more rows, so that no estimate reaches far; none of more than `most`
  // tokens.
  void probe(const SequenceMethod& method, const Extent& wanted, double most) {
    while (true) {
      const Anchor& last = anchors_[method.name].back();
      if (last.tokens() * kProbeFactor >= static_cast<double>(wanted.length * wanted.rows)) return;
      SequencePoint p;
      p.ranks = comm_.size();
      p.method = method.name;
      p.length = std::min(wanted.length, last.length * kProbeFactor);
      p.rows = std::clamp(last.length * last.rows * kProbeFactor / p.length, int64_t{1}, wanted.rows);
      estimate(p);
      if (p.tokens() > most || p.tokens() <= last.tokens() || !obstacle(p).empty()) return;
      const auto subject = make_subject(bench_.subject, comm_, p.rows, p.length);
      subject->use(method.options);
      subject->run();
      learn(method.name, p.length, p.rows, pass(*subject));
    }
  }

  // Why no rank count or length would help; empty: nothing speaks against it.
  std::string impossible(const SequenceMethod& m, int64_t rows) const {
    if (rows < 1)
      return fmt::format("{} ranks x {} tokens are less than one row", comm_.size(), bench_.tokens_per_rank);
    const bool whole_heads =
        bench_.subject.mixer == "attention" && m.options.softmax == SoftmaxMethod::ulysses;  // linear ones cut any way
    if (bench_.subject.config.empty() && whole_heads && bench_.subject.heads % comm_.size() != 0)
      return fmt::format("{} heads do not divide by {} ranks", bench_.subject.heads, comm_.size());
    return "";
  }

  // The point as it will be shown; status empty: to be measured.
  SequencePoint prepare(const SequenceMethod& method, int64_t length, int64_t rows) {
    SequencePoint p;
    p.ranks = comm_.size();
    p.method = method.name;
    p.length = length;
    p.rows = rows;
    p.status = "not run";
    p.reason = impossible(method, rows);
    if (!p.reason.empty()) return p;
    p.check_error = check(method, std::min(length, check_length()));
    if (p.check_error > allowed_) {
      p.status = "refused";
      p.reason = fmt::format("differs from one rank by {:.1e}, allowed {:.1e}", p.check_error, allowed_);
      return p;
    }
    probe(method, {length, rows}, HUGE_VAL);
    estimate(p);
    p.reason = obstacle(p);
    if (p.reason.empty()) p.status = "";
    return p;
  }

  void run_length(int64_t listed) {
    const auto [length, rows] = extent(listed);
    std::vector<size_t> now;  // into points_
    std::vector<const SequenceMethod*> methods;
    double longest = 0;
    for (const SequenceMethod& method : bench_.methods) {
      const auto known =
          std::find_if(points_.begin(), points_.end(), [&, length = length, rows = rows](const SequencePoint& p) {
            return p.taken_over && p.ranks == comm_.size() && p.method == method.name && p.length == length &&
                   p.rows == rows;
          });
      if (known != points_.end()) {
        learn(method.name, length, rows, {known->seconds, known->bytes_received, 0, known->peak_memory});
        show(*known);
        continue;
      }
      const SequencePoint p = prepare(method, length, rows);
      points_.push_back(p);
      if (!p.status.empty()) {
        show(p);
        continue;
      }
      now.push_back(points_.size() - 1);
      methods.push_back(&method);
      longest = std::max(longest, p.estimated_seconds);
    }
    if (!now.empty()) measure(now, methods, longest);
  }

  // All of one length: a warm-up each, then in turns. As many repeats as the limit leaves, of every method the same.
  void measure(const std::vector<size_t>& now, const std::vector<const SequenceMethod*>& methods, double longest) {
    const auto subject = make_subject(bench_.subject, comm_, points_[now.front()].rows, points_[now.front()].length);
    std::vector<std::vector<Timing>> timings(now.size());
    for (int64_t round = -1; round < repeats(longest); ++round)
      for (size_t j = 0; j < now.size(); ++j) {
        const size_t i = (j + static_cast<size_t>(round + 1)) % now.size();  // each goes first in its turn
        subject->use(methods[i]->options);
        const Timing t = pass(*subject);
        if (round >= 0) timings[i].push_back(t);
      }
    for (size_t i = 0; i < now.size(); ++i) {
      std::vector<Timing>& all = timings[i];
      std::sort(all.begin(), all.end(), [](const Timing& a, const Timing& b) { return a.seconds < b.seconds; });
      const Timing& median = all[all.size() / 2];
      SequencePoint& p = points_[now[i]];
      p.status = "measured";
      p.seconds = median.seconds;
      p.tokens_per_second = p.tokens() / median.seconds;
      p.most = p.tokens() / all.front().seconds;
      p.least = p.tokens() / all.back().seconds;
      p.bytes_received = median.bytes;
      p.exposed_seconds = median.exposed;
      for (const Timing& t : all) p.peak_memory = std::max(p.peak_memory, t.memory);
      learn(p.method, p.length, p.rows, median);
      show(p);
    }
  }

  void show(const SequencePoint& p) const {
    const std::string head = fmt::format("{:<20} {:>8} {:>6} ", p.method, size_text(p.length), p.rows);
    if (p.status != "measured") {
      say(head + fmt::format("{}: {}{}\n", p.status, p.reason,
                             p.estimated_seconds > 0 ? fmt::format("; estimated {:.1f} s and {} received a pass",
                                                                   p.estimated_seconds, human_bytes(p.estimated_bytes))
                                                     : ""));
      return;
    }
    say(head + fmt::format("{:>12.0f} {:>12.2f} {:>12.2f} {:>10} {:>12.2f} {:>12} {:>9.1e}{}\n", p.tokens_per_second,
                           1e3 * p.seconds, 1e3 * p.estimated_seconds, human_bytes(p.bytes_received),
                           1e3 * p.exposed_seconds, human_bytes(p.peak_memory), p.check_error,
                           p.taken_over ? "  (taken over)" : ""));
  }

  const SequenceBench& bench_;
  Comm& comm_;
  std::vector<SequencePoint>& points_;
  int neighbours_;
  std::map<std::string, std::vector<Anchor>> anchors_;
  std::map<std::pair<std::string, int64_t>, double> checked_;
  double allowed_ = 0;
};

// Measured points of a file that was written with the same settings.
std::vector<SequencePoint> resumed(const SequenceBench& bench) {
  std::vector<SequencePoint> points;
  if (bench.resume.empty()) return points;
  const Json file = Json::parse(bench.resume, "bench sequence --resume");
  const std::string own = to_json(bench, {})["settings"].dump(), theirs = file["settings"].dump();
  if (own != theirs)
    fail(Status::usage, "bench sequence --resume: the file was measured with {}, this sweep has {}", theirs, own);
  for (const Json& j : file["points"].items()) {
    if (j["status"].string() != "measured") continue;
    SequencePoint p;
    p.ranks = static_cast<int>(j["ranks"].integer());
    p.method = j["method"].string();
    p.length = j["length"].integer();
    p.rows = j["rows"].integer();
    p.status = "measured";
    p.estimated_seconds = j["estimated_seconds"].real();
    p.estimated_bytes = j["estimated_bytes"].real();
    p.estimated_memory = j["estimated_memory_bytes"].real();
    p.check_error = j["check_error"].real();
    p.tokens_per_second = j["tokens_per_second"].real();
    p.least = j["tokens_per_second_min"].real();
    p.most = j["tokens_per_second_max"].real();
    p.seconds = j["seconds"].real();
    p.bytes_received = j["bytes_received"].real();
    p.exposed_seconds = j["exposed_seconds"].real();
    p.peak_memory = j["peak_memory_bytes"].real();
    p.taken_over = true;
    points.push_back(p);
  }
  return points;
}

}  // namespace

std::vector<SequencePoint> bench_sequence(Comm& world, const SequenceBench& bench) {
  std::vector<SequencePoint> points = resumed(bench);
  for (int ranks : bench.ranks) {
    const auto group = world.split(world.rank() < ranks ? 0 : 1, world.rank(), "sequence");
    if (world.rank() < ranks) Sweep(bench, *group, points).run();
    world.barrier(kSite);
  }
  return points;
}

}  // namespace og

#include "framework/bench/sequence/sweep.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "framework/bench/sequence/group.h"
#include "framework/bench/size_range.h"
#include "framework/core/number.h"
#include "framework/core/text.h"
#include "framework/io/file.h"

namespace og {

namespace {

constexpr double kAnnounceTokens = 1 << 16;  // length of a pass that only the estimate of the whole sweep needs
constexpr double kOtherCheck = 4;            // a check is made again where the longest so far is this much shorter

constexpr const char* kLegend =
    "a pass, received, exposed, memory: what the slowest or fullest rank needs for one pass;\n"
    "exposed is the time it is blocked in communication. difference: how far the result is from\n"
    "that of one rank alone, relative, at the length \"compared at\". from first: where that is a\n"
    "shorter length, how far the result is from that of the first method.\n";

void say(const Comm& comm, const std::string& text) {
  if (comm.rank() != 0) return;
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

// What a sweep has before it.
struct SweepForecast {
  int64_t points = 0, not_run = 0, taken_over = 0;
  double seconds = 0, bytes = 0;  // all passes together; bytes of the rank that receives the most
};

// All points of one group of ranks.
class Sweep {
 public:
  Sweep(const SequenceBench& bench, const Json& settings, Comm& world, Comm& group, std::vector<SequencePoint>& points)
      : bench_(bench),
        settings_(settings),
        group_(bench, world, group),
        comm_(group),
        checks_(group_.checks()),
        points_(points) {
    for (const SequenceMethod& method : bench.methods)
      columns_.push_back({&method, subject_estimates(bench.subject, &method)});
  }

  // Rough, from short passes, but before anything long runs.
  SweepForecast announce() {
    SweepForecast all;
    for (int64_t listed : bench_.lengths) {
      std::vector<PassCost> passes;
      double longest = 0;
      for (SequenceColumn& column : columns_) {
        SequencePoint p = blank(column, listed);
        if (known(p) != nullptr) {
          all.taken_over += 1;
          continue;
        }
        all.points += 1;
        group_.judge(column, p, kAnnounceTokens);
        if (!p.status.empty()) {
          all.not_run += 1;
          if (bench_.only_estimate) show(p);
          continue;
        }
        passes.push_back(p.estimated);
        longest = std::max(longest, p.estimated.seconds);
      }
      if (passes.empty()) continue;
      const auto times = static_cast<double>(repeats(longest) + 1);
      for (const PassCost& pass : passes) {
        all.seconds += pass.seconds * times;
        all.bytes += pass.bytes * times;
      }
      all.seconds += checks_.cost(checks_.affordable(extent(listed))).seconds;
    }
    return all;
  }

  void run() {
    say(comm_,
        fmt::format("\n{:<20} {:>6} {:>5} {:>9} {:>9} {:>9} {:>10} {:>9} {:>10} {:>10} {:>11} {:>10}\n",
                    fmt::format("{} x {}", counted(comm_.size(), "rank"), counted(bench_.subject.threads, "thread")),
                    "length", "rows", "tokens/s", "a pass", "estimated", "received", "exposed", "memory", "difference",
                    "compared at", "from first"));
    for (int64_t listed : bench_.lengths) {
      run_length(listed);
      if (comm_.rank() == 0 && !bench_.json_path.empty())
        replace_text(bench_.json_path, to_json(settings_, points_).dump(1) + "\n");
    }
  }

 private:
  // What a listed length means for this group; rows 0: less than one row, or not a whole number of them.
  Extent extent(int64_t listed) const {
    if (bench_.mode == ScalingMode::weak) return {std::max<int64_t>(1, listed * comm_.size() / bench_.ranks.back()), 1};
    if (bench_.mode == ScalingMode::strong) return {listed, 1};
    const int64_t tokens = bench_.tokens_per_rank * comm_.size();
    return {listed, tokens % listed == 0 ? tokens / listed : 0};
  }

  int64_t repeats(double longest) const {
    return std::clamp(static_cast<int64_t>(bench_.seconds_limit / std::max(longest, 1e-9)) - 1, int64_t{1},
                      bench_.repeats);
  }

  SequencePoint blank(const SequenceColumn& column, int64_t listed) const {
    SequencePoint p;
    p.ranks = comm_.size();
    p.method = column.method->name;
    p.extent = extent(listed);
    return p;
  }

  const SequencePoint* known(const SequencePoint& wanted) const {
    const auto found = std::find_if(points_.begin(), points_.end(), [&](const SequencePoint& p) {
      return p.taken_over && p.ranks == wanted.ranks && p.method == wanted.method && p.extent == wanted.extent;
    });
    return found == points_.end() ? nullptr : &*found;
  }

  void run_length(int64_t listed) {
    std::vector<size_t> now;  // into points_
    std::vector<SequenceColumn*> columns;
    double longest = 0;
    for (SequenceColumn& column : columns_) {
      SequencePoint p = blank(column, listed);
      if (const SequencePoint* there = known(p)) {
        column.estimates.learn(p.extent, there->cost);
        checks_.remember(p.method, {there->check_error, there->checked});
        show(*there);
        continue;
      }
      group_.judge(column, p, HUGE_VAL);
      points_.push_back(p);
      if (!p.status.empty()) {
        show(p);
        continue;
      }
      now.push_back(points_.size() - 1);
      columns.push_back(&column);
      longest = std::max(longest, p.estimated.seconds);
    }
    if (!now.empty()) measure(now, columns, repeats(longest));
  }

  // Checks every method again at `longest`, where its check so far was at a much shorter length.
  void check_at(const Extent& longest, const std::vector<SequenceColumn*>& columns) {
    for (SequenceColumn* column : columns)
      if (checks_.longest(column->method->name)->at.tokens() * kOtherCheck < longest.tokens() &&
          !subject_problem(bench_.subject, *column->method, comm_.size(), longest))
        checks_.check(*column->method, longest);
  }

  // Whether memory holds a pass of any of these points, its result and the result that is compared with it. The two
  // results take less than a pass of the first point.
  bool has_room_to_compare(const std::vector<size_t>& now) {
    double most = 0;
    for (size_t point : now) most = std::max(most, points_[point].estimated.memory);
    return !group_.too_large({0, 0, most + points_[now.front()].estimated.memory});
  }

  // Writes the outcome of the checks into the point; a result that differs too much is refused.
  void accept_or_refuse(SequencePoint& p) const {
    p.check_error = checks_.longest(p.method)->error;
    p.checked = checks_.longest(p.method)->at;
    const double worst = std::max(p.check_error, p.held_error);
    if (worst <= checks_.allowed()) return;
    p.status = "refused";
    p.reason = fmt::format("differs from {} by {:.1e}, allowed {:.1e}",
                           p.held_error == worst ? p.held_against : "one rank", worst, checks_.allowed());
  }

  // The warm-up of every method. Its result is compared with that of one rank, or of the first method here.
  void check_here(const std::vector<size_t>& now, const std::vector<SequenceColumn*>& columns,
                  std::unique_ptr<SequenceSubject>& subject) {
    const Extent e = points_[now.front()].extent, longest = checks_.affordable(e);
    if (longest != e) check_at(longest, columns);
    const bool room = has_room_to_compare(now);
    std::optional<SequenceResult> first;  // result of a method that was right where one rank could be asked
    std::string first_method;
    for (size_t i = 0; i < now.size(); ++i) {
      SequencePoint& p = points_[now[i]];
      subject->use(*columns[i]->method);
      if (longest == e || room) {
        const SequenceResult found = subject->run_and_keep();
        if (longest == e) {
          checks_.remember(p.method, {checks_.error(found, checks_.one_rank(e, *subject)), e});
        } else if (first) {
          p.held_against = first_method;
          p.held_error = checks_.error(found, *first);
        } else if (checks_.longest(p.method)->error <= checks_.allowed()) {
          first = found;
          first_method = p.method;
        }
        if (!subject->repeats()) {
          subject = nullptr;  // its memory first
          subject = make_subject(bench_.subject, columns[i]->method, comm_, e);
        }
      } else {
        subject->run();
      }
      group_.alive();
      accept_or_refuse(p);
    }
    checks_.forget();
    if (subject->repeats()) return;
    subject->run();  // the fresh one has taken no memory from the system yet
    group_.alive();
  }

  // All of one length: a warm-up each, which is also the check, then in turns. As many repeats as the limit leaves, of
  // every method the same.
  void measure(const std::vector<size_t>& now, const std::vector<SequenceColumn*>& columns, int64_t rounds) {
    auto subject = make_subject(bench_.subject, columns.front()->method, comm_, points_[now.front()].extent);
    check_here(now, columns, subject);
    std::vector<std::vector<PassTiming>> timings(now.size());
    for (int64_t round = 0; round < rounds; ++round)
      for (size_t j = 0; j < now.size(); ++j) {
        const size_t i = (j + static_cast<size_t>(round)) % now.size();  // each goes first in its turn
        if (points_[now[i]].status == "refused") continue;
        subject->use(*columns[i]->method);
        timings[i].push_back(group_.pass(*subject));
      }
    for (size_t i = 0; i < now.size(); ++i) {
      SequencePoint& p = points_[now[i]];
      if (p.status != "refused") {
        settle(p, timings[i]);
        columns[i]->estimates.learn(p.extent, p.cost);
      }
      show(p);
    }
  }

  void settle(SequencePoint& p, std::vector<PassTiming>& all) const {
    std::sort(all.begin(), all.end(),
              [](const PassTiming& a, const PassTiming& b) { return a.cost.seconds < b.cost.seconds; });
    const PassTiming& median = all[all.size() / 2];
    p.status = "measured";
    p.cost = median.cost;
    p.exposed_seconds = median.exposed;
    p.tokens_per_second = p.extent.tokens() / median.cost.seconds;
    p.most = p.extent.tokens() / all.front().cost.seconds;
    p.least = p.extent.tokens() / all.back().cost.seconds;
    for (const PassTiming& t : all) p.cost.memory = std::max(p.cost.memory, t.cost.memory);
  }

  void show(const SequencePoint& p) const {
    const std::string head =
        fmt::format("{:<20} {:>6} {:>5} ", p.method, size_text(p.extent.length), std::max<int64_t>(0, p.extent.rows));
    if (p.status != "measured") {
      say(comm_, head + fmt::format("{}: {}{}\n", p.status, p.reason,
                                    p.estimated.seconds > 0
                                        ? fmt::format("; estimated {} and {} received a pass",
                                                      human_time(p.estimated.seconds), human_bytes(p.estimated.bytes))
                                        : ""));
      return;
    }
    say(comm_,
        head + fmt::format("{:>9.0f} {:>9} {:>9} {:>10} {:>9} {:>10} {:>10.1e} {:>11} {:>10}{}\n", p.tokens_per_second,
                           human_time(p.cost.seconds), human_time(p.estimated.seconds), human_bytes(p.cost.bytes),
                           human_time(p.exposed_seconds), human_bytes(p.cost.memory), p.check_error, text_of(p.checked),
                           p.held_against.empty() ? "-" : fmt::format("{:.1e}", p.held_error),
                           p.taken_over ? "  (taken over)" : ""));
  }

  const SequenceBench& bench_;
  const Json& settings_;
  SequenceGroup group_;
  Comm& comm_;
  SequenceChecks& checks_;
  std::vector<SequencePoint>& points_;
  std::vector<SequenceColumn> columns_;
};

}  // namespace

std::vector<SequencePoint> bench_sequence(Comm& world, const SequenceBench& bench) {
  const Json settings = sweep_settings(bench, world);
  std::vector<SequencePoint> points;
  if (!bench.only_estimate) say(world, kLegend);
  if (!bench.resume.empty()) points = resumed_points(bench.resume, bench.resume_path, settings);
  for (int ranks : bench.ranks) {
    const bool member = world.rank() < ranks;
    const auto group = world.split(member ? 0 : 1, world.rank(), "sequence");
    if (!member) {
      wait_outside(world);
      continue;
    }
    Sweep sweep(bench, settings, world, *group, points);
    const SweepForecast f = sweep.announce();
    say(world, fmt::format("\n{}estimate, {}: {}, {} of them not run, {} taken over; about {:.0f} s, {} "
                           "received by a rank in all\n",
                           bench.label.empty() ? "" : bench.label + ": ", counted(ranks, "rank"),
                           counted(f.points, "point"), f.not_run, f.taken_over, f.seconds, human_bytes(f.bytes)));
    if (!bench.only_estimate) sweep.run();
    leave(world, *group);
  }
  return points;
}

}  // namespace og

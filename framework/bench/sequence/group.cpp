#include "framework/bench/sequence/group.h"

#include <algorithm>
#include <fstream>

#include "framework/bench/size_range.h"
#include "framework/core/number.h"
#include "framework/core/profile.h"
#include "framework/core/text.h"
#include "framework/measure/host_memory.h"

namespace og {

namespace {

constexpr Site kSite = Sites::bench;
constexpr int64_t kProbeFactor = 8;  // an estimate is for at most so many times the tokens of a measured pass
constexpr int64_t kSecond = 4;       // tokens of the second pass over those of the first: two passes give memory's line
// Noise of one pass must not rule a point out: an estimate within this factor of the limit is made again from a new
// pass, where that pass takes less than this share of the limit.
constexpr double kNoise = 2, kAgainShare = 0.05;

// The most ranks of the group on one machine, whatever network names they see: they share its memory. The same on all
// ranks, which decide by it what to run.
int ranks_on_machine(Comm& comm) {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  const std::vector<std::string> all = comm.gather_text(id, kSite);
  return static_cast<int>(comm.max(static_cast<double>(std::count(all.begin(), all.end(), id)), kSite));
}

}  // namespace

SequenceGroup::SequenceGroup(const SequenceBench& bench, Comm& world, Comm& group)
    : bench_(bench),
      world_(world),
      comm_(group),
      neighbours_(ranks_on_machine(group)),
      checks_(bench.subject, group, neighbours_, [this] { alive(); }) {}

void SequenceGroup::alive() {
  if (comm_.size() < world_.size()) world_.max(1, kSite);
}

void leave(Comm& world, Comm& group) {
  if (group.size() < world.size()) world.max(0, kSite);
}

void wait_outside(Comm& world) {
  while (world.max(0, kSite) > 0) {
  }
}

std::string text_of(const Extent& e) {
  return e.rows == 1 ? size_text(e.length) : fmt::format("{}x{}", e.rows, size_text(e.length));
}

PassTiming SequenceGroup::pass(SequenceSubject& subject) {
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
  const PassTiming t{{comm_.max(seconds, kSite), comm_.max(bytes, kSite), comm_.max(memory, kSite)},
                     comm_.max(exposed, kSite)};
  alive();
  return t;
}

// Learns what a pass takes at this extent: the better of two, after one that is not counted.
void SequenceGroup::probe(SequenceColumn& column, const Extent& e) {
  const auto subject = make_subject(bench_.subject, column.method, comm_, e);
  subject->run();
  alive();
  for (int i = 0; i < 2; ++i) column.estimates.learn(e, pass(*subject).cost);
}

std::optional<Problem> SequenceGroup::too_large(const PassCost& cost) {
  const double free = -comm_.max(-static_cast<double>(free_memory_bytes()), kSite);
  const double needed = cost.memory * neighbours_;
  if (needed <= free) return std::nullopt;
  return Problem{fmt::format("estimated memory {} for {}, free {}", human_bytes(needed), counted(neighbours_, "rank"),
                             human_bytes(free))};
}
std::optional<Problem> SequenceGroup::too_long(const PassCost& cost) const {
  if (2 * cost.seconds <= bench_.seconds_limit) return std::nullopt;
  return Problem{
      fmt::format("two passes are estimated at {:.3g} s, limit {:g} s", 2 * cost.seconds, bench_.seconds_limit)};
}

// Measures passes between what is known and what is wanted, longer ones first, then of more rows, so that no estimate
// reaches far. None has more than `most_tokens` tokens.
void SequenceGroup::approach(SequenceColumn& column, const Extent& wanted, double most_tokens) {
  while (column.estimates.nearest(wanted).tokens() * static_cast<double>(kProbeFactor) < wanted.tokens()) {
    const Extent last = column.estimates.nearest(wanted);
    const Extent e = longer(last, wanted, kProbeFactor);
    const PassCost cost = column.estimates.of(e);
    if (e.tokens() > most_tokens || e.tokens() <= last.tokens() || too_long(cost) || too_large(cost) ||
        subject_problem(bench_.subject, *column.method, comm_.size(), e))
      return;
    probe(column, e);
  }
}

// Memory is judged before any pass in between is run: it is linear in tokens, so its estimate needs none.
void SequenceGroup::judge(SequenceColumn& column, SequencePoint& p, double most_tokens) {
  const auto refused = [&](const std::optional<Problem>& problem) {
    if (problem) p.reason = problem->text;
    return problem.has_value();
  };
  p.status = "not run";
  if (p.extent.rows < 1) {
    p.reason = fmt::format("{} ranks x {} tokens are not a whole number of rows", comm_.size(), bench_.tokens_per_rank);
    return;
  }
  if (refused(subject_problem(bench_.subject, *column.method, comm_.size(), p.extent))) return;
  if (checks_.longest(p.method) == nullptr) checks_.check(*column.method, checks_.least(p.extent));
  p.check_error = checks_.longest(p.method)->error;
  p.checked = checks_.longest(p.method)->at;
  if (!(p.check_error <= checks_.allowed())) {
    p.status = "refused";
    p.reason = fmt::format("differs from one rank by {:.1e} at {} tokens, allowed {:.1e}", p.check_error,
                           text_of(p.checked), checks_.allowed());
    return;
  }
  if (column.estimates.empty()) {
    const Extent least = checks_.least(p.extent), second = longer(least, p.extent, kSecond);
    probe(column, least);
    if (second != least && !subject_problem(bench_.subject, *column.method, comm_.size(), second))
      probe(column, second);
  }
  p.estimated = column.estimates.of(p.extent);
  if (refused(too_large(p.estimated))) return;
  approach(column, p.extent, most_tokens);
  p.estimated = column.estimates.of(p.extent);
  const Extent from = column.estimates.nearest(p.extent);
  if (too_long(p.estimated) && p.estimated.seconds < kNoise * bench_.seconds_limit &&
      column.estimates.of(from).seconds < kAgainShare * bench_.seconds_limit) {
    probe(column, from);
    p.estimated = column.estimates.of(p.extent);
  }
  if (!refused(too_long(p.estimated)) && !refused(too_large(p.estimated))) p.status = "";
}

}  // namespace og

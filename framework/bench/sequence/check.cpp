#include "framework/bench/sequence/check.h"

#include <algorithm>

#include "framework/core/profile.h"
#include "framework/measure/host_memory.h"

namespace og {

namespace {
constexpr Site kSite = Sites::bench;
constexpr int64_t kLayerLength = 2048, kStepLength = 256;
constexpr int64_t kSecond = 4;
constexpr double kSeconds = 4;        // the longest that one rank's pass may take
constexpr double kMemoryShare = 0.4;  // share of free memory; the method under check needs the rest
}  // namespace

SequenceChecks::SequenceChecks(const SubjectOptions& subject, Comm& comm, int ranks_on_machine,
                               std::function<void()> alive)
    : subject_(subject),
      comm_(comm),
      neighbours_(ranks_on_machine),
      alive_(std::move(alive)),
      one_(subject_estimates(subject)) {}

// A multiple of the shards of zigzag order: a method that is legal at the wanted length is then legal at this one.
Extent SequenceChecks::least(const Extent& wanted) const {
  const int64_t shards = 2 * int64_t{comm_.size()}, most = subject_.config.empty() ? kLayerLength : kStepLength;
  return {std::min(wanted.length, (most + shards - 1) / shards * shards), 1};
}

bool SequenceChecks::affords(const Extent& extent) {
  const PassCost cost = one_.of(extent);
  const double free = -comm_.max(-static_cast<double>(free_memory_bytes()), kSite);
  return cost.seconds <= kSeconds && cost.memory * neighbours_ <= kMemoryShare * free;
}

Extent SequenceChecks::affordable(const Extent& extent) {
  const Extent shortest = least(extent);
  Extent e = extent;
  while (!affords(e)) {
    if (e.rows > 1)
      e.rows /= 2;
    else if (e.length / 2 > shortest.length)
      e.length /= 2;
    else
      return shortest;
  }
  return e;
}

SequenceResult SequenceChecks::run_one(const Extent& extent) {
  const auto alone = make_self_comm();
  const auto one = make_subject(subject_, nullptr, *alone, extent);
  const double begin = now_seconds();
  SequenceResult whole = one->run_and_keep();
  one_.learn(extent, {comm_.max(now_seconds() - begin, kSite), 0,
                      comm_.max(static_cast<double>(one->pool().stats().peak_bytes), kSite)});
  alive_();
  return whole;
}

const SequenceResult& SequenceChecks::one_rank(const Extent& extent, const SequenceSubject& subject) {
  if (found_ && found_->first == extent) return found_->second;
  found_.reset();
  found_.emplace(extent, subject.part_of(run_one(extent)));
  return found_->second;
}

void SequenceChecks::check(const SequenceMethod& method, const Extent& extent) {
  // A step holds weights and moments whatever the length; a second pass, of another length, shows how much they take.
  if (one_.empty() && !subject_.config.empty()) run_one({kSecond * extent.length, 1});
  const auto many = make_subject(subject_, &method, comm_, extent);
  const SequenceResult& expected = one_rank(extent, *many);
  allowed_ = many->allowed_difference();
  remember(method.name, {error(many->run_and_keep(), expected), extent});
  alive_();
}

void SequenceChecks::remember(const std::string& method, const CheckOutcome& outcome) {
  const auto [found, added] = outcomes_.try_emplace(method, outcome);
  if (!added && outcome.at.tokens() >= found->second.at.tokens()) found->second = outcome;
}

const CheckOutcome* SequenceChecks::longest(const std::string& method) const {
  const auto found = outcomes_.find(method);
  return found == outcomes_.end() ? nullptr : &found->second;
}

double SequenceChecks::error(const SequenceResult& found, const SequenceResult& reference) {
  return comm_.max(std::min(difference(found, reference), 1e300), kSite);
}

}  // namespace og

#include "parallel/sequence/states_ring.h"

namespace og {

namespace {

class StateRing final : public StateExchange {
 public:
  StateRing(const StateCall& call, const RingBlock& own, const std::vector<int64_t>& first, Summarise summarise)
      : StateExchange(call), first_(first), here_(own), summarise_(std::move(summarise)) {
    next_hop(1);
  }

  bool progress() override {
    while (hop_ <= hops() && pending_.done()) meet_next();
    return hop_ <= hops();
  }

  Result wait() override {
    while (hop_ <= hops()) meet_next();
    Result result{call_.outside, {}};
    for (auto piece = met_.rbegin(); piece != met_.rend(); ++piece) result.entry = pass(*piece, result.entry);
    if (call_.wants_total) result.total = from_last(last() ? pass(call_.own, result.entry) : Tensor());
    return result;
  }

 private:
  // A block goes as far as the last rank of the direction and no further: place 0 only sends, the last only receives.
  bool sends(int hop) const { return !last() && hop <= place() + 1; }
  bool receives(int hop) const { return hop <= place(); }
  int hops() const { return last() ? place() : place() + 1; }

  // After hop i the block of the rank i places before is here: the next is on its way while this one is summarised.
  void meet_next() {
    if (call_.overlap) pending_.wait();
    here_ = arriving_;
    const bool useful = hop_ <= place();
    next_hop(++hop_);
    if (useful) met_.push_back(summarise_(here_));
  }

  void next_hop(int hop) {
    if (!sends(hop) && !receives(hop)) return;
    std::vector<Message> out, in;
    if (sends(hop))
      for (const Tensor& t : here_) out.push_back({rank_at(place() + 1), t});
    if (receives(hop)) {
      const auto source = static_cast<size_t>(rank_at(place() - hop));
      arriving_ = {};
      for (size_t i = 0; i < here_.size(); ++i) {
        Shape shape = here_[i].shape();
        if (i > 0) shape.set(1, first_[source + 1] - first_[source]);
        arriving_.push_back(call_.cx.empty(shape, here_[i].dtype()));
        in.push_back({rank_at(place() - 1), arriving_.back()});
      }
    }
    pending_ = call_.comm.send_recv(std::move(out), std::move(in), call_.site);
    if (!call_.overlap) pending_.wait();
  }

  const std::vector<int64_t>& first_;
  RingBlock here_, arriving_;
  Summarise summarise_;
  Pending pending_;
  int hop_ = 1;               // the one under way
  std::vector<Summary> met_;  // the nearest piece first
};

}  // namespace

std::unique_ptr<StateExchange> start_state_ring(const StateCall& call, const RingBlock& own,
                                                const std::vector<int64_t>& first, Summarise summarise) {
  return std::make_unique<StateRing>(call, own, first, std::move(summarise));
}

}  // namespace og

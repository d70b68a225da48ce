#include "parallel/state_exchange.h"

namespace og {

namespace {

// The map of two neighbouring pieces one after the other, in the direction's order.
Summary compose(Context& cx, Direction direction, const Summary& first, const Summary& then) {
  if (direction == Direction::forward) return combine(cx, first, then);
  // Backward meets the right piece first: d -> A_left^T (A_right^T d + C_right) + C_left, with A = A_right A_left.
  Summary both = combine(cx, then, first);
  both.b.copy_from(retreat_state(cx, then, first.b));
  return both;
}

class StateScan final : public StateExchange {
 public:
  StateScan(Context& cx, const SeqContext& seq, Direction direction, const Summary& own, const Tensor& outside,
            bool wants_total, Site site)
      : cx_(cx),
        comm_(*seq.comm),
        direction_(direction),
        inclusive_(own),
        outside_(outside),
        wants_total_(wants_total),
        site_(site),
        place_(rank_at(comm_, direction, comm_.rank())) {
    exchange(1);
  }

  // After the round over distance d, inclusive_ is the map of the 2 d pieces that end with this rank's.
  Result wait() override {
    int distance = 1;
    while (true) {
      finish();
      if (arrived_.flat.defined()) inclusive_ = compose(cx_, direction_, arrived_, inclusive_);
      distance *= 2;
      if (distance >= comm_.size()) break;
      exchange(distance);
    }
    Result result;
    shift();
    result.entry = place_ == 0 ? outside_ : pass(cx_, direction_, arrived_, outside_);
    if (wants_total_) {
      result.total = cx_.empty(inclusive_.b.shape(), inclusive_.b.dtype());
      const int last = rank_at(comm_, direction_, comm_.size() - 1);
      if (comm_.rank() == last) result.total.copy_from(pass(cx_, direction_, inclusive_, outside_));
      comm_.broadcast(result.total, last, site_).wait();
    }
    return result;
  }

 private:
  void exchange(int distance) {
    std::vector<Message> sends, receives;
    arrived_ = {};
    if (place_ + distance < comm_.size())
      sends.push_back({rank_at(comm_, direction_, place_ + distance), inclusive_.flat});
    if (place_ - distance >= 0) {
      arrived_ = Summary::of(cx_.empty(inclusive_.flat.shape(), inclusive_.flat.dtype()), inclusive_.b.shape(),
                             inclusive_.a.size(2));
      receives.push_back({rank_at(comm_, direction_, place_ - distance), arrived_.flat});
    }
    started_ = !sends.empty() || !receives.empty();
    if (started_) pending_ = comm_.send_recv(std::move(sends), std::move(receives), site_);
  }
  void finish() {
    if (started_) pending_.wait();
  }
  // Exclusive from inclusive: each rank takes its predecessor's.
  void shift() {
    exchange(1);
    finish();
  }

  Context& cx_;
  Comm& comm_;
  Direction direction_;
  Summary inclusive_, arrived_;
  Tensor outside_;
  bool wants_total_;
  Site site_;
  int place_;
  bool started_ = false;  // a rank may have no partner in a round
  Pending pending_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_scan(Context& cx, const SeqContext& seq, Direction direction,
                                                const Summary& own, const Tensor& outside, bool wants_total,
                                                Site site) {
  return std::make_unique<StateScan>(cx, seq, direction, own, outside, wants_total, site);
}

}  // namespace og

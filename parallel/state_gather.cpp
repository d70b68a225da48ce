#include "parallel/state_exchange.h"

namespace og {

namespace {

class StateGather final : public StateExchange {
 public:
  StateGather(Context& cx, const SeqContext& seq, Direction direction, const Summary& own, const Tensor& outside,
              bool wants_total, Site site)
      : cx_(cx),
        comm_(*seq.comm),
        direction_(direction),
        own_(own),
        outside_(outside),
        wants_total_(wants_total),
        rows_(static_cast<size_t>(comm_.size()), own.flat.count()),
        all_(cx.empty({own.flat.count() * comm_.size()}, own.flat.dtype())),
        pending_(comm_.all_gather(all_, own.flat, rows_, site)) {}

  Result wait() override {
    pending_.wait();
    Result result;
    Tensor state = outside_;
    for (int step = 0; step < comm_.size(); ++step) {
      const int rank = rank_at(comm_, direction_, step);
      if (rank == comm_.rank()) {
        result.entry = state;
        if (!wants_total_) break;
      }
      state = pass(cx_, direction_, of(rank), state);
    }
    if (wants_total_) result.total = state;
    return result;
  }

 private:
  Summary of(int rank) const {
    const int64_t n = own_.flat.count();
    return Summary::of(all_.slice(rank * n, (rank + 1) * n), own_.b.shape(), own_.a.size(2));
  }

  Context& cx_;
  Comm& comm_;
  Direction direction_;
  Summary own_;
  Tensor outside_;
  bool wants_total_;
  std::vector<int64_t> rows_;
  Tensor all_;
  Pending pending_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_gather(Context& cx, const SeqContext& seq, Direction direction,
                                                  const Summary& own, const Tensor& outside, bool wants_total,
                                                  Site site) {
  return std::make_unique<StateGather>(cx, seq, direction, own, outside, wants_total, site);
}

}  // namespace og

#include "framework/ops/ranges.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

class StateGather final : public StateExchange {
 public:
  explicit StateGather(const StateCall& call)
      : StateExchange(call),
        rows_(static_cast<size_t>(call.comm().size()), call.own.flat.count()),
        all_(call.cx.empty({call.own.flat.count() * call.comm().size()}, call.own.flat.dtype())),
        pending_(call.comm().all_gather(all_, call.own.flat, rows_, call.site)) {}

  Result wait() override {
    pending_.wait();
    if (call_.seq.shards_of_rank() > 1) return fold_shards();
    Result result;
    Tensor state = call_.outside;
    for (int step = 0; step < call_.comm().size(); ++step) {
      if (step == place()) {
        result.entry = state;
        if (!call_.wants_total) return result;
      }
      state = pass(of(rank_at(step)), state);
    }
    result.total = state;
    return result;
  }

 private:
  Summary of(int rank) const {
    const int64_t n = call_.own.flat.count();
    return Summary::of(all_.slice(rank * n, (rank + 1) * n), call_.own.b.shape(), call_.own.a.size(2));
  }

  // Zigzag order: every rank brought two summaries, of the rank-th shard from either end: rows 2 b and 2 b + 1 of its
  // own. The shards are met in their order; this rank enters its two with the states before them.
  Result fold_shards() const {
    OG_CHECK(!call_.outside.defined() && !call_.wants_total, "zigzag: a state from outside, or a total");
    const int ranks = call_.comm().size(), own = call_.comm().rank();
    const Result result{call_.cx.zeros(call_.own.b.shape(), call_.own.b.dtype()), {}};
    Tensor state;
    for (int step = 0; step < 2 * ranks; ++step) {
      const int shard = call_.direction == Direction::forward ? step : 2 * ranks - 1 - step;
      const int half = shard < ranks ? 0 : 1, rank = half == 0 ? shard : 2 * ranks - 1 - shard;
      if (rank == own && state.defined()) put_half(result.entry, half, state);
      state = pass(half_of(of(rank), half), state);
    }
    return result;
  }

  // Rows 2 b + half of x [2 B, ..] are the rows of y [B, ..].
  void put_half(const Tensor& x, int half, const Tensor& y) const {
    const int64_t B = y.size(0), inner = y.shape().count_from(1);
    move_range(call_.cx.stream, 1, x.reshape({B, 2, inner}), half, Put::write, y.reshape({B, 1, inner}), 0, 1);
  }
  Summary half_of(const Summary& both, int half) const {
    Shape shape = both.b.shape();
    shape.set(0, shape[0] / 2);
    const int64_t n = both.a.size(2);
    const Summary out = Summary::empty(call_.cx, shape, n, both.b.dtype());
    for (const auto& [to, from] : {std::pair{out.a, both.a}, std::pair{out.b, both.b}}) {
      const int64_t B = to.size(0), inner = to.shape().count_from(1);
      move_range(call_.cx.stream, 1, to.reshape({B, 1, inner}), 0, Put::write, from.reshape({B, 2, inner}), half, 1);
    }
    return out;
  }

  std::vector<int64_t> rows_;
  Tensor all_;
  Pending pending_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_gather(const StateCall& call) { return std::make_unique<StateGather>(call); }

}  // namespace og

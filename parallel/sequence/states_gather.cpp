#include "framework/ops/ranges.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

// In zigzag order a rank brings two summaries, of the rank-th shard from either end; in its own they are rows 2 b and
// 2 b + 1 of the batch. They travel one after the other, so that the table of all ranks has a row a shard.
class StateGather final : public StateExchange {
 public:
  explicit StateGather(const StateCall& call)
      : StateExchange(call),
        zigzag_(call.seq.shards_of_rank() > 1),
        shape_(call.own.b.shape()),
        extents_(static_cast<size_t>(call.comm().size()), zigzag_ ? 2 : 1) {
    if (zigzag_) shape_.set(0, shape_[0] / 2);
    const int64_t size = Summary::count(shape_, call.own.a.size(2)), rows = extents_[0];
    const Tensor sent = zigzag_ ? halves(size) : call.own.flat.reshape({1, size});
    all_ = call.cx.empty({rows * call.comm().size(), size}, sent.dtype());
    pending_ = call.comm().all_gather(all_, sent, extents_, call.site);
  }

  Result wait() override {
    pending_.wait();
    if (zigzag_) return enter_shards();
    Result result;
    result.entry = fold(shape_, all_, 0, place(), call_.outside);
    if (call_.wants_total) result.total = fold(shape_, all_, place(), call_.comm().size(), result.entry);
    return result;
  }

 private:
  // This rank enters its two shards with the states before them. The direction meets the shards' rows at even places
  // as the ranks go up, then those at odd places as they go down; backward odd ones first.
  Result enter_shards() const {
    OG_CHECK(!call_.outside.defined() && !call_.wants_total, "zigzag: a state from outside, or a total");
    const int64_t ranks = call_.comm().size(), own = call_.comm().rank();
    const int64_t there = call_.direction == Direction::forward ? 0 : 1, back = 1 - there;
    const Tensor near = pass(shape_, all_, {.first = there, .step = 2, .count = own}, {});
    const Tensor turn = pass(shape_, all_, {.first = 2 * own + there, .step = 2, .count = ranks - own}, near);
    const Tensor far =
        pass(shape_, all_, {.first = 2 * (ranks - 1) + back, .step = -2, .count = ranks - 1 - own}, turn);
    const Result result{call_.cx.zeros(call_.own.b.shape(), call_.own.b.dtype()), {}};
    if (near.defined()) move_half(result.entry, there, 2, near, 0, 1);
    move_half(result.entry, back, 2, far, 0, 1);
    return result;
  }

  // Both summaries of the rank, a row each.
  Tensor halves(int64_t size) const {
    const int64_t n = call_.own.a.size(2);
    const Tensor rows = call_.cx.empty({2, size}, call_.own.flat.dtype());
    for (int64_t half : {0, 1}) {
      const Summary out = Summary::of(rows.slice(half, half + 1).reshape({size}), shape_, n);
      move_half(out.a, 0, 1, call_.own.a, half, 2);
      move_half(out.b, 0, 1, call_.own.b, half, 2);
    }
    return rows;
  }

  // Moves one row to one, of tensors that have `of_to` and `of_from` rows for each row of the batch.
  void move_half(const Tensor& to, int64_t row_to, int64_t of_to, const Tensor& from, int64_t row_from,
                 int64_t of_from) const {
    const int64_t B = shape_[0];
    move_range(call_.cx.stream, 1, to.reshape({B, of_to, to.count() / (B * of_to)}), row_to, Put::write,
               from.reshape({B, of_from, from.count() / (B * of_from)}), row_from, 1);
  }

  bool zigzag_;
  Shape shape_;                   // the state of one shard
  std::vector<int64_t> extents_;  // rows of `all_` from each rank
  Tensor all_;                    // [shards, size]
  Pending pending_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_gather(const StateCall& call) { return std::make_unique<StateGather>(call); }

}  // namespace og

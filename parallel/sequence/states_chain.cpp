#include <algorithm>

#include "framework/ops/ranges.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

// Columns of a state [B,H,K,V]; all of them: the state itself.
Tensor columns(Context& cx, const Tensor& state, int64_t begin, int64_t end) {
  return begin == 0 && end == state.size(3) ? state : copy_range(cx, 3, state, begin, end);
}
void put_columns(Context& cx, const Tensor& state, const Tensor& block, int64_t begin) {
  move_range(cx.stream, 3, state, begin, Put::write, block, 0, block.size(3));
}

class StateChain final : public StateExchange {
 public:
  StateChain(const StateCall& call, int64_t blocks)
      : StateExchange(call),
        width_(call.own.b.size(3)),
        blocks_(std::clamp<int64_t>(blocks, 1, std::max<int64_t>(1, width_))) {
    for (int64_t j = 0; j < blocks_; ++j) {
      if (place() == 0) {  // the first piece waits for nobody
        forward(j, call.outside.defined() ? columns(call.cx, call.outside, begin_of(j), begin_of(j + 1)) : Tensor());
        continue;
      }
      arriving_.push_back(call.cx.empty(block_shape(j), call.own.b.dtype()));
      received_.push_back(call.comm().send_recv({}, {{rank_at(place() - 1), arriving_.back()}}, call.site));
    }
  }

  // Blocks that are here go on.
  bool progress() override {
    if (last() && !call_.wants_total) return false;  // nothing goes on from here
    while (met_ < arriving_.size() && received_[met_].done()) meet_next();
    return met_ < arriving_.size();
  }

  Result wait() override {
    while (met_ < arriving_.size()) meet_next();
    Result result{call_.outside, {}};
    if (place() > 0) result.entry = state();
    for (size_t j = 0; j < arriving_.size(); ++j)
      put_columns(call_.cx, result.entry, arriving_[j], begin_of(static_cast<int64_t>(j)));
    for (Pending& sent : sent_) sent.wait();
    if (!call_.wants_total) return result;
    Tensor total;
    if (last()) {
      total = state();
      for (int64_t j = 0; j < blocks_; ++j) put_columns(call_.cx, total, passed_[static_cast<size_t>(j)], begin_of(j));
    }
    result.total = from_last(total);
    return result;
  }

 private:
  Tensor state() const { return call_.cx.empty(call_.own.b.shape(), call_.own.b.dtype()); }
  int64_t begin_of(int64_t block) const { return block * width_ / blocks_; }
  Shape block_shape(int64_t block) const {
    Shape shape = call_.own.b.shape();
    shape.set(3, begin_of(block + 1) - begin_of(block));
    return shape;
  }

  void meet_next() {
    received_[met_].wait();
    forward(static_cast<int64_t>(met_), arriving_[met_]);
    met_ += 1;
  }

  // Passes one block of the state over this rank's piece and on.
  void forward(int64_t j, const Tensor& block) {
    if (last() && !call_.wants_total) return;
    const Tensor& own = call_.own.flat;
    passed_.push_back(pass(block_shape(j), own.reshape({1, own.count()}),
                           {.count = 1, .column = begin_of(j), .value_size = width_}, block));
    if (!last()) sent_.push_back(call_.comm().send_recv({{rank_at(place() + 1), passed_.back()}}, {}, call_.site));
  }

  int64_t width_, blocks_;
  std::vector<Tensor> arriving_, passed_;
  std::vector<Pending> received_, sent_;
  size_t met_ = 0;  // blocks that arrived and went on
};

}  // namespace

std::unique_ptr<StateExchange> start_state_chain(const StateCall& call, int64_t blocks) {
  return std::make_unique<StateChain>(call, blocks);
}

}  // namespace og

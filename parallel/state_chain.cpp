#include <algorithm>

#include "parallel/head_exchange.h"
#include "parallel/state_exchange.h"

namespace og {

namespace {

// Columns of a state [B,H,K,V] are heads of [B, H K, V, 1].
Tensor columns(Context& cx, const Tensor& state, int64_t begin, int64_t end) {
  const Shape& s = state.shape();
  return take_heads(cx, state.reshape({s[0], s[1] * s[2], s[3], 1}), begin, end)
      .reshape({s[0], s[1], s[2], end - begin});
}
void put_columns(const Tensor& state, const Tensor& block, int64_t begin) {
  const Shape& s = state.shape();
  put_heads(state.reshape({s[0], s[1] * s[2], s[3], 1}), begin, block.reshape({s[0], s[1] * s[2], block.size(3), 1}),
            Put::write);
}

class StateChain final : public StateExchange {
 public:
  StateChain(Context& cx, const SeqContext& seq, Direction direction, const Summary& own, const Tensor& outside,
             bool wants_total, Site site, int64_t blocks)
      : cx_(cx),
        comm_(*seq.comm),
        direction_(direction),
        own_(own),
        outside_(outside),
        wants_total_(wants_total),
        site_(site),
        place_(rank_at(comm_, direction, comm_.rank())),
        width_(own.b.size(3)),
        blocks_(std::clamp<int64_t>(blocks, 1, std::max<int64_t>(1, width_))) {
    if (place_ > 0) {
      const int before = rank_at(comm_, direction_, place_ - 1);
      for (int64_t j = 0; j < blocks_; ++j) {
        Shape shape = own_.b.shape();
        shape.set(3, begin_of(j + 1) - begin_of(j));
        arriving_.push_back(cx_.empty(shape, own_.b.dtype()));
        received_.push_back(comm_.send_recv({}, {{before, arriving_.back()}}, site_));
      }
    } else {  // the first piece waits for nobody
      for (int64_t j = 0; j < blocks_; ++j)
        forward(j, outside_.defined() ? columns(cx_, outside_, begin_of(j), begin_of(j + 1)) : Tensor());
    }
  }

  Result wait() override {
    Result result;
    if (place_ == 0) {
      result.entry = outside_;
    } else {
      result.entry = cx_.empty(own_.b.shape(), own_.b.dtype());
      for (int64_t j = 0; j < blocks_; ++j) {
        received_[static_cast<size_t>(j)].wait();
        const Tensor& block = arriving_[static_cast<size_t>(j)];
        forward(j, block);
        put_columns(result.entry, block, begin_of(j));
      }
    }
    for (Pending& sent : sent_) sent.wait();
    if (wants_total_) {
      result.total = cx_.empty(own_.b.shape(), own_.b.dtype());
      const int last = rank_at(comm_, direction_, comm_.size() - 1);
      if (comm_.rank() == last) result.total.copy_from(after_all());
      comm_.broadcast(result.total, last, site_).wait();
    }
    return result;
  }

 private:
  int64_t begin_of(int64_t block) const { return block * width_ / blocks_; }

  // Passes one block of the state over this rank's piece and on.
  void forward(int64_t j, const Tensor& block) {
    const bool last = place_ == comm_.size() - 1;
    if (last && !wants_total_) return;
    Summary piece;
    piece.a = own_.a;
    piece.b = columns(cx_, own_.b, begin_of(j), begin_of(j + 1));
    passed_.push_back(pass(cx_, direction_, piece, block));
    if (!last) sent_.push_back(comm_.send_recv({{rank_at(comm_, direction_, place_ + 1), passed_.back()}}, {}, site_));
  }

  Tensor after_all() {
    const Tensor state = cx_.empty(own_.b.shape(), own_.b.dtype());
    for (int64_t j = 0; j < blocks_; ++j) put_columns(state, passed_[static_cast<size_t>(j)], begin_of(j));
    return state;
  }

  Context& cx_;
  Comm& comm_;
  Direction direction_;
  Summary own_;
  Tensor outside_;
  bool wants_total_;
  Site site_;
  int place_;  // in the chain
  int64_t width_, blocks_;
  std::vector<Tensor> arriving_, passed_;
  std::vector<Pending> received_, sent_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_chain(Context& cx, const SeqContext& seq, Direction direction,
                                                 const Summary& own, const Tensor& outside, bool wants_total, Site site,
                                                 int64_t blocks) {
  return std::make_unique<StateChain>(cx, seq, direction, own, outside, wants_total, site, blocks);
}

}  // namespace og

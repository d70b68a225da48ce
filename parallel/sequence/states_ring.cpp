// Ring Attention (arXiv 2310.01889) for linear layers, in the linear form: the streams themselves travel from rank to
// rank, and every rank summarises each block that it meets (right product first), where LASP-2 sends summaries. A block
// stops at the last rank of the direction, so of C tokens of n numbers the last one receives C n (P - 1).
#include <array>

#include "framework/ops/scan_piece.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

// What a piece is summarised from. Forward: k, v, g, beta. Backward: q, g, the gradient of o, the transition A that
// forward found and, with the delta rule, k and beta. The rest is absent and does not travel.
struct RingBlock {
  ScanTensors streams;
  Tensor d_o, a;

  std::array<Tensor*, 8> all() {
    auto& [q, k, v, g, beta] = static_cast<ScanBundle<Tensor>&>(streams);
    return {&a, &q, &k, &v, &g, &beta, &streams.start, &d_o};
  }
};

RingBlock block_of(const StateCall& call) {
  RingBlock block{call.streams, call.d_o, {}};
  if (call.direction == Direction::forward) {
    block.streams.q = {};
  } else {
    block.a = call.own.a;
    block.streams.v = {};
    if (!call.recurrence.delta) block.streams.k = {};
  }
  return block;
}

// Room for the same block of another piece, of so many tokens.
RingBlock room_like(Context& cx, RingBlock block, int64_t tokens) {
  for (Tensor* x : block.all()) {
    if (!x->defined()) continue;
    Shape shape = x->shape();
    if (x != &block.a) shape.set(1, tokens);
    *x = cx.empty(shape, x->dtype());
  }
  return block;
}

// Kernels read the sizes of every stream, also of those that stayed where they were.
Summary summarise(const StateCall& call, const RingBlock& block) {
  ScanTensors s = block.streams;
  const auto sized_as = [](const Tensor& x) { return Tensor::shape_only(x.shape(), x.dtype()); };
  if (call.direction == Direction::forward) {
    s.q = sized_as(s.k);
    return ScanPiece(call.cx, call.recurrence, s, ScanCall::phases).summarise();
  }
  s.v = sized_as(block.d_o);
  if (!s.k.defined()) s.k = sized_as(s.q);
  return ScanPiece(call.cx, call.recurrence, s, ScanCall::phases_backward).summarise_backward(block.a, block.d_o);
}

class StateRing final : public StateExchange {
 public:
  explicit StateRing(const StateCall& call) : StateExchange(call), here_(block_of(call)) { next_hop(1); }

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
    if (call_.seq.options.overlap) pending_.wait();
    here_ = arriving_;
    const bool useful = hop_ <= place();
    next_hop(++hop_);
    if (useful) met_.push_back(summarise(call_, here_));
  }

  void next_hop(int hop) {
    if (!sends(hop) && !receives(hop)) return;
    std::vector<Message> out, in;
    if (sends(hop)) out = messages(rank_at(place() + 1), here_);
    if (receives(hop)) {
      const auto source = static_cast<size_t>(rank_at(place() - hop));
      const std::vector<int64_t>& first = call_.seq.first;
      arriving_ = room_like(call_.cx, here_, first[source + 1] - first[source]);
      in = messages(rank_at(place() - 1), arriving_);
    }
    pending_ = call_.comm().send_recv(std::move(out), std::move(in), call_.site);
    if (!call_.seq.options.overlap) pending_.wait();
  }

  static std::vector<Message> messages(int rank, RingBlock& block) {
    std::vector<Message> all;
    for (const Tensor* x : block.all())
      if (x->defined()) all.push_back({rank, *x});
    return all;
  }

  RingBlock here_, arriving_;
  Pending pending_;
  int hop_ = 1;               // the one under way
  std::vector<Summary> met_;  // the nearest piece first
};

}  // namespace

std::unique_ptr<StateExchange> start_state_ring(const StateCall& call) { return std::make_unique<StateRing>(call); }

}  // namespace og

#include "parallel/sequence/scan_heads.h"

#include "framework/ops/ranges.h"
#include "framework/ops/scan_piece.h"
#include "parallel/mesh/collectives.h"
#include "parallel/sequence/head_transport.h"
#include "parallel/sequence/methods.h"

namespace og {

namespace {

constexpr size_t kInitialState = 5;  // which input of the op it is; the streams are 0 to 4

struct ScanByHeads final : Function {
  Recurrence recurrence;
  SeqContext seq;
  HeadPlan heads;
  Shape all_heads;      // the shape of a state, [B,H,K,V]
  ScanTensors streams;  // the whole sequence, this rank's heads
  Tensor entry;

  const char* name() const override { return "scan_by_heads"; }
  HeadRange own() const { return heads.of[static_cast<size_t>(seq.comm->rank())]; }
  Shape own_heads() const {
    Shape shape = all_heads;
    shape.set(1, own().count());
    return shape;
  }

  // This rank's heads of a state, and a state of all heads from every rank's own.
  Tensor own_of(Context& cx, const Tensor& state) const {
    if (!state.defined()) return {};
    return own().count() == all_heads[1] ? state : copy_range(cx, 1, state, own().begin, own().end);
  }
  void share(const Context& cx, const Tensor& all, const Tensor& mine, Site site) const {
    all.fill(0);
    if (mine.count() > 0) move_range(cx.stream, 1, all, own().begin, Put::write, mine, 0, own().count());
    seq.comm->all_reduce(all, Reduce::sum, site).wait();
  }

  // final_state absent: not wanted.
  void forward(Context& cx, const ScanTensors& local, const Tensor& o_local, const Tensor& final_state,
               const Tensor& initial, Site site) {
    const Profile::Scope time(&cx.profile, Part::mixers);
    std::vector<ToHeads> flying;
    for (const Tensor* x : local.all()) flying.emplace_back(cx, *x, heads, seq, site);
    streams.scale = local.scale;
    streams.start = seq.single_document ? cx.zeros({seq.num_rows, seq.length}, DType::i32) : seq.row_starts();
    for (size_t i = 0; i < flying.size(); ++i) *streams.all()[i] = flying[i].finish(cx);
    entry = own_of(cx, initial);
    const Tensor o = cx.empty(streams.v.shape(), streams.v.dtype());
    const Tensor exit = final_state.defined() ? cx.empty(own_heads(), o.dtype()) : Tensor();
    if (own().count() > 0) ScanPiece(cx, recurrence, streams, ScanCall::forward).forward(o, exit, entry);
    ToTokens(cx, o, heads, seq, site).finish(cx, o_local, Put::write);
    if (final_state.defined()) share(cx, final_state, exit, site);
  }

  void backward(Context& cx) override {
    const Profile::Scope time(&cx.profile, Part::mixers);
    const Site site = Sites::mixer_backward;
    ToHeads flying(cx, gradient(cx, 0), heads, seq, site);
    const Tensor d_exit = has_output(1) ? own_of(cx, gradient(cx, 1)) : Tensor(), d_o = flying.finish(cx);
    ScanTargets gradients;  // this rank's heads
    for (size_t i = 0; i < kInitialState; ++i)
      if (input(i)) gradients.all()[i]->tensor = cx.empty(streams.all()[i]->shape(), d_o.dtype());
    const Tensor d_entry = input(kInitialState) ? cx.empty(own_heads(), d_o.dtype()) : Tensor();
    if (own().count() > 0)
      ScanPiece(cx, recurrence, streams, ScanCall::backward).backward(gradients, d_entry, d_o, entry, d_exit);
    std::vector<std::pair<size_t, ToTokens>> back;
    for (size_t i = 0; i < kInitialState; ++i)
      if (input(i)) back.emplace_back(i, ToTokens(cx, gradients.all()[i]->tensor, heads, seq, site));
    for (auto& [i, exchange] : back) {
      const auto [target, put] = input(i)->open(cx);
      exchange.finish(cx, as_stream(target), put);
    }
    if (!input(kInitialState)) return;
    const Tensor all = cx.empty(all_heads, d_o.dtype());
    share(cx, all, d_entry, site);
    const auto [target, put] = input(kInitialState)->open(cx);
    move_into(cx.stream, target, put, all);
  }
};

}  // namespace

ScanOutput scan_by_heads(Tape& tape, const Recurrence& recurrence, const ScanStreams& s, const SeqContext& seq,
                         const Value& initial_state, bool wants_final_state) {
  const Placement place = place_of(s);
  auto function = std::make_unique<ScanByHeads>();
  function->recurrence = recurrence;
  function->seq = seq;
  function->all_heads = state_shape(s);
  function->heads = {row_of(seq.options.linear).transport, s.q.size(2), shares_of_heads(s.q.size(2), seq.comm->size())};

  const std::initializer_list<Value> inputs{s.q, s.k, s.v, s.g, s.beta, initial_state};
  ScanOutput out;
  out.o = tape.output({s.q.size(0), s.q.size(1), s.q.size(2), s.v.size(3)}, s.q.dtype(), place, inputs);
  out.final_state = tape.output(function->all_heads, s.q.dtype(), place.with(Axis::sequence, Place::invariant), inputs);
  const Site site = forward_site(tape, Sites::mixer_forward);
  function->forward(tape.context(), tensors_of(s, seq.start_BT), out.o.tensor(),
                    wants_final_state ? out.final_state.tensor() : Tensor(), initial_state.tensor(), site);
  if (!wants_final_state) out.final_state = {};
  tape.record(std::move(function), inputs, {out.o, out.final_state});
  return out;
}

}  // namespace og

#include "parallel/sequence/scan_heads.h"

#include "parallel/mesh/collectives.h"
#include "parallel/sequence/gather.h"
#include "parallel/sequence/head_transport.h"

namespace og {

namespace {

struct ScanByHeads final : Function {
  Recurrence recurrence;
  SeqContext seq;
  HeadPlan heads;
  int64_t num_heads = 0, key_size = 0, value_size = 0;
  double scale = 1;
  Tensor q, k, v, g, beta, start;  // the whole sequence, this rank's heads
  Tensor entry;

  const char* name() const override { return "scan_by_heads"; }
  HeadRange own() const { return heads.of[static_cast<size_t>(seq.comm->rank())]; }
  Shape state_shape() const { return {seq.num_rows, own().count(), key_size, value_size}; }

  template <class T>
  ScanInputs<T> inputs() const {
    return scan_inputs<T>(recurrence, q, k, v, g, beta, start, scale);
  }

  // This rank's heads of a state [B,H,K,V], and a state of all heads from every rank's own.
  Tensor own_of(Context& cx, const Tensor& state) const {
    if (!state.defined()) return {};
    const int64_t width = key_size * value_size, B = state.size(0);
    return take_heads(cx, state.reshape({B, 1, num_heads, width}), own().begin, own().end).reshape(state_shape());
  }
  void share(const Tensor& all, const Tensor& mine, Site site) const {
    all.fill(0);
    const int64_t width = key_size * value_size, B = all.size(0);
    if (mine.count() > 0)
      put_heads(all.reshape({B, 1, num_heads, width}), own().begin, mine.reshape({B, 1, own().count(), width}),
                Put::write);
    seq.comm->all_reduce(all, Reduce::sum, site).wait();
  }

  void forward(Context& cx, const ScanStreams& s, const Tensor& o_local, const Tensor& final_state,
               const Tensor& initial, Site site) {
    const Profile::Scope time(&cx.profile, Part::mixers);
    std::vector<ToHeads> flying;
    for (const Value* x : {&s.q, &s.k, &s.v, &s.g, &s.beta})
      flying.emplace_back(cx, x->defined() ? x->tensor() : Tensor(), heads, seq, site);
    start = seq.single_document ? cx.zeros({seq.num_rows, seq.length}, DType::i32)
                                : gather_starts(cx, seq, Sites::mixer_documents);
    Tensor* to[] = {&q, &k, &v, &g, &beta};
    for (size_t i = 0; i < 5; ++i) *to[i] = flying[i].finish(cx);
    entry = own_of(cx, initial);
    const Tensor o = cx.empty(v.shape(), v.dtype());
    const Tensor exit = final_state.defined() ? cx.empty(state_shape(), v.dtype()) : Tensor();
    if (own().count() > 0)
      visit_real(v.dtype(), [&](auto zero) {
        using T = decltype(zero);
        const ScanInputs<T> in = inputs<T>();
        const ScanKernels<T>& kernel = scan_kernels<T>(cx.stream, recurrence.form);
        const Tensor work = cx.empty({kernel.workspace(cx.stream, in, ScanCall::forward)}, v.dtype());
        kernel.forward(cx.stream, o.view<T, 4>(), exit.view<T, 4>(), work.flat<T>(), in, entry.view<const T, 4>());
      });
    ToTokens(cx, o, heads, seq, site).finish(o_local, Put::write);
    if (final_state.defined()) share(final_state, exit, site);
  }

  void backward(Context& cx) override {
    const Profile::Scope time(&cx.profile, Part::mixers);
    const Site site = Sites::mixer_backward;
    ToHeads flying(cx, gradient(cx, 0), heads, seq, site);
    const Tensor dexit = has_output(1) ? own_of(cx, gradient(cx, 1)) : Tensor(), d_o = flying.finish(cx);
    const auto wanted = [&](size_t i, const Tensor& like) {
      return input(i) ? cx.empty(like.shape(), like.dtype()) : Tensor();
    };
    const Tensor gradients[] = {wanted(0, q), wanted(1, k), wanted(2, v), wanted(3, g), wanted(4, beta)};
    const Tensor dentry = input(5) ? cx.empty(state_shape(), v.dtype()) : Tensor();
    if (own().count() > 0)
      visit_real(v.dtype(), [&](auto zero) {
        using T = decltype(zero);
        const ScanInputs<T> in = inputs<T>();
        const ScanKernels<T>& kernel = scan_kernels<T>(cx.stream, recurrence.form);
        const Tensor work = cx.empty({kernel.workspace(cx.stream, in, ScanCall::backward)}, v.dtype());
        ScanGradients<T> grad;
        grad.dq = gradients[0].view<T, 4>();
        grad.dk = gradients[1].view<T, 4>();
        grad.dv = gradients[2].view<T, 4>();
        if (gradients[3].defined())
          grad.dg = {gradients[3].data<T>(),
                     {q.size(0), q.size(1), q.size(2), recurrence.gate == Gate::scalar ? 1 : q.size(3)}};
        grad.dbeta = gradients[4].view<T, 3>();
        kernel.backward(cx.stream, grad, dentry.view<T, 4>(), work.flat<T>(), in, d_o.view<const T, 4>(),
                        entry.view<const T, 4>(), dexit.view<const T, 4>());
      });
    std::vector<std::pair<size_t, ToTokens>> back;
    for (size_t i = 0; i < 5; ++i)
      if (input(i)) back.emplace_back(i, ToTokens(cx, gradients[i], heads, seq, site));
    for (auto& [i, exchange] : back) {
      const auto [target, put] = input(i)->open(cx);
      exchange.finish(target, put);
    }
    if (!input(5)) return;
    const Tensor all = cx.empty({seq.num_rows, num_heads, key_size, value_size}, v.dtype());
    share(all, dentry, site);
    const auto [target, put] = input(5)->open(cx);
    put_heads(target.reshape({seq.num_rows, 1, num_heads, key_size * value_size}), 0,
              all.reshape({seq.num_rows, 1, num_heads, key_size * value_size}), put);
  }
};

}  // namespace

ScanOutput scan_by_heads(Tape& tape, const Recurrence& recurrence, const ScanStreams& s, const SeqContext& seq,
                         const Value& initial_state, bool wants_final_state) {
  const Placement place = place_of(s);
  auto function = std::make_unique<ScanByHeads>();
  function->recurrence = recurrence;
  function->seq = seq;
  function->num_heads = s.q.size(2), function->key_size = s.q.size(3), function->value_size = s.v.size(3);
  function->scale = s.scale;
  function->heads = {transport_of(seq.options.linear), s.q.size(2), shares_of_heads(s.q.size(2), seq.comm->size())};

  const std::initializer_list<Value> inputs{s.q, s.k, s.v, s.g, s.beta, initial_state};
  ScanOutput out;
  out.o = tape.output({s.q.size(0), s.q.size(1), s.q.size(2), s.v.size(3)}, s.q.dtype(), place, inputs);
  out.final_state = tape.output({s.q.size(0), s.q.size(2), s.q.size(3), s.v.size(3)}, s.q.dtype(),
                                place.with(Axis::sequence, Place::invariant), inputs);
  const Site site = forward_site(tape, Sites::mixer_forward);
  function->forward(tape.context(), s, out.o.tensor(), wants_final_state ? out.final_state.tensor() : Tensor(),
                    initial_state.tensor(), site);
  if (!wants_final_state) out.final_state = {};
  tape.record(std::move(function), inputs, {out.o, out.final_state});
  return out;
}

}  // namespace og

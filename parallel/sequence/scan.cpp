#include "parallel/sequence/scan.h"

#include <algorithm>

#include "parallel/mesh/collectives.h"
#include "parallel/sequence/scan_heads.h"
#include "parallel/sequence/states.h"
#include "parallel/sequence/states_ring.h"

namespace og {

namespace {

constexpr int64_t kParts = 16;

// On one rank the collective is empty, but it is there: its counters do not depend on the number of ranks.
void gather_nothing(Context& cx, Comm& comm, DType dtype, Site site) {
  const Tensor empty = cx.empty({0}, dtype);
  const int64_t rows[] = {0};
  comm.all_gather(empty, empty, rows, site).wait();
}

struct Scan final : Function {
  Recurrence recurrence;
  SeqContext seq;
  double scale = 1;
  Tensor q, k, v, g, beta;
  Tensor entry;  // before this rank's piece; absent: zero
  Tensor a;      // this rank's transition; absent on one rank

  const char* name() const override { return "scan"; }

  Shape state_shape() const { return {q.size(0), q.size(2), q.size(3), v.size(3)}; }
  int64_t transition_size() const { return recurrence.transition_size(q.size(3)); }
  DType dtype() const { return q.dtype(); }

  template <class T>
  ScanInputs<T> inputs() const {
    return scan_inputs<T>(recurrence, q, k, v, g, beta, seq.start_BT, scale);
  }
  template <class T>
  const ScanKernels<T>& kernels(const Context& cx) const {
    return scan_kernels<T>(cx.stream, recurrence.form);
  }
  template <class T>
  Tensor workspace(Context& cx, const ScanInputs<T>& in, ScanCall call) const {
    return cx.empty({kernels<T>(cx).workspace(cx.stream, in, call)}, dtype());
  }

  // Nobody waits for this piece: one rank, or a region that is run again. exit absent: not wanted.
  void forward_alone(Context& cx, const Tensor& o, const Tensor& exit) {
    const Profile::Scope time(&cx.profile, Part::mixers);
    visit_real(dtype(), [&](auto zero) {
      using T = decltype(zero);
      const ScanInputs<T> in = inputs<T>();
      const Tensor work = workspace<T>(cx, in, ScanCall::forward);
      kernels<T>(cx).forward(cx.stream, o.view<T, 4>(), exit.view<T, 4>(), work.flat<T>(), in,
                             entry.view<const T, 4>());
    });
  }

  // Local work in parts of this many batch rows and heads: an exchange in rounds reacts between them.
  ScanRows part_of(const Context& cx, int64_t begin, bool reacts) const {
    const int64_t all = q.size(0) * q.size(2), threads = cx.stream.num_threads;
    const int64_t part = std::max<int64_t>(1, all / kParts / threads) * threads;
    return {begin, reacts ? std::min(all, begin + part) : all};
  }
  // work(rows) over all batch rows and heads while the exchange makes progress; then what it brought.
  template <class Work>
  StateExchange::Result overlap(Context& cx, StateExchange& exchange, Work&& work) const {
    StateExchange::Result states;
    if (!seq.options.overlap) states = exchange.wait();
    const double begin = now_seconds();
    bool reacts = seq.options.overlap && exchange.progress();
    for (ScanRows rows = part_of(cx, 0, reacts); rows.begin < q.size(0) * q.size(2);
         rows = part_of(cx, rows.end, reacts)) {
      work(rows);
      reacts = reacts && exchange.progress();
    }
    cx.profile.event("mixer.local", begin, now_seconds());
    return seq.options.overlap ? exchange.wait() : states;
  }

  void forward_split(Context& cx, const Tensor& o, const Tensor& final_state, bool wants_final, const Tensor& initial,
                     Site site) {
    const Profile::Scope time(&cx.profile, Part::mixers);
    visit_real(dtype(), [&](auto zero) {
      using T = decltype(zero);
      const ScanInputs<T> in = inputs<T>();
      const ScanKernels<T>& kernel = kernels<T>(cx);
      const Tensor work = workspace<T>(cx, in, ScanCall::phases);
      const int64_t n = transition_size();
      const Summary own = Summary::of(cx.empty({Summary::count(state_shape(), n)}, dtype()), state_shape(), n);
      kernel.summarise(cx.stream, own.a.view<T, 3>(), own.b.template view<T, 4>(), work.flat<T>(), in);
      const auto exchange = start<T>({cx, *seq.comm, Direction::forward, own, initial, wants_final, site,
                                      seq.shards_of_rank(), seq.options.overlap});
      const StateExchange::Result states = overlap(
          cx, *exchange, [&](ScanRows rows) { kernel.local(cx.stream, o.view<T, 4>(), work.flat<T>(), in, rows); });
      entry = states.entry;
      if (wants_final) final_state.copy_from(states.total);
      a = own.a.clone(*cx.pool);
      kernel.finish(cx.stream, o.view<T, 4>(), work.flat<T>(), in, entry.view<const T, 4>());
    });
  }

  // Starts the exchange of states. In ring the streams of each piece travel, and every rank summarises the pieces that
  // it receives; in all other methods the summary of a piece travels.
  template <class T>
  std::unique_ptr<StateExchange> start(const StateCall& call, const Tensor& d_o = {}) const {
    if (seq.options.linear != LinearMethod::ring) return start_state_exchange(seq.options.linear, call);
    const bool forward = call.direction == Direction::forward;
    // A block holds, in this order: A (empty in forward, which computes it), k (backward: q), v (backward: dO), start,
    // and then those of k (backward of the delta rule), g and beta that exist. A forward summary reads the shape of q
    // alone, so k stands for q. A backward summary reads the shape of v alone, so dO stands for v; without the delta
    // rule it reads the shape of k alone, so q stands for k.
    RingBlock own{forward ? call.cx.empty({0}, dtype()) : call.own.a, forward ? k : q, forward ? v : d_o, seq.start_BT};
    const bool sends_k = !forward && recurrence.delta;
    for (const Tensor& t : {sends_k ? k : Tensor(), g, beta})
      if (t.defined()) own.push_back(t);
    return start_state_ring(call, own, seq.first, [this, &call_cx = call.cx, forward, sends_k](const RingBlock& block) {
      size_t next = 4;
      const auto take = [&](bool there) { return there ? block[next++] : Tensor(); };
      const Tensor block_k = sends_k ? block[next++] : block[1];
      const Tensor block_g = take(g.defined()), block_beta = take(beta.defined());
      const ScanInputs<T> in =
          scan_inputs<T>(recurrence, block[1], block_k, block[2], block_g, block_beta, block[3], scale);
      const Tensor work = workspace<T>(call_cx, in, forward ? ScanCall::phases : ScanCall::phases_backward);
      const int64_t n = transition_size();
      const Summary s = Summary::of(call_cx.empty({Summary::count(state_shape(), n)}, dtype()), state_shape(), n);
      if (forward) {
        kernels<T>(call_cx).summarise(call_cx.stream, s.a.template view<T, 3>(), s.b.template view<T, 4>(),
                                      work.flat<T>(), in);
      } else {
        s.a.copy_from(block[0]);
        kernels<T>(call_cx).summarise_backward(call_cx.stream, s.b.template view<T, 4>(), work.flat<T>(), in,
                                               block[2].template view<const T, 4>());
      }
      return s;
    });
  }

  template <class T>
  ScanGradients<T> open_gradients(Context& cx) {
    ScanGradients<T> grad;
    const auto open = [&](size_t i, Put& put) {
      if (!input(i)) return Tensor();
      auto [tensor, how] = input(i)->open(cx);
      put = how;
      return tensor;
    };
    const auto view = [](const Tensor& t) { return t.view<T, 4>(); };
    grad.dq = view(open(0, grad.put_q));
    grad.dk = view(open(1, grad.put_k));
    grad.dv = view(open(2, grad.put_v));
    const Tensor dg = open(3, grad.put_g);
    if (dg.defined())
      grad.dg = {dg.data<T>(), {q.size(0), q.size(1), q.size(2), recurrence.gate == Gate::scalar ? 1 : q.size(3)}};
    grad.dbeta = open(4, grad.put_beta).template view<T, 3>();
    return grad;
  }

  void put_initial_gradient(Context& cx, const Tensor& d) {
    auto [target, put] = input(5)->open(cx);
    visit_real(dtype(), [&, target = target, put = put](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < d.count(); ++i) {
        T& out = target.template data<T>()[i];
        out = put == Put::add ? out + d.data<const T>()[i] : d.data<const T>()[i];
      }
    });
  }

  void backward(Context& cx) override {
    const Profile::Scope time(&cx.profile, Part::mixers);
    const Tensor dout = gradient(cx, 0), dfinal = has_output(1) ? gradient(cx, 1) : Tensor();
    Comm& comm = *seq.comm;
    const Site site = Sites::mixer_backward;
    visit_real(dtype(), [&](auto zero) {
      using T = decltype(zero);
      const ScanInputs<T> in = inputs<T>();
      const ScanKernels<T>& kernel = kernels<T>(cx);
      const View<const T, 4> d_o = dout.view<const T, 4>(), s_entry = entry.view<const T, 4>();
      if (comm.size() == 1) {
        gather_nothing(cx, comm, dtype(), site);
        const Tensor work = workspace<T>(cx, in, ScanCall::backward);
        const Tensor dentry = input(5) ? cx.empty(state_shape(), dtype()) : Tensor();
        kernel.backward(cx.stream, open_gradients<T>(cx), dentry.view<T, 4>(), work.flat<T>(), in, d_o, s_entry,
                        dfinal.view<const T, 4>());
        if (dentry.defined()) put_initial_gradient(cx, dentry);
        return;
      }
      const int64_t n = transition_size();
      const Tensor work = workspace<T>(cx, in, ScanCall::phases_backward);
      const Summary own = Summary::of(cx.empty({Summary::count(state_shape(), n)}, dtype()), state_shape(), n);
      own.a.copy_from(a);
      kernel.summarise_backward(cx.stream, own.b.view<T, 4>(), work.flat<T>(), in, d_o);
      const bool wants_initial = input(5) != nullptr;
      const auto exchange = start<T>(
          {cx, comm, Direction::backward, own, dfinal, wants_initial, site, seq.shards_of_rank(), seq.options.overlap},
          dout);
      const StateExchange::Result states = overlap(cx, *exchange, [&](ScanRows rows) {
        kernel.local_backward(cx.stream, work.flat<T>(), in, d_o, s_entry, rows);
      });
      kernel.finish_backward(cx.stream, open_gradients<T>(cx), {}, work.flat<T>(), in, d_o, s_entry,
                             states.entry.view<const T, 4>());
      if (wants_initial) put_initial_gradient(cx, states.total);
    });
  }
};

}  // namespace

ScanOutput scan(Tape& tape, const Recurrence& recurrence, const ScanStreams& s, const SeqContext& seq,
                const Value& initial_state, bool wants_final_state) {
  Context& cx = tape.context();
  check_scan(recurrence, s, seq.start_BT, initial_state);
  OG_CHECK(s.q.size(0) == seq.num_rows && s.q.size(1) == seq.local_length(),
           "scan: q {} where this rank holds {} rows of {} tokens", s.q.shape().str(), seq.num_rows,
           seq.local_length());
  const Placement place = place_of(s);
  const Placement state_place = place.with(Axis::sequence, Place::invariant);
  OG_CHECK(!initial_state.defined() || !initial_state.wants_gradient() || initial_state.place() == state_place,
           "scan: initial state {}, expected {}", initial_state.place().str(), state_place.str());

  if (seq.comm->size() > 1 && !exchanges_states(seq.options.linear))
    return scan_by_heads(tape, recurrence, s, seq, initial_state, wants_final_state);

  auto function = std::make_unique<Scan>();
  function->recurrence = recurrence;
  function->seq = seq;
  function->scale = s.scale;
  function->q = s.q.tensor(), function->k = s.k.tensor(), function->v = s.v.tensor();
  function->g = s.g.tensor(), function->beta = s.beta.tensor();
  const std::initializer_list<Value> inputs{s.q, s.k, s.v, s.g, s.beta, initial_state};
  ScanOutput out;
  out.o = tape.output({s.q.size(0), s.q.size(1), s.q.size(2), s.v.size(3)}, s.q.dtype(), place, inputs);
  const Tensor& o = out.o.tensor();

  if (tape.pins && tape.pins->replaying()) {
    function->entry = tape.pins->take();
    function->a = tape.pins->take();
    out.final_state = tape.output_of(tape.pins->take(), state_place, inputs);
    function->forward_alone(cx, o, {});
  } else {
    out.final_state = tape.output(function->state_shape(), s.q.dtype(), state_place, inputs);
    const Site site = forward_site(tape, Sites::mixer_forward);
    if (seq.comm->size() == 1) {
      gather_nothing(cx, *seq.comm, s.q.dtype(), site);
      function->entry = initial_state.tensor();
      function->forward_alone(cx, o, out.final_state.tensor());
    } else {
      function->forward_split(cx, o, out.final_state.tensor(), wants_final_state, initial_state.tensor(), site);
    }
    if (tape.pins) {
      tape.pins->keep(function->entry);
      tape.pins->keep(function->a);
      tape.pins->keep(out.final_state.tensor());
    }
  }
  if (!wants_final_state) out.final_state = {};
  tape.record(std::move(function), inputs, {out.o, out.final_state});
  return out;
}

Value scan_with_state(Tape& tape, const Recurrence& recurrence, const ScanStreams& streams, const SeqContext& seq,
                      MixerState* state, const std::string& name) {
  Value initial = state ? state->get(name) : Value();
  if (initial.defined() && !initial.wants_gradient())  // a constant takes the place that scans give their states
    initial = Value(initial.tensor(), place_of(streams).with(Axis::sequence, Place::invariant));
  ScanOutput out = scan(tape, recurrence, streams, seq, initial, state != nullptr);
  if (state) state->set(name, out.final_state);
  return out.o;
}

}  // namespace og

#include "parallel/sequence/scan.h"

#include <algorithm>

#include "framework/ops/ranges.h"
#include "framework/ops/scan_piece.h"
#include "parallel/mesh/collectives.h"
#include "parallel/sequence/methods.h"
#include "parallel/sequence/scan_heads.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

constexpr size_t kInitialState = 5;  // which input of the op it is; the streams are 0 to 4
constexpr int64_t kParts = 16;       // local work in so many parts, between which an exchange in rounds reacts

// On one rank the collective is empty, but it is there: its counters do not depend on the number of ranks.
void gather_nothing(Context& cx, Comm& comm, DType dtype, Site site) {
  const Tensor empty = cx.empty({0}, dtype);
  const int64_t rows[] = {0};
  comm.all_gather(empty, empty, rows, site).wait();
}

struct Scan final : Function {
  Recurrence recurrence;
  SeqContext seq;
  ScanTensors streams;  // this rank's piece
  Tensor entry;         // the state before the piece, E; absent: zero
  Tensor transition;    // A of the piece; absent on one rank

  const char* name() const override { return "scan"; }

  // Nobody waits for this piece: one rank, or a region that is run again, from the entry state of its first run. exit
  // absent: not wanted.
  void forward_whole(Context& cx, const Tensor& o, const Tensor& exit) const {
    const Profile::Scope time(&cx.profile, Part::mixers);
    ScanPiece(cx, recurrence, streams, ScanCall::forward).forward(o, exit, entry);
  }

  // final_state absent: not wanted.
  void forward_split(Context& cx, const Tensor& o, const Tensor& final_state, const Tensor& initial_state, Site site) {
    const Profile::Scope time(&cx.profile, Part::mixers);
    const ScanPiece piece(cx, recurrence, streams, ScanCall::phases);
    const Summary own = piece.summarise();
    StateCall call{cx, seq, recurrence, streams, Direction::forward, own, site};
    call.outside = initial_state;
    call.wants_total = final_state.defined();
    const auto exchange = row_of(seq.options.linear).start(call);
    const StateExchange::Result states = meanwhile(cx, *exchange, [&](ScanRows rows) { piece.local(o, rows); });
    entry = states.entry;
    transition = own.a.clone(*cx.pool);
    piece.finish(o, entry);
    if (final_state.defined()) final_state.copy_from(states.total);
  }

  void backward(Context& cx) override {
    const Profile::Scope time(&cx.profile, Part::mixers);
    const Tensor d_o = gradient(cx, 0), d_final = has_output(1) ? gradient(cx, 1) : Tensor();
    const Site site = Sites::mixer_backward;
    const Tensor d_initial =
        seq.comm->size() == 1 ? backward_whole(cx, d_o, d_final, site) : backward_split(cx, d_o, d_final, site);
    if (!input(kInitialState)) return;
    const auto [target, put] = input(kInitialState)->open(cx);
    move_into(cx.stream, target, put, d_initial);
  }

  // Both give the gradient of the initial state, absent where it is not wanted.
  Tensor backward_whole(Context& cx, const Tensor& d_o, const Tensor& d_final, Site site) {
    gather_nothing(cx, *seq.comm, d_o.dtype(), site);
    const ScanPiece piece(cx, recurrence, streams, ScanCall::backward);
    const Tensor d_entry = input(kInitialState) ? cx.empty(state_shape(streams), d_o.dtype()) : Tensor();
    piece.backward(open_gradients(cx), d_entry, d_o, entry, d_final);
    return d_entry;
  }

  Tensor backward_split(Context& cx, const Tensor& d_o, const Tensor& d_final, Site site) {
    const ScanPiece piece(cx, recurrence, streams, ScanCall::phases_backward);
    const Summary own = piece.summarise_backward(transition, d_o);
    StateCall call{cx, seq, recurrence, streams, Direction::backward, own, site};
    call.d_o = d_o;
    call.outside = d_final;
    call.wants_total = input(kInitialState) != nullptr;
    const auto exchange = row_of(seq.options.linear).start(call);
    const StateExchange::Result states =
        meanwhile(cx, *exchange, [&](ScanRows rows) { piece.local_backward(d_o, entry, rows); });
    piece.finish_backward(open_gradients(cx), d_o, entry, states.entry);
    return states.total;
  }

  // work(rows) over every batch row and head while the exchange is under way, then what it brought. The exchange reacts
  // between parts of the work as long as that speeds it up.
  template <class Work>
  StateExchange::Result meanwhile(Context& cx, StateExchange& exchange, Work&& work) const {
    const bool overlap = seq.options.overlap;
    StateExchange::Result states;
    if (!overlap) states = exchange.wait();
    const double begin = now_seconds();
    const int64_t all = streams.q.size(0) * streams.q.size(2), threads = cx.stream.num_threads;
    const int64_t part = std::max<int64_t>(1, all / kParts / threads) * threads;
    bool reacts = overlap && exchange.progress();
    for (int64_t done = 0; done < all;) {
      const int64_t end = reacts ? std::min(all, done + part) : all;
      work(ScanRows{done, end});
      done = end;
      reacts = reacts && exchange.progress();
    }
    cx.profile.event("mixer.local", begin, now_seconds());
    return overlap ? exchange.wait() : states;
  }

  ScanTargets open_gradients(Context& cx) const {
    ScanTargets targets;
    for (size_t i = 0; i < targets.all().size(); ++i)
      if (input(i)) {
        const auto [tensor, put] = input(i)->open(cx);
        *targets.all()[i] = {as_stream(tensor), put};
      }
    return targets;
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

  if (seq.comm->size() > 1 && row_of(seq.options.linear).travels == Travels::heads)
    return scan_by_heads(tape, recurrence, s, seq, initial_state, wants_final_state);

  auto function = std::make_unique<Scan>();
  function->recurrence = recurrence;
  function->seq = seq;
  function->streams = tensors_of(s, seq.start_BT);
  const std::initializer_list<Value> inputs{s.q, s.k, s.v, s.g, s.beta, initial_state};
  ScanOutput out;
  out.o = tape.output({s.q.size(0), s.q.size(1), s.q.size(2), s.v.size(3)}, s.q.dtype(), place, inputs);
  const Tensor& o = out.o.tensor();

  if (tape.pins && tape.pins->replaying()) {
    function->entry = tape.pins->take();
    function->transition = tape.pins->take();
    out.final_state = tape.output_of(tape.pins->take(), state_place, inputs);
    function->forward_whole(cx, o, {});
  } else {
    out.final_state = tape.output(state_shape(s), s.q.dtype(), state_place, inputs);
    const Tensor& final_state = out.final_state.tensor();
    const Site site = forward_site(tape, Sites::mixer_forward);
    if (seq.comm->size() == 1) {
      gather_nothing(cx, *seq.comm, s.q.dtype(), site);
      function->entry = initial_state.tensor();
      function->forward_whole(cx, o, final_state);
    } else {
      function->forward_split(cx, o, wants_final_state ? final_state : Tensor(), initial_state.tensor(), site);
    }
    if (tape.pins)
      for (const Tensor& kept : {function->entry, function->transition, final_state}) tape.pins->keep(kept);
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

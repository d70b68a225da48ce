#include "framework/program/mixer_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "framework/core/text.h"
#include "framework/ops/ranges.h"
#include "framework/ops/shape.h"

namespace og {

namespace {

// The inputs, once they are checked.
struct Inputs {
  const MixerRun& run;
  std::string where;
  NamedTensors streams{};  // [B, T, ..]
  NamedTensors weights{};  // without tokens
  Tensor initial{}, dout{}, dfinal{};
  Tensor starts{};  // i32 [B, T]: first token of each token's document, in row coordinates
  int64_t B = 0, T = 0, H = 0, K = 0, V = 0;
  DType dtype = DType::f32;
  double scale = 1;

  bool wants_gradients() const { return dout.defined() || dfinal.defined(); }
  Shape state_shape(int64_t count) const {
    int64_t rows = K, columns = V;
    if (run.type->recurrence.widen) run.type->recurrence.widen(run.options, rows, columns);
    return {count, H, rows, columns};
  }
  int64_t extent(char dim) const { return dim == 'B' ? B : dim == 'T' ? T : dim == 'H' ? H : dim == 'K' ? K : V; }
};

std::string shape_text(const Inputs& p, const std::string& dims) {
  std::vector<std::string> extents;
  for (char d : dims) extents.push_back(d == 'G' ? fmt::format("a divisor of {}", p.H) : std::to_string(p.extent(d)));
  return fmt::format("[{}]", fmt::join(extents, ", "));
}

void check_shape(const Inputs& p, const char* name, const Tensor& t, const Shape& expected) {
  if (t.defined() && !(t.shape() == expected))
    fail(Status::data, "{}: {}: expected {}, found {}", p.where, name, expected.str(), t.shape().str());
}

void check_type(const Inputs& p, const std::string& name, const Tensor& t) {
  if (t.defined() && t.dtype() != p.dtype)
    fail(Status::data, "{}: {} is {} where {} is {}; all must be of one type", p.where, name, name_of(t.dtype()),
         p.run.type->recurrence.streams[0].name, name_of(p.dtype));
}

void check_elements(const Inputs& p, const StreamSpec& spec, const Tensor& t) {
  if (std::isinf(spec.most)) return;
  for (int64_t i = 0; i < t.count(); ++i)
    if (const double x = t.at(i); !(x <= spec.most))
      fail(Status::data,
           "{}: {}: expected numbers <= {:g} (the logarithm of a gate from 0 to 1), found {:g} at element {}", p.where,
           spec.name, spec.most, printable(x), i);
}

// B, T, H, K, V from the streams, then each stream against them.
void read_streams(Inputs& p, const NamedTensors& inputs) {
  for (const StreamSpec& spec : p.run.type->recurrence.streams) {
    auto found = inputs.find(spec.name);
    if (found == inputs.end()) {
      if (!spec.required) continue;
      fail(Status::data, "{}: no tensor {} ({})", p.where, spec.name, spec.help);
    }
    const Tensor& t = found->second;
    if (&spec == &p.run.type->recurrence.streams.front()) p.dtype = t.dtype();
    if (!is_real(p.dtype))
      fail(Status::data, "{}: {} is {}, expected F32 or F64", p.where, spec.name, name_of(p.dtype));
    check_type(p, spec.name, t);
    if (t.rank() != static_cast<int>(spec.dims.size()))
      fail(Status::data, "{}: {}: expected dims {}, found {}", p.where, spec.name, spec.dims, t.shape().str());
    if (spec.dims[0] != 'B') {
      p.weights[spec.name] = t;
      continue;
    }
    if (p.streams.empty()) p.B = t.size(0), p.T = t.size(1), p.K = t.size(3);
    if (spec.dims.back() == 'V') p.V = t.size(3);
    if (spec.dims[2] == 'G' || spec.dims.back() == 'V') p.H = std::max(p.H, t.size(2));
    p.streams[spec.name] = t;
  }
  for (const auto& [extent, what] :
       {std::pair{p.H, "no heads: H"}, {p.K, "keys without width: K"}, {p.V, "values without width: V"}})
    if (extent == 0) fail(Status::data, "{}: {} = 0, expected 1 or more", p.where, what);
  for (const StreamSpec& spec : p.run.type->recurrence.streams) {
    auto found = inputs.find(spec.name);
    if (found == inputs.end()) continue;
    const Shape& s = found->second.shape();
    bool right = true;
    for (int i = 0; i < s.rank() && right; ++i) {
      const char d = spec.dims[static_cast<size_t>(i)];
      right = d == 'G' ? s[i] > 0 && p.H % s[i] == 0 : s[i] == p.extent(d);
    }
    if (!right)
      fail(Status::data, "{}: {}: expected {} (dims {}), found {}", p.where, spec.name, shape_text(p, spec.dims),
           spec.dims, s.str());
    check_elements(p, spec, found->second);
  }
}

std::vector<int64_t> read_borders(const Inputs& p, const Tensor& t) {
  if (!t.defined()) return {0, p.T};
  if (t.rank() != 1 || is_real(t.dtype()) || t.count() < 2)
    fail(Status::data, "{}: cu_seqlens: expected whole numbers [N + 1], found {} {}", p.where, name_of(t.dtype()),
         t.shape().str());
  if (p.B != 1) fail(Status::data, "{}: cu_seqlens: packed documents are one row, found B = {}", p.where, p.B);
  std::vector<int64_t> borders;
  for (int64_t i = 0; i < t.count(); ++i)
    borders.push_back(t.dtype() == DType::i32 ? t.data<int32_t>()[i] : t.data<int64_t>()[i]);
  if (borders.front() != 0 || borders.back() != p.T || !std::is_sorted(borders.begin(), borders.end()))
    fail(Status::data, "{}: cu_seqlens: expected borders that rise from 0 to T = {}", p.where, p.T);
  return borders;
}

// Rows [begin, end) of x [B, T, ..], and back.
Tensor cut(Pool& pool, const Tensor& x, int64_t begin, int64_t end) {
  Shape shape = x.shape();
  shape.set(1, end - begin);
  const Tensor out = Tensor::empty(pool, shape, x.dtype());
  move_range({}, 1, out, 0, Put::write, x, begin, end - begin);
  return out;
}
void paste(const Tensor& x, int64_t begin, const Tensor& part) {
  move_range({}, 1, x, begin, Put::write, part, 0, part.size(1));
}

void add_to(const Tensor& sum, const Tensor& x) { move_into({}, sum, Put::add, x); }

// This rank's tokens of one piece of the sequence: the leaves and what came out.
struct Piece {
  int64_t begin = 0;
  std::map<std::string, Value> leaves{};
  Value o{};
};

Piece run_piece(const Inputs& p, Tape& tape, Comm& comm, int64_t begin, int64_t end,
                const std::map<std::string, Value>& weights, MixerState* state) {
  using Form = MixerRun::Form;
  Pool& pool = *tape.context().pool;
  SeqContext seq;
  seq.comm = &comm;
  seq.num_rows = p.B, seq.length = end - begin, seq.first = split_evenly(end - begin, comm.size());
  Piece piece;
  piece.begin = begin + seq.begin();
  const int64_t local_end = piece.begin + seq.local_length();
  const auto starts = [&](int64_t from, int64_t to) {
    const Tensor places = cut(pool, p.starts, from, to);
    for (int64_t i = 0; i < places.count(); ++i) places.data<int32_t>()[i] -= static_cast<int32_t>(from);
    return places;
  };
  seq.start_BT = starts(piece.begin, local_end);
  seq.row_starts_BT = starts(begin, end);
  Recurrence recurrence = p.run.type->recurrence.recurrence;
  recurrence.form = p.run.form == Form::chunked     ? ScanForm::chunked
                    : p.run.form == Form::recurrent ? ScanForm::recurrent
                                                    : ScanForm::automatic;
  recurrence.chunk = p.run.chunk;
  RecurrenceCall call{.tape = tape,
                      .streams = weights,
                      .options = p.run.options,
                      .recurrence = recurrence,
                      .scale = p.scale,
                      .seq = seq,
                      .state = state};
  const Placement place{{Axis::sequence, Place::varying}};
  for (const auto& [name, whole] : p.streams) {
    const Tensor t = cut(pool, whole, piece.begin, local_end);
    const Value leaf = p.wants_gradients() ? Value::leaf(t, place) : Value(t, place);
    piece.leaves[name] = leaf;
    call.streams[name] = t.rank() == 4 && t.size(2) < p.H ? repeat_heads(tape, leaf, p.H / t.size(2)) : leaf;
  }
  const auto& run = p.run.type->recurrence.run;
  piece.o = run ? run(call) : run_scan(call);
  return piece;
}

void run_rank(const Inputs& p, Comm& comm, const NamedTensors& results) {
  Context cx;
  cx.stream.backend = p.run.backend;
  cx.stream.num_threads = p.run.threads;
  set_thread_count(p.run.threads);
  Tape tape(cx, p.wants_gradients() ? Tape::Mode::record : Tape::Mode::no_gradient);
  MixerState state;
  Value initial;
  if (p.initial.defined()) {
    initial = p.wants_gradients() ? Value::leaf(p.initial.clone(*cx.pool)) : Value(p.initial.clone(*cx.pool));
    state.set("scan", initial);
  }
  const bool has_state = p.run.type->recurrence.has_state;
  // Softmax attention has no recurrence but the one over its cache.
  const bool by_token =
      p.T > 0 && (p.run.form == MixerRun::Form::decode || (p.run.form == MixerRun::Form::recurrent && !has_state));
  MixerState* kept = has_state || by_token ? &state : nullptr;
  std::map<std::string, Value> weights;
  for (const auto& [name, t] : p.weights)
    weights[name] = Value::leaf(t.clone(*cx.pool), {{Axis::sequence, Place::replicated}});
  std::vector<Piece> pieces;
  const int64_t step = by_token ? 1 : std::max<int64_t>(1, p.T);
  for (int64_t t = 0; t == 0 || t < p.T; t += step)
    pieces.push_back(run_piece(p, tape, comm, t, std::min(p.T, t + step), weights, kept));

  for (const Piece& piece : pieces) paste(results.at("o"), piece.begin, piece.o.tensor());
  const Value last = state.get("scan");
  if (has_state && comm.rank() == 0) results.at("final_state").copy_from(last.tensor());
  if (!p.wants_gradients()) return;
  for (const Piece& piece : pieces)
    if (p.dout.defined())
      piece.o.slot()->open(cx).tensor.copy_from(cut(*cx.pool, p.dout, piece.begin, piece.begin + piece.o.size(1)));
  if (p.dfinal.defined()) last.slot()->open(cx).tensor.copy_from(p.dfinal);
  tape.backward_from_slots();
  for (const Piece& piece : pieces)
    for (const auto& [name, leaf] : piece.leaves)
      paste(results.at("d" + name), piece.begin, leaf.slot()->gradient_or_zero(cx));
  for (const auto& [name, leaf] : weights) {
    const Tensor d = leaf.slot()->gradient_or_zero(cx);
    comm.all_reduce(d, Reduce::sum, Sites::gradients).wait();
    if (comm.rank() == 0) results.at("d" + name).copy_from(d);
  }
  if (initial.defined() && comm.rank() == 0)
    results.at("dinitial_state").copy_from(initial.slot()->gradient_or_zero(cx));
}

NamedTensors run_inputs(const Inputs& p) {
  const auto pool = Pool::create();
  NamedTensors results;
  results["o"] = Tensor::empty(*pool, {p.B, p.T, p.H, p.V}, p.dtype);
  if (p.run.type->recurrence.has_state) results["final_state"] = Tensor::empty(*pool, p.state_shape(p.B), p.dtype);
  if (p.wants_gradients()) {
    for (const NamedTensors* group : {&p.streams, &p.weights})
      for (const auto& [name, t] : *group) results["d" + name] = Tensor::empty(*pool, t.shape(), p.dtype);
    if (p.initial.defined()) results["dinitial_state"] = Tensor::empty(*pool, p.initial.shape(), p.dtype);
  }
  if (p.run.ranks == 1) {
    const auto self = make_self_comm();
    run_rank(p, *self, results);
  } else {
    run_thread_world(p.run.ranks, [&](Comm& comm) { run_rank(p, comm, results); });
  }
  return results;
}

Tensor starts_of(Pool& pool, const Inputs& p, const std::vector<int64_t>& borders) {
  const Tensor starts = Tensor::empty(pool, {p.B, p.T}, DType::i32);
  size_t document = 0;
  for (int64_t t = 0; t < p.T; ++t) {
    while (document + 2 < borders.size() && t >= borders[document + 1]) ++document;
    for (int64_t b = 0; b < p.B; ++b)
      starts.data<int32_t>()[b * p.T + t] =
          document == 0 && p.initial.defined() ? -1 : static_cast<int32_t>(borders[document]);
  }
  return starts;
}

// Each document as a sequence of its own.
NamedTensors run_documents(const Inputs& p, const std::vector<int64_t>& borders) {
  const auto pool = Pool::create();
  const int64_t N = std::ssize(borders) - 1;
  NamedTensors all;
  for (int64_t i = 0; i < N; ++i) {
    const int64_t begin = borders[static_cast<size_t>(i)], end = borders[static_cast<size_t>(i) + 1];
    Inputs one{.run = p.run, .where = p.where};
    one.B = 1, one.T = end - begin, one.H = p.H, one.K = p.K, one.V = p.V, one.dtype = p.dtype, one.scale = p.scale;
    for (const auto& [name, t] : p.streams) one.streams[name] = cut(*pool, t, begin, end);
    one.weights = p.weights;
    if (p.initial.defined()) one.initial = p.initial.slice(i, i + 1);
    if (p.dout.defined()) one.dout = cut(*pool, p.dout, begin, end);
    if (p.dfinal.defined()) one.dfinal = p.dfinal.slice(i, i + 1);
    one.starts = starts_of(*pool, one, {0, one.T});
    for (const auto& [name, t] : run_inputs(one)) {
      const bool is_state = name == "final_state" || name == "dinitial_state";
      if (name[0] == 'd' && p.weights.count(name.substr(1))) {
        if (!all[name].defined()) all[name] = Tensor::zeros(*pool, t.shape(), t.dtype());
        add_to(all[name], t);
        continue;
      }
      Shape shape = t.shape();
      shape.set(is_state ? 0 : 1, is_state ? N : p.T);
      if (!all[name].defined()) all[name] = Tensor::empty(*pool, shape, t.dtype());
      if (is_state)
        all[name].slice(i, i + 1).copy_from(t);
      else
        paste(all[name], begin, t);
    }
  }
  return all;
}

}  // namespace

NamedTensors run_mixer(const MixerRun& run, const NamedTensors& inputs, const std::string& where) {
  Inputs p{.run = run, .where = where};
  read_streams(p, inputs);
  const auto optional = [&](const char* name) {
    auto found = inputs.find(name);
    return found == inputs.end() ? Tensor() : found->second;
  };
  const Tensor scale = optional("scale"), cu_seqlens = optional("cu_seqlens");
  if (scale.defined() && (scale.count() != 1 || scale.rank() > 1 || !is_real(scale.dtype())))
    fail(Status::data, "{}: scale: expected one real number, shape [] or [1], found {} {}", where,
         name_of(scale.dtype()), scale.shape().str());
  p.scale = scale.defined() ? scale.at(0) : scan_scale(run.type->recurrence, run.options, p.K);
  const std::vector<int64_t> borders = read_borders(p, cu_seqlens);
  const int64_t N = std::ssize(borders) - 1;

  p.initial = optional("initial_state"), p.dout = optional("do"), p.dfinal = optional("dfinal_state");
  if (!run.type->recurrence.has_state && (p.initial.defined() || p.dfinal.defined()))
    fail(Status::data, "{}: initial_state, dfinal_state: {} has no state of fixed size", where, run.type->name);
  check_type(p, "initial_state", p.initial), check_type(p, "do", p.dout), check_type(p, "dfinal_state", p.dfinal);
  check_shape(p, "do", p.dout, {p.B, p.T, p.H, p.V});
  // There is one state for each document, unless the single one that is given enters the first of several documents.
  const bool one_state = p.initial.defined() && p.initial.rank() == 4 && p.initial.size(0) == 1;
  const bool by_document = cu_seqlens.defined() && run.type->recurrence.has_state && (N == 1 || !one_state);
  check_shape(p, "initial_state", p.initial, p.state_shape(by_document ? N : p.B));
  check_shape(p, "dfinal_state", p.dfinal, p.state_shape(by_document ? N : p.B));

  const auto pool = Pool::create();
  p.starts = starts_of(*pool, p, borders);
  if (!by_document) return run_inputs(p);
  if (p.initial.defined() || p.dfinal.defined()) return run_documents(p, borders);
  // The outputs come from one packed run, as in training, the states after the documents from a run of each document.
  NamedTensors results = run_inputs(p);
  p.dout = {};
  results["final_state"] = run_documents(p, borders).at("final_state");
  return results;
}

}  // namespace og

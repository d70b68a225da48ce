#include "parallel/sequence/attention.h"

#include <algorithm>
#include <optional>

#include "framework/ops/ranges.h"
#include "framework/ops/rows.h"
#include "parallel/mesh/collectives.h"
#include "parallel/sequence/attention_methods.h"
#include "parallel/sequence/gather.h"
#include "parallel/sequence/halo.h"
#include "parallel/sequence/methods.h"

namespace og {

namespace {

// How many key heads are gathered at a time.
int64_t heads_of_group(const Tensor& k, const Tensor& v, const SeqContext& seq, int64_t most_bytes) {
  const int64_t head_bytes =
      k.size(0) / seq.shards_of_rank() * seq.length * (k.size(3) + v.size(3)) * size_of(k.dtype());
  return std::clamp<int64_t>(most_bytes / std::max<int64_t>(1, head_bytes), 1, k.size(2));
}

// The keys and values of all shards before this one, for one group of key heads.
struct Earlier {
  Tensor k, v;
};

struct StartedGather {
  SequenceGather k, v;
  StartedGather(Context& cx, const Tensor& k_local, const Tensor& v_local, const SeqContext& seq, Site site)
      : k(cx, k_local, seq, site), v(cx, v_local, seq, site) {}
  Earlier wait(Context& cx, int64_t end) { return {k.rows(cx, end), v.rows(cx, end)}; }
};

struct SequenceAttention final : Function {
  Queries x;
  Tensor k, v;
  SeqContext seq;
  double scale = 1;
  bool softmax = true;
  int64_t group = 1;            // key heads gathered at a time
  std::vector<Earlier> kept{};  // by group; empty: gathered again
  std::vector<RowGroup> groups{};

  const char* name() const override { return "sequence_attention"; }

  // offset: the position of the rows' first query among the keys of the call.
  AttentionPiece piece(const RowGroup& rows, int64_t first_key_head, int64_t offset) const {
    const int64_t heads_per_key = x.q.size(2) / k.size(2);
    return {.start = rows.own(seq.start_BT).view<const int32_t, 2>(),
            .offset = offset,
            .first_head = first_key_head * heads_per_key,
            .heads_per_key = heads_per_key,
            .scale = scale,
            .softmax = softmax};
  }
  // The most tokens that lie before any of this rank's shards.
  int64_t most_earlier() const {
    int64_t most = 0;
    for (const RowGroup& rows : groups) most = std::max(most, seq.begin(rows.begin));
    return most;
  }

  void forward(Context& cx, const SequenceAttentionOptions& options, Site site) {
    for (int64_t g = 0; g < k.size(2); g += group) {
      const int64_t end = std::min(g + group, k.size(2));
      const Tensor keys = take_heads(cx, k, g, end), values = take_heads(cx, v, g, end);
      StartedGather gather(cx, keys, values, seq, site);
      const double begin = now_seconds();
      for (const RowGroup& rows : groups)
        attend(cx, x.of(rows), Put::write, rows.own(keys), rows.own(values), piece(rows, g, 0));
      cx.profile.event("attention.local", begin, now_seconds());
      Earlier earlier = gather.wait(cx, most_earlier());
      for (const RowGroup& rows : groups) {
        const int64_t count = seq.begin(rows.begin);
        attend(cx, x.of(rows), Put::add, rows.first_tokens(earlier.k, count), rows.first_tokens(earlier.v, count),
               piece(rows, g, count));
      }
      if (options.keep_gathered) kept.push_back(std::move(earlier));
    }
  }

  void backward(Context& cx) override {
    const Tensor d_o = gradient(cx);
    Slot::Target dq{{}, Put::write}, dk{{}, Put::write}, dv{{}, Put::write};
    if (input(0)) dq = input(0)->open(cx);
    if (input(1)) dk = input(1)->open(cx);
    if (input(2)) dv = input(2)->open(cx);
    for (int64_t g = 0; g < k.size(2); g += group) {
      const int64_t end = std::min(g + group, k.size(2));
      const Tensor keys = take_heads(cx, k, g, end), values = take_heads(cx, v, g, end);
      std::unique_ptr<StartedGather> gather;
      if (kept.empty()) gather = std::make_unique<StartedGather>(cx, keys, values, seq, Sites::attention_backward);

      const auto like = [&](const Slot::Target& wanted, const Tensor& t) {
        return wanted.tensor.defined() ? cx.empty(t.shape(), t.dtype()) : Tensor();
      };
      const auto part = [](const RowGroup& rows, const Tensor& t, Put put) { return Slot::Target{rows.own(t), put}; };
      const double begin = now_seconds();
      const Tensor dk_own = like(dk, keys), dv_own = like(dv, values);
      for (const RowGroup& rows : groups)
        differentiate(cx, x.of(rows), rows.own(d_o), rows.own(keys), rows.own(values), piece(rows, g, 0),
                      part(rows, dq.tensor, dq.put), part(rows, dk_own, Put::write), part(rows, dv_own, Put::write));
      cx.profile.event("attention.local", begin, now_seconds());
      const Earlier earlier = gather ? gather->wait(cx, most_earlier()) : kept[static_cast<size_t>(g / group)];
      gather.reset();
      const Tensor dk_earlier = like(dk, earlier.k), dv_earlier = like(dv, earlier.v);
      const bool several = groups.size() > 1;  // whose keys overlap
      for (const Tensor* t : {&dk_earlier, &dv_earlier})
        if (several && t->defined()) t->fill(0);
      for (const RowGroup& rows : groups) {
        const int64_t count = seq.begin(rows.begin);
        const Put put = several ? Put::add : Put::write;
        const auto first = [&](const Tensor& t) { return t.defined() ? rows.first_tokens(t, count) : t; };
        differentiate(cx, x.of(rows), rows.own(d_o), first(earlier.k), first(earlier.v), piece(rows, g, count),
                      part(rows, dq.tensor, Put::add), {first(dk_earlier), put}, {first(dv_earlier), put});
      }
      std::optional<SumToOwners> dk_sum, dv_sum;
      if (dk.tensor.defined()) dk_sum.emplace(cx, dk_earlier, seq, Sites::attention_backward);
      if (dv.tensor.defined()) dv_sum.emplace(cx, dv_earlier, seq, Sites::attention_backward);
      const auto collect = [&](const Slot::Target& target, const Tensor& own, std::optional<SumToOwners>& others) {
        if (!others) return;
        move_range(cx.stream, 2, target.tensor, g, target.put, own, 0, own.size(2));
        move_range(cx.stream, 2, target.tensor, g, Put::add, others->finish(), 0, own.size(2));
      };
      collect(dk, dk_own, dk_sum);
      collect(dv, dv_own, dv_sum);
    }
  }
};

}  // namespace

Tensor RowGroup::first_tokens(const Tensor& x, int64_t count) const {
  if (count == x.size(1)) return x.slice(batch_begin, batch_end);
  OG_CHECK(batch_end - batch_begin == 1, "the first {} of {} tokens of {} rows", count, x.size(1),
           batch_end - batch_begin);
  Shape shape = x.shape();
  shape.set(0, 1);
  shape.set(1, count);
  const Tensor row = x.slice(batch_begin, batch_end).reshape({x.size(1), shape.count_from(2)});
  return row.slice(0, count).reshape(shape);
}

std::vector<RowGroup> row_groups(const SeqContext& seq) {
  if (!seq.zigzag()) return {{0, seq.num_rows, 0, seq.num_rows, seq.shard_of(0)}};
  std::vector<RowGroup> groups;
  for (int64_t row = 0; row < seq.num_rows; ++row)
    groups.push_back({row, row + 1, row / seq.shards_of_rank(), row / seq.shards_of_rank() + 1, seq.shard_of(row)});
  return groups;
}

Value attention_output(Tape& tape, const Value& q, const Value& k, const Value& v) {
  return tape.output({q.size(0), q.size(1), q.size(2), v.size(3)}, q.dtype(),
                     place_elementwise("attention", {q.place(), k.place(), v.place()}), {q, k, v});
}

Queries queries_of(Context& cx, const Value& q, const Value& o) {
  return {q.tensor(), o.tensor(), cx.empty({q.size(0), q.size(1), q.size(2)}, q.dtype())};
}

void attend(Context& cx, const Queries& x, Put put, const Tensor& k, const Tensor& v, const AttentionPiece& piece) {
  const Profile::Scope time(&cx.profile, Part::attention);
  visit_real(x.q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    attention_kernels<T>(cx.stream).forward(cx.stream, x.o.view<T, 4>(), x.lse.view<T, 3>(), put,
                                            x.q.view<const T, 4>(), k.view<const T, 4>(), v.view<const T, 4>(), piece);
  });
}

void differentiate(Context& cx, const Queries& x, const Tensor& d_o, const Tensor& k, const Tensor& v,
                   const AttentionPiece& piece, const Slot::Target& dq, const Slot::Target& dk,
                   const Slot::Target& dv) {
  const Profile::Scope time(&cx.profile, Part::attention);
  visit_real(x.q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    attention_kernels<T>(cx.stream).backward(cx.stream, dq.tensor.view<T, 4>(), dq.put, dk.tensor.view<T, 4>(), dk.put,
                                             dv.tensor.view<T, 4>(), dv.put, d_o.view<const T, 4>(),
                                             x.q.view<const T, 4>(), k.view<const T, 4>(), v.view<const T, 4>(),
                                             x.o.view<const T, 4>(), x.lse.view<const T, 3>(), piece);
  });
}

Value gathered_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                         const SequenceAttentionOptions& options, const SeqContext& seq) {
  Context& cx = tape.context();
  Value o = attention_output(tape, q, k, v);
  auto function = std::make_unique<SequenceAttention>();
  function->x = queries_of(cx, q, o);
  function->k = k.tensor();
  function->v = v.tensor();
  function->seq = seq;
  function->groups = row_groups(seq);
  function->scale = attention_scale(options.attention, q.size(3));
  function->softmax = options.attention.softmax;
  function->group = heads_of_group(k.tensor(), v.tensor(), seq, options.gather_bytes);
  SequenceAttentionOptions kept = options;
  kept.keep_gathered = options.keep_gathered && o.wants_gradient();
  function->forward(cx, kept, forward_site(tape, Sites::attention_forward));
  tape.record(std::move(function), {q, k, v}, {o});
  return o;
}

namespace {

// A state's entry beside x: what a caller put there as a constant takes the place that this file's own entries have.
Value entry(const MixerState& state, const char* name, const Value& x) {
  const Value found = state.get(name);
  if (!found.defined() || found.wants_gradient()) return found;
  return Value(found.tensor(), x.place().with(Axis::sequence, Place::replicated));
}

Value window_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                       const SequenceAttentionOptions& options, const SeqContext& seq, MixerState* state) {
  const int64_t most = options.attention.window - 1;
  const Value k_before = state ? entry(*state, "keys", k) : Value();
  const Value v_before = state ? entry(*state, "values", v) : Value();
  const int64_t known = k_before.defined() ? k_before.size(1) : 0;
  // No rank has more rows to its left than the last one.
  const int64_t left = std::min(most, known + seq.first[seq.first.size() - 2]);
  const Value keys = concat_rows(tape, halo(tape, k, left, seq, k_before), k);
  const Value values = concat_rows(tape, halo(tape, v, left, seq, v_before), v);
  if (state) {
    const int64_t last = std::min(most, known + seq.length);
    state->set("keys", last_rows(tape, k, last, seq, k_before));
    state->set("values", last_rows(tape, v, last, seq, v_before));
  }
  return attention(tape, q, keys, values, seq.start_BT, left, options.attention);
}

Value cached_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                       const SequenceAttentionOptions& options, const SeqContext& seq, MixerState& state) {
  OG_CHECK(!seq.zigzag(), "keys and values of earlier pieces in zigzag order");
  std::vector<int64_t> extents;
  for (size_t r = 0; r + 1 < seq.first.size(); ++r) extents.push_back(seq.first[r + 1] - seq.first[r]);
  const auto extend = [&](const char* name, const Value& x) {
    const Value before = entry(state, name, x);
    const Value piece =
        all_gather_to_replicated(tape, x, 1, extents, Axis::sequence, *seq.comm, Sites::attention_forward);
    Value all = before.defined() ? concat_rows(tape, before, piece) : piece;
    state.set(name, all);
    state.growing.insert(name);
    return all;
  };
  const Value keys = extend("keys", k), values = extend("values", v);
  const int64_t known = keys.size(1) - seq.length;
  return attention(tape, q, keys, values, seq.start_BT, known + seq.begin(), options.attention);
}

}  // namespace

Value sequence_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                         const SequenceAttentionOptions& options, const SeqContext& seq, MixerState* state) {
  check_attention_shapes("attention", q, k, v, seq.start_BT);
  OG_CHECK(q.size(1) == seq.local_length() && k.size(1) == q.size(1), "attention: q {} where this rank holds {} tokens",
           q.shape().str(), seq.local_length());
  OG_CHECK(options.attention.window >= 0, "attention: window {}", options.attention.window);
  if (options.attention.window > 0) return window_attention(tape, q, k, v, options, seq, state);
  if (state) return cached_attention(tape, q, k, v, options, seq, *state);
  return row_of(seq.options.softmax).run(tape, q, k, v, options, seq);
}

}  // namespace og

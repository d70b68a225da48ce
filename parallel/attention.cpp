#include "parallel/attention.h"

#include <algorithm>
#include <cstring>

#include "framework/ops/rows.h"
#include "parallel/attention_methods.h"
#include "parallel/collectives.h"
#include "parallel/halo.h"
#include "parallel/sequence_gather.h"

namespace og {

namespace {

// How many key heads are gathered at a time.
int64_t heads_of_group(const Tensor& k, const Tensor& v, const SeqContext& seq, int64_t most_bytes) {
  const int64_t head_bytes = k.size(0) * seq.length * (k.size(3) + v.size(3)) * size_of(k.dtype());
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
  Earlier wait(Context& cx, const SeqContext& seq) { return {k.rows(cx, seq.begin()), v.rows(cx, seq.begin())}; }
};

struct SequenceAttention final : Function {
  Queries x;
  Tensor k, v;
  SeqContext seq;
  double scale = 1;
  int64_t group = 1;            // key heads gathered at a time
  std::vector<Earlier> kept{};  // by group; empty: gathered again

  const char* name() const override { return "sequence_attention"; }

  // offset: the position of this rank's first query among the keys of the call.
  AttentionPiece piece(int64_t first_key_head, int64_t offset) const {
    const int64_t heads_per_key = x.q.size(2) / k.size(2);
    return {.start = seq.start_BT.view<const int32_t, 2>(),
            .offset = offset,
            .first_head = first_key_head * heads_per_key,
            .heads_per_key = heads_per_key,
            .scale = scale};
  }

  void forward(Context& cx, const SequenceAttentionOptions& options, Site site) {
    for (int64_t g = 0; g < k.size(2); g += group) {
      const int64_t end = std::min(g + group, k.size(2));
      const Tensor keys = take_heads(cx, k, g, end), values = take_heads(cx, v, g, end);
      StartedGather gather(cx, keys, values, seq, site);
      const double begin = now_seconds();
      attend(cx, x, Put::write, keys, values, piece(g, 0));
      cx.profile.event("attention.local", begin, now_seconds());
      Earlier earlier = gather.wait(cx, seq);
      attend(cx, x, Put::add, earlier.k, earlier.v, piece(g, seq.begin()));
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
      if (kept.empty()) gather = std::make_unique<StartedGather>(cx, keys, values, seq, kAttentionBackward);

      const auto like = [&](const Slot::Target& wanted, const Tensor& t) {
        return wanted.tensor.defined() ? cx.empty(t.shape(), t.dtype()) : Tensor();
      };
      const double begin = now_seconds();
      const Tensor dk_own = like(dk, keys), dv_own = like(dv, values);
      differentiate(cx, x, d_o, keys, values, piece(g, 0), dq, {dk_own, Put::write}, {dv_own, Put::write});
      cx.profile.event("attention.local", begin, now_seconds());
      const Earlier earlier = gather ? gather->wait(cx, seq) : kept[static_cast<size_t>(g / group)];
      gather.reset();
      const Tensor dk_earlier = like(dk, earlier.k), dv_earlier = like(dv, earlier.v);
      differentiate(cx, x, d_o, earlier.k, earlier.v, piece(g, seq.begin()), {dq.tensor, Put::add},
                    {dk_earlier, Put::write}, {dv_earlier, Put::write});
      const auto collect = [&](const Slot::Target& target, const Tensor& own, const Tensor& others) {
        if (!target.tensor.defined()) return;
        put_heads(target.tensor, g, own, target.put);
        put_heads(target.tensor, g, sum_to_owners(cx, others, seq, kAttentionBackward), Put::add);
      };
      collect(dk, dk_own, dk_earlier);
      collect(dv, dv_own, dv_earlier);
    }
  }
};

}  // namespace

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
  function->scale = attention_scale(options.attention, q.size(3));
  function->group = heads_of_group(k.tensor(), v.tensor(), seq, options.gather_bytes);
  SequenceAttentionOptions kept = options;
  kept.keep_gathered = options.keep_gathered && o.wants_gradient();
  function->forward(cx, kept, forward_site(tape, kAttentionForward));
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
  std::vector<int64_t> extents;
  for (size_t r = 0; r + 1 < seq.first.size(); ++r) extents.push_back(seq.first[r + 1] - seq.first[r]);
  const auto extend = [&](const char* name, const Value& x) {
    const Value before = entry(state, name, x);
    const Value piece = all_gather_to_replicated(tape, x, 1, extents, Axis::sequence, *seq.comm, kAttentionForward);
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
  if (seq.options.softmax == SoftmaxMethod::ring) return ring_attention(tape, q, k, v, options, seq);
  if (seq.options.softmax == SoftmaxMethod::ulysses) return ulysses_attention(tape, q, k, v, options, seq);
  return gathered_attention(tape, q, k, v, options, seq);
}

}  // namespace og

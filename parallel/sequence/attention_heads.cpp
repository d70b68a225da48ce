// Every rank attends over the whole sequence with its share of the query heads. q, k and v come, and o goes back, by
// either transport of head_transport.h: an all-to-all is Ulysses, a gather Megatron-LM's sequence parallelism. A rank
// takes the key heads that its query heads read; with fewer key heads than ranks several ranks take the same one.
#include <algorithm>

#include "framework/ops/ranges.h"
#include "parallel/mesh/collectives.h"
#include "parallel/sequence/attention_methods.h"
#include "parallel/sequence/head_transport.h"
#include "parallel/sequence/methods.h"

namespace og {

namespace {

// Key heads, counted from the first that the rank holds, and the rank's query heads that read them.
struct Group {
  HeadRange keys;
  int64_t first_head, heads_per_key;
};

struct HeadShards {
  HeadPlan queries, keys;  // the ranks' key heads may overlap
  // This rank's: one; more if its query heads begin or end inside a key head's; none without heads.
  std::vector<Group> groups;

  HeadShards(int64_t num_queries, int64_t num_keys, HeadTransport transport, const Comm& comm)
      : queries{transport, num_queries, shares_of_heads(num_queries, comm.size())}, keys{transport, num_keys, {}} {
    const int64_t per_key = num_queries / num_keys;
    for (const HeadRange& q : queries.of)
      keys.of.push_back(q.count() == 0 ? HeadRange{} : HeadRange{q.begin / per_key, (q.end - 1) / per_key + 1});
    const auto rank = static_cast<size_t>(comm.rank());
    const HeadRange q = queries.of[rank], k = keys.of[rank];
    if (q.count() == 0) return;
    if ((q.begin % per_key == 0 && q.end % per_key == 0) || k.count() == 1) {
      groups.push_back({{0, k.count()}, 0, q.count() / k.count()});
      return;
    }
    for (int64_t g = k.begin; g < k.end; ++g) {
      const int64_t begin = std::max(g * per_key, q.begin), end = std::min((g + 1) * per_key, q.end);
      groups.push_back({{g - k.begin, g - k.begin + 1}, begin - q.begin, end - begin});
    }
  }
};

struct HeadsAttention final : Function {
  Queries x;           // [B, T, own heads, ..]: the whole sequence
  Tensor k, v, start;  // start: absent, one document
  HeadShards shards;
  SeqContext seq;
  double scale = 1;
  bool softmax = true;

  explicit HeadsAttention(HeadShards s) : shards(std::move(s)) {}
  const char* name() const override { return "heads_attention"; }

  AttentionPiece piece(const Group& group) const {
    return {.start = start.view<const int32_t, 2>(),
            .first_head = group.first_head,
            .heads_per_key = group.heads_per_key,
            .scale = scale,
            .softmax = softmax};
  }

  void forward(Context& cx, const Tensor& q_local, const Tensor& k_local, const Tensor& v_local, const Tensor& o_local,
               Site site) {
    ToHeads q(cx, q_local, shards.queries, seq, site);
    ToHeads keys(cx, k_local, shards.keys, seq, site);
    ToHeads values(cx, v_local, shards.keys, seq, site);
    if (!seq.single_document) start = seq.row_starts();
    x.q = q.finish(cx);
    k = keys.finish(cx);
    v = values.finish(cx);
    x.o = cx.empty({x.q.size(0), x.q.size(1), x.q.size(2), v.size(3)}, v.dtype());
    x.lse = cx.empty({x.q.size(0), x.q.size(1), x.q.size(2)}, v.dtype());
    for (const Group& g : shards.groups)
      attend(cx, x, Put::write, take_heads(cx, k, g.keys.begin, g.keys.end),
             take_heads(cx, v, g.keys.begin, g.keys.end), piece(g));
    ToTokens(cx, x.o, shards.queries, seq, site).finish(cx, o_local, Put::write);
  }

  void backward(Context& cx) override {
    const Tensor d_o = ToHeads(cx, gradient(cx), shards.queries, seq, Sites::attention_backward).finish(cx);
    const auto wanted = [&](size_t i, const Tensor& like) {
      return input(i) ? cx.empty(like.shape(), like.dtype()) : Tensor();
    };
    const Tensor dq = wanted(0, x.q), dk = wanted(1, k), dv = wanted(2, v);
    for (const Group& g : shards.groups) {
      const Tensor keys = take_heads(cx, k, g.keys.begin, g.keys.end);
      const Tensor values = take_heads(cx, v, g.keys.begin, g.keys.end);
      const bool all = shards.groups.size() == 1;
      const Tensor dk_group = all ? dk : wanted(1, keys), dv_group = all ? dv : wanted(2, values);
      differentiate(cx, x, d_o, keys, values, piece(g), {dq, Put::write}, {dk_group, Put::write},
                    {dv_group, Put::write});
      if (all) continue;
      const auto put_group = [&](const Tensor& all_keys, const Tensor& of_group) {
        if (all_keys.defined())
          move_range(cx.stream, 2, all_keys, g.keys.begin, Put::write, of_group, 0, g.keys.count());
      };
      put_group(dk, dk_group);
      put_group(dv, dv_group);
    }
    const Tensor* gradients[] = {&dq, &dk, &dv};
    std::vector<std::pair<size_t, ToTokens>> started;
    for (size_t i = 0; i < 3; ++i)
      if (input(i))
        started.emplace_back(
            i, ToTokens(cx, *gradients[i], i == 0 ? shards.queries : shards.keys, seq, Sites::attention_backward));
    for (auto& [i, exchange] : started) {
      const auto [target, put] = input(i)->open(cx);
      exchange.finish(cx, target, put);
    }
  }
};

Value heads_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                      const SequenceAttentionOptions& options, const SeqContext& seq, HeadTransport transport) {
  Value o = attention_output(tape, q, k, v);
  auto function = std::make_unique<HeadsAttention>(HeadShards(q.size(2), k.size(2), transport, *seq.comm));
  function->seq = seq;
  function->scale = attention_scale(options.attention, q.size(3));
  function->softmax = options.attention.softmax;
  function->forward(tape.context(), q.tensor(), k.tensor(), v.tensor(), o.tensor(),
                    forward_site(tape, Sites::attention_forward));
  tape.record(std::move(function), {q, k, v}, {o});
  return o;
}

}  // namespace

Value ulysses_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                        const SequenceAttentionOptions& options, const SeqContext& seq) {
  return heads_attention(tape, q, k, v, options, seq, HeadTransport::exchange);
}

Value megatron_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                         const SequenceAttentionOptions& options, const SeqContext& seq) {
  return heads_attention(tape, q, k, v, options, seq, HeadTransport::gather);
}

Value left_product_attention(Tape& tape, const Value& q, const Value& k, const Value& v, double scale,
                             const SeqContext& seq) {
  const SequenceAttentionOptions options{.attention = {.scale = scale, .softmax = false}};
  const LinearRow& method = row_of(seq.options.linear);
  OG_CHECK(method.left_products, "left products: {} has none", method.name);
  return method.left_products(tape, q, k, v, options, seq);
}

}  // namespace og

// Ulysses: an all-to-all turns q, k, v from tokens into heads, each rank attends over the whole sequence with its H / P
// query heads, and another turns o back. A rank is sent the key heads that its query heads read; with fewer key heads
// than ranks several ranks are sent the same one.
#include "parallel/attention_methods.h"
#include "parallel/collectives.h"
#include "parallel/head_exchange.h"
#include "parallel/sequence_gather.h"

namespace og {

namespace {

// Key heads, counted from the first that the rank holds, and the rank's query heads that read them.
struct Group {
  HeadRange keys;
  int64_t first_head, heads_per_key;
};

struct HeadShards {
  std::vector<HeadRange> queries, keys;  // of each rank; keys may overlap
  std::vector<Group> groups;             // of this rank; one, unless its query heads end inside a key head's

  HeadShards(int64_t num_queries, int64_t num_keys, const Comm& comm) {
    const int64_t share = num_queries / comm.size(), per_key = num_queries / num_keys;
    for (int64_t r = 0; r < comm.size(); ++r) {
      queries.push_back({r * share, (r + 1) * share});
      keys.push_back({r * share / per_key, ((r + 1) * share - 1) / per_key + 1});
    }
    const HeadRange q = queries[static_cast<size_t>(comm.rank())], k = keys[static_cast<size_t>(comm.rank())];
    if (share % per_key == 0 || k.count() == 1) {
      groups.push_back({{0, k.count()}, 0, share / k.count()});
      return;
    }
    for (int64_t g = k.begin; g < k.end; ++g) {
      const int64_t begin = std::max(g * per_key, q.begin), end = std::min((g + 1) * per_key, q.end);
      groups.push_back({{g - k.begin, g - k.begin + 1}, begin - q.begin, end - begin});
    }
  }
};

struct UlyssesAttention final : Function {
  Queries x;           // [B, T, H / P, ..]: the whole sequence, this rank's heads
  Tensor k, v, start;  // start: absent, one document
  HeadShards shards;
  SeqContext seq;
  double scale = 1;
  bool softmax = true;

  explicit UlyssesAttention(HeadShards s) : shards(std::move(s)) {}
  const char* name() const override { return "ulysses_attention"; }

  AttentionPiece piece(const Group& group) const {
    return {.start = start.view<const int32_t, 2>(),
            .first_head = group.first_head,
            .heads_per_key = group.heads_per_key,
            .scale = scale,
            .softmax = softmax};
  }

  void forward(Context& cx, const Tensor& q_local, const Tensor& k_local, const Tensor& v_local, const Tensor& o_local,
               Site site) {
    HeadExchange q = HeadExchange::to_heads(cx, q_local, shards.queries, seq, site);
    HeadExchange keys = HeadExchange::to_heads(cx, k_local, shards.keys, seq, site);
    HeadExchange values = HeadExchange::to_heads(cx, v_local, shards.keys, seq, site);
    if (!seq.single_document) start = gather_starts(cx, seq, Site{"attention.documents"});
    x.q = q.finish_heads(cx);
    k = keys.finish_heads(cx);
    v = values.finish_heads(cx);
    x.o = cx.empty({x.q.size(0), x.q.size(1), x.q.size(2), v.size(3)}, v.dtype());
    x.lse = cx.empty({x.q.size(0), x.q.size(1), x.q.size(2)}, v.dtype());
    for (const Group& g : shards.groups)
      attend(cx, x, Put::write, take_heads(cx, k, g.keys.begin, g.keys.end),
             take_heads(cx, v, g.keys.begin, g.keys.end), piece(g));
    HeadExchange::to_tokens(cx, x.o, shards.queries, seq, site).finish_tokens(o_local, Put::write);
  }

  void backward(Context& cx) override {
    const Tensor d_o =
        HeadExchange::to_heads(cx, gradient(cx), shards.queries, seq, kAttentionBackward).finish_heads(cx);
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
      if (dk.defined()) put_heads(dk, g.keys.begin, dk_group, Put::write);
      if (dv.defined()) put_heads(dv, g.keys.begin, dv_group, Put::write);
    }
    std::vector<std::pair<size_t, HeadExchange>> started;
    for (size_t i = 0; i < 3; ++i)
      if (input(i))
        started.emplace_back(i,
                             HeadExchange::to_tokens(cx,
                                                     i == 0   ? dq
                                                     : i == 1 ? dk
                                                              : dv,
                                                     i == 0 ? shards.queries : shards.keys, seq, kAttentionBackward));
    for (auto& [i, exchange] : started) {
      const auto [target, put] = input(i)->open(cx);
      exchange.finish_tokens(target, put);
    }
  }
};

}  // namespace

Value ulysses_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                        const SequenceAttentionOptions& options, const SeqContext& seq) {
  OG_CHECK(q.size(2) % seq.comm->size() == 0, "ulysses: {} query heads over {} ranks", q.size(2), seq.comm->size());
  Value o = attention_output(tape, q, k, v);
  auto function = std::make_unique<UlyssesAttention>(HeadShards(q.size(2), k.size(2), *seq.comm));
  function->seq = seq;
  function->scale = attention_scale(options.attention, q.size(3));
  function->softmax = options.attention.softmax;
  function->forward(tape.context(), q.tensor(), k.tensor(), v.tensor(), o.tensor(),
                    forward_site(tape, kAttentionForward));
  tape.record(std::move(function), {q, k, v}, {o});
  return o;
}

}  // namespace og

// Ring Attention: blocks of keys and values travel from rank to rank while each rank's queries stay. At step i rank r
// holds the block of rank r - i; the next block is on its way while the queries attend to this one, and the partial
// results merge by running maximum and log-sum-exp. In contiguous order a rank has no use for later ranks' blocks and
// only passes them on, which is the imbalance that zigzag order removes.
// Backward: the blocks travel again, each followed one step later by its dK and dV, to which every rank adds; after P
// hops they are home.
#include <algorithm>
#include <optional>

#include "framework/ops/ranges.h"
#include "parallel/mesh/collectives.h"
#include "parallel/sequence/attention_methods.h"

namespace og {

namespace {

struct Block {
  Tensor k, v;
  bool defined() const { return k.defined() || v.defined(); }
};

struct RingAttention final : Function {
  Queries x;
  Block own;
  SeqContext seq;
  std::vector<RowGroup> groups;
  double scale = 1;
  bool softmax = true;

  const char* name() const override { return "ring_attention"; }

  int rank_at(int distance) const {
    const int size = seq.comm->size();
    return ((seq.comm->rank() + distance) % size + size) % size;
  }
  int64_t length_of(int rank) const {
    return seq.first[static_cast<size_t>(rank) + 1] - seq.first[static_cast<size_t>(rank)];
  }

  // Rows of queries and the rows of a block that they see some of; first those that they share a shard with.
  struct Pair {
    RowGroup queries, keys;
    int64_t offset;
  };
  std::vector<Pair> pairs(int source) const {
    std::vector<Pair> out;
    for (const RowGroup& queries : groups)
      for (RowGroup keys : groups) {
        keys.shard = seq.shard_of(keys.begin, source);
        if (queries.batch_begin != keys.batch_begin || keys.shard > queries.shard) continue;
        out.push_back({queries, keys, seq.begin(queries.begin) - seq.first[static_cast<size_t>(keys.shard)]});
      }
    std::stable_partition(out.begin(), out.end(), [](const Pair& p) { return p.keys.shard == p.queries.shard; });
    return out;
  }
  AttentionPiece piece(const Pair& pair) const {
    return {.start = pair.queries.own(seq.start_BT).view<const int32_t, 2>(),
            .offset = pair.offset,
            .heads_per_key = x.q.size(2) / own.k.size(2),
            .scale = scale,
            .softmax = softmax};
  }

  // Sends a block to the right; what comes from the left is the block of `source`.
  struct Hop {
    Block block;
    std::optional<Pending> pending;  // none: it has arrived
    void wait() {
      if (pending) pending->wait();
      pending.reset();
    }
  };
  Hop start_hop(Context& cx, const Block& block, int source, Site site) const {
    Hop hop;
    std::vector<Message> sends, receives;
    const auto add = [&](const Tensor& out, Tensor& in) {
      if (!out.defined()) return;
      Shape shape = out.shape();
      shape.set(1, length_of(source));
      in = cx.empty(shape, out.dtype());
      sends.push_back({rank_at(1), out});
      receives.push_back({rank_at(-1), in});
    };
    add(block.k, hop.block.k);
    add(block.v, hop.block.v);
    hop.pending = seq.comm->send_recv(std::move(sends), std::move(receives), site);
    if (!seq.options.overlap) hop.wait();
    return hop;
  }

  void forward(Context& cx, Site site) {
    const int size = seq.comm->size();
    Block here = own;
    for (int step = 0; step < size; ++step) {
      const int source = rank_at(-step);
      Hop next;
      if (step + 1 < size) next = start_hop(cx, here, rank_at(-step - 1), site);
      const double begin = now_seconds();
      for (const Pair& pair : pairs(source)) {
        // Its own shard is what a query meets first.
        const bool first = step == 0 && pair.keys.shard == pair.queries.shard;
        attend(cx, x.of(pair.queries), first ? Put::write : Put::add, pair.keys.own(here.k), pair.keys.own(here.v),
               piece(pair));
      }
      if (step == 0) cx.profile.event("attention.local", begin, now_seconds());
      if (step + 1 < size) next.wait();
      here = next.block;
    }
  }

  void backward(Context& cx) override {
    const Tensor d_o = gradient(cx);
    Slot::Target dq{{}, Put::write}, dk{{}, Put::write}, dv{{}, Put::write};
    if (input(0)) dq = input(0)->open(cx);
    if (input(1)) dk = input(1)->open(cx);
    if (input(2)) dv = input(2)->open(cx);
    const bool wants_block = dk.tensor.defined() || dv.tensor.defined();
    const int size = seq.comm->size();
    Block here = own;
    Hop gradients;  // gradients of the block that is here, summed over its owner and the ranks since
    for (int step = 0; step < size; ++step) {
      const int source = rank_at(-step);
      Hop next;
      if (step + 1 < size) next = start_hop(cx, here, rank_at(-step - 1), Sites::attention_backward);
      const double begin = now_seconds();
      Block part;
      const std::vector<Pair> seen = pairs(source);
      if (!seen.empty()) {
        if (dk.tensor.defined()) part.k = cx.empty(here.k.shape(), here.k.dtype());
        if (dv.tensor.defined()) part.v = cx.empty(here.v.shape(), here.v.dtype());
        for (const Tensor* t : {&part.k, &part.v})
          if (seq.zigzag() && t->defined()) t->fill(0);
        for (const Pair& pair : seen) {
          const bool first = step == 0 && pair.keys.shard == pair.queries.shard;
          const Put put = seq.zigzag() ? Put::add : Put::write;
          differentiate(cx, x.of(pair.queries), pair.queries.own(d_o), pair.keys.own(here.k), pair.keys.own(here.v),
                        piece(pair), {pair.queries.own(dq.tensor), first ? dq.put : Put::add},
                        {pair.keys.own(part.k), put}, {pair.keys.own(part.v), put});
        }
      }
      if (step == 0) cx.profile.event("attention.local", begin, now_seconds());
      if (wants_block) {
        if (step > 0) {
          gradients.wait();
          if (part.defined()) {
            if (part.k.defined()) move_into(cx.stream, part.k, Put::add, gradients.block.k);
            if (part.v.defined()) move_into(cx.stream, part.v, Put::add, gradients.block.v);
          } else {
            part = gradients.block;
          }
        }
        if (size > 1)
          gradients = start_hop(cx, part, rank_at(-step - 1), Sites::attention_backward);
        else
          gradients.block = part;
      }
      if (step + 1 < size) next.wait();
      here = next.block;
    }
    if (!wants_block) return;
    if (size > 1) gradients.wait();
    if (dk.tensor.defined()) move_into(cx.stream, dk.tensor, dk.put, gradients.block.k);
    if (dv.tensor.defined()) move_into(cx.stream, dv.tensor, dv.put, gradients.block.v);
  }
};

}  // namespace

Value ring_attention(Tape& tape, const Value& q, const Value& k, const Value& v,
                     const SequenceAttentionOptions& options, const SeqContext& seq) {
  Context& cx = tape.context();
  Value o = attention_output(tape, q, k, v);
  auto function = std::make_unique<RingAttention>();
  function->x = queries_of(cx, q, o);
  function->own = {k.tensor(), v.tensor()};
  function->seq = seq;
  function->groups = row_groups(seq);
  function->scale = attention_scale(options.attention, q.size(3));
  function->softmax = options.attention.softmax;
  function->forward(cx, forward_site(tape, Sites::attention_forward));
  tape.record(std::move(function), {q, k, v}, {o});
  return o;
}

}  // namespace og

// The ways to compute softmax attention over a split sequence: each equals one rank on any split with any grouping of
// heads, outputs and gradients; what each receives; what overlaps.
#include <gtest/gtest.h>

#include "framework/autograd/recompute.h"
#include "parallel/sequence/attention_methods.h"
#include "parallel/sequence/methods.h"
#include "parallel/sequence/scan.h"
#include "tests/parallel/split_sequence.h"

namespace og {
namespace {

constexpr int64_t kLength = 13;

struct Method {
  const char* name;
  RunAttention run;
};
// Those of the softmax layers, and what linear layers do by left products alone.
const std::vector<Method> kMethods = [] {
  std::vector<Method> all{{"megatron", megatron_attention}};
  for (const SoftmaxRow& row : softmax_methods()) all.push_back({row.name, row.run});
  return all;
}();

struct Heads {
  int64_t queries, keys;
};
// Splits of 13 tokens, and heads: one key head for several ranks, several for one, queries of one key head on two ranks
// beside others (6 over 3 on 2 ranks, 12 over 3 on 4), shares that differ (5 on 2 ranks) and empty ones (3 on 4).
struct Case {
  std::vector<std::vector<int64_t>> splits;
  std::vector<Heads> heads;
};
const Case kCases[] = {
    {{{0, 7, 13}, {0, 13, 13}, {0, 0, 13}, {0, 1, 13}}, {{4, 2}, {6, 3}, {4, 1}, {5, 5}}},
    {{{0, 5, 9, 13}, {0, 0, 6, 13}, {0, 6, 6, 13}, {0, 2, 13, 13}}, {{6, 3}, {6, 2}, {3, 1}}},
    {{{0, 4, 7, 10, 13}, {0, 0, 9, 9, 13}, {0, 1, 2, 12, 13}}, {{8, 2}, {12, 3}, {4, 4}, {3, 3}, {6, 3}}},
    {{{0, 2, 4, 6, 8, 10, 12, 13}, {0, 0, 3, 3, 3, 11, 13, 13}}, {{7, 7}, {14, 2}, {7, 1}}},
};

// One document a row; many, of one token too, starting at borders of shards and inside.
std::vector<std::vector<int>> documents_of(bool many) {
  if (!many) return std::vector<std::vector<int>>(2, std::vector<int>(kLength, 0));
  return {{0, 0, 0, 3, 3, 3, 3, 7, 8, 8, 8, 8, 8}, {0, 1, 1, 1, 1, 1, 1, 1, 1, 9, 9, 9, 12}};
}

std::vector<Shape> streams(Heads heads) {
  return {{kBatch, kLength, heads.queries, 4}, {kBatch, kLength, heads.keys, 4}, {kBatch, kLength, heads.keys, 5}};
}

Body body_of(RunAttention run) {
  return [run](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
    return run(t, x[0], x[1], x[2], {}, seq);
  };
}

TEST(AttentionMethods, EverySplitEqualsOneRank) {
  for (const Case& c : kCases) {
    for (const Heads heads : c.heads) {
      for (const bool many : {false, true}) {
        const auto documents = documents_of(many);
        const Whole one = run({0, kLength}, documents, DType::f64, streams(heads), {}, body_of(gathered_attention));
        for (const Method& method : kMethods) {
          for (const auto& first : c.splits) {
            for (const DType dtype : {DType::f64, DType::f32}) {
              Context cx;
              const Whole split = run(first, documents, dtype, streams(heads), {}, body_of(method.run));
              for (size_t i = 0; i < one.shards.size(); ++i)
                EXPECT_LT(distance(split.shards[i].cast(*cx.pool, DType::f64), one.shards[i]),
                          dtype == DType::f64 ? 1e-12 : 1e-5)
                    << method.name << " on " << first.size() - 1 << " ranks, heads " << heads.queries << "/"
                    << heads.keys << ", tensor " << i << (many ? ", documents" : "");
            }
          }
        }
      }
    }
  }
}

// Every rank knows where documents begin in whole rows: heads travel, starts do not.
TEST(AttentionMethods, StartsOfDocumentsDoNotTravel) {
  for (const bool many : {false, true}) {
    const Body body = [&](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
      SeqContext told = seq;
      told.single_document = !many;
      Value o = ulysses_attention(t, x[0], x[1], x[2], {}, told);
      for (const CollectiveCount& row : seq.comm->counters().rows()) EXPECT_EQ(row.verb, Verb::all_to_all);
      return o;
    };
    const auto documents = documents_of(many);
    const Whole one = run({0, kLength}, documents, DType::f64, streams({4, 2}), {}, body_of(gathered_attention));
    const Whole split = run({0, 7, kLength}, documents, DType::f64, streams({4, 2}), {}, body);
    for (size_t i = 0; i < one.shards.size(); ++i) EXPECT_LT(distance(split.shards[i], one.shards[i]), 1e-12);
  }
}

// Token 5 of everything changes: earlier tokens and other documents ({3..6} is its own) keep their bits, in outputs
// and, for other documents, in gradients.
TEST(AttentionMethods, NothingLeaks) {
  for (const Method& method : kMethods) {
    const auto body = [&](bool changed) {
      return [&, changed](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
        if (changed && seq.begin() <= 5 && 5 < seq.begin() + seq.local_length())
          for (const Value& v : x) {
            const int64_t row = v.shape().count_from(2);
            std::fill_n(v.tensor().data<float>() + (5 - seq.begin()) * row, row, 1e3F);
          }
        return method.run(t, x[0], x[1], x[2], {}, seq);
      };
    };
    for (const auto& first : kCases[2].splits) {
      const Whole before = run(first, documents_of(true), DType::f32, streams({8, 2}), {}, body(false));
      const Whole after = run(first, documents_of(true), DType::f32, streams({8, 2}), {}, body(true));
      for (size_t i = 0; i < before.shards.size(); ++i) {
        const Tensor &y = before.shards[i], &z = after.shards[i];
        const int64_t row = y.shape().count_from(2);
        const auto same = [&](int64_t begin, int64_t end) {
          return std::equal(y.data<float>() + begin * row, y.data<float>() + end * row, z.data<float>() + begin * row);
        };
        EXPECT_TRUE(same(0, i == 0 ? 5 : 3)) << method.name << ", tensor " << i;
        EXPECT_TRUE(same(7, 2 * kLength)) << method.name << ", tensor " << i;
        EXPECT_FALSE(same(3, 7)) << method.name << ", tensor " << i;
      }
    }
  }
}

// Only the queries want a gradient: the ring sends no dK and dV, ulysses returns none. The second pass of a recomputed
// region is counted as such.
TEST(AttentionMethods, RecomputedEqualsKept) {
  for (const Method& method : kMethods) {
    const auto body = [&](bool again) {
      return [&, again](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
        const Value k(x[1].tensor(), kShard), v(x[2].tensor(), kShard);
        const Region region = [&method, k, v, &seq](Tape& inner, const Value& q) {
          return std::vector<Value>{method.run(inner, q, k, v, {}, seq)};
        };
        return again ? recompute(t, region, x[0], {})[0] : region(t, x[0])[0];
      };
    };
    for (const auto& first : kCases[1].splits) {
      const Whole kept = run(first, documents_of(true), DType::f64, streams({6, 2}), {}, body(false));
      const Whole recomputed = run(first, documents_of(true), DType::f64, streams({6, 2}), {}, body(true));
      for (size_t i = 0; i < kept.shards.size(); ++i) EXPECT_TRUE(same_bits(kept.shards[i], recomputed.shards[i]));
    }
  }
}

// Left products are the scan without a gate, by whatever moves the streams: on odd splits, with documents, with fewer
// heads than ranks.
TEST(AttentionMethods, LeftProductsEqualTheScan) {
  const double scale = 0.4;
  const Body linear_scan = [&](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
    return scan(t, {.chunk = 4}, {{.q = x[0], .k = x[1], .v = x[2]}, scale}, seq, {}, false).o;
  };
  for (const LinearRow& method : linear_methods()) {
    if (!method.left_products) continue;
    for (const bool overlap : {true, false}) {
      const Body left = [&](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
        SeqContext left_seq = seq;
        left_seq.options = {.linear = linear_method(method.name), .overlap = overlap, .left_products = true};
        return left_product_attention(t, x[0], x[1], x[2], scale, left_seq);
      };
      for (const bool many : {false, true})
        for (const Case& c : kCases)
          for (const auto& first : c.splits) {
            const Whole one = run({0, kLength}, documents_of(many), DType::f64, streams({3, 3}), {}, linear_scan);
            const Whole split = run(first, documents_of(many), DType::f64, streams({3, 3}), {}, left);
            for (size_t i = 0; i < one.shards.size(); ++i)
              EXPECT_LT(distance(split.shards[i], one.shards[i]), 1e-12)
                  << method.name << " on " << first.size() - 1 << " ranks, tensor " << i;
          }
    }
  }
}

struct Received {
  int64_t forward = 0, backward = 0, forward_calls = 0, backward_calls = 0;
};
// By rank: 4 ranks with C = 3 tokens of 2 rows in f32, H query and G key heads of width 4; all inputs want gradients.
std::vector<Received> received(RunAttention run, Heads heads) {
  std::vector<Received> by_rank(4);
  world(4, [&](Comm& comm) {
    Context cx;
    SeqContext seq = context_of(cx, comm, {0, 3, 6, 9, 12}, cx.zeros({kBatch, 12}, DType::i32));
    seq.single_document = true;
    Tape tape(cx);
    const auto leaf = [&](int64_t count, uint64_t key) {
      return Value::leaf(random_tensor(cx, {kBatch, 3, count, 4}, DType::f32, key), kShard);
    };
    tape.backward(run(tape, leaf(heads.queries, 1), leaf(heads.keys, 2), leaf(heads.keys, 3), {}, seq));
    Received& r = by_rank[static_cast<size_t>(comm.rank())];
    for (const CollectiveCount& row : comm.counters().rows()) {
      const bool forward = row.site == Sites::attention_forward;
      EXPECT_TRUE(forward || row.site == Sites::attention_backward) << row.site.name;
      (forward ? r.forward : r.backward) += row.bytes;
      (forward ? r.forward_calls : r.backward_calls) += row.calls;
    }
  });
  return by_rank;
}

TEST(AttentionMethods, BytesAreThoseOfTheTable) {
  const int64_t head = kBatch * 3 * 4 * 4;  // bytes of one head of a shard: B C dh b
  for (const Heads heads : {Heads{8, 8}, Heads{8, 4}, Heads{8, 1}}) {
    const int64_t h = heads.queries, g = heads.keys;
    for (const Received& r : received(gathered_attention, heads)) {
      EXPECT_EQ(r.forward, 3 * head * 2 * g);
      EXPECT_EQ(r.backward, 2 * 3 * head * 2 * g);
    }
    for (const Received& r : received(ring_attention, heads)) {
      EXPECT_EQ(r.forward, 3 * head * 2 * g);
      EXPECT_EQ(r.forward_calls, 3);
      EXPECT_EQ(r.backward, 3 * head * 2 * g + 4 * head * 2 * g);
      EXPECT_EQ(r.backward_calls, 3 + 4);
    }
    for (const Received& r : received(megatron_attention, heads)) {
      EXPECT_EQ(r.forward, 3 * head * (2 * h + 2 * g));
      EXPECT_EQ(r.forward_calls, 4);
      EXPECT_EQ(r.backward, 3 * head * (2 * h + 2 * g));
      EXPECT_EQ(r.backward_calls, 4);
    }
    // Each rank takes H / P query heads and max(1, G / P) key heads of every shard; o and the gradients are the same
    // again, where the owner of a key head that several ranks hold receives a part from each.
    const int64_t keys = std::max<int64_t>(1, g / 4);
    for (const Received& r : received(ulysses_attention, heads)) {
      EXPECT_EQ(r.forward, 3 * head * (2 * h / 4 + 2 * keys));
      EXPECT_EQ(r.forward_calls, 4);
      EXPECT_EQ(r.backward, 3 * head * (2 * h / 4 + 2 * keys));
      EXPECT_EQ(r.backward_calls, 4);
    }
  }
}

// What each of 2 ranks does in a ring, in order, where every transfer completes 0.1 s after its last start.
void expect_events(bool overlap, const std::vector<std::string>& expected) {
  world(2,
        [&](Comm& comm) {
          Context cx;
          cx.profile.keep_events(true);
          comm.profile = &cx.profile;
          const int64_t length = 200;
          SeqContext seq = context_of(cx, comm, {0, length, 2 * length}, cx.zeros({1, 2 * length}, DType::i32));
          seq.options = {.softmax = softmax_method("ring"), .overlap = overlap};
          Tape tape(cx);
          const auto leaf = [&](uint64_t key) {
            return Value::leaf(random_tensor(cx, {1, length, 2, 32}, DType::f64, key), kShard);
          };
          const Value q = leaf(1), k = leaf(2), v = leaf(3);
          comm.barrier(Sites::startup);
          cx.profile.reset();
          tape.backward(sequence_attention(tape, q, k, v, {}, seq, nullptr));
          std::vector<std::string> found;
          for (const TimedEvent& e : cx.profile.events()) found.push_back(e.name);
          EXPECT_EQ(found, expected);
        },
        {.delay_seconds = 0.1});
}

// The next hop is under way before the products of the block that is here and is waited for after them, forward and
// backward; without overlap each is waited for where it starts.
TEST(AttentionMethods, TheRingsHopIsUnderWayWhileTheBlockIsComputed) {
  const std::string local = "attention.local", forward = "attention.forward ", backward = "attention.backward ";
  const std::string start = "start", wait = "wait";
  expect_events(true, {forward + start, local, forward + wait,                      //
                       backward + start, local, backward + start, backward + wait,  // K, V; then the own dK, dV
                       backward + wait, backward + start, backward + wait});
  expect_events(false, {forward + start, forward + wait, local,                                       //
                        backward + start, backward + wait, local, backward + start, backward + wait,  //
                        backward + start, backward + wait});
}

}  // namespace
}  // namespace og

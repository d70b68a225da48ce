// Halos, short convolutions and softmax attention over a split sequence: any split equals one rank, forward and every
// gradient; pieces with a state equal the whole; byte counters; overlap.
#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <numeric>

#include "framework/autograd/check.h"
#include "framework/autograd/recompute.h"
#include "parallel/sequence/attention.h"
#include "parallel/sequence/halo.h"
#include "parallel/sequence/short_conv.h"
#include "tests/parallel/split_sequence.h"

namespace og {
namespace {

// Ways to cut 7 tokens: even, uneven, empty shards at either end and inside.
const std::vector<std::vector<int64_t>> kSplits = {{0, 7},          {0, 4, 7}, {0, 3, 5, 7}, {0, 2, 4, 6, 7},
                                                   {0, 0, 5, 5, 7}, {0, 7, 7}, {0, 1, 7, 7}, {0, 1, 2, 3, 4, 5, 6, 7}};

const std::vector<std::vector<int>> kOneDocument = {{0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0}};
const std::vector<std::vector<int>> kDocuments = {{0, 0, 0, 3, 3, 3, 3}, {0, 1, 1, 1, 1, 1, 6}};

TEST(Halo, RowsAndAdjointOnEverySplit) {
  for (const auto& first : kSplits) {
    for (const int64_t rows : {0, 1, 3, 10}) {
      for (const int64_t known : {-1, 2, 12}) {  // rows of `before`; -1: absent
        Context outer;
        const Tensor x = random_tensor(outer, {kBatch, 7, 3}, DType::f64, 1);
        const Tensor before = random_tensor(outer, {kBatch, std::max<int64_t>(0, known), 3}, DType::f64, 2);
        const auto row_of = [&](int64_t b, int64_t t, int64_t c) {
          if (t >= 0) return x.at((b * 7 + t) * 3 + c);
          return known + t >= 0 ? before.at((b * known + known + t) * 3 + c) : 0.0;
        };
        std::mutex lock;
        double forward = 0, backward = 0;  // <y, F x> and <Ft y, x>
        world(static_cast<int>(first.size()) - 1, [&](Comm& comm) {
          Context cx;
          const SeqContext seq = context_of(cx, comm, first, starts(cx, kOneDocument));
          for (const bool last : {false, true}) {
            Tape tape(cx);
            const Value local = Value::leaf(cut(cx, x, seq.begin(), seq.begin() + seq.local_length()), kShard);
            const Value state = known < 0 ? Value() : Value::leaf(before.clone(*cx.pool), kCopy);
            const Value y = last ? last_rows(tape, local, rows, seq, state) : halo(tape, local, rows, seq, state);
            ASSERT_EQ(y.shape().str(), Shape({kBatch, rows, 3}).str());
            const int64_t origin = (last ? 7 : seq.begin()) - rows;
            for (int64_t i = 0; i < y.shape().count(); ++i)
              EXPECT_EQ(y.tensor().at(i), row_of(i / 3 / rows, origin + i / 3 % rows, i % 3));
            const Tensor seed = random_tensor(cx, y.shape(), DType::f64, 10 + static_cast<uint64_t>(comm.rank()));
            tape.backward(y, seed);
            const std::lock_guard hold(lock);
            for (int64_t i = 0; i < seed.count(); ++i) forward += seed.at(i) * y.tensor().at(i);
            const auto dot = [&](const Value& leaf) {
              if (!leaf.defined()) return;
              const Tensor g = leaf.slot()->gradient_or_zero(cx);
              for (int64_t i = 0; i < g.count(); ++i) backward += g.at(i) * leaf.tensor().at(i);
            };
            dot(local);
            dot(state);
          }
        });
        EXPECT_NEAR(forward, backward, 1e-12 * std::max(1.0, std::abs(forward)));
      }
    }
  }
}

void expect_every_split_equal(const std::vector<Shape>& inputs, const std::vector<Shape>& parameters,
                              const Body& body) {
  for (const auto& documents : {kOneDocument, kDocuments}) {
    const Whole one = run({0, 7}, documents, DType::f64, inputs, parameters, body);
    for (const auto& first : kSplits) {
      for (const DType dtype : {DType::f64, DType::f32}) {
        Context cx;
        const double bound = dtype == DType::f64 ? 1e-12 : 1e-5;
        const Whole split = run(first, documents, dtype, inputs, parameters, body);
        for (size_t i = 0; i < one.shards.size(); ++i)
          EXPECT_LT(distance(split.shards[i].cast(*cx.pool, DType::f64), one.shards[i]), bound)
              << first.size() - 1 << " ranks, tensor " << i;
        for (size_t i = 0; i < one.sums.size(); ++i)
          EXPECT_LT(distance(split.sums[i], one.sums[i]), bound) << first.size() - 1 << " ranks, parameter " << i;
      }
    }
  }
}

TEST(SequenceShortConv, EverySplitEqualsOneRank) {
  expect_every_split_equal({{kBatch, 7, 5}}, {{5, 4}, {5}},
                           [](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value> w) {
                             return sequence_short_conv(t, x[0], w[0], w[1], ConvActivation::silu, seq, nullptr, "c");
                           });
}

Body attention_body(SequenceAttentionOptions options) {
  return [options](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
    return sequence_attention(t, x[0], x[1], x[2], options, seq, nullptr);
  };
}
const std::vector<Shape> kStreams = {{kBatch, 7, 6, 4}, {kBatch, 7, 3, 4}, {kBatch, 7, 3, 5}};

TEST(SequenceAttention, EverySplitEqualsOneRank) {
  for (const int64_t window : {0, 1, 3, 5, 20})
    expect_every_split_equal(kStreams, {}, attention_body({.attention = {.window = window}}));
}

// 1 head of K and V of the whole sequence: 2 * 7 * 9 * 8 bytes in f64.
TEST(SequenceAttention, GroupsOfHeadsAndKeptKeysChangeNothing) {
  for (const int64_t bytes : {1, 2 * 2 * 7 * 9 * 8})
    for (const bool keep : {false, true})
      expect_every_split_equal(kStreams, {}, attention_body({.gather_bytes = bytes, .keep_gathered = keep}));
}

// The second pass gathers at Sites::recompute.
TEST(SequenceAttention, RecomputedEqualsKept) {
  // The region has one input, the queries; keys and values are constants.
  const auto body = [](bool again) {
    return [again](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value>) {
      const Value k(x[1].tensor(), kShard), v(x[2].tensor(), kShard);
      const Region region = [k, v, &seq](Tape& inner, const Value& q) {
        return std::vector<Value>{sequence_attention(inner, q, k, v, {}, seq, nullptr)};
      };
      return again ? recompute(t, region, x[0], {})[0] : region(t, x[0])[0];
    };
  };
  for (const auto& first : kSplits) {
    const Whole kept = run(first, kDocuments, DType::f64, kStreams, {}, body(false));
    const Whole recomputed = run(first, kDocuments, DType::f64, kStreams, {}, body(true));
    for (size_t i = 0; i < kept.shards.size(); ++i) EXPECT_TRUE(same_bits(kept.shards[i], recomputed.shards[i]));
  }
}

// With every query head its own key head, groups of heads: bytes received by a rank and calls, forward and backward.
TEST(SequenceAttention, CountsItsCollectives) {
  for (const bool keep : {false, true}) {
    world(3, [&](Comm& comm) {
      Context cx;
      const SeqContext seq = context_of(cx, comm, {0, 3, 5, 7}, starts(cx, kOneDocument));
      Tape tape(cx);
      const auto leaf = [&](int64_t heads, int64_t width, uint64_t key) {
        return Value::leaf(random_tensor(cx, {kBatch, seq.local_length(), heads, width}, DType::f32, key), kShard);
      };
      const Value o = sequence_attention(tape, leaf(6, 4, 1), leaf(3, 4, 2), leaf(3, 5, 3),
                                         {.gather_bytes = 1, .keep_gathered = keep}, seq, nullptr);
      tape.backward(o);
      const int64_t others = 7 - seq.local_length();
      int64_t forward_calls = 0, forward_bytes = 0, gathers = 0, scatters = 0;
      for (const CollectiveCount& row : comm.counters().rows()) {
        if (row.site == Sites::attention_forward) {
          EXPECT_EQ(row.verb, Verb::all_gather);
          forward_calls += row.calls;
          forward_bytes += row.bytes;
        }
        if (row.site == Sites::attention_backward) (row.verb == Verb::all_gather ? gathers : scatters) += row.calls;
      }
      EXPECT_EQ(forward_calls, 3 * 2);
      EXPECT_EQ(forward_bytes, kBatch * others * 3 * (4 + 5) * 4);
      EXPECT_EQ(gathers, keep ? 0 : 3 * 2);
      EXPECT_EQ(scatters, 3 * 2);
    });
  }
}

// Every collective completes 0.1 s after its last start. The attention inside the shard runs after the gathers have
// been started and before they are waited for, forward and backward. In the forward pass, which the ranks begin
// together, less than the delay is waited.
TEST(SequenceAttention, LocalWorkOverlapsTheGather) {
  const double delay = 0.1;
  world(2,
        [&](Comm& comm) {
          Context cx;
          cx.profile.keep_events(true);
          comm.profile = &cx.profile;
          const int64_t length = 400;
          const SeqContext seq = context_of(cx, comm, {0, length, 2 * length}, cx.zeros({1, 2 * length}, DType::i32));
          Tape tape(cx);
          const auto leaf = [&](uint64_t key) {
            return Value::leaf(random_tensor(cx, {1, length, 2, 32}, DType::f64, key), kShard);
          };
          const Value q = leaf(1), k = leaf(2), v = leaf(3);
          comm.barrier(Sites::startup);
          cx.profile.reset();
          tape.backward(sequence_attention(tape, q, k, v, {}, seq, nullptr));
          std::vector<TimedEvent> events[2];  // one list for the forward pass, one for the backward pass
          int pass = -1;
          for (const TimedEvent& e : cx.profile.events()) {
            if (e.name == "attention.forward start" && pass < 0) pass = 0;
            if (e.name == "attention.backward start" && pass < 1) pass = 1;
            events[pass].push_back(e);
          }
          for (const auto& of_pass : events) {
            const std::string site = (&of_pass == events ? Sites::attention_forward : Sites::attention_backward).name;
            ASSERT_GE(of_pass.size(), 5U);
            const char* order[] = {" start", " start", "", " wait", " wait"};  // K, V, local, K, V
            for (size_t i = 0; i < 5; ++i)
              EXPECT_EQ(of_pass[i].name, *order[i] ? site + order[i] : "attention.local") << site << " event " << i;
            EXPECT_GE(of_pass[2].begin, of_pass[1].end);
            EXPECT_LE(of_pass[2].end, of_pass[3].begin);
            if (&of_pass == events) {
              EXPECT_LT(of_pass[4].end - of_pass[3].begin, delay);
            }
          }
        },
        {.delay_seconds = delay});
}

// On every split: tokens before a changed one, and those of other documents, keep their bits. Row 0 has documents
// {0..2, 3..6}; token 4 of all inputs changes.
TEST(Sequence, NothingLeaksOnAnySplit) {
  const auto body = [](int64_t window, bool changed) {
    return [window, changed](Tape& t, const SeqContext& seq, std::span<const Value> x, std::span<const Value> w) {
      if (changed && seq.begin() <= 4 && 4 < seq.begin() + seq.local_length())
        for (const Value& v : x) {
          const int64_t row = v.shape().count_from(2);
          std::fill_n(v.tensor().data<float>() + (4 - seq.begin()) * row, row, 1e3F);
        }
      if (window < 0) return sequence_short_conv(t, x[0], w[0], Value(), ConvActivation::silu, seq, nullptr, "c");
      return sequence_attention(t, x[0], x[1], x[2], {.attention = {.window = window}}, seq, nullptr);
    };
  };
  for (const int64_t window : {-1, 0, 3}) {
    const std::vector<Shape> inputs = window < 0 ? std::vector<Shape>{{kBatch, 7, 5}} : kStreams;
    for (const auto& first : kSplits) {
      const Whole before = run(first, kDocuments, DType::f32, inputs, {{5, 4}}, body(window, false));
      const Whole after = run(first, kDocuments, DType::f32, inputs, {{5, 4}}, body(window, true));
      const Tensor &y = before.shards[0], &z = after.shards[0];
      const int64_t row = y.shape().count_from(2);
      const auto same = [&](int64_t begin, int64_t end) {
        return std::equal(y.data<float>() + begin * row, y.data<float>() + end * row, z.data<float>() + begin * row);
      };
      EXPECT_TRUE(same(0, 4));
      EXPECT_FALSE(same(4, 5));
      EXPECT_TRUE(same(7, 14));  // the other row
      // The gradients of document {0..2} do not see it either.
      for (size_t i = 1; i < before.shards.size(); ++i) {
        const int64_t width = before.shards[i].shape().count_from(2);
        EXPECT_TRUE(std::equal(before.shards[i].data<float>(), before.shards[i].data<float>() + 3 * width,
                               after.shards[i].data<float>()));
      }
    }
  }
}

// Pieces of a sequence with a state, each on any split, equal the whole: outputs, and gradients through the state.
TEST(SequenceAttention, PiecesWithAStateEqualTheWhole) {
  const std::vector<std::vector<int64_t>> cuts = {{0, 7}, {0, 3, 7}, {0, 1, 2, 3, 4, 5, 6, 7}, {0, 5, 6, 7}};
  for (const int64_t window : {0, 1, 3, 20}) {
    for (const auto& documents : {kOneDocument, kDocuments}) {
      const SequenceAttentionOptions options{.attention = {.window = window}};
      const Whole one = run({0, 7}, documents, DType::f64, kStreams, {}, attention_body(options));
      for (const int ranks : {1, 3}) {
        for (const auto& pieces : cuts) {
          Context outer;
          std::vector<Tensor> x, gradients;
          for (size_t i = 0; i < 3; ++i) {
            x.push_back(random_tensor(outer, kStreams[i], DType::f64, 100 + i));
            gradients.push_back(outer.empty(kStreams[i], DType::f64));
          }
          const Tensor seed = random_tensor(outer, one.shards[0].shape(), DType::f64, 300);
          const Tensor out = outer.empty(seed.shape(), DType::f64);
          std::mutex lock;
          world(ranks, [&](Comm& comm) {
            Context cx;
            Tape tape(cx);
            MixerState state;
            std::vector<std::array<Value, 4>> kept;  // q, k, v, o of each piece
            std::vector<int64_t> origins;
            for (size_t p = 0; p + 1 < pieces.size(); ++p) {
              const int64_t length = pieces[p + 1] - pieces[p];
              std::vector<int64_t> first{0};
              for (int r = 0; r < ranks; ++r) first.push_back(first.back() + (length + ranks - 1 - r) / ranks);
              auto shifted = documents;  // document starts relative to the piece
              for (auto& row : shifted) {
                row = std::vector<int>(row.begin() + pieces[p], row.begin() + pieces[p + 1]);
                for (int& s : row) s -= static_cast<int>(pieces[p]);
              }
              const SeqContext seq = context_of(cx, comm, first, starts(cx, shifted));
              const int64_t begin = pieces[p] + seq.begin(), end = begin + seq.local_length();
              const auto leaf = [&](const Tensor& t) { return Value::leaf(cut(cx, t, begin, end), kShard); };
              const Value q = leaf(x[0]), k = leaf(x[1]), v = leaf(x[2]);
              const Value o = sequence_attention(tape, q, k, v, options, seq, &state);
              o.slot()->open(cx).tensor.copy_from(cut(cx, seed, begin, end));
              kept.push_back({q, k, v, o});
              origins.push_back(begin);
              EXPECT_EQ(state.get("keys").size(1), window ? std::min(window - 1, pieces[p + 1]) : pieces[p + 1]);
            }
            tape.backward_from_slots();
            const std::lock_guard hold(lock);
            for (size_t p = 0; p < kept.size(); ++p) {
              paste(out, origins[p], kept[p][3].tensor());
              for (size_t i = 0; i < 3; ++i) paste(gradients[i], origins[p], kept[p][i].slot()->gradient_or_zero(cx));
            }
          });
          EXPECT_LT(distance(out, one.shards[0]), 1e-12) << "window " << window << ", " << ranks << " ranks";
          for (size_t i = 0; i < 3; ++i)
            EXPECT_LT(distance(gradients[i], one.shards[1 + i]), 1e-12)
                << "window " << window << ", " << ranks << " ranks, " << pieces.size() - 1 << " pieces, input " << i;
        }
      }
    }
  }
}

TEST(SequenceShortConv, PiecesWithAStateEqualTheWhole) {
  Context outer;
  const Tensor x = random_tensor(outer, {1, 9, 3}, DType::f64, 1), weight = random_tensor(outer, {3, 4}, DType::f64, 2);
  const Tensor whole = outer.empty(x.shape(), DType::f64), pieces = outer.empty(x.shape(), DType::f64);
  for (const int ranks : {1, 3}) {
    world(ranks, [&](Comm& comm) {
      Context cx;
      const auto run_piece = [&](int64_t begin, int64_t end, MixerState* state, const Tensor& out) {
        Tape tape(cx, Tape::Mode::no_gradient);
        std::vector<int64_t> first{0};
        for (int r = 0; r < ranks; ++r) first.push_back(first.back() + (end - begin + ranks - 1 - r) / ranks);
        const Tensor row_starts = Tensor::full(*cx.pool, {1, end - begin}, DType::i32, static_cast<double>(-begin));
        const SeqContext seq = context_of(cx, comm, first, row_starts);
        const Value local(cut(cx, x, begin + seq.begin(), begin + seq.begin() + seq.local_length()), kShard);
        const Value y = sequence_short_conv(tape, local, Value(weight, kCopy), Value(), ConvActivation::identity, seq,
                                            state, "conv");
        paste(out, begin + seq.begin(), y.tensor());
      };
      run_piece(0, 9, nullptr, whole);
      MixerState state;
      for (const auto& [begin, end] : std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {4, 5}, {5, 6}, {6, 9}})
        run_piece(begin, end, &state, pieces);
    });
    EXPECT_TRUE(same_bits(whole, pieces));
  }
}

}  // namespace
}  // namespace og

// The attention layer: any sequence and tensor degrees equal one rank (outputs, gradients of input and parameters),
// token by token with a state equals all at once, options are checked.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <mutex>

#include "framework/core/rng.h"
#include "framework/nn/mixers/attention.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

constexpr int64_t kBatch = 2, kLength = 7, kHidden = 12;

Options options_of(std::map<std::string, OptionValue> changed) {
  changed.insert({{"num_attention_heads", int64_t{4}}, {"head_dim", int64_t{6}}});
  return og::options_of(attention_type(), "model.mixers.N", changed);
}

// Two rows of documents {0..2, 3..6} and {0, 1..6}.
int row_start(int64_t b, int64_t t) { return b == 0 ? (t < 3 ? 0 : 3) : t < 1 ? 0 : 1; }

struct Outcome {
  Tensor y, dx;
  std::map<std::string, Tensor> gradients;
};

SeqContext piece_of(Context& cx, Comm& comm, int64_t begin, int64_t length, bool documents) {
  SeqContext seq;
  seq.comm = &comm;
  seq.num_rows = kBatch;
  seq.length = length;
  seq.first = split_evenly(length, comm.size());
  seq.start_BT = cx.empty({kBatch, seq.local_length()}, DType::i32);
  for (int64_t b = 0; b < kBatch; ++b)
    for (int64_t t = 0; t < seq.local_length(); ++t) {
      const int64_t here = begin + seq.begin();
      seq.start_BT.data<int32_t>()[b * seq.local_length() + t] =
          static_cast<int32_t>((documents ? row_start(b, here + t) : 0) - here);
    }
  seq.row_starts_BT = cx.empty({kBatch, length}, DType::i32);
  for (int64_t b = 0; b < kBatch; ++b)
    for (int64_t t = 0; t < length; ++t)
      seq.row_starts_BT.data<int32_t>()[b * length + t] =
          static_cast<int32_t>((documents ? row_start(b, begin + t) : 0) - begin);
  return seq;
}

std::unique_ptr<SequenceMixer> build(ParameterStore& store, const Options& options) {
  auto layer = attention_type().build(
      LayerContext{.store = store, .prefix = "mixer", .hidden_size = kHidden, .initializer_range = 0.3}, options);
  for (Parameter& p : store.all()) {  // biases and norms away from their start
    const uint64_t key = random_key(5, p.record.name);
    for_each_run(p, [&](int64_t global, int64_t local, int64_t count) {
      for (int64_t i = 0; i < count; ++i)
        p.value.tensor().data<double>()[local + i] += 0.2 * random_normal(key, static_cast<uint64_t>(global + i));
    });
  }
  return layer;
}

const Placement kHiddenPlace{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};

// Elements [b, begin + t, c] of a [B, T, hidden] tensor to or from a rank's own piece.
void move_piece(const Tensor& whole, const Tensor& piece, int64_t begin, bool out) {
  for (int64_t b = 0; b < kBatch; ++b) {
    double* w = whole.data<double>() + (b * kLength + begin) * kHidden;
    double* p = piece.data<double>() + b * piece.size(1) * kHidden;
    std::memcpy(out ? w : p, out ? p : w, static_cast<size_t>(piece.size(1) * kHidden) * sizeof(double));
  }
}

Outcome run(int sequence, int tensor, const Options& options) {
  Context outer;
  Outcome result{
      outer.empty({kBatch, kLength, kHidden}, DType::f64), outer.empty({kBatch, kLength, kHidden}, DType::f64), {}};
  const Tensor x = random_tensor(outer, result.y.shape(), DType::f64, 1);
  const Tensor seed = random_tensor(outer, result.y.shape(), DType::f64, 2);
  std::mutex lock;
  world(sequence * tensor, [&](Comm& comm) {
    Context cx;
    Mesh mesh(comm, {.sequence = sequence, .tensor = tensor});
    ParameterStore store(cx, mesh, DType::f64, 3);
    const auto layer = build(store, options);
    const SeqContext seq = piece_of(cx, mesh.sequence(), 0, kLength, true);
    Tape tape(cx);
    StepContext step{.tape = tape, .mesh = mesh, .seq = seq};
    const Tensor local = cx.empty({kBatch, seq.local_length(), kHidden}, DType::f64);
    move_piece(x, local, seq.begin(), false);
    const Value input = Value::leaf(local, kHiddenPlace);
    const Value y = layer->forward(step, input, nullptr);
    EXPECT_EQ(y.place(), kHiddenPlace) << y.place().str();
    const Tensor d = cx.empty(y.shape(), DType::f64);
    move_piece(seed, d, seq.begin(), false);
    tape.backward(y, d);
    for (Parameter& p : store.all())
      p.replication.group->all_reduce(p.value.slot()->gradient_or_zero(cx), Reduce::sum, Sites::gradients).wait();
    const std::lock_guard hold(lock);
    move_piece(result.y, y.tensor(), seq.begin(), true);
    move_piece(result.dx, input.slot()->gradient(), seq.begin(), true);
    for (Parameter& p : store.all()) {
      Tensor& global = result.gradients[p.record.name];
      if (!global.defined()) global = outer.empty(p.record.global_shape, DType::f64);
      for_each_run(p, [&](int64_t to, int64_t from, int64_t count) {
        std::memcpy(global.data<double>() + to, p.value.slot()->gradient().data<double>() + from,
                    static_cast<size_t>(count) * sizeof(double));
      });
    }
  });
  return result;
}

const std::vector<std::map<std::string, OptionValue>> kVariants = {
    {{"num_key_value_heads", int64_t{2}}, {"qkv_bias", true}, {"qk_norm", true}},
    {{"num_key_value_heads", int64_t{1}}, {"qkv_bias", true}, {"sliding_window", int64_t{3}}},
    {{"rope_theta", std::monostate{}}}};

TEST(AttentionLayer, EveryLayoutEqualsOneRank) {
  for (const auto& variant : kVariants) {
    const Outcome one = run(1, 1, options_of(variant));
    for (const auto& [sequence, tensor] : {std::pair{2, 1}, {1, 2}, {3, 2}, {1, 4}, {2, 4}, {8, 1}}) {
      const Outcome many = run(sequence, tensor, options_of(variant));
      EXPECT_LT(distance(many.y, one.y), 1e-12) << sequence << " x " << tensor;
      EXPECT_LT(distance(many.dx, one.dx), 1e-12) << sequence << " x " << tensor;
      ASSERT_EQ(many.gradients.size(), one.gradients.size());
      for (const auto& [name, gradient] : one.gradients)
        EXPECT_LT(distance(many.gradients.at(name), gradient), 1e-12) << name << ", " << sequence << " x " << tensor;
    }
  }
}

// The prompt at once, then one token after another, with a state, on one and on two sequence ranks.
TEST(AttentionLayer, DecodingEqualsPrefill) {
  for (const auto& variant : kVariants) {
    for (const int ranks : {1, 2}) {
      Context outer;
      const Tensor x = random_tensor(outer, {kBatch, kLength, kHidden}, DType::f64, 1);
      const Tensor whole = outer.empty(x.shape(), DType::f64), pieces = outer.empty(x.shape(), DType::f64);
      world(ranks, [&](Comm& comm) {
        Context cx;
        Mesh mesh(comm, {.sequence = ranks});
        ParameterStore store(cx, mesh, DType::f64, 3);
        const auto layer = build(store, options_of(variant));
        const auto forward = [&](int64_t begin, int64_t end, MixerState* state, const Tensor& out) {
          const SeqContext seq = piece_of(cx, mesh.sequence(), begin, end - begin, false);
          Tape tape(cx, Tape::Mode::no_gradient);
          StepContext step{.tape = tape, .mesh = mesh, .seq = seq, .training = false};
          const Tensor local = cx.empty({kBatch, seq.local_length(), kHidden}, DType::f64);
          move_piece(x, local, begin + seq.begin(), false);
          move_piece(out, layer->forward(step, Value(local, kHiddenPlace), state).tensor(), begin + seq.begin(), true);
        };
        forward(0, kLength, nullptr, whole);
        MixerState state;
        forward(0, 3, &state, pieces);
        for (int64_t t = 3; t < kLength; ++t) forward(t, t + 1, &state, pieces);
      });
      EXPECT_LT(distance(pieces, whole), 1e-12);
    }
  }
}

TEST(AttentionLayer, SaysWhatIsWrongWithItsOptions) {
  const auto problem = [](std::map<std::string, OptionValue> changed, int tensor) {
    return attention_type().problem(options_of(std::move(changed)), kHidden, tensor);
  };
  EXPECT_FALSE(problem({}, 2));
  EXPECT_FALSE(problem({{"num_key_value_heads", int64_t{2}}}, 4));
  EXPECT_NE(problem({{"num_key_value_heads", int64_t{3}}}, 1)->text.find("num_key_value_heads: 3"), std::string::npos);
  EXPECT_NE(problem({{"head_dim", int64_t{5}}}, 1)->text.find("head_dim: 5"), std::string::npos);
  EXPECT_FALSE(problem({{"head_dim", int64_t{5}}, {"rope_theta", std::monostate{}}}, 1));
  EXPECT_NE(problem({}, 3)->text.find("parallel.tensor = 3"), std::string::npos);
  EXPECT_NE(problem({{"head_dim", std::monostate{}}, {"num_attention_heads", int64_t{5}}}, 1)->text.find("head_dim"),
            std::string::npos);
}

// Row of 4 tokens: 1, 2, 3, 4 keys; with a window of 2: 1, 2, 2, 2. 4 H D operations a key.
TEST(AttentionLayer, CountsItsOperations) {
  for (const auto& [window, keys] : {std::pair<OptionValue, double>{std::monostate{}, 2.5}, {int64_t{2}, 1.75}})
    EXPECT_DOUBLE_EQ(attention_type().flops_per_token(options_of({{"sliding_window", window}}), kHidden, 4),
                     4 * 4 * 6 * keys);
}

}  // namespace
}  // namespace og

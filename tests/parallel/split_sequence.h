// A sequence cut over thread ranks in any way: pieces of tensors and documents, and runs of an op whose outputs and
// gradients are put together again.
#pragma once

#include <cstring>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include "framework/autograd/tape.h"
#include "parallel/sequence/context.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {

inline constexpr int64_t kBatch = 2;

// i32 [rows, T]: the start of each token's document.
inline Tensor starts(Context& cx, const std::vector<std::vector<int>>& rows) {
  const auto length = static_cast<int64_t>(rows[0].size());
  const Tensor t = cx.empty({static_cast<int64_t>(rows.size()), length}, DType::i32);
  for (size_t b = 0; b < rows.size(); ++b)
    std::copy(rows[b].begin(), rows[b].end(), t.data<int32_t>() + static_cast<int64_t>(b) * length);
  return t;
}

// Rows [begin, end) of dim 1, copied; and the reverse.
inline Tensor cut(Context& cx, const Tensor& x, int64_t begin, int64_t end) {
  Shape shape = x.shape();
  shape.set(1, end - begin);
  const Tensor out = cx.empty(shape, x.dtype());
  const int64_t row = shape.count_from(2) * size_of(x.dtype());
  for (int64_t b = 0; b < x.size(0); ++b)
    std::memcpy(out.raw() + b * (end - begin) * row, x.raw() + (b * x.size(1) + begin) * row,
                static_cast<size_t>((end - begin) * row));
  return out;
}
inline void paste(const Tensor& x, int64_t begin, const Tensor& part) {
  const int64_t row = x.shape().count_from(2) * size_of(x.dtype());
  for (int64_t b = 0; b < x.size(0); ++b)
    std::memcpy(x.raw() + (b * x.size(1) + begin) * row, part.raw() + b * part.size(1) * row,
                static_cast<size_t>(part.size(1) * row));
}

// This rank's piece of rows whose documents begin at row_starts; `earlier` tokens of the sequence came before.
inline SeqContext context_of(Context& cx, Comm& comm, const std::vector<int64_t>& first, const Tensor& row_starts) {
  SeqContext seq;
  seq.comm = &comm;
  seq.num_rows = row_starts.size(0);
  seq.length = first.back();
  seq.first = first;
  seq.row_starts_BT = row_starts;
  seq.start_BT = cx.empty({row_starts.size(0), seq.local_length()}, DType::i32);
  const int64_t begin = seq.begin(), length = seq.local_length();
  for (int64_t i = 0; i < seq.start_BT.count(); ++i)
    seq.start_BT.data<int32_t>()[i] =
        static_cast<int32_t>(row_starts.data<int32_t>()[i / length * row_starts.size(1) + begin + i % length] - begin);
  return seq;
}

inline const Placement kShard{{Axis::sequence, Place::varying}};
inline const Placement kCopy{{Axis::sequence, Place::replicated}};

// What a run on some split gives: outputs and gradients put together again, parameters' gradients summed.
struct Whole {
  std::vector<Tensor> shards;  // outputs and gradients [B, T, ..]
  std::vector<Tensor> sums;    // gradients of parameters, f64
};

// body(cx, tape, seq, inputs' leaves of this rank, parameter leaves) -> output.
using Body = std::function<Value(Tape&, const SeqContext&, std::span<const Value>, std::span<const Value>)>;

inline Whole run(const std::vector<int64_t>& first, const std::vector<std::vector<int>>& documents, DType dtype,
                 const std::vector<Shape>& inputs, const std::vector<Shape>& parameters, const Body& body) {
  Context outer;
  const Tensor row_starts = starts(outer, documents);
  Whole whole;
  std::vector<Tensor> x;
  for (size_t i = 0; i < inputs.size(); ++i)
    x.push_back(random_tensor(outer, inputs[i], DType::f64, 100 + i).cast(*outer.pool, dtype));
  for (const Shape& shape : parameters) whole.sums.push_back(outer.zeros(shape, DType::f64));
  whole.shards.resize(1 + inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) whole.shards[1 + i] = outer.empty(inputs[i], dtype);
  std::mutex lock;
  world(static_cast<int>(first.size()) - 1, [&](Comm& comm) {
    Context cx;
    const SeqContext seq = context_of(cx, comm, first, row_starts);
    Tape tape(cx);
    std::vector<Value> leaves, weights;
    for (const Tensor& t : x)
      leaves.push_back(Value::leaf(cut(cx, t, seq.begin(), seq.begin() + seq.local_length()), kShard));
    for (size_t i = 0; i < parameters.size(); ++i)
      weights.push_back(
          Value::leaf(random_tensor(cx, parameters[i], DType::f64, 200 + i).cast(*cx.pool, dtype), kCopy));
    const Value y = body(tape, seq, leaves, weights);
    Shape whole_shape = y.shape();
    whole_shape.set(1, row_starts.size(1));
    const Tensor seed = random_tensor(cx, whole_shape, DType::f64, 300).cast(*cx.pool, dtype);
    tape.backward(y, cut(cx, seed, seq.begin(), seq.begin() + seq.local_length()));
    const std::lock_guard hold(lock);
    if (!whole.shards[0].defined()) whole.shards[0] = outer.empty(whole_shape, dtype);
    paste(whole.shards[0], seq.begin(), y.tensor());
    for (size_t i = 0; i < leaves.size(); ++i)
      paste(whole.shards[1 + i], seq.begin(), leaves[i].slot()->gradient_or_zero(cx));
    for (size_t i = 0; i < weights.size(); ++i) {
      const Tensor g = weights[i].slot()->gradient_or_zero(cx);
      for (int64_t n = 0; n < g.count(); ++n) whole.sums[i].data<double>()[n] += g.at(n);
    }
  });
  return whole;
}

}  // namespace og

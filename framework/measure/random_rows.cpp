#include "framework/measure/random_rows.h"

#include "framework/core/rng.h"

namespace og {

Batch random_rows(Pool& pool, int64_t first, int64_t count, int64_t length, int64_t vocab_size) {
  Batch b{Tensor::empty(pool, {count, length}, DType::i32), Tensor::empty(pool, {count, length}, DType::i32),
          Tensor::zeros(pool, {count, length}, DType::i32), count * length};
  for (int64_t r = 0; r < count; ++r) {
    const RandomKey key = random_key(static_cast<uint64_t>(first + r), "bench rows");
    const auto token = [&](int64_t t) {
      return static_cast<int32_t>(random_below(key, static_cast<uint64_t>(t), static_cast<uint64_t>(vocab_size)));
    };
    for (int64_t t = 0; t < length; ++t) {
      b.tokens_BT.data<int32_t>()[r * length + t] = token(t);
      b.targets_BT.data<int32_t>()[r * length + t] = token(t + 1);
    }
  }
  return b;
}

}  // namespace og

// How layers work over a split sequence: as the config says it (parallel.sequence_method, .softmax_sequence_method,
// .sequence_order, .overlap).
#pragma once

#include <cstdint>

namespace og {

// Rows of the tables in parallel/sequence/methods.h, which name them. The first rows, lasp2 and all_gather_kv, are what
// is taken unless something else is chosen.
enum class LinearMethod : uint8_t {};
enum class SoftmaxMethod : uint8_t {};
enum class SequenceOrder : uint8_t { contiguous, zigzag };
inline const char* name_of(SequenceOrder order) { return order == SequenceOrder::zigzag ? "zigzag" : "contiguous"; }

struct SequenceOptions {
  LinearMethod linear{};
  SoftmaxMethod softmax{};
  SequenceOrder order = SequenceOrder::contiguous;
  bool overlap = true;  // false: every transfer is waited for where it starts, to measure what overlap buys
  // bench sequence alone: a linear method by left products, as the LASP-2 paper ran its rivals.
  bool left_products = false;
};

}  // namespace og

// The ops on one rank, a row each: those of framework/ops, and the scan of each gate family. Two things run over them:
// gradients against differences (tests/ops/op_table_test.cpp, which fails for an op without a row) and `bench op`.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "framework/autograd/tape.h"
#include "parallel/sequence/context.h"

namespace og {

// Elements are shift + scale * normal.
struct OpInput {
  Shape small, timed;
  double shift = 0, scale = 1;
  Placement place{};
  bool is_weight = false;  // its dim 0 does not count tokens or rows of the batch
};

struct OpRow {
  std::string name;  // the function, then what is special of this row
  std::vector<OpInput> inputs;
  struct {
    double forward, backward;
  } flops{};  // what the formula needs at the timed shapes
  // seq: kSmallTokens or kTimedTokens, on one rank.
  std::function<Value(Tape&, std::span<const Value>, const SeqContext&)> run;
  double bound = 1e-5;  // relative difference from the reference that rounding explains
  bool bf16 = false;
  bool is_timed = true;  // false: it moves nothing forward, its result is the input's memory
};

// Rows of the batch and tokens of the inputs that have a sequence.
struct OpTokens {
  int64_t rows, length;
};
constexpr OpTokens kSmallTokens{2, 5}, kTimedTokens{1, 2048};
constexpr struct { int64_t count, width; } kTimedHeads{8, 64};

std::vector<OpRow> op_table();

Tensor random_elements(Context& cx, const Shape& shape, DType dtype, uint64_t key, double shift = 0, double scale = 1);
// The row's inputs, random, the same at each call.
std::vector<Value> leaves_of(Context& cx, const OpRow& row, bool timed, DType dtype);

}  // namespace og

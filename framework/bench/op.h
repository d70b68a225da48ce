// `onegather bench op`: single ops, forward and backward, each first checked against the reference kernels, then timed
// and compared with the rates of a matrix product and of memory that are measured beside it.
#pragma once

#include <string>
#include <vector>

#include "framework/io/json.h"

namespace og {

struct OpBenchRow {
  std::string name;             // "gla backward"
  std::string shape;            // "[1, 2048, 8, 64]"
  double seconds = 0;           // best
  double flops = 0, bytes = 0;  // what the formula needs; bytes that must be read and written
  double check_error = 0;       // largest difference from the reference, relative to the largest value
  double gemm_flops_per_second = 0, bytes_per_second = 0;  // the limits, best of those measured between its passes
};

struct OpBenchResult {
  double gemm_flops_per_second = 0, bytes_per_second = 0;  // f32 products, memory: at the start
  int threads = 1;
  std::vector<OpBenchRow> rows;
};

// Ops whose name contains `filter`. An op that disagrees with its reference is Error(Status::internal): no figures.
OpBenchResult bench_ops(const std::string& filter, int threads);

std::string describe(const OpBenchResult& result);
Json to_json(const OpBenchResult& result);

}  // namespace og

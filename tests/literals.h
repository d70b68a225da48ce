// Kernels held to numbers from outside the project: on which types and implementations they run, and how near the
// results must be. tests/golden/literals.py works the numbers out with 60 digits.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "framework/kernels/dispatch.h"

namespace og {

// Half a last digit.
template <class T>
constexpr double kU = std::numeric_limits<T>::epsilon() / 2;

// How often an input is repeated: whole vectors of every instruction set and a rest.
constexpr int64_t kCopies = 37;

// Numbers that T has no digits for may become 0 (processors flush them), or infinite if they are too large.
template <class T>
void expect_near(T found, double expected, double bound, const std::string& what) {
  if (std::abs(expected) > static_cast<double>(std::numeric_limits<T>::max())) {
    EXPECT_EQ(found, std::copysign(std::numeric_limits<T>::infinity(), static_cast<T>(expected))) << what;
    return;
  }
  EXPECT_NEAR(found, expected, bound + static_cast<double>(std::numeric_limits<T>::min())) << what;
}

// body(T{}, stream, name) for each type and implementation.
template <class Body>
void on_every_kernel(Body&& body) {
  const Stream ref{.backend = Backend::ref}, cpu{.backend = Backend::cpu};
  body(double{}, ref, std::string("f64"));
  body(float{}, ref, std::string("f32 ref"));
  body(float{}, cpu, std::string("f32 ") + name_of(best_isa()));
}

template <class T>
std::vector<T> times(const std::vector<double>& x, int64_t copies) {
  std::vector<T> out;
  for (int64_t c = 0; c < copies; ++c)
    for (const double v : x) out.push_back(static_cast<T>(v));
  return out;
}

inline double largest(const std::vector<double>& x) {
  double most = 0;
  for (const double v : x) most = std::max(most, std::abs(v));
  return most;
}

}  // namespace og

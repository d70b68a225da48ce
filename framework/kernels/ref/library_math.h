// The C library's elementary functions, for the loops of kernels/loops.
#pragma once

#include <cmath>

namespace og {

template <class T>
struct LibraryMath {
  static T exp(T x) { return std::exp(x); }
  static T log1p(T x) { return std::log1p(x); }
  static T one_minus_exp(T x) { return -std::expm1(x); }
  // Twice the integral of the normal density up to x.
  static T two_phi(T x) { return std::erfc(x * T(-0.70710678118654752440)); }
};

}  // namespace og

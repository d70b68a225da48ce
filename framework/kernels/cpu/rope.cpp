// Rotary positions. The angle of position p is that of p rounded down to a multiple of kStep plus a rest from a small
// table, joined by the addition theorems in double: the result depends on p alone, and sines cost little.
#include "framework/kernels/rope.h"

#include <algorithm>
#include <cmath>

namespace og::OG_ISA {

namespace {

constexpr int64_t kStep = 32;
constexpr int64_t kWidestHalf = 128;

// cos and sin of (position * frequency_i) for i < half, from an anchor that is kept between calls.
class Angles {
 public:
  Angles(int64_t width, double theta, int direction) : half_(width / 2) {
    for (int64_t i = 0; i < half_; ++i) {
      frequency_[i] = direction * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
      for (int64_t p = 0; p < kStep; ++p) {
        rest_cos_[p][i] = std::cos(static_cast<double>(p) * frequency_[i]);
        rest_sin_[p][i] = std::sin(static_cast<double>(p) * frequency_[i]);
      }
    }
  }

  void at(int64_t position, float* c, float* s) {
    const int64_t rest = position % kStep, anchor = position - rest;
    if (anchor != anchor_) {
      anchor_ = anchor;
      for (int64_t i = 0; i < half_; ++i) {
        anchor_cos_[i] = std::cos(static_cast<double>(anchor) * frequency_[i]);
        anchor_sin_[i] = std::sin(static_cast<double>(anchor) * frequency_[i]);
      }
    }
    const double* rest_c = rest_cos_[rest];
    const double* rest_s = rest_sin_[rest];
#pragma omp simd
    for (int64_t i = 0; i < half_; ++i) {
      c[i] = static_cast<float>(anchor_cos_[i] * rest_c[i] - anchor_sin_[i] * rest_s[i]);
      s[i] = static_cast<float>(anchor_sin_[i] * rest_c[i] + anchor_cos_[i] * rest_s[i]);
    }
  }

 private:
  int64_t half_, anchor_ = -1;
  double frequency_[kWidestHalf], anchor_cos_[kWidestHalf], anchor_sin_[kWidestHalf];
  double rest_cos_[kStep][kWidestHalf], rest_sin_[kStep][kWidestHalf];
};

template <bool kAdd>
void rotate_rows(View<float, 4> y, View<const float, 4> x, View<const int32_t, 2> start, double theta, int direction,
                 int64_t begin, int64_t end) {
  const int64_t length = x.shape[1], heads = x.shape[2], width = x.shape[3], half = width / 2;
  Angles angles(width, theta, direction);
  float c[kWidestHalf], s[kWidestHalf];
  for (int64_t row = begin; row < end; ++row) {
    const int64_t b = row / length, t = row % length;
    angles.at(t - start(b, t), c, s);
    for (int64_t h = 0; h < heads; ++h) {
      const float* from = &x(b, t, h);
      float* to = &y(b, t, h);
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float low = from[i], high = from[i + half];
        const float first = low * c[i] - high * s[i], second = high * c[i] + low * s[i];
        to[i] = kAdd ? to[i] + first : first;
        to[i + half] = kAdd ? to[i + half] + second : second;
      }
    }
  }
}

void rotate(const Stream& stream, View<float, 4> y, Put put, View<const float, 4> x, View<const int32_t, 2> start,
            double theta, int direction) {
  // A few rows (decoding) do not pay for the table.
  if (x.shape[3] / 2 > kWidestHalf || x.shape[0] * x.shape[1] < kStep)
    return rope_ref<float>().rotate(stream, y, put, x, start, theta, direction);
  stream.parallel_for(x.shape[0] * x.shape[1], 2 * kStep, [&](int64_t begin, int64_t end) {
    if (put == Put::add) {
      rotate_rows<true>(y, x, start, theta, direction, begin, end);
    } else {
      rotate_rows<false>(y, x, start, theta, direction, begin, end);
    }
  });
}

}  // namespace

const RopeKernels<float>& rope_table() {
  static const RopeKernels<float> table{rotate};
  return table;
}

}  // namespace og::OG_ISA

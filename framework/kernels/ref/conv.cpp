#include "framework/kernels/conv.h"

#include <algorithm>
#include <cmath>

namespace og {

namespace {

template <class T>
T sigmoid(T z) {
  return T{1} / (T{1} + std::exp(-z));
}

// The first source token that token t of row b reads.
template <class T>
int64_t first_source(const ConvInputs<T>& in, int64_t b, int64_t t) {
  return std::max<int64_t>(t - in.weight.shape[1] + 1, in.start(b, t));
}

template <class T>
T source(const ConvInputs<T>& in, int64_t b, int64_t s, int64_t c) {
  return s >= 0 ? in.x(b, s, c) : in.left(b, in.weight.shape[1] - 1 + s, c);
}

template <class T>
T before_activation(const ConvInputs<T>& in, int64_t b, int64_t t, int64_t c) {
  const int64_t taps = in.weight.shape[1];
  T z = in.bias ? in.bias(c) : T{0};
  for (int64_t s = first_source(in, b, t); s <= t; ++s) z += in.weight(c, taps - 1 - t + s) * source(in, b, s, c);
  return z;
}

template <class T>
void forward(const Stream&, View<T, 3> y, const ConvInputs<T>& in) {
  for (int64_t b = 0; b < in.x.shape[0]; ++b) {
    for (int64_t t = 0; t < in.x.shape[1]; ++t) {
      for (int64_t c = 0; c < in.x.shape[2]; ++c) {
        const T z = before_activation(in, b, t, c);
        y(b, t, c) = in.activation == ConvActivation::silu ? z * sigmoid(z) : z;
      }
    }
  }
}

template <class V>
void clear(V view, Put put) {
  if (view && put == Put::write) std::fill_n(view.data, view.size(), 0);
}

template <class T>
void backward(const Stream&, const ConvGradients<T>& out, View<const T, 3> dy, const ConvInputs<T>& in) {
  const int64_t taps = in.weight.shape[1];
  clear(out.dx, out.put_dx);
  clear(out.dleft, out.put_dleft);
  clear(out.dweight, out.put_dweight);
  clear(out.dbias, out.put_dbias);
  for (int64_t b = 0; b < in.x.shape[0]; ++b) {
    for (int64_t t = 0; t < in.x.shape[1]; ++t) {
      for (int64_t c = 0; c < in.x.shape[2]; ++c) {
        T dz = dy(b, t, c);
        if (in.activation == ConvActivation::silu) {
          const T z = before_activation(in, b, t, c), s = sigmoid(z);
          dz *= s * (T{1} + z * (T{1} - s));
        }
        if (out.dbias) out.dbias(c) += dz;
        for (int64_t s = first_source(in, b, t); s <= t; ++s) {
          const int64_t tap = taps - 1 - t + s;
          if (out.dweight) out.dweight(c, tap) += dz * source(in, b, s, c);
          if (s >= 0 && out.dx) out.dx(b, s, c) += dz * in.weight(c, tap);
          if (s < 0 && out.dleft) out.dleft(b, taps - 1 + s, c) += dz * in.weight(c, tap);
        }
      }
    }
  }
}

}  // namespace

template <class T>
const ConvKernels<T>& conv_ref() {
  static constexpr ConvKernels<T> table{.forward = forward<T>, .backward = backward<T>};
  return table;
}
template const ConvKernels<float>& conv_ref<float>();
template const ConvKernels<double>& conv_ref<double>();

}  // namespace og

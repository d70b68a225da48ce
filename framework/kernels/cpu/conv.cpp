// Short convolution over strips of channels, so that the few rows that a token reads stay in the first level cache:
// forward 4 bytes read and 4 written per element, backward 8 read (x, dy) and 4 written.
#include "framework/kernels/conv.h"

#include <algorithm>
#include <type_traits>

#include "framework/kernels/cpu/simd.h"

namespace og::OG_ISA {

namespace {

constexpr int64_t kStrip = 1024;  // channels at most
constexpr int64_t kMostTaps = 8;
constexpr int64_t kTokens = 8;  // taken together: weights and their gradients stay in registers meanwhile
constexpr int64_t kTask = 256;  // tokens of a forward task

alignas(64) constexpr float kZeros[kStrip] = {};

Vec sigmoid(Vec z) {
  // exp of a number <= 0: sigmoid(|z|) = 1 / (1 + e), sigmoid(-|z|) = e / (1 + e).
  const Vec e = exponential(z > 0.0F ? -z : z);
  return (z > 0.0F ? broadcast(1.0F) : e) / (1.0F + e);
}

// One vector of a row of x, dy or dx, of which `count` channels are left. Whole vectors would run over the end.
template <bool kWhole>
inline Vec load_row(const float* p, int64_t count) {
  if constexpr (kWhole) return load(p);
  float buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(count) * sizeof(float));
  return load(buffer);
}
template <bool kWhole>
inline void store_row(float* p, Vec v, int64_t count) {
  if constexpr (kWhole) return store(p, v);
  float buffer[kLanes];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(float));
}

// The weights of one strip of channels, a row per tap.
struct Strip {
  int64_t taps, first, count;  // channels [first, first + count)
  alignas(64) float weight[kMostTaps][kStrip], bias[kStrip];

  Strip(const ConvInputs<float>& in, int64_t first_channel, int64_t width)
      : taps(in.weight.shape[1]), first(first_channel), count(std::min(width, in.x.shape[2] - first_channel)) {
    for (int64_t c = 0; c < whole_vectors(count); ++c) {
      for (int64_t i = 0; i < taps; ++i) weight[i][c] = c < count ? in.weight(first + c, i) : 0;
      bias[c] = in.bias && c < count ? in.bias(first + c) : 0;
    }
  }

  // rows[i]: what tap i of token t reads; zeros where that is another document.
  void sources(const float** rows, const ConvInputs<float>& in, int64_t b, int64_t t) const {
    for (int64_t i = 0; i < taps; ++i) {
      const int64_t s = t - taps + 1 + i;
      rows[i] = s < in.start(b, t) ? kZeros : s >= 0 ? &in.x(b, s, first) : &in.left(b, taps - 1 + s, first);
    }
  }

  // f(channel, whether a whole vector is left) for every vector of the strip. The flag is a compile-time constant.
  template <class F>
  void for_each_vector(F&& f) const {
    int64_t c = 0;
    for (; c + kLanes <= count; c += kLanes) f(c, std::true_type{});
    if (c < count) f(c, std::false_type{});
  }
};

// kTaps 0 in the functions below: any number of taps.
template <int kTaps>
struct Weights {
  Vec bias, tap[kTaps > 0 ? kTaps : kMostTaps];
  Weights(const Strip& strip, int64_t c) : bias(load(strip.bias + c)) {
    for (int64_t i = 0; i < (kTaps > 0 ? kTaps : strip.taps); ++i) tap[i] = load(strip.weight[i] + c);
  }
};

template <int kTaps>
void forward_tokens(View<float, 3> y, const ConvInputs<float>& in, const Strip& strip, int64_t b, int64_t begin,
                    int64_t count) {
  const int64_t taps = kTaps > 0 ? kTaps : strip.taps;
  const float* rows[kTokens][kMostTaps];
  for (int64_t n = 0; n < count; ++n) strip.sources(rows[n], in, b, begin + n);
  strip.for_each_vector([&](int64_t c, auto whole) {
    constexpr bool kWhole = decltype(whole)::value;
    const Weights<kTaps> w(strip, c);
    for (int64_t n = 0; n < count; ++n) {
      Vec z = w.bias;
      for (int64_t i = 0; i < taps; ++i) z += w.tap[i] * load_row<kWhole>(rows[n][i] + c, strip.count - c);
      if (in.activation == ConvActivation::silu) z *= sigmoid(z);
      store_row<kWhole>(&y(b, begin + n, strip.first) + c, z, strip.count - c);
    }
  });
}

void forward(const Stream& stream, View<float, 3> y, const ConvInputs<float>& in) {
  if (in.weight.shape[1] > kMostTaps) return conv_ref<float>().forward(stream, y, in);
  const int64_t strips = (in.x.shape[2] + kStrip - 1) / kStrip, blocks = (in.x.shape[1] + kTask - 1) / kTask;
  const auto run = in.weight.shape[1] == 4 ? forward_tokens<4> : forward_tokens<0>;
  const int64_t task_size = std::min(kTask, in.x.shape[1]) * std::min(kStrip, in.x.shape[2]) * in.weight.shape[1];
  const int64_t least = kProductsOfAThread / (task_size + 1) + 1;
  stream.parallel_for(in.x.shape[0] * blocks * strips, least, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / strips / blocks, first = task / strips % blocks * kTask;
      const int64_t last = std::min(first + kTask, in.x.shape[1]);
      const Strip strip(in, task % strips * kStrip, kStrip);
      for (int64_t t = first; t < last; t += kTokens) run(y, in, strip, b, t, std::min(kTokens, last - t));
    }
  });
}

// One strip of channels over all tokens. dx is gathered: dx_s is written once dz of the tokens up to s + W - 1 is
// there.
struct BackwardStrip {
  const ConvGradients<float>& out;
  const ConvInputs<float>& in;
  Strip strip;
  alignas(64) float dweight[kMostTaps][kStrip] = {}, dbias[kStrip] = {};
  alignas(64) float dz[2 * kTokens][kStrip];  // token t lies in row t mod 2 kTokens; a block reads the one before it

  BackwardStrip(const ConvGradients<float>& gradients, const ConvInputs<float>& inputs, int64_t first, int64_t width)
      : out(gradients), in(inputs), strip(inputs, first, width) {}

  template <int kTaps>
  void compute_dz(View<const float, 3> dy, int64_t b, int64_t begin, int64_t count) {
    const int64_t taps = kTaps > 0 ? kTaps : strip.taps;
    const float* rows[kTokens][kMostTaps];
    for (int64_t n = 0; n < count; ++n) strip.sources(rows[n], in, b, begin + n);
    strip.for_each_vector([&](int64_t c, auto whole) {
      constexpr bool kWhole = decltype(whole)::value;
      const Weights<kTaps> w(strip, c);
      Vec dw[kTaps > 0 ? kTaps : kMostTaps], db = load(dbias + c);
      for (int64_t i = 0; i < taps; ++i) dw[i] = load(dweight[i] + c);
      for (int64_t n = 0; n < count; ++n) {
        Vec x[kTaps > 0 ? kTaps : kMostTaps];
        for (int64_t i = 0; i < taps; ++i) x[i] = load_row<kWhole>(rows[n][i] + c, strip.count - c);
        Vec d = load_row<kWhole>(&dy(b, begin + n, strip.first) + c, strip.count - c);
        if (in.activation == ConvActivation::silu) {
          Vec z = w.bias;
          for (int64_t i = 0; i < taps; ++i) z += w.tap[i] * x[i];
          const Vec s = sigmoid(z);
          d *= s * (1.0F + z * (1.0F - s));
        }
        store(dz[(begin + n) % (2 * kTokens)] + c, d);
        db += d;
        for (int64_t i = 0; i < taps; ++i) dw[i] += d * x[i];
      }
      store(dbias + c, db);
      for (int64_t i = 0; i < taps; ++i) store(dweight[i] + c, dw[i]);
    });
  }

  // dx of source tokens [begin, begin + count), all >= 0 or all < 0 (then dleft). Tokens s .. s + W - 1 that exist and
  // are of the document of s contribute.
  template <int kTaps>
  void write_dx(int64_t b, int64_t begin, int64_t count) {
    const int64_t taps = kTaps > 0 ? kTaps : strip.taps, shift = begin < 0 ? taps - 1 : 0;
    const View<float, 3>& target = begin < 0 ? out.dleft : out.dx;
    if (!target) return;
    const Put put = begin < 0 ? out.put_dleft : out.put_dx;
    const float* from[kTokens][kMostTaps];
    for (int64_t n = 0; n < count; ++n)
      for (int64_t i = 0; i < taps; ++i) {
        const int64_t t = begin + n + taps - 1 - i;
        const bool reads = t >= 0 && t < in.x.shape[1] && in.start(b, t) <= begin + n;
        from[n][i] = reads ? dz[t % (2 * kTokens)] : kZeros;
      }
    strip.for_each_vector([&](int64_t c, auto whole) {
      constexpr bool kWhole = decltype(whole)::value;
      const Weights<kTaps> w(strip, c);
      for (int64_t n = 0; n < count; ++n) {
        float* to = &target(b, begin + n + shift, strip.first) + c;
        Vec d = put == Put::add ? load_row<kWhole>(to, strip.count - c) : Vec{};
        for (int64_t i = 0; i < taps; ++i) d += w.tap[i] * load(from[n][i] + c);
        store_row<kWhole>(to, d, strip.count - c);
      }
    });
  }

  template <int kTaps>
  void run(View<const float, 3> dy) {
    const int64_t length = in.x.shape[1], lag = strip.taps - 1;
    for (int64_t b = 0; b < in.x.shape[0]; ++b) {
      int64_t written = -lag;  // dx of sources before this one
      const auto write_up_to = [&](int64_t end) {
        while (written < end) {
          const int64_t border = written < 0 ? std::min<int64_t>(end, 0) : end;
          const int64_t count = std::min(kTokens, border - written);
          write_dx<kTaps>(b, written, count);
          written += count;
        }
      };
      for (int64_t t = 0; t < length; t += kTokens) {
        const int64_t count = std::min(kTokens, length - t);
        compute_dz<kTaps>(dy, b, t, count);
        write_up_to(t + count - lag);
      }
      write_up_to(length);
    }
  }

  void put_parameters() const {
    for (int64_t c = 0; c < strip.count; ++c) {
      if (out.dbias) og::store(out.dbias(strip.first + c), out.put_dbias, dbias[c]);
      for (int64_t i = 0; out.dweight && i < strip.taps; ++i)
        og::store(out.dweight(strip.first + c, i), out.put_dweight, dweight[i][c]);
    }
  }
};

void backward(const Stream& stream, const ConvGradients<float>& out, View<const float, 3> dy,
              const ConvInputs<float>& in) {
  if (in.weight.shape[1] > kMostTaps) return conv_ref<float>().backward(stream, out, dy, in);
  const int64_t channels = in.x.shape[2];  // divided over the threads, in whole cache lines
  const int64_t width = std::clamp<int64_t>((channels / stream.num_threads + 15) / 16 * 16, 64, kStrip);
  stream.parallel_for((channels + width - 1) / width, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      BackwardStrip strip(out, in, task * width, width);
      if (in.weight.shape[1] == 4) {
        strip.run<4>(dy);
      } else {
        strip.run<0>(dy);
      }
      strip.put_parameters();
    }
  });
}

}  // namespace

const ConvKernels<float>& conv_table() {
  static const ConvKernels<float> table{forward, backward};
  return table;
}

}  // namespace og::OG_ISA

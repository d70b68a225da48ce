// Short convolution over strips of channels, so that the few rows that a token reads stay in the first level cache:
// forward 4 bytes read and 4 written per element, backward 8 read (x, dy) and 4 written.
#include "framework/kernels/conv.h"

#include <algorithm>
#include <cmath>

#include "framework/kernels/cpu/block_product.h"

namespace og::OG_ISA {

namespace {

constexpr int64_t kStrip = 256;  // channels
constexpr int64_t kMostTaps = 8;
constexpr int64_t kTokens = 256;  // of a forward task

alignas(64) constexpr float kZeros[kStrip] = {};

Vec sigmoid(Vec z) {
  // exp of a number <= 0: sigmoid(|z|) = 1 / (1 + e), sigmoid(-|z|) = e / (1 + e).
  const Vec e = exponential(z > 0.0F ? -z : z), small = e / (1.0F + e);
  return z > 0.0F ? 1.0F / (1.0F + e) : small;
}

// Weights of one strip, a row per tap, and the sources of a token.
struct Strip {
  int64_t taps, first, count, padded;  // channels [first, first + count), padded to whole vectors
  alignas(64) float weight[kMostTaps][kStrip], bias[kStrip];

  Strip(const ConvInputs<float>& in, int64_t first_channel)
      : taps(in.weight.shape[1]),
        first(first_channel),
        count(std::min(kStrip, in.x.shape[2] - first_channel)),
        padded(whole_vectors(count)) {
    for (int64_t c = 0; c < kStrip; ++c) {
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
};

// Loads of whole vectors would run over the end of the last row of x: the last strip's remainder goes element by
// element through this.
Vec load_some(const float* p, int64_t count) {
  if (count >= kLanes) return load(p);
  float buffer[kLanes] = {};
  std::memcpy(buffer, p, static_cast<size_t>(count) * sizeof(float));
  return load(buffer);
}
void store_some(float* p, Vec v, int64_t count) {
  if (count >= kLanes) return store(p, v);
  float buffer[kLanes];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(float));
}

// z of one vector of channels. kTaps 0: any number of taps.
template <int kTaps>
inline Vec before_activation(const Strip& strip, const float* const* rows, int64_t c) {
  Vec z = load(strip.bias + c);
  const int64_t taps = kTaps > 0 ? kTaps : strip.taps;
  for (int64_t i = 0; i < taps; ++i) z += load(strip.weight[i] + c) * load_some(rows[i] + c, strip.count - c);
  return z;
}

template <int kTaps>
void forward_tokens(View<float, 3> y, const ConvInputs<float>& in, const Strip& strip, int64_t b, int64_t begin,
                    int64_t end) {
  const float* rows[kMostTaps];
  for (int64_t t = begin; t < end; ++t) {
    strip.sources(rows, in, b, t);
    float* to = &y(b, t, strip.first);
    for (int64_t c = 0; c < strip.count; c += kLanes) {
      Vec z = before_activation<kTaps>(strip, rows, c);
      if (in.activation == ConvActivation::silu) z *= sigmoid(z);
      store_some(to + c, z, strip.count - c);
    }
  }
}

void forward(const Stream& stream, View<float, 3> y, const ConvInputs<float>& in) {
  if (in.weight.shape[1] > kMostTaps) return conv_ref<float>().forward(stream, y, in);
  const int64_t strips = (in.x.shape[2] + kStrip - 1) / kStrip, blocks = (in.x.shape[1] + kTokens - 1) / kTokens;
  stream.parallel_for(in.x.shape[0] * blocks * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / strips / blocks, first = task / strips % blocks * kTokens;
      const Strip strip(in, task % strips * kStrip);
      const auto run = in.weight.shape[1] == 4 ? forward_tokens<4> : forward_tokens<0>;
      run(y, in, strip, b, first, std::min(first + kTokens, in.x.shape[1]));
    }
  });
}

// One strip of channels over all tokens. dx is gathered: once dz of tokens up to s + W - 1 is known, dx_s is written.
struct BackwardStrip {
  const ConvGradients<float>& out;
  const ConvInputs<float>& in;
  Strip strip;
  alignas(64) float dweight[kMostTaps][kStrip] = {}, dbias[kStrip] = {}, dz[kMostTaps][kStrip];

  BackwardStrip(const ConvGradients<float>& gradients, const ConvInputs<float>& inputs, int64_t first)
      : out(gradients), in(inputs), strip(inputs, first) {}

  void compute_dz(View<const float, 3> dy, int64_t b, int64_t t) {
    const float* rows[kMostTaps];
    strip.sources(rows, in, b, t);
    float* here = dz[t % strip.taps];
    const float* from = &dy(b, t, strip.first);
    for (int64_t c = 0; c < strip.count; c += kLanes) {
      Vec d = load_some(from + c, strip.count - c);
      if (in.activation == ConvActivation::silu) {
        const Vec z = before_activation<0>(strip, rows, c), s = sigmoid(z);
        d *= s * (1.0F + z * (1.0F - s));
      }
      store(here + c, d);
      store(dbias + c, load(dbias + c) + d);
      for (int64_t i = 0; i < strip.taps; ++i)
        store(dweight[i] + c, load(dweight[i] + c) + d * load_some(rows[i] + c, strip.count - c));
    }
  }

  // dx or dleft of source token s; tokens s .. s + W - 1 that exist and are of its document contribute.
  void write_dx(int64_t b, int64_t s) {
    const View<float, 3>& target = s >= 0 ? out.dx : out.dleft;
    if (!target) return;
    const Put put = s >= 0 ? out.put_dx : out.put_dleft;
    float* to = s >= 0 ? &target(b, s, strip.first) : &target(b, strip.taps - 1 + s, strip.first);
    const float* from[kMostTaps];
    for (int64_t i = 0; i < strip.taps; ++i) {
      const int64_t t = s + strip.taps - 1 - i;
      from[i] = t >= 0 && t < in.x.shape[1] && in.start(b, t) <= s ? dz[t % strip.taps] : kZeros;
    }
    for (int64_t c = 0; c < strip.count; c += kLanes) {
      Vec d = put == Put::add ? load_some(to + c, strip.count - c) : Vec{};
      for (int64_t i = 0; i < strip.taps; ++i) d += load(strip.weight[i] + c) * load(from[i] + c);
      store_some(to + c, d, strip.count - c);
    }
  }

  void run(View<const float, 3> dy) {
    for (int64_t b = 0; b < in.x.shape[0]; ++b) {
      for (int64_t t = 0; t < in.x.shape[1] + strip.taps - 1; ++t) {
        if (t < in.x.shape[1]) compute_dz(dy, b, t);
        write_dx(b, t - strip.taps + 1);
      }
    }
    for (int64_t c = 0; c < strip.count; ++c) {
      if (out.dbias) {
        float& to = out.dbias(strip.first + c);
        to = out.put_dbias == Put::add ? to + dbias[c] : dbias[c];
      }
      if (!out.dweight) continue;
      for (int64_t i = 0; i < strip.taps; ++i) {
        float& to = out.dweight(strip.first + c, i);
        to = out.put_dweight == Put::add ? to + dweight[i][c] : dweight[i][c];
      }
    }
  }
};

void backward(const Stream& stream, const ConvGradients<float>& out, View<const float, 3> dy,
              const ConvInputs<float>& in) {
  if (in.weight.shape[1] > kMostTaps) return conv_ref<float>().backward(stream, out, dy, in);
  stream.parallel_for((in.x.shape[2] + kStrip - 1) / kStrip, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) BackwardStrip(out, in, task * kStrip).run(dy);
  });
}

}  // namespace

const ConvKernels<float>& conv_table() {
  static const ConvKernels<float> table{forward, backward};
  return table;
}

}  // namespace og::OG_ISA

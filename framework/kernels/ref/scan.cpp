// The recurrences token by token. Backward keeps the state at every 32nd token and recomputes those between.
#include "framework/kernels/scan.h"

#include <algorithm>
#include <cmath>

namespace og {

namespace {

constexpr int64_t kSegment = 32;  // tokens between two kept states

// One batch row and head.
template <class T>
struct Row {
  const ScanInputs<T>& in;
  int64_t b, h, K, V;

  Row(const ScanInputs<T>& inputs, int64_t i)
      : in(inputs), b(i / inputs.heads()), h(i % inputs.heads()), K(inputs.key_size()), V(inputs.value_size()) {}

  const T* q(int64_t t) const { return &in.q(b, t, h); }
  const T* k(int64_t t) const { return &in.k(b, t, h); }
  const T* v(int64_t t) const { return &in.v(b, t, h); }
  bool begins(int64_t t) const { return in.start(b, t) == t; }
  T decay(int64_t t, int64_t c) const {
    return in.g ? std::exp(in.g(b, t, h, in.g.shape[3] == 1 ? int64_t{0} : c)) : T{1};
  }

  // S [K, width] over token t; width - V further columns carry no value (they become the transition). sum: [width].
  void step(int64_t t, T* S, int64_t width, T* sum) const {
    if (begins(t)) std::fill(S, S + K * width, T{0});
    for (int64_t c = 0; c < K; ++c) {
      const T a = decay(t, c);
      for (int64_t j = 0; j < width; ++j) S[c * width + j] *= a;
    }
    if (in.beta) {
      std::fill(sum, sum + width, T{0});
      for (int64_t j = 0; j < V; ++j) sum[j] = -v(t)[j];
      for (int64_t c = 0; c < K; ++c)
        for (int64_t j = 0; j < width; ++j) sum[j] += k(t)[c] * S[c * width + j];
      const T beta = in.beta(b, t, h);
      for (int64_t c = 0; c < K; ++c)
        for (int64_t j = 0; j < width; ++j) S[c * width + j] -= beta * k(t)[c] * sum[j];
    } else {
      for (int64_t c = 0; c < K; ++c)
        for (int64_t j = 0; j < V; ++j) S[c * width + j] += k(t)[c] * v(t)[j];
    }
  }

  // D, the gradient of S_t without token t's own read, to the gradient of S_{t-1}.
  void step_back(int64_t t, T* D, const T* dout, T* sum) const {
    for (int64_t c = 0; c < K; ++c)
      for (int64_t j = 0; j < V; ++j) D[c * V + j] += in.scale * q(t)[c] * dout[j];
    if (in.beta) {
      std::fill(sum, sum + V, T{0});
      for (int64_t c = 0; c < K; ++c)
        for (int64_t j = 0; j < V; ++j) sum[j] += k(t)[c] * D[c * V + j];
      const T beta = in.beta(b, t, h);
      for (int64_t c = 0; c < K; ++c)
        for (int64_t j = 0; j < V; ++j) D[c * V + j] -= beta * k(t)[c] * sum[j];
    }
    for (int64_t c = 0; c < K; ++c) {
      const T a = begins(t) ? T{0} : decay(t, c);
      for (int64_t j = 0; j < V; ++j) D[c * V + j] *= a;
    }
  }
};

template <class T>
void load(T* S, View<const T, 4> state, int64_t i, int64_t n) {
  if (state)
    std::copy(state.data + i * n, state.data + (i + 1) * n, S);
  else
    std::fill(S, S + n, T{0});
}

// Per row and head: a state with room for the transition's columns, two sums, and the kept states of backward.
template <class T>
int64_t row_size(const ScanInputs<T>& in, ScanCall call) {
  const int64_t K = in.key_size(), V = in.value_size();
  if (call == ScanCall::forward) return K * V + V;
  if (call == ScanCall::phases) return (K + 1) * (K + V);
  const int64_t kept = in.tokens() / kSegment + 1 + kSegment;
  return (kept + 2) * K * V + 2 * (K + V);
}

template <class T>
int64_t workspace(const Stream&, const ScanInputs<T>& in, ScanCall call) {
  return in.rows() * in.heads() * row_size(in, call);
}

template <class T, class Body>
void for_rows(const Stream& stream, const ScanInputs<T>& in, Body&& body) {
  const int64_t least = kProductsOfAThread / (in.tokens() * in.key_size() * in.value_size() + 1) + 1;
  stream.parallel_for(in.rows() * in.heads(), least, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

template <class T>
void run(const Stream& stream, View<T, 4> o, View<T, 4> exit, View<T, 1> work, const ScanInputs<T>& in,
         View<const T, 4> entry, ScanCall call) {
  for_rows(stream, in, [&](int64_t i) {
    const Row<T> row(in, i);
    const int64_t n = row.K * row.V;
    T* S = work.data + i * row_size(in, call);
    load(S, entry, i, n);
    for (int64_t t = 0; t < in.tokens(); ++t) {
      row.step(t, S, row.V, S + n);
      T* out = &o(row.b, t, row.h);
      std::fill(out, out + row.V, T{0});
      for (int64_t c = 0; c < row.K; ++c)
        for (int64_t j = 0; j < row.V; ++j) out[j] += in.scale * row.q(t)[c] * S[c * row.V + j];
    }
    if (exit) std::copy(S, S + n, exit.data + i * n);
  });
}

template <class T>
void forward(const Stream& stream, View<T, 4> o, View<T, 4> exit, View<T, 1> work, const ScanInputs<T>& in,
             View<const T, 4> entry) {
  run(stream, o, exit, work, in, entry, ScanCall::forward);
}

template <class T>
void summarise(const Stream& stream, View<T, 3> a, View<T, 4> b, View<T, 1> work, const ScanInputs<T>& in) {
  for_rows(stream, in, [&](int64_t i) {
    const Row<T> row(in, i);
    const int64_t K = row.K, V = row.V, n = in.transition_size(), width = in.beta ? V + K : V;
    T* S = work.data + i * row_size(in, ScanCall::phases);
    T* A = a.data + i * n;
    std::fill(S, S + K * width, T{0});
    std::fill(A, A + n, T{1});
    if (in.beta)
      for (int64_t c = 0; c < K; ++c) S[c * width + V + c] = 1;
    for (int64_t t = 0; t < in.tokens(); ++t) {
      row.step(t, S, width, S + K * width);
      if (!in.beta)
        for (int64_t c = 0; c < n; ++c) A[c] = row.begins(t) ? T{0} : A[c] * row.decay(t, c);
    }
    for (int64_t c = 0; c < K; ++c) {
      std::copy(S + c * width, S + c * width + V, b.data + (i * K + c) * V);
      if (in.beta) std::copy(S + c * width + V, S + (c + 1) * width, A + c * K);
    }
  });
}

// Everything waits for the entry state.
template <class T>
void local(const Stream&, View<T, 4>, View<T, 1>, const ScanInputs<T>&, ScanRows) {}

template <class T>
void finish(const Stream& stream, View<T, 4> o, View<T, 1> work, const ScanInputs<T>& in, View<const T, 4> entry) {
  run<T>(stream, o, {}, work, in, entry, ScanCall::phases);
}

// Gradients of token t. D: gradient of S_t with its own read; S, S_prev: states after and before.
template <class T>
void gradients_of_token(const Row<T>& row, int64_t t, const ScanGradients<T>& grad, const T* D, const T* S,
                        const T* S_prev, const T* dout, T* error, T* de) {
  const ScanInputs<T>& in = row.in;
  const int64_t b = row.b, h = row.h, K = row.K, V = row.V;
  const T* k = row.k(t);
  const T* v = row.v(t);
  const T beta = in.beta ? in.beta(b, t, h) : T{1};
  std::copy(v, v + V, error);  // error = v - (Diag(a) S_prev)^T k, de = beta D^T k
  std::fill(de, de + V, T{0});
  for (int64_t c = 0; c < K; ++c) {
    const T a = row.begins(t) || !in.beta ? T{0} : row.decay(t, c);
    for (int64_t j = 0; j < V; ++j) {
      error[j] -= a * k[c] * S_prev[c * V + j];
      de[j] += beta * k[c] * D[c * V + j];
    }
  }
  if (grad.v)
    for (int64_t j = 0; j < V; ++j) store(grad.v(b, t, h, j), grad.put.v, de[j]);
  T dbeta = 0, dg_sum = 0;
  for (int64_t c = 0; c < K; ++c) {
    const T a = row.begins(t) ? T{0} : row.decay(t, c);
    T dq = 0, write = 0, dk = 0, dg = 0;
    for (int64_t j = 0; j < V; ++j) {
      const T decayed = a * S_prev[c * V + j];
      dq += S[c * V + j] * dout[j];
      write += D[c * V + j] * error[j];
      if (in.beta) dk -= decayed * de[j];
      dg += (in.beta ? D[c * V + j] - k[c] * de[j] : D[c * V + j]) * decayed;
    }
    dbeta += k[c] * write;
    dg_sum += dg;
    if (grad.q) store(grad.q(b, t, h, c), grad.put.q, in.scale * dq);
    if (grad.k) store(grad.k(b, t, h, c), grad.put.k, dk + beta * write);
    if (grad.g && grad.g.shape[3] != 1) store(grad.g(b, t, h, c), grad.put.g, dg);
  }
  if (grad.g && grad.g.shape[3] == 1) store(grad.g(b, t, h, int64_t{0}), grad.put.g, dg_sum);
  if (grad.beta) store(grad.beta(b, t, h), grad.put.beta, dbeta);
}

template <class T>
void backward_row(const Row<T>& row, const ScanGradients<T>& grad, T* dentry, T* work, View<const T, 4> dout,
                  const T* entry, const T* dexit) {
  const int64_t n = row.K * row.V, tokens = row.in.tokens(), segments = (tokens + kSegment - 1) / kSegment;
  T* kept = work;                                  // state before each segment
  T* inside = kept + (tokens / kSegment + 1) * n;  // states before each token of a segment
  T* S = inside + kSegment * n;
  T* D = S + n;
  T* sum = D + n;
  const auto set = [n](T* to, const T* from) {
    if (from)
      std::copy(from, from + n, to);
    else
      std::fill(to, to + n, T{0});
  };
  set(S, entry);
  for (int64_t t = 0; t < tokens; ++t) {
    if (t % kSegment == 0) set(kept + t / kSegment * n, S);
    row.step(t, S, row.V, sum);
  }
  set(D, dexit);
  for (int64_t s = segments - 1; s >= 0; --s) {
    const int64_t begin = s * kSegment, end = std::min(tokens, begin + kSegment);
    set(S, kept + s * n);
    for (int64_t t = begin; t < end; ++t) {
      set(inside + (t - begin) * n, S);
      row.step(t, S, row.V, sum);
    }
    for (int64_t t = end - 1; t >= begin; --t) {
      const T* out = &dout(row.b, t, row.h);
      const T* S_prev = inside + (t - begin) * n;
      for (int64_t c = 0; c < row.K; ++c)
        for (int64_t j = 0; j < row.V; ++j) D[c * row.V + j] += row.in.scale * row.q(t)[c] * out[j];
      gradients_of_token(row, t, grad, D, S, S_prev, out, sum, sum + row.V);
      for (int64_t c = 0; c < row.K; ++c)
        for (int64_t j = 0; j < row.V; ++j) D[c * row.V + j] -= row.in.scale * row.q(t)[c] * out[j];
      row.step_back(t, D, out, sum);
      set(S, S_prev);
    }
  }
  if (dentry) set(dentry, D);
}

template <class T>
void finish_backward(const Stream& stream, const ScanGradients<T>& grad, View<T, 4> dentry, View<T, 1> work,
                     const ScanInputs<T>& in, View<const T, 4> dout, View<const T, 4> entry, View<const T, 4> dexit) {
  for_rows(stream, in, [&](int64_t i) {
    const Row<T> row(in, i);
    const int64_t n = row.K * row.V;
    backward_row(row, grad, dentry ? dentry.data + i * n : nullptr, work.data + i * row_size(in, ScanCall::backward),
                 dout, entry ? entry.data + i * n : nullptr, dexit ? dexit.data + i * n : nullptr);
  });
}

template <class T>
void summarise_backward(const Stream& stream, View<T, 4> c, View<T, 1> work, const ScanInputs<T>& in,
                        View<const T, 4> dout) {
  for_rows(stream, in, [&](int64_t i) {
    const Row<T> row(in, i);
    T* D = c.data + i * row.K * row.V;
    std::fill(D, D + row.K * row.V, T{0});
    for (int64_t t = in.tokens() - 1; t >= 0; --t)
      row.step_back(t, D, &dout(row.b, t, row.h), work.data + i * row_size(in, ScanCall::backward));
  });
}

template <class T>
void local_backward(const Stream&, View<T, 1>, const ScanInputs<T>&, View<const T, 4>, View<const T, 4>, ScanRows) {}

}  // namespace

template <class T>
const ScanKernels<T>& scan_ref() {
  static constexpr ScanKernels<T> table{.workspace = workspace<T>,
                                        .forward = forward<T>,
                                        .summarise = summarise<T>,
                                        .local = local<T>,
                                        .finish = finish<T>,
                                        .backward = finish_backward<T>,
                                        .summarise_backward = summarise_backward<T>,
                                        .local_backward = local_backward<T>,
                                        .finish_backward = finish_backward<T>};
  return table;
}
template const ScanKernels<float>& scan_ref<float>();
template const ScanKernels<double>& scan_ref<double>();

}  // namespace og

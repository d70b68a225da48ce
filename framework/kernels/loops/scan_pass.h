// The passes over the chunks of a piece: a ScanKernels table for any arithmetic M (see scan_chunk.h). A pass runs one
// batch row and head at a time; threads take different ones.
// Workspace: for each row and head what one phase leaves for the next, then one ChunkScratch for each thread.
//   phases (delta)   W [T, K'], U [T, V'], the reader Q exp(b) - P W [T, K']
//   backward         states after chunks [T / chunk + 2, K, V'], err = N / beta [T, V'] (delta)
// Its size does not depend on the documents: a chunk shorter than `chunk` ends a document or the piece, and what comes
// after a document reads no state, so those chunks share one place.
#pragma once

#include <vector>

#include "framework/kernels/loops/scan_chunk.h"

namespace og {

template <class M>
struct ScanPass {
  using T = typename M::T;
  using Inputs = ScanInputs<T>;
  using States = View<const T, 4>;

  // One batch row and head, with the scratch of the thread that works on it.
  struct Row : ChunkScratch<M> {
    using Base = ChunkScratch<M>;
    using Base::n, Base::K, Base::V, Base::Kp, Base::Vp, Base::delta;
    const Inputs& in;
    int64_t b = 0, h = 0, i = 0, t = 0;
    T* kept = nullptr;            // this row's part of the workspace
    std::vector<int64_t> bounds;  // chunk m is tokens [bounds[m], bounds[m + 1])
    std::vector<int64_t> places;  // where the state after chunk m is kept

    Row(const Inputs& inputs, T* scratch) : in(inputs) { this->carve(scratch, inputs); }

    int64_t chunks() const { return static_cast<int64_t>(bounds.size()) - 1; }
    int64_t state_size() const { return K * Vp; }
    bool begins_document() const { return in.start(b, t) == t; }

    void take(int64_t index, T* mine) {
      if (index == 0 || index / in.heads() != b || bounds.empty()) cut(index / in.heads());
      i = index, b = index / in.heads(), h = index % in.heads(), kept = mine;
    }
    void cut(int64_t row) {
      bounds.assign(1, 0);
      for (int64_t j = 1; j < in.tokens(); ++j)
        if (j - bounds.back() == in.chunk || in.start(row, j) == j) bounds.push_back(j);
      if (in.tokens() > 0) bounds.push_back(in.tokens());
      places.clear();
      int64_t full = 0;
      for (size_t m = 0; m + 1 < bounds.size(); ++m)
        places.push_back(bounds[m + 1] - bounds[m] == in.chunk ? full++ : num_places(in) - 2);
      if (!places.empty() && places.back() == num_places(in) - 2) places.back() = num_places(in) - 1;
    }
    static int64_t num_places(const Inputs& inputs) { return inputs.tokens() / inputs.chunk + 2; }

    void enter(int64_t chunk) {
      t = bounds[static_cast<size_t>(chunk)];
      n = bounds[static_cast<size_t>(chunk) + 1] - t;
      this->load_gates(in, b, t, h);
      for (int64_t j = 0; delta && j < n; ++j) this->beta[j] = in.beta(b, t + j, h);
    }
    void load_q() { Base::load(this->q, &in.q(b, t, h), n, in.heads() * K, K, Kp, in.scale); }
    void load_k() { Base::load(this->k, &in.k(b, t, h), n, in.heads() * K, K, Kp, T{1}); }
    void load_v() { Base::load(this->v, &in.v(b, t, h), n, in.heads() * V, V, Vp, T{1}); }
    void load_dout(View<const T, 4> from) { Base::load(this->dout, &from(b, t, h), n, in.heads() * V, V, Vp, T{1}); }
    void store(View<T, 4> out, const T* x, int64_t width, int64_t padded, Put put, T factor = 1) const {
      if (!out) return;
      const int64_t stride = in.heads() * width;
      T* to = &out(b, t, h);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t c = 0; c < width; ++c)
          to[j * stride + c] = (put == Put::add ? to[j * stride + c] : T{0}) + factor * x[j * padded + c];
    }
    void load_state(T* to, States from) const {
      if (from)
        Base::load(to, from.data + i * K * V, K, V, V, Vp, T{1});
      else
        std::fill(to, to + state_size(), T{0});
    }
    void store_state(View<T, 4> to, const T* from) const {
      for (int64_t c = 0; c < K; ++c) std::copy(from + c * Vp, from + c * Vp + V, to.data + (i * K + c) * V);
    }
    void clear_state(T* state) const { std::fill(state, state + state_size(), T{0}); }

    // Delta: L, and the values really written, N = M^-1 Diag(beta) (V - Kg S), in u.
    void make_lower() {
      this->scores(this->L, this->k, this->k);
      this->clear_diagonal(this->L);
    }
    void write_values(T* errors) {
      this->from_begin(this->kg, this->k);
      std::copy(this->v, this->v + n * Vp, this->u);
      M::product(n, Vp, K, this->kg, Kp, 1, this->S, Vp, this->u, Vp, Sum::subtract);
      this->solve(this->u, Vp, errors);
    }
    T* values() const { return delta ? this->u : this->v; }

    T* kept_w() const { return kept + t * Kp; }
    T* kept_reader() const { return kept + (in.tokens() + t) * Kp; }
    T* kept_u() const { return kept + 2 * in.tokens() * Kp + t * Vp; }
    T* kept_state(int64_t chunk) const { return kept + places[static_cast<size_t>(chunk)] * state_size(); }
    T* kept_error() const { return kept + num_places(in) * state_size() + t * Vp; }
  };

  static int64_t kept_size(const Inputs& in, ScanCall call) {
    ChunkScratch<M> sizes;
    sizes.carve(nullptr, in);
    if (call == ScanCall::forward) return 0;
    if (call == ScanCall::phases) return in.beta ? in.tokens() * (2 * sizes.Kp + sizes.Vp) : 0;
    return Row::num_places(in) * sizes.K * sizes.Vp + (in.beta ? in.tokens() * sizes.Vp : 0);
  }
  static int64_t scratch_size(const Inputs& in) { return ChunkScratch<M>().carve(nullptr, in); }
  static int64_t workers(const Stream& stream, const Inputs& in) {
    return std::max<int64_t>(1, std::min<int64_t>(stream.num_threads, in.rows() * in.heads()));
  }
  // One call's rows need what they keep only while they run: then it is a worker's, not a row's.
  static bool by_worker(ScanCall call) { return call == ScanCall::forward || call == ScanCall::backward; }

  static int64_t workspace(const Stream& stream, const Inputs& in, ScanCall call) {
    const int64_t num = workers(stream, in);
    return num * scratch_size(in) + (by_worker(call) ? num : in.rows() * in.heads()) * kept_size(in, call) + 16;
  }

  template <class Body>
  static void for_rows(const Stream& stream, View<T, 1> work, const Inputs& in, ScanCall call, Body&& body) {
    for_rows(stream, work, in, call, {0, in.rows() * in.heads()}, body);
  }
  template <class Body>
  static void for_rows(const Stream& stream, View<T, 1> work, const Inputs& in, ScanCall call, ScanRows some,
                       Body&& body) {
    const int64_t num = workers(stream, in), rows = some.end - some.begin;
    const int64_t scratch = scratch_size(in), kept = kept_size(in, call);
    // A token of a row reads and writes the state: a step of decoding is less than waking a thread.
    const int64_t least = kProductsOfAThread * num / (rows * in.tokens() * in.key_size() * in.value_size() + 1) + 1;
    stream.parallel_for(num, least, [&](int64_t begin, int64_t end) {
      for (int64_t w = begin; w < end; ++w) {
        Row row(in, work.data + w * scratch);
        T* base = work.data + num * scratch;
        for (int64_t i = some.begin + w * rows / num; i < some.begin + (w + 1) * rows / num; ++i) {
          row.take(i, base + (by_worker(call) ? w : i) * kept);
          body(row);
        }
      }
    });
  }

  static void forward(const Stream& stream, View<T, 4> o, View<T, 4> exit, View<T, 1> work, const Inputs& in,
                      States entry) {
    for_rows(stream, work, in, ScanCall::forward, [&](Row& r) {
      r.load_state(r.S, entry);
      for (int64_t m = 0; m < r.chunks(); ++m) {
        r.enter(m);
        r.load_q(), r.load_k(), r.load_v();
        if (r.begins_document()) r.clear_state(r.S);
        if (r.delta) r.make_lower(), r.write_values(nullptr);
        r.scores(r.P, r.q, r.k);
        r.lower(r.o, r.P, r.values(), r.Vp, Sum::set);
        r.from_begin(r.qg, r.q);
        M::product(r.n, r.Vp, r.K, r.qg, r.Kp, 1, r.S, r.Vp, r.o, r.Vp, Sum::add);
        r.store(o, r.o, r.V, r.Vp, Put::write);
        r.until_end(r.kd, r.k);
        r.advance(r.S, r.kd, r.values());
      }
      if (exit) r.store_state(exit, r.S);
    });
  }

  static void summarise(const Stream& stream, View<T, 3> a, View<T, 4> b, View<T, 1> work, const Inputs& in) {
    const int64_t size = in.transition_size();
    for_rows(stream, work, in, ScanCall::phases, [&](Row& r) {
      r.clear_state(r.S);
      T* A = a.data + r.i * size;
      if (!r.delta) std::fill(A, A + size, T{1});
      if (r.delta) std::fill(r.A, r.A + r.K * r.Kp, T{0});
      for (int64_t c = 0; r.delta && c < r.K; ++c) r.A[c * r.Kp + c] = 1;
      for (int64_t m = 0; m < r.chunks(); ++m) {
        r.enter(m);
        r.load_k(), r.load_v();
        const bool begins = r.begins_document();
        if (begins) r.clear_state(r.S);
        for (int64_t c = 0; !r.delta && c < size; ++c) A[c] = begins ? T{0} : A[c] * r.total[c];
        r.until_end(r.kd, r.k);
        if (r.delta) {
          if (begins) std::fill(r.A, r.A + r.K * r.Kp, T{0});
          T *W = r.kept_w(), *U = r.kept_u();
          r.make_lower();
          r.from_begin(W, r.k);
          r.solve(W, r.Kp, nullptr);
          std::copy(r.v, r.v + r.n * r.Vp, U);
          r.solve(U, r.Vp, nullptr);
          std::copy(U, U + r.n * r.Vp, r.u);
          M::product(r.n, r.Vp, r.K, W, r.Kp, 1, r.S, r.Vp, r.u, r.Vp, Sum::subtract);
          M::product(r.n, r.Kp, r.K, W, r.Kp, 1, r.A, r.Kp, r.WA, r.Kp, Sum::set);
          r.decay_state(r.A, r.Kp);
          M::product(r.K, r.Kp, r.n, r.kd, 1, r.Kp, r.WA, r.Kp, r.A, r.Kp, Sum::subtract);
        }
        r.advance(r.S, r.kd, r.values());
      }
      r.store_state(b, r.S);
      for (int64_t c = 0; r.delta && c < r.K; ++c) std::copy(r.A + c * r.Kp, r.A + c * r.Kp + r.K, A + c * r.K);
    });
  }

  static void local(const Stream& stream, View<T, 4> o, View<T, 1> work, const Inputs& in, ScanRows rows) {
    for_rows(stream, work, in, ScanCall::phases, rows, [&](Row& r) {
      for (int64_t m = 0; m < r.chunks(); ++m) {
        r.enter(m);
        r.load_q(), r.load_k();
        if (!r.delta) r.load_v();
        r.scores(r.P, r.q, r.k);
        r.lower(r.o, r.P, r.delta ? r.kept_u() : r.v, r.Vp, Sum::set);
        r.store(o, r.o, r.V, r.Vp, Put::write);
        if (!r.delta) continue;
        r.from_begin(r.kept_reader(), r.q);
        r.lower(r.kept_reader(), r.P, r.kept_w(), r.Kp, Sum::subtract);
      }
    });
  }

  static void finish(const Stream& stream, View<T, 4> o, View<T, 1> work, const Inputs& in, States entry) {
    for_rows(stream, work, in, ScanCall::phases, [&](Row& r) {
      r.load_state(r.S, entry);
      for (int64_t m = 0; m < r.chunks(); ++m) {
        r.enter(m);
        r.load_k();
        if (r.begins_document()) r.clear_state(r.S);
        const T* reader = r.qg;
        if (r.delta) {
          reader = r.kept_reader();
          std::copy(r.kept_u(), r.kept_u() + r.n * r.Vp, r.u);
          M::product(r.n, r.Vp, r.K, r.kept_w(), r.Kp, 1, r.S, r.Vp, r.u, r.Vp, Sum::subtract);
        } else {
          r.load_q(), r.load_v();
          r.from_begin(r.qg, r.q);
        }
        M::product(r.n, r.Vp, r.K, reader, r.Kp, 1, r.S, r.Vp, r.o, r.Vp, Sum::set);
        r.store(o, r.o, r.V, r.Vp, Put::add);
        r.until_end(r.kd, r.k);
        r.advance(r.S, r.kd, r.values());
      }
    });
  }

  // The states after each chunk and, for delta, err.
  static void keep_states(Row& r, States entry) {
    r.load_state(r.S, entry);
    for (int64_t m = 0; m < r.chunks(); ++m) {
      r.enter(m);
      r.load_k(), r.load_v();
      if (r.begins_document()) r.clear_state(r.S);
      if (r.delta) r.make_lower(), r.write_values(r.kept_error());
      r.until_end(r.kd, r.k);
      r.advance(r.S, r.kd, r.values());
      std::copy(r.S, r.S + r.state_size(), r.kept_state(m));
    }
  }

  // D = gradient of the chunk's entry state, from that of its exit state: Qg^T dO + e^b_end D - Kg^T dV.
  static void retreat_state(Row& r, const T* dvalues) {
    r.from_begin(r.qg, r.q);
    r.advance(r.D, r.qg, r.dout);
    if (r.delta) {
      r.from_begin(r.kg, r.k);
      M::product(r.K, r.Vp, r.n, r.kg, 1, r.Kp, dvalues, r.Vp, r.D, r.Vp, Sum::subtract);
    }
    if (r.begins_document()) r.clear_state(r.D);
  }

  // o = P^T dO + Kd D: the gradient of the values really written.
  static void gradient_of_values(Row& r) {
    r.scores(r.P, r.q, r.k);
    r.until_end(r.kd, r.k);
    r.lower_transposed(r.o, r.P, r.dout, r.Vp, Sum::set);
    M::product(r.n, r.Vp, r.K, r.kd, r.Kp, 1, r.D, r.Vp, r.o, r.Vp, Sum::add);
  }

  static void summarise_backward(const Stream& stream, View<T, 4> c, View<T, 1> work, const Inputs& in,
                                 View<const T, 4> dout) {
    for_rows(stream, work, in, ScanCall::phases_backward, [&](Row& r) {
      r.clear_state(r.D);
      for (int64_t m = r.chunks() - 1; m >= 0; --m) {
        r.enter(m);
        r.load_q(), r.load_dout(dout);
        if (r.delta) {
          r.load_k();
          r.make_lower();
          gradient_of_values(r);
          r.solve_transposed(r.o, r.Vp, nullptr, nullptr);
        }
        retreat_state(r, r.o);
      }
      r.store_state(c, r.D);
    });
  }

  static void gradients_of_row(Row& r, const ScanGradients<T>& grad, View<T, 4> dentry, View<const T, 4> dout,
                               States entry, States dexit) {
    r.load_state(r.D, dexit);
    for (int64_t m = r.chunks() - 1; m >= 0; --m) {
      r.enter(m);
      r.load_q(), r.load_k(), r.load_v(), r.load_dout(dout);
      const T* before = r.S;  // the state that the chunk begins from
      if (r.begins_document())
        r.clear_state(r.S);
      else if (m == 0)
        r.load_state(r.S, entry);
      else
        before = r.kept_state(m - 1);
      gradients_of_chunk(r, grad, before, r.kept_state(m));
    }
    if (dentry) r.store_state(dentry, r.D);
  }

  static void gradients_of_chunk(Row& r, const ScanGradients<T>& grad, const T* before, const T* after) {
    const int64_t n = r.n, Kp = r.Kp, Vp = r.Vp;
    const T* values = r.v;
    gradient_of_values(r);  // o becomes dV
    if (r.delta) {
      const T* error = r.kept_error();
      for (int64_t j = 0; j < n; ++j)
        for (int64_t c = 0; c < Vp; ++c) r.u[j * Vp + c] = r.beta[j] * error[j * Vp + c];
      values = r.u;
      r.make_lower();
      r.solve_transposed(r.o, Vp, error, r.logs);
      if (grad.beta)
        for (int64_t j = 0; j < n; ++j) {
          T& out = grad.beta(r.b, r.t + j, r.h);
          out = (grad.put.beta == Put::add ? out : T{0}) + r.logs[j];
        }
    }
    r.store(grad.v, r.o, r.V, Vp, grad.put.v);

    r.pairs(r.dP, r.dout, values, r.V, Vp);
    r.weigh(r.dP);
    // dQ and dK first what passes through the states, then what stays inside the chunk.
    const T* turned = r.turn(before, r.K, r.V, Vp, Kp);
    M::product(n, Kp, r.V, r.dout, Vp, 1, turned, Kp, r.w, Kp, Sum::set);
    r.from_begin(r.dq, r.w);
    if (r.delta) {
      M::product(n, Kp, r.V, r.o, Vp, 1, turned, Kp, r.w, Kp, Sum::set);
      r.from_begin(r.dkr, r.w);
      for (int64_t j = 0; j < n * Kp; ++j) r.dkr[j] = -r.dkr[j];
    }
    turned = r.turn(r.D, r.K, r.V, Vp, Kp);
    M::product(n, Kp, r.V, values, Vp, 1, turned, Kp, r.w, Kp, Sum::set);
    r.until_end(r.dk, r.w);
    r.row_sums(r.dq, r.dP, r.k);
    r.column_sums(r.dk, r.dP, r.q);
    if (r.delta) {
      r.pairs(r.dL, r.o, values, r.V, Vp);
      for (int64_t j = 0; j < n * r.cp; ++j) r.dL[j] = -r.dL[j];
      r.weigh(r.dL);
      r.clear_diagonal(r.dL);
      r.row_sums(r.dkr, r.dL, r.k);
      r.column_sums(r.dk, r.dL, r.k);
    }
    if (grad.g) gradients_of_gates(r, grad, after);
    if (r.delta)
      for (int64_t j = 0; j < n * Kp; ++j) r.dk[j] += r.dkr[j];
    r.store(grad.q, r.dq, r.K, Kp, grad.put.q, r.in.scale);
    r.store(grad.k, r.dk, r.K, Kp, grad.put.k);
    retreat_state(r, r.o);
  }

  // dg_t = sum_{s >= t} (q dq + k dkr - k dkw)_s + rowsum(S_end dS_end).
  static void gradients_of_gates(Row& r, const ScanGradients<T>& grad, const T* after) {
    const int64_t Kp = r.Kp, width = grad.g.shape[3];
    std::fill(r.run, r.run + Kp, T{0});
    for (int64_t c = 0; c < r.K; ++c) r.run[c] = M::dot(after + c * r.Vp, r.D + c * r.Vp, r.Vp);
    for (int64_t j = r.n - 1; j >= 0; --j) {
      for (int64_t c = 0; c < Kp; ++c) {
        const int64_t at = j * Kp + c;
        r.run[c] += r.q[at] * r.dq[at] + r.k[at] * ((r.delta ? r.dkr[at] : T{0}) - r.dk[at]);
      }
      T* out = &grad.g(r.b, r.t + j, r.h);
      T sum = 0;
      for (int64_t c = 0; c < r.K; ++c) sum += r.run[c];
      for (int64_t c = 0; c < width; ++c)
        out[c] = (grad.put.g == Put::add ? out[c] : T{0}) + (width == 1 ? sum : r.run[c]);
    }
  }

  static void backward(const Stream& stream, const ScanGradients<T>& grad, View<T, 4> dentry, View<T, 1> work,
                       const Inputs& in, View<const T, 4> dout, States entry, States dexit) {
    for_rows(stream, work, in, ScanCall::backward, [&](Row& r) {
      keep_states(r, entry);
      gradients_of_row(r, grad, dentry, dout, entry, dexit);
    });
  }
  static void local_backward(const Stream& stream, View<T, 1> work, const Inputs& in, View<const T, 4>, States entry,
                             ScanRows rows) {
    for_rows(stream, work, in, ScanCall::phases_backward, rows, [&](Row& r) { keep_states(r, entry); });
  }
  static void finish_backward(const Stream& stream, const ScanGradients<T>& grad, View<T, 4> dentry, View<T, 1> work,
                              const Inputs& in, View<const T, 4> dout, States entry, States dexit) {
    for_rows(stream, work, in, ScanCall::phases_backward,
             [&](Row& r) { gradients_of_row(r, grad, dentry, dout, entry, dexit); });
  }

  static constexpr ScanKernels<T> table() {
    return {.workspace = workspace,
            .forward = forward,
            .summarise = summarise,
            .local = local,
            .finish = finish,
            .backward = backward,
            .summarise_backward = summarise_backward,
            .local_backward = local_backward,
            .finish_backward = finish_backward};
  }
};

}  // namespace og

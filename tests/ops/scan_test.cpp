// The recurrences on one rank: golden values, gradients, identities, combining, documents, causality.
#include "framework/ops/scan.h"

#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "framework/ops/gates.h"
#include "framework/ops/shape.h"
#include "parallel/sequence/scan.h"
#include "tests/tensors.h"

namespace og {
namespace {

Tensor numbers(Context& cx, const Shape& shape, std::initializer_list<double> x) {
  const Tensor t = cx.empty(shape, DType::f64);
  OG_CHECK(std::ssize(x) == t.count(), "{} numbers for {}", x.size(), shape.str());
  std::copy(x.begin(), x.end(), t.data<double>());
  return t;
}

Tensor map(Context& cx, const Tensor& x, double (*f)(double)) {
  const Tensor y = x.clone(*cx.pool);
  for (int64_t i = 0; i < y.count(); ++i) y.data<double>()[i] = f(y.data<double>()[i]);
  return y;
}

// a + b of two scalars, whatever their places.
struct SumOfTwo final : Function {
  const char* name() const override { return "sum_of_two"; }
  void backward(Context& cx) override {
    const double d = gradient(cx).at(0);
    for (size_t i : {0, 1}) {
      if (!input(i)) continue;
      auto [dx, put] = input(i)->open(cx);
      dx.fill(put == Put::add ? dx.at(0) + d : d);
    }
  }
};
Value sum(Tape& tape, const Value& a, const Value& b) {
  Value y = tape.output({1}, a.dtype(), a.place(), {a, b});
  y.tensor().fill(a.tensor().at(0) + b.tensor().at(0));
  tape.record(std::make_unique<SumOfTwo>(), {a, b}, {y});
  return y;
}

// One rank, B rows of T tokens; first: where the first document began (0 or -1).
struct OneRank {
  std::unique_ptr<Comm> comm = make_self_comm();
  SeqContext seq;
  OneRank(Context& cx, int64_t B, int64_t T, int32_t first) {
    seq = make_seq_context(*cx.pool, *comm, B, T, {});
    for (int64_t i = 0; i < B * T; ++i) seq.start_BT.data<int32_t>()[i] = first;
  }
};

// Streams of tests: gates and beta as they come out of a layer.
ScanStreams random_streams(Context& cx, const Recurrence& r, int64_t B, int64_t T, int64_t H, int64_t K, int64_t V,
                           DType dtype = DType::f64, double gate_scale = 0.3) {
  const auto stream = [&](const Shape& s, uint64_t key) { return random_tensor(cx, s, DType::f64, key); };
  ScanStreams s;
  const auto leaf = [&](const Tensor& t) { return Value::leaf(t.cast(*cx.pool, dtype)); };
  s.q = leaf(stream({B, T, H, K}, 11));
  Tensor k = stream({B, T, H, K}, 12);
  for (int64_t i = 0; i < k.count(); ++i) k.data<double>()[i] /= std::sqrt(static_cast<double>(K));
  s.k = leaf(k);
  s.v = leaf(stream({B, T, H, V}, 13));
  if (r.gate != Gate::none) {
    Tensor g = map(cx, stream(r.gate == Gate::scalar ? Shape{B, T, H} : Shape{B, T, H, K}, 14),
                   [](double x) { return -std::abs(x); });
    for (int64_t i = 0; i < g.count(); ++i) g.data<double>()[i] *= gate_scale;
    s.g = leaf(g);
  }
  if (r.delta) s.beta = leaf(map(cx, stream({B, T, H}, 15), [](double x) { return 1 / (1 + std::exp(-x)); }));
  s.scale = 0.8;
  return s;
}

std::vector<Recurrence> recurrences(ScanForm form = ScanForm::automatic) {
  std::vector<Recurrence> all;
  for (Gate gate : {Gate::none, Gate::scalar, Gate::diagonal})
    for (bool delta : {false, true}) all.push_back({.gate = gate, .delta = delta, .form = form, .chunk = 4});
  return all;
}

// Four tokens whose states and outputs were worked out by hand, outside the program.
struct Golden {
  Context cx;
  Tensor q = numbers(cx, {1, 4, 1, 2}, {1, 0, 1, 1, 0, 2, 1, -1});
  Tensor k = numbers(cx, {1, 4, 1, 2}, {1, 0, 0, 1, 1, 1, 1, 0});
  Tensor v = numbers(cx, {1, 4, 1, 2}, {1, 2, 3, -1, 2, 0, -1, 4});
  Tensor beta = numbers(cx, {1, 4, 1}, {.5, .5, .25, .5});
  Tensor scalar = map(cx, numbers(cx, {1, 4, 1}, {.5, .5, .25, .5}), std::log);
  Tensor diagonal = map(cx, numbers(cx, {1, 4, 1, 2}, {.5, 1, .25, .5, 1, .5, .5, .25}), std::log);
  Tensor half = map(cx, numbers(cx, {1, 4, 1}, {.5, .5, .5, .5}), std::log);
  Tensor ones = numbers(cx, {1, 4, 1}, {1, 1, 1, 1});
  Tensor identity = numbers(cx, {1, 1, 2, 2}, {1, 0, 0, 1});

  void expect(const char* what, const Tensor& g, const Tensor& b, const Tensor& initial,
              std::initializer_list<double> o, std::initializer_list<double> state) {
    for (ScanForm form : {ScanForm::recurrent, ScanForm::chunked})
      for (int64_t chunk : {1, 2, 3, 64}) {
        Recurrence r{.gate = !g.defined()    ? Gate::none
                             : g.rank() == 3 ? Gate::scalar
                                             : Gate::diagonal,
                     .delta = b.defined(),
                     .form = form,
                     .chunk = chunk};
        Tape tape(cx);
        const OneRank one(cx, 1, 4, initial.defined() ? -1 : 0);
        const ScanOutput out =
            scan(tape, r, {{.q = Value(q), .k = Value(k), .v = Value(v), .g = Value(g), .beta = Value(b)}}, one.seq,
                 Value(initial));
        EXPECT_LT(distance(out.o.tensor(), numbers(cx, {1, 4, 1, 2}, o)), 1e-14) << what;
        EXPECT_LT(distance(out.final_state.tensor(), numbers(cx, {1, 1, 2, 2}, state)), 1e-14) << what;
      }
  }
};

TEST(Scan, GoldenValues) {
  Golden x;
  x.expect("basic", {}, {}, {}, {1, 2, 4, 1, 10, -2, -3, 7}, {2, 6, 5, -1});
  x.expect("retention", x.half, {}, {}, {1, 2, 3.5, 0, 7, -1, -13. / 8, 4.5}, {.125, 17. / 4, 7. / 4, -.25});
  x.expect("scalar gate", x.scalar, {}, {}, {1, 2, 3.5, 0, 5.5, -.5, -21. / 16, 17. / 4},
           {1. / 16, 33. / 8, 11. / 8, -1. / 8});
  x.expect("gla", x.diagonal, {}, {}, {1, 2, 13. / 4, -.5, 7, -1, -.75, 35. / 8}, {.125, 17. / 4, 7. / 8, -.125});
  x.expect("gla from I", x.diagonal, {}, x.identity, {1.5, 2, 27. / 8, 0, 7, -.5, -11. / 16, 69. / 16},
           {3. / 16, 17. / 4, 7. / 8, -1. / 16});
  x.expect("delta_net", {}, x.beta, {}, {.5, 1, 2, .5, 3, -5. / 4, -7. / 4, 49. / 16}, {-.25, 39. / 16, 1.5, -5. / 8});
  x.expect("delta_net beta 1", {}, x.ones, {}, {1, 2, 4, 1, 2, -4, -2, 6}, {-1, 4, 1, -2});
  x.expect("gated_delta_net", x.scalar, x.beta, {}, {.5, 1, 7. / 4, 0, 49. / 32, -.25, -197. / 256, 67. / 32},
           {-99. / 256, 65. / 32, 49. / 128, -1. / 16});
  x.expect("kda", x.diagonal, x.beta, {}, {.5, 1, 13. / 8, -.25, 33. / 16, -.5, -21. / 32, 17. / 8},
           {-51. / 128, 33. / 16, 33. / 128, -1. / 16});
  x.expect("kda from I", x.diagonal, x.beta, x.identity, {.75, 1, 27. / 16, 0, 65. / 32, -5. / 16, -41. / 64, 67. / 32},
           {-99. / 256, 263. / 128, 65. / 256, -5. / 128});
}

TEST(Scan, GoldenGradients) {
  Golden x;
  for (bool delta : {false, true})
    for (ScanForm form : {ScanForm::recurrent, ScanForm::chunked}) {
      const Recurrence r{.gate = Gate::diagonal, .delta = delta, .form = form};
      Tape tape(x.cx);
      const OneRank one(x.cx, 1, 4, -1);
      ScanStreams s{
          {.q = Value::leaf(x.q), .k = Value::leaf(x.k), .v = Value::leaf(x.v), .g = Value::leaf(x.diagonal)}};
      if (delta) s.beta = Value::leaf(x.beta);
      const Value initial = Value::leaf(x.identity);
      tape.backward(scan(tape, r, s, one.seq, initial).o);
      const auto expect = [&](const Value& leaf, double bound, std::initializer_list<double> d) {
        EXPECT_LT(distance(leaf.slot()->gradient(), numbers(x.cx, leaf.shape(), d)), bound) << delta;
      };
      if (!delta) {
        expect(s.q, 1e-14, {3.5, 1, .875, 2.5, 2.875, 3.25, 4.4375, .8125});
        expect(s.k, 1e-14, {4.125, 2.8125, 3, 3.75, 1, 3.5, 3, -3});
        expect(s.g, 1e-14, {.6875, .9375, 1.3125, .9375, .4375, 2.1875, 1.4375, -.8125});
        expect(s.v, 1e-14, {1.375, 1.375, 1.875, 1.875, 2.25, 2.25, 1, 1});
        expect(initial, 1e-14, {.6875, .6875, .9375, .9375});
      } else {  // the page prints six decimals
        expect(s.q, 1e-6, {1.75, 1, .4375, 1.25, .671875, .859375, 1.667969, .214844});
        expect(s.k, 1e-6, {1.1875, -.085938, .207031, .8125, -.160156, .097656, 1.164063, -1.439453});
        expect(s.g, 1e-6, {.296875, .40625, .328125, .40625, -.109375, .78125, .167969, -.214844});
        expect(s.v, 1e-6, {.59375, .59375, .8125, .8125, .5, .5, .5, .5});
        expect(s.beta, 1e-6, {2.96875, 2.4375, 1.875, 2.664063});
        expect(initial, 1e-6, {.296875, .296875, .40625, .40625});
      }
    }
}

TEST(Scan, GradientsMatchDifferences) {
  Context cx;
  for (ScanForm form : {ScanForm::recurrent, ScanForm::chunked})
    for (const Recurrence& r : recurrences(form)) {
      OneRank one(cx, 2, 9, -1);
      for (int64_t t = 5; t < 9; ++t) one.seq.start_BT.data<int32_t>()[9 + t] = 5;  // row 1: a second document
      const ScanStreams s = random_streams(cx, r, 2, 9, 2, 3, 2);
      std::vector<Value> leaves{s.q, s.k, s.v, Value::leaf(random_tensor(cx, {2, 2, 3, 2}, DType::f64, 16))};
      if (s.g.defined()) leaves.push_back(s.g);
      if (s.beta.defined()) leaves.push_back(s.beta);
      const auto check = check_gradient(
          cx,
          [&](Tape& t, std::span<const Value> x) {
            const ScanOutput out = scan(t, r, s, one.seq, x[3]);
            return sum(t, weighted_sum(t, out.o, 21), weighted_sum(t, out.final_state, 22));
          },
          leaves);
      EXPECT_LT(check.largest_error, 1e-7) << check.where;
    }
}

TEST(Scan, NormalisedLinearAttentionGolden) {
  Golden x;
  const auto phi = [&](const Tensor& t) {
    return Value(map(x.cx, t, [](double a) { return a > 0 ? a + 1 : std::exp(a); }));
  };
  Tape tape(x.cx);
  const OneRank one(x.cx, 1, 4, 0);
  const ScanOutput out =
      scan(tape, {}, {{.q = phi(x.q), .k = phi(x.k), .v = append_ones(tape, Value(x.v))}}, one.seq, {});
  EXPECT_LT(distance(normalise_by_last(tape, out.o, 1e-6).tensor(),
                     numbers(x.cx, {1, 4, 1, 2}, {1, 2, 2, .5, 2.1, .15, 1.090794, 1.448209})),
            1e-6);
}

ScanOutput run(Tape& tape, const Recurrence& r, const ScanStreams& s, const Value& initial = {}) {
  const OneRank one(tape.context(), s.q.size(0), s.q.size(1), initial.defined() ? -1 : 0);
  return scan(tape, r, s, one.seq, initial);
}

TEST(Scan, Identities) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const Recurrence kda{.gate = Gate::diagonal, .delta = true};
  const ScanStreams full = random_streams(cx, kda, 2, 13, 2, 4, 3);
  const auto o = [&](const Recurrence& r, ScanStreams s) {
    if (!r.delta) s.beta = {};
    return run(tape, r, s).o.tensor();
  };
  const auto with_gate = [&](const Tensor& g) {
    ScanStreams s = full;
    s.g = g.defined() ? Value(g) : Value();
    return s;
  };
  const Tensor scalar = map(cx, random_tensor(cx, {2, 13, 2}, DType::f64, 31), [](double x) { return -std::abs(x); });
  const Tensor equal = cx.empty({2, 13, 2, 4}, DType::f64);
  for (int64_t i = 0; i < equal.count(); ++i) equal.data<double>()[i] = scalar.at(i / 4);
  for (bool delta : {false, true}) {
    const Recurrence diagonal{.gate = Gate::diagonal, .delta = delta}, one{.gate = Gate::scalar, .delta = delta};
    // No decay is no gate; equal channels are a scalar gate.
    const Tensor plain = o({.gate = Gate::none, .delta = delta}, with_gate({}));
    EXPECT_LT(distance(o(diagonal, with_gate(cx.zeros({2, 13, 2, 4}, DType::f64))), plain), 1e-13);
    EXPECT_LT(distance(o(one, with_gate(cx.zeros({2, 13, 2}, DType::f64))), plain), 1e-13);
    EXPECT_LT(distance(o(diagonal, with_gate(equal)), o(one, with_gate(scalar))), 1e-13);
  }
  const double decays[] = {-0.1, -0.2};
  const Value constant = constant_gate(tape, full.q, decays);
  EXPECT_EQ(constant.tensor().at(2 * 5 + 1), -0.2);
}

TEST(Scan, DeltaRuleRecall) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  Tensor k = cx.zeros({1, 4, 1, 4}, DType::f64);
  for (int64_t i = 0; i < 4; ++i) k.data<double>()[i * 4 + i] = 1;
  const Tensor v = random_tensor(cx, {1, 4, 1, 3}, DType::f64, 1),
               beta = Tensor::full(*cx.pool, {1, 4, 1}, DType::f64, 1);
  const Recurrence delta{.delta = true};
  EXPECT_LT(distance(run(tape, delta, {{.q = Value(k), .k = Value(k), .v = Value(v), .beta = Value(beta)}})
                         .final_state.tensor()
                         .reshape({1, 4, 1, 3}),
                     v),
            1e-14);
  for (int64_t i = 0; i < 4; ++i)  // one key again and again: only the last value stays
    for (int64_t c = 0; c < 4; ++c) k.data<double>()[i * 4 + c] = c == 2;
  const Tensor last = run(tape, delta, {{.q = Value(k), .k = Value(k), .v = Value(v), .beta = Value(beta)}}).o.tensor();
  for (int64_t j = 0; j < 3; ++j) EXPECT_NEAR(last.at(9 + j), v.at(9 + j), 1e-12);
  // beta 0 changes nothing.
  const Value start = Value(random_tensor(cx, {1, 1, 4, 3}, DType::f64, 2));
  EXPECT_TRUE(same_bits(
      run(tape, delta, {{.q = Value(k), .k = Value(k), .v = Value(v), .beta = Value(cx.zeros({1, 4, 1}, DType::f64))}},
          start)
          .final_state.tensor(),
      start.tensor()));
}

TEST(Scan, ParityAndSwapsWithoutTraining) {
  Context cx;
  Tape tape(cx, Tape::Mode::no_gradient);
  const int64_t T = 33;
  const Tensor ones = Tensor::full(*cx.pool, {1, T, 1, 1}, DType::f64, 1), beta = cx.empty({1, T, 1}, DType::f64);
  for (int64_t t = 0; t < T; ++t)
    beta.data<double>()[t] = static_cast<double>(2 * random_below(3, static_cast<uint64_t>(t), 2));
  const Tensor o =
      run(tape, {.delta = true},
          {{.q = Value(ones), .k = Value(ones), .v = Value(cx.zeros({1, T, 1, 1}, DType::f64)), .beta = Value(beta)}},
          Value(Tensor::full(*cx.pool, {1, 1, 1, 1}, DType::f64, 1)))
          .o.tensor();
  double sign = 1;
  for (int64_t t = 0; t < T; ++t) {
    if (beta.at(t) == 2) sign = -sign;
    EXPECT_EQ(o.at(t), sign) << t;
  }
}

Summary random_summary(Context& cx, int64_t n, uint64_t key) {
  const Shape state{2, 2, 3, 4};
  return Summary::of(random_tensor(cx, {Summary::count(state, n)}, DType::f64, key), state, n);
}

TEST(Scan, CombineIsAssociativeAndDenseDoesNotCommute) {
  Context cx;
  for (int64_t n : {1, 3, 9}) {
    const Summary a = random_summary(cx, n, 1), b = random_summary(cx, n, 2), c = random_summary(cx, n, 3);
    const Summary left = combine(cx, combine(cx, a, b), c), right = combine(cx, a, combine(cx, b, c));
    EXPECT_LT(distance(left.flat, right.flat), 1e-13) << n;
    const Tensor state = random_tensor(cx, {2, 2, 3, 4}, DType::f64, 4);
    EXPECT_LT(distance(advance_state(cx, left, state),
                       advance_state(cx, c, advance_state(cx, b, advance_state(cx, a, state)))),
              1e-13);
    const double transitions = distance(combine(cx, a, b).a, combine(cx, b, a).a);
    if (n == 9)
      EXPECT_GT(transitions, 0.1);
    else
      EXPECT_LT(transitions, 1e-15);
  }
}

// Tokens [begin, end) of every stream.
ScanStreams piece(Context& cx, const ScanStreams& s, int64_t begin, int64_t end) {
  const auto cut = [&](const Value& x) {
    if (!x.defined()) return Value();
    Shape shape = x.shape();
    shape.set(1, end - begin);
    const Tensor t = cx.empty(shape, x.dtype());
    const int64_t token = x.shape().count_from(2) * size_of(x.dtype());
    for (int64_t b = 0; b < x.size(0); ++b)
      std::copy_n(x.tensor().raw() + (b * x.size(1) + begin) * token, (end - begin) * token,
                  t.raw() + b * (end - begin) * token);
    return Value(t);
  };
  return {{.q = cut(s.q), .k = cut(s.k), .v = cut(s.v), .g = cut(s.g), .beta = cut(s.beta)}, s.scale};
}

TEST(Scan, SplitAnywhereIsUnsplitAndDecodeIsPrefill) {
  Context cx;
  for (DType dtype : {DType::f64, DType::f32})
    for (const Recurrence& r : recurrences()) {
      Tape tape(cx, Tape::Mode::no_gradient);
      const int64_t T = 11;
      const ScanStreams s = random_streams(cx, r, 2, T, 2, 3, 5, dtype);
      const ScanOutput whole = run(tape, r, s);
      const double bound = dtype == DType::f64 ? 1e-13 : 1e-6;
      const auto in_pieces = [&](const std::vector<int64_t>& cuts) {
        MixerState state;
        for (size_t i = 0; i + 1 < cuts.size(); ++i) {
          const ScanStreams part = piece(cx, s, cuts[i], cuts[i + 1]);
          const OneRank one(cx, 2, cuts[i + 1] - cuts[i], static_cast<int32_t>(-cuts[i]));
          const Value o = scan_with_state(tape, r, part, one.seq, &state, "scan");
          EXPECT_LT(distance(o.tensor(),
                             piece(cx, {{.q = whole.o, .k = whole.o, .v = whole.o}}, cuts[i], cuts[i + 1]).q.tensor()),
                    bound);
        }
        EXPECT_LT(distance(state.get("scan").tensor(), whole.final_state.tensor()), bound);
      };
      for (int64_t cut = 0; cut <= T; ++cut) in_pieces({0, cut, T});
      std::vector<int64_t> tokens;
      for (int64_t t = 0; t <= T; ++t) tokens.push_back(t);
      in_pieces(tokens);
    }
}

TEST(Scan, NothingLooksAheadOrAcrossDocuments) {
  Context cx;
  for (ScanForm form : {ScanForm::recurrent, ScanForm::automatic})
    for (DType dtype : {DType::f64, DType::f32})
      for (const Recurrence& r : recurrences(form)) {
        Tape tape(cx, Tape::Mode::no_gradient);
        const int64_t T = 40, border = 21, moved = 18;
        // Slow decay: a leak would be seen.
        const ScanStreams s = random_streams(cx, r, 1, T, 2, 4, 4, dtype, 1e-4);
        OneRank one(cx, 1, T, 0);
        for (int64_t t = border; t < T; ++t) one.seq.start_BT.data<int32_t>()[t] = border;
        const Tensor before = scan(tape, r, s, one.seq, {}).o.tensor();
        for (const Value* x : {&s.q, &s.k, &s.v, &s.g, &s.beta}) {
          if (!x->defined()) continue;
          const int64_t token = x->shape().count_from(2), at = moved * token + 1;
          visit_real(dtype, [&](auto zero) {
            using F = decltype(zero);
            F& element = x->tensor().data<F>()[at];
            const F kept = element;
            element *= static_cast<F>(0.5);
            const Tensor after = scan(tape, r, s, one.seq, {}).o.tensor();
            element = kept;
            const int64_t width = before.shape().count_from(2);
            const auto* a = before.data<F>();
            const auto* b = after.data<F>();
            EXPECT_TRUE(std::equal(a, a + moved * width, b));                                // earlier tokens
            EXPECT_TRUE(std::equal(a + border * width, a + T * width, b + border * width));  // the next document
            EXPECT_FALSE(std::equal(a, a + T * width, b));
          });
        }
      }
}

}  // namespace
}  // namespace og

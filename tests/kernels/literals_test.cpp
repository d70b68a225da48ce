// Norms, softmax, rotary positions, convolution, cross-entropy and AdamW against numbers from outside the project
// (tests/literals.h), forward and derivative. With ONEGATHER_ISA = avx2 or base as other processors choose.
#include <gtest/gtest.h>

#include "framework/kernels/conv.h"
#include "framework/kernels/loss.h"
#include "framework/kernels/norm.h"
#include "framework/kernels/optim.h"
#include "framework/kernels/rope.h"
#include "framework/ops/feature_map.h"
#include "framework/ops/norm.h"
#include "tests/literals.h"
#include "tests/tensors.h"

namespace og {
namespace {

const std::vector<double> kDy{1, -2, 0.5, 3};

struct NormRow {
  std::vector<double> x, y, dx, dw;
};
// Weight 1 -0.5 2 0.25, eps 1e-5.
const std::vector<NormRow> kRms = {
    {{1, -2, 3, 0.5},
     {0.52981219923047025, 0.52981219923047025, 3.1788731953828215, 0.066226524903808781},
     {0.44151041389005248, 0.70641576991130579, 0.26490684320921694, 0.3532082567526438},
     {0.52981219923047025, 2.119248796921881, 0.79471829884570537, 0.79471829884570537}},
    {{-100, -1e-8, 20, 100},
     {-1.4002800826551862, 7.001400413275931e-11, 0.56011203306207448, 0.35007002066379655},
     {0.013659594923926838, 0.014002800826517541, 0.014071442007076867, 0.010845306522538921},
     {-1.4002800826551862, 2.8005601653103724e-10, 0.14002800826551862, 4.2008402479655586}},
    {{1e-8, -1e-8, 0, 1e-8},
     {3.1622776601565208e-6, 1.5811388300782604e-6, 0.0, 7.905694150391302e-7},
     {316.22776601505915, 316.22776601624501, 316.22776601565208, 237.17082451114613},
     {3.1622776601565208e-6, 6.3245553203130416e-6, 0.0, 9.4868329804695624e-6}}};

// A row is repeated until it fills vectors: its mean square stays.
TEST(Literals, RmsNorm) {
  on_every_kernel([](auto zero, const Stream& stream, const std::string& name) {
    using T = decltype(zero);
    for (const NormRow& row : kRms) {
      constexpr int64_t d = 4 * kCopies;
      const std::vector<T> x = times<T>(row.x, kCopies), dy = times<T>(kDy, kCopies),
                           w = times<T>({1, -0.5, 2, 0.25}, kCopies);
      std::vector<T> y(d), dx(d), dw(d), rstd(1);
      const auto& kernels = norm_kernels<T>(stream);
      kernels.rms_forward(stream, {y.data(), {1, d}}, {rstd.data(), {1}}, {x.data(), {1, d}}, {w.data(), {1, d}},
                          static_cast<T>(1e-5));
      kernels.rms_backward(stream, {dx.data(), {1, d}}, Put::write, {dw.data(), {1, d}}, Put::write,
                           {dy.data(), {1, d}}, {x.data(), {1, d}}, {w.data(), {1, d}}, {rstd.data(), {1}});
      for (size_t i = 0; i < d; ++i) {
        const std::string what = fmt::format("{} element {} of the row with {}", name, i, row.x[0]);
        expect_near(y[i], row.y[i % 4], 16 * kU<T> * std::abs(row.y[i % 4]), what);
        expect_near(dx[i], row.dx[i % 4], 32 * kU<T> * largest(row.dx), "dx: " + what);
        expect_near(dw[i], row.dw[i % 4], 16 * kU<T> * std::abs(row.dw[i % 4]), "dw: " + what);
      }
    }
  });
}

struct OpRow {
  std::vector<double> x, y, dx;
};

// An op of one input of 4 numbers, its gradient from kDy. spread: of the arguments of exp, whose roundings it takes
// over.
template <class Op>
void expect_op(const std::vector<OpRow>& rows, double scale_of_dx, double spread, Op&& op) {
  on_every_kernel([&](auto zero, const Stream& stream, const std::string& name) {
    using T = decltype(zero);
    constexpr DType type = std::is_same_v<T, double> ? DType::f64 : DType::f32;
    for (const OpRow& row : rows) {
      Context cx;
      cx.stream = stream;
      const Tensor x = cx.empty({1, 4}, type), dy = cx.empty({1, 4}, type);
      std::copy_n(times<T>(row.x, 1).data(), 4, x.data<T>());
      std::copy_n(times<T>(kDy, 1).data(), 4, dy.data<T>());
      const Value leaf = Value::leaf(x);
      Tape tape(cx);
      const Value y = op(tape, leaf);
      tape.backward(y, dy);
      const double scale = scale_of_dx > 0 ? scale_of_dx : largest(row.dx);
      for (size_t i = 0; i < 4; ++i) {
        const std::string what = fmt::format("{} element {} of the row with {}", name, i, row.x[0]);
        const auto n = static_cast<int64_t>(i);
        expect_near(static_cast<T>(y.tensor().at(n)), row.y[i], (16 + spread) * kU<T> * std::abs(row.y[i]), what);
        expect_near(static_cast<T>(leaf.slot()->gradient().at(n)), row.dx[i], 32 * kU<T> * scale, "dx: " + what);
      }
    }
  });
}

TEST(Literals, L2Norm) {
  const std::vector<OpRow> rows = {
      {{1, -2, 3, 0.5},
       {0.26490646211804534, -0.52981292423609068, 0.79471938635413602, 0.13245323105902267},
       {0.11618705522506598, -0.23237411045013197, -0.3137049896199154, 0.72035968290764635}},
      {{-100, -1e-8, 20, 100},
       {-0.70014004199684461, -7.0014004199684461e-11, 0.14002800839936892, 0.70014004199684461},
       {0.014208724382033782, -0.01400280083921616, 0.0020592354175711559, 0.013796877297840003}},
      {{1e-8, -1e-8, 0, 1e-8},
       {9.9999999985e-6, -9.9999999985e-6, 0.0, 9.9999999985e-6},
       {999.99999925, -1999.9999991, 499.999999925, 2999.99999895}}};
  expect_op(rows, 0, 0, [](Tape& tape, const Value& x) { return l2_norm(tape, x, 1e-6); });
}

// dx = p (dy - p.dy): exact to the digits of dy, whose largest is 3.
TEST(Literals, Softmax) {
  const std::vector<OpRow> rows = {
      {{1, -2, 3, 0.5},
       {0.11055375036173921, 0.0055041471275836729, 0.81688786337006566, 0.067054239140611466},
       {0.032154325553470845, -0.014911571778097811, -0.17085381634715742, 0.15361106257178439}},
      {{-100, -1e-8, 20, 100},
       {1.3838965267367375e-87, 3.7200759388200764e-44, 1.8048513878454152e-35, 1.0},
       {-2.7677930534734751e-87, -1.8600379694100382e-43, -4.5121284696135379e-35, 4.5121284882139176e-35}},
      {{100, 100, -100, 99},
       {0.4223187982515182, 0.4223187982515182, 5.8444551807590902e-88, 0.15536240349696361},
       {0.40383457499320931, -0.86312181976134528, 2.6664250667135442e-88, 0.45928724476813597}}};
  expect_op(rows, 3, 200, [](Tape& tape, const Value& x) { return softmax_last(tape, x); });
}

// x = 1 -2 3 0.5 at a position, theta 10000: turned forward and back.
TEST(Literals, RotaryPositions) {
  struct Row {
    int32_t position;
    std::vector<double> forward, back;
  };
  const std::vector<Row> rows = {
      {1,
       {-1.9841106485555498, -2.0048999175004139, 2.4623779024123157, 0.47997533353999931},
       {3.0647152602918292, -1.9949000841662472, 0.77943593279652265, 0.51997466687666597}},
      {100,
       {2.3814157956169603, -1.5013401041402277, 2.080590975753293, -1.4127908166817232},
       {-0.65677805104159245, -0.65986911933233118, 3.0933222579728106, 1.9530931225498629}},
      {100000,
       {-1.106607201354262, -1.5381979228474073, -2.9623336243426208, -1.3725695429186536},
       {-0.89211441352216292, -0.7113183823154047, -3.0338312202866539, 1.9349486192093566}}};
  on_every_kernel([&](auto zero, const Stream& stream, const std::string& name) {
    using T = decltype(zero);
    for (const Row& row : rows) {
      const std::vector<T> x = times<T>({1, -2, 3, 0.5}, kCopies);
      const int32_t start = -row.position;
      std::vector<T> y(x.size());
      for (const int direction : {1, -1}) {
        rope_kernels<T>(stream).rotate(stream, {y.data(), {1, 1, kCopies, 4}}, Put::write,
                                       {x.data(), {1, 1, kCopies, 4}}, {&start, {1, 1}}, 10000.0, direction);
        // The second angle is position / 100 with a rounding of f64.
        const double bound = 4 * 3.7 * (kU<T> + kU<double> * row.position / 100);
        for (size_t i = 0; i < x.size(); ++i)
          expect_near(y[i], (direction == 1 ? row.forward : row.back)[i % 4], bound,
                      fmt::format("{} position {} direction {}", name, row.position, direction));
      }
    }
  });
}

// Three taps 0.5 -1 2, bias 0.25, silu, over tokens (1 -2 3 0.5) times a scale; a document begins at the third.
TEST(Literals, ShortConvolution) {
  struct Row {
    double scale;
    std::vector<double> y, dx, dw;
    double db;
  };
  const std::vector<Row> rows = {
      {1,
       {2.0354637039770036, -0.040743055715131929, 6.2379579083542033, -0.25908259655545657},
       {2.1338296255226877, 0.12726438934125338, 1.2281289932019477, -0.43607367626974269},
       {0.0, -0.59047831973398735, 2.3775863342885826},
       1.4493723441659507},
      {20,
       {40.25, -4.76473042495716e-42, 120.25, -2.1683604500479491e-16},
       {2.0000000000000003, 1.8867854815619831e-41, 1.0000000000000006, -1.2682863009714419e-15},
       {0.0, -3.8048589029143257e-14, 49.999999999999996},
       1.4999999999999995}};
  on_every_kernel([&](auto zero, const Stream& stream, const std::string& name) {
    using T = decltype(zero);
    constexpr int64_t c = kCopies;
    for (const Row& row : rows) {
      std::vector<T> x(4 * c), dy(4 * c), left(2 * c, T{7}), y(4 * c), dx(4 * c), dw(3 * c), db(c);
      const std::vector<double> tokens{1, -2, 3, 0.5};
      for (size_t i = 0; i < 4 * c; ++i) {
        x[i] = static_cast<T>(row.scale * tokens[i / c]);
        dy[i] = static_cast<T>(kDy[i / c]);
      }
      const std::vector<T> w = times<T>({0.5, -1, 2}, c), bias(c, T(0.25));
      const int32_t start[] = {0, 0, 2, 2};
      const ConvInputs<T> in{.x = {x.data(), {1, 4, c}},
                             .left = {left.data(), {1, 2, c}},  // another document
                             .weight = {w.data(), {c, 3}},
                             .bias = {bias.data(), {c}},
                             .start = {start, {1, 4}},
                             .activation = ConvActivation::silu};
      conv_kernels<T>(stream).forward(stream, {y.data(), {1, 4, c}}, in);
      ConvGradients<T> gradients;
      gradients.dx = {dx.data(), {1, 4, c}};
      gradients.dweight = {dw.data(), {c, 3}};
      gradients.dbias = {db.data(), {c}};
      conv_kernels<T>(stream).backward(stream, gradients, {dy.data(), {1, 4, c}}, in);
      // |z| is at most 6 times the scale; silu turns a rounding of z into |z| of its own.
      for (size_t i = 0; i < 4 * c; ++i) {
        const std::string what = fmt::format("{} token {} channel {} scale {}", name, i / c, i % c, row.scale);
        expect_near(y[i], row.y[i / c], 8 * kU<T> * (1 + 6 * row.scale) * std::abs(row.y[i / c]), what);
        expect_near(dx[i], row.dx[i / c], 64 * kU<T> * largest(row.dx), "dx: " + what);
      }
      for (size_t i = 0; i < 3 * c; ++i) expect_near(dw[i], row.dw[i % 3], 64 * kU<T> * largest(row.dw), name + " dw");
      for (size_t i = 0; i < c; ++i) expect_near(db[i], row.db, 64 * kU<T> * std::abs(row.db), name + " db");
    }
  });
}

// Target 3 of 4 columns, before padding.
TEST(Literals, CrossEntropy) {
  struct Row {
    std::vector<double> x;
    double loss;
    std::vector<double> dx;
  };
  const std::vector<Row> rows = {
      {{1, -2, 3, 0.5},
       2.7022534476793518,
       {0.11055375036173921, 0.0055041471275836729, 0.81688786337006566, -0.93294576085938853}},
      {{-100, -1e-8, 20, 100},
       1.8048513915654911e-35,
       {1.3838965267367375e-87, 3.7200759388200764e-44, 1.8048513878454152e-35, -1.8048513915654911e-35}},
      {{100, 100, -100, 20}, 80.693147180559945, {0.5, 0.5, 6.9194826336836877e-88, -1.0}}};
  on_every_kernel([&](auto zero, const Stream& stream, const std::string& name) {
    using T = decltype(zero);
    constexpr int64_t r = kCopies, v = 7;
    const std::vector<int32_t> target(r, 3), keep(r, 1);
    for (const Row& row : rows) {
      std::vector<T> logits(r * v, T{50}), most(r), sum(r), picked(r);
      for (size_t i = 0; i < r * v; ++i)
        if (i % v < 4) logits[i] = static_cast<T>(row.x[i % v]);
      const auto& kernels = loss_kernels<T>(stream);
      const View<T, 2> all{logits.data(), {r, v}};
      kernels.row_max(stream, {most.data(), {r}}, all, 4);
      kernels.exponentials(stream, all, {sum.data(), {r}}, {picked.data(), {r}}, View<T, 1>{most.data(), {r}},
                           {target.data(), {r}}, 4);
      for (size_t i = 0; i < r; ++i)
        expect_near(static_cast<T>(std::log(sum[i]) - picked[i]), row.loss, 4 * kU<T> * (1 + std::abs(row.loss)),
                    fmt::format("{} loss of the row with {}", name, row.x[0]));
      kernels.gradient(stream, all, View<T, 1>{sum.data(), {r}}, {target.data(), {r}}, {keep.data(), {r}}, 4);
      for (size_t i = 0; i < r * v; ++i)
        expect_near(logits[i], i % v < 4 ? row.dx[i % v] : 0, i % v < 4 ? 8 * kU<T> : 0,
                    fmt::format("{} gradient {} of the row with {}", name, i % v, row.x[0]));
    }
  });
}

// Rate 0.01, betas 0.9 0.95, eps 1e-8, decay 0.1, clip 0.5: w, m, v before and after step t. 1 - 0.95 has 20 times the
// rounding of 0.95.
TEST(Literals, AdamW) {
  struct Row {
    int step;
    std::vector<double> before;
    double gradient;
    std::vector<double> after;
  };
  const std::vector<Row> rows = {{1, {1, 0, 0}, 20, {0.98900000001, 1.0, 5.0}},
                                 {1, {1, 0, 0}, 1e-8, {0.99566666666666667, 5.0e-10, 1.25e-18}},
                                 {1, {-100, 0, 0}, 0, {-99.9, 0.0, 0.0}},
                                 {1000, {20, -1e-8, 1e-8}, 100, {19.97552786405722, 4.999999991, 125.0000000095}},
                                 {7, {-1e-8, 0.5, 4}, -100, {0.0042207519462653362, -4.55, 128.8}}};
  on_every_kernel([&](auto zero, const Stream& stream, const std::string& name) {
    using T = decltype(zero);
    for (const Row& row : rows) {
      const AdamWStep step{.rate = 0.01,
                           .beta1 = 0.9,
                           .beta2 = 0.95,
                           .eps = 1e-8,
                           .decay = 0.1,
                           .correction1 = 1 - std::pow(0.9, row.step),
                           .correction2 = 1 - std::pow(0.95, row.step)};
      const double scale = 0.5;
      std::vector<T> of[3];
      for (size_t i = 0; i < 3; ++i) of[i].assign(kCopies, static_cast<T>(row.before[i]));
      const std::vector<T> g(kCopies, static_cast<T>(row.gradient));
      optim_kernels<T>(stream).adamw(stream, {of[0].data(), {kCopies}}, {of[1].data(), {kCopies}},
                                     {of[2].data(), {kCopies}}, {g.data(), {kCopies}}, {&scale, {1}}, step);
      for (size_t i = 0; i < 3; ++i)
        for (const T found : of[i])
          expect_near(found, row.after[i], 32 * kU<T> * (std::abs(row.before[i]) + std::abs(row.after[i])),
                      fmt::format("{} step {} gradient {}: {}", name, row.step, row.gradient, "wmv"[i]));
    }
  });
}

}  // namespace
}  // namespace og

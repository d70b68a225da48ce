// What surrounds the exponentials of cross-entropy: which columns are this rank's, a row's loss, the sum over rows;
// every table against the definition. With ONEGATHER_ISA = avx2 or base as other processors choose.
#include <gtest/gtest.h>

#include "framework/kernels/loss.h"
#include "framework/kernels/pointwise.h"
#include "tests/tensors.h"

namespace og {
namespace {

const int64_t kSizes[] = {0, 1, 7, 33, 1024, 40001};

// Every table in every type that it has.
template <class Body>
void on_tables(Body&& body) {
  for (const Backend backend : {Backend::ref, Backend::cpu}) {
    const Stream stream{.backend = backend, .num_threads = 2};
    body(float{}, stream);
    body(double{}, stream);
  }
}

TEST(LossKernels, ColumnsOfARankAreLocalised) {
  Context cx;
  for (const int64_t n : kSizes) {
    const Tensor target = cx.empty({n}, DType::i32), local = cx.empty({n}, DType::i32),
                 keep = cx.empty({n}, DType::i32);
    for (int64_t i = 0; i < n; ++i) target.data<int32_t>()[i] = static_cast<int32_t>(i % 13) - 1;
    on_tables([&](auto zero, const Stream& stream) {
      for (const auto& [first, valid] : {std::pair<int64_t, int64_t>{0, 12}, {4, 3}, {8, 0}}) {
        local.fill(77);
        keep.fill(77);
        loss_kernels<decltype(zero)>(stream).localise(stream, local.flat<int32_t>(), keep.flat<int32_t>(),
                                                      target.flat<const int32_t>(), first, valid);
        for (int64_t i = 0; i < n; ++i) {
          const int64_t t = target.data<const int32_t>()[i];
          EXPECT_EQ(keep.data<const int32_t>()[i], t >= 0 ? 1 : 0);
          EXPECT_EQ(local.data<const int32_t>()[i], t >= first && t < first + valid ? t - first : -1) << i;
        }
      }
    });
  }
}

TEST(LossKernels, ARowsLossAndTheSumOverRowsInTheirOrder) {
  Context cx;
  for (const int64_t n : kSizes)
    on_tables([&](auto zero, const Stream& stream) {
      using T = decltype(zero);
      const DType dtype = DTypeOf<T>::value;
      const Tensor sum = random_tensor(cx, {n}, dtype, 1), picked = random_tensor(cx, {n}, dtype, 2),
                   keep = cx.empty({n}, DType::i32), loss = cx.empty({n}, dtype), total = cx.empty({1}, dtype);
      for (int64_t i = 0; i < n; ++i) {
        sum.data<T>()[i] = std::exp(sum.data<T>()[i]);
        keep.data<int32_t>()[i] = i % 5 != 2;
        if (i % 5 == 2) picked.data<T>()[i] = std::numeric_limits<T>::quiet_NaN();  // nobody looks at it
      }
      const auto& kernels = loss_kernels<T>(stream);
      kernels.row_loss(stream, loss.flat<T>(), sum.flat<const T>(), picked.flat<const T>(), keep.flat<const int32_t>());
      kernels.total(stream, total.flat<T>(), loss.flat<const T>());
      double expected = 0;
      for (int64_t i = 0; i < n; ++i) {
        const T own = i % 5 == 2 ? T{0} : std::log(sum.data<T>()[i]) - picked.data<T>()[i];
        EXPECT_EQ(loss.data<T>()[i], own) << i;
        expected += static_cast<double>(own);
      }
      EXPECT_EQ(total.data<T>()[0], static_cast<T>(expected)) << n;
    });
}

TEST(LossKernels, AFactorThatWasComputedScalesAsOneThatWasGiven) {
  Context cx;
  for (const int64_t n : kSizes)
    on_tables([&](auto zero, const Stream& stream) {
      using T = decltype(zero);
      const DType dtype = DTypeOf<T>::value;
      const Tensor x = random_tensor(cx, {n}, dtype, 1), factor = Tensor::full(*cx.pool, {1}, dtype, 0.3);
      for (const Put put : {Put::write, Put::add}) {
        const Tensor by = random_tensor(cx, {n}, dtype, 2), given = by.clone(*cx.pool);
        const auto& kernels = pointwise_kernels<T>(stream);
        kernels.scale_by(stream, by.flat<T>(), put, x.flat<const T>(), factor.flat<const T>());
        kernels.scale(stream, given.flat<T>(), put, x.flat<const T>(), static_cast<T>(0.3));
        EXPECT_TRUE(same_bits(by, given)) << n;
      }
    });
}

}  // namespace
}  // namespace og

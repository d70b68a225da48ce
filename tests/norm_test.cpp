// Norms: gradients against differences, the vectorised kernels against the reference.
#include "framework/ops/norm.h"

#include <gtest/gtest.h>

#include "framework/autograd/check.h"
#include "tests/tensors.h"

namespace og {
namespace {

TEST(RmsNorm, GradientsMatchDifferences) {
  Context cx;
  for (const Shape& w : {Shape{5}, Shape{3, 5}}) {
    const Value leaves[] = {Value::leaf(random_tensor(cx, {2, 3, 5}, DType::f64, 1)),
                            Value::leaf(random_tensor(cx, w, DType::f64, 2))};
    const auto check = check_gradient(
        cx, [](Tape& t, std::span<const Value> x) { return weighted_sum(t, rms_norm(t, x[0], x[1], 1e-5), 3); },
        leaves);
    EXPECT_LT(check.largest_error, 1e-7) << check.where;
  }
}

}  // namespace
}  // namespace og

#include "framework/ops/embed.h"

#include <algorithm>

namespace og {

namespace {

struct Embed final : Function {
  Tensor tokens_BT;
  int64_t first_row = 0;

  const char* name() const override { return "embed"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    auto [dw, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dw = dw, put = put](auto zero) {
      using T = decltype(zero);
      const auto out = dw.template rows<T>();
      const auto g = dy.rows<const T>();
      const auto* ids = tokens_BT.data<const int32_t>();
      // Threads take columns: a token that stands twice is added in its order.
      cx.stream.parallel_for(out.shape[1], 64, [&, put = put](int64_t begin, int64_t end) {
        if (put == Put::write)
          for (int64_t v = 0; v < out.shape[0]; ++v) std::fill(&out(v) + begin, &out(v) + end, T{0});
        for (int64_t r = 0; r < g.shape[0]; ++r) {
          const int64_t row = ids[r] - first_row;
          if (row < 0 || row >= out.shape[0]) continue;
          T* to = &out(row);
          const T* from = &g(r);
          for (int64_t d = begin; d < end; ++d) to[d] += from[d];
        }
      });
    });
  }
};

}  // namespace

Value embed(Tape& tape, const Value& weight_VD, const Tensor& tokens_BT, int64_t first_row, const Placement& place) {
  OG_CHECK(weight_VD.rank() == 2 && tokens_BT.rank() == 2 && tokens_BT.dtype() == DType::i32,
           "embed: weight {}, tokens {} {}", weight_VD.shape().str(), name_of(tokens_BT.dtype()),
           tokens_BT.shape().str());
  const int64_t width = weight_VD.size(1), rows = weight_VD.size(0);
  Value y = tape.output({tokens_BT.size(0), tokens_BT.size(1), width}, weight_VD.dtype(), place, {weight_VD});
  visit_real(weight_VD.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const auto out = y.tensor().template rows<T>();
    const T* table = weight_VD.tensor().data<const T>();
    const auto* ids = tokens_BT.data<const int32_t>();
    tape.stream().parallel_for(tokens_BT.count(), 256, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t row = ids[r] - first_row;
        if (row >= 0 && row < rows) {
          std::copy_n(table + row * width, width, &out(r));
        } else {
          std::fill_n(&out(r), width, T{0});
        }
      }
    });
  });
  auto function = std::make_unique<Embed>();
  function->tokens_BT = tokens_BT;
  function->first_row = first_row;
  tape.record(std::move(function), {weight_VD}, {y});
  return y;
}

}  // namespace og

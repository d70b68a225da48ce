#include "parallel/layers/vocabulary.h"

#include <algorithm>

#include "framework/kernels/loss.h"
#include "framework/kernels/matmul.h"
#include "framework/kernels/pointwise.h"
#include "framework/ops/embed.h"
#include "framework/ops/linear.h"
#include "framework/ops/ranges.h"
#include "parallel/mesh/collectives.h"

namespace og {

namespace {

const Placement kTokens{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};

struct VocabularyLoss final : Function {
  Tensor dx, dw;  // for a loss gradient of 1; absent if not wanted

  const char* name() const override { return "vocabulary_loss"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::loss);
    const Tensor* parts[] = {&dx, &dw};
    for (size_t i : {size_t{0}, size_t{1}}) {
      if (!input(i)) continue;
      auto [target, put] = input(i)->open(cx);
      visit_real(target.dtype(), [&, target = target, put = put](auto zero) {
        using T = decltype(zero);
        pointwise_kernels<T>(cx.stream).scale_by(cx.stream, target.template flat<T>(), put, parts[i]->flat<const T>(),
                                                 dy.flat<const T>());
      });
    }
  }
};

// Hidden states as products with the head's columns take them: on tensor they come the same or entered already.
Value entered(Tape& tape, Mesh& mesh, const Value& x) {
  if (x.place()[Axis::tensor] == Place::replicated) return x;
  return enter(tape, x, Axis::tensor, mesh.tensor(), Sites::tensor_forward);
}

// This rank's columns of the vocabulary.
struct Columns {
  int64_t first, valid;  // the first `valid` of them are real
};

Columns columns(Mesh& mesh, const Value& weight_VD, int64_t vocab_size) {
  const int64_t width = weight_VD.size(0), first = mesh.tensor().rank() * width;
  return {first, std::clamp<int64_t>(vocab_size - first, 0, width)};
}

// One block of rows: fills losses, and the gradients if wanted.
template <class T>
struct Block {
  Context& cx;
  Comm& tensor;
  Columns cols;
  View<const T, 2> w;
  Put put_dw;
  View<T, 2> dw;  // null: no gradients

  void run(View<const T, 2> x, View<const int32_t, 1> targets, View<T, 1> losses, View<T, 2> dx) {
    const int64_t rows = x.shape[0], width = w.shape[0];
    const auto& k = loss_kernels<T>(cx.stream);
    const DType dtype = DTypeOf<T>::value;
    const Tensor logits = cx.empty({rows, width}, dtype), most = cx.empty({rows}, dtype),
                 sums = cx.empty({2, rows}, dtype), local = cx.empty({rows}, DType::i32),
                 keep = cx.empty({rows}, DType::i32);
    const auto e = logits.rows<T>();
    k.localise(cx.stream, local.flat<int32_t>(), keep.flat<int32_t>(), targets, cols.first, cols.valid);
    product(Transpose::nt, e, Put::write, x, w);
    k.row_max(cx.stream, most.flat<T>(), e, cols.valid);
    tensor.all_reduce(most, Reduce::max, Sites::tensor_forward).wait();
    const View<T, 1> sum = sums.slice(0, 1).template flat<T>(), picked = sums.slice(1, 2).template flat<T>();
    k.exponentials(cx.stream, e, sum, picked, most.flat<const T>(), local.flat<const int32_t>(), cols.valid);
    tensor.all_reduce(sums, Reduce::sum, Sites::tensor_forward).wait();
    k.row_loss(cx.stream, losses, sum, picked, keep.flat<const int32_t>());
    if (!dw) return;
    k.gradient(cx.stream, e, sum, local.flat<const int32_t>(), keep.flat<const int32_t>(), cols.valid);
    product(Transpose::nn, dx, Put::write, View<const T, 2>(e), w);
    product(Transpose::tn, dw, put_dw, View<const T, 2>(e), x);
    put_dw = Put::add;
  }

  void product(Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a, View<const T, 2> b) {
    const Profile::Scope scope(&cx.profile, Part::products);
    const int64_t inner = transpose == Transpose::tn ? a.shape[0] : a.shape[1];
    cx.profile.count_product(2.0 * static_cast<double>(c.shape[0] * c.shape[1] * inner));
    matmul_kernels<T>(cx.stream).multiply(cx.stream, transpose, c, put, a, b);
  }
};

}  // namespace

Value vocabulary_embedding_part(Tape& tape, Mesh& mesh, const Value& weight_VD, const Tensor& tokens_BT) {
  return embed(tape, weight_VD, tokens_BT, mesh.tensor().rank() * weight_VD.size(0),
               kTokens.with(Axis::tensor, Place::partial));
}

Value vocabulary_embedding(Tape& tape, Mesh& mesh, const Value& weight_VD, const Tensor& tokens_BT) {
  const Value part = vocabulary_embedding_part(tape, mesh, weight_VD, tokens_BT);
  return all_reduce_to_invariant(tape, part, Axis::tensor, mesh.tensor(), Sites::tensor_forward);
}

Value vocabulary_loss(Tape& tape, Mesh& mesh, const Value& hidden_BTD, const Value& weight_VD, const Tensor& targets_BT,
                      int64_t vocab_size, Tensor* token_losses) {
  OG_CHECK(hidden_BTD.rank() == 3 && hidden_BTD.size(2) == weight_VD.size(1) && targets_BT.dtype() == DType::i32 &&
               targets_BT.count() == hidden_BTD.size(0) * hidden_BTD.size(1),
           "vocabulary_loss: hidden {}, weight {}, targets {}", hidden_BTD.shape().str(), weight_VD.shape().str(),
           targets_BT.shape().str());
  Context& cx = tape.context();
  const Value x = entered(tape, mesh, hidden_BTD);
  const Profile::Scope scope(&cx.profile, Part::loss);
  const DType dtype = x.dtype();
  const Placement sum_place{{Axis::data, Place::partial}, {Axis::sequence, Place::partial}};
  Value y = tape.output({1}, dtype, sum_place, {x, weight_VD});
  const int64_t rows = targets_BT.count();
  const Tensor losses = cx.empty({rows}, dtype);
  auto function = std::make_unique<VocabularyLoss>();
  const bool gradients = y.wants_gradient();
  if (gradients) {
    function->dx = cx.empty(x.shape(), dtype);
    function->dw = rows > 0 ? cx.empty(weight_VD.shape(), dtype) : cx.zeros(weight_VD.shape(), dtype);
  }
  visit_real(dtype, [&](auto zero) {
    using T = decltype(zero);
    Block<T> block{cx,
                   mesh.tensor(),
                   columns(mesh, weight_VD, vocab_size),
                   weight_VD.tensor().rows<const T>(),
                   Put::write,
                   gradients ? function->dw.template rows<T>() : View<T, 2>()};
    const Tensor targets = targets_BT.reshape({rows}), flat = x.tensor().reshape({rows, x.size(2)});
    const Tensor dx = gradients ? function->dx.reshape({rows, x.size(2)}) : Tensor();
    for (int64_t begin = 0; begin < rows; begin += kLossBlockRows) {
      const int64_t end = std::min(rows, begin + kLossBlockRows);
      block.run(flat.slice(begin, end).template rows<const T>(),
                targets.slice(begin, end).template flat<const int32_t>(), losses.slice(begin, end).template flat<T>(),
                gradients ? dx.slice(begin, end).template rows<T>() : View<T, 2>());
    }
    loss_kernels<T>(cx.stream).total(cx.stream, y.tensor().template flat<T>(), losses.flat<const T>());
  });
  if (token_losses) *token_losses = losses.reshape(targets_BT.shape());
  tape.record(std::move(function), {x, weight_VD}, {y});
  return y;
}

Tensor vocabulary_logits(Tape& tape, Mesh& mesh, const Value& hidden_ND, const Value& weight_VD, int64_t vocab_size) {
  const Value x = entered(tape, mesh, hidden_ND);
  const Value part = linear(tape, x, weight_VD);
  const std::vector<int64_t> extents(static_cast<size_t>(mesh.tensor().size()), weight_VD.size(0));
  const Value whole =
      all_gather_to_invariant(tape, part, 1, extents, Axis::tensor, mesh.tensor(), Sites::tensor_forward);
  return copy_range(tape.context(), 1, whole.tensor(), 0, vocab_size);
}

}  // namespace og

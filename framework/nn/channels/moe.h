// Mixture of SwiGLU experts: each token is computed by the num_experts_per_tok experts that its router scores highest,
// and by the shared experts. Dropless unless a capacity is set. Experts are cut over the expert group; with tensor > 1
// tokens are divided over it before they are sent.
//
// Everything that depends on how many tokens an expert got is counted per row of the batch over all ranks that hold
// parts of it (aux_loss_scope micro_step: over all tokens of the micro step), so results are the same at every layout.
#pragma once

#include <memory>
#include <optional>

#include "framework/nn/channels/mlp.h"
#include "framework/nn/layer.h"
#include "framework/nn/registry.h"
#include "framework/ops/moe.h"

namespace og {

struct MoeOptions {
  enum class Balance : uint8_t { aux_loss, bias, none };
  enum class BalanceScope : uint8_t { sequence, micro_step };
  int64_t num_experts = 8;
  int64_t num_experts_per_tok = 2;
  int64_t moe_intermediate_size = 512;
  int64_t num_shared_experts = 0;
  Balance balance = Balance::aux_loss;
  double aux_loss_coef = 0.01;
  double z_loss_coef = 0.001;
  BalanceScope aux_loss_scope = BalanceScope::sequence;
  // In training an expert takes ceil(capacity_factor K T / E) choices of a row of T tokens, in the order of tokens, and
  // drops the others. Absent, and outside training: no limit.
  std::optional<double> capacity_factor{};
  bool norm_topk_prob = true;
  Scoring scoring_func = Scoring::softmax;
  double routed_scaling_factor = 1;
  double bias_update_rate = 1e-3;
};

class Moe final : public ChannelPart {
 public:
  // Parameters "<prefix>.gate.weight" [E, hidden], ".experts.gate_proj.weight" and ".experts.up_proj.weight"
  // [E, F, hidden], ".experts.down_proj.weight" [E, hidden, F], ".shared_experts.*" as in Mlp; with balance bias
  // ".gate.bias" [E], which is added to the scores for the choice only, gets no gradient and moves in end_step().
  Moe(const LayerContext& context, const MoeOptions& options);

  // side: losses are given in every pass, figures only once (not when a recomputed region runs again).
  Value forward(StepContext& step, const Value& x_BTD, SideOutputs& side) override;

  // bias_e += bias_update_rate * sign(mean load - load_e) (arXiv 2408.15664), loads counted since the last call over
  // all ranks. Site "moe.balance".
  void end_step() override;

 private:
  struct Decision;
  Decision decide(StepContext& step, const RouterScores& router, TokenRows rows, SideOutputs& side);
  // Marks choices over an expert's capacity as dropped. before_RE: choices of its row before this rank's tokens, which
  // grow by those of earlier segments and by these. Returns how many, [1].
  Tensor drop(StepContext& step, const Tensor& experts_NK, TokenRows rows, const Tensor& before_RE,
              const SegmentedRow::Choices* row) const;
  // What the balance loss counts together (Decision::total_GE), from the choices by row of this segment.
  Tensor total_choices(StepContext& step, Tensor total_BE, SegmentedRow::Choices* row);
  void add_losses(StepContext& step, const RouterScores& router, const Decision& decision, TokenRows rows,
                  SideOutputs& side);
  Value experts(Tape& tape, const Value& rows_RD, const Tensor& row_begin_E) const;

  MoeOptions options_;
  Mesh& mesh_;
  Context& cx_;
  Parameter *gate_ = nullptr, *bias_ = nullptr;
  Parameter *gate_proj_ = nullptr, *up_proj_ = nullptr, *down_proj_ = nullptr;
  std::unique_ptr<Mlp> shared_;
  Tensor load_E_;  // i64: choices of this rank's tokens since the last end_step()
};

ChannelType moe_type();

}  // namespace og

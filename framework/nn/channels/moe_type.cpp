// The keys of channel type `moe`.
#include "framework/nn/channels/moe.h"

namespace og {

namespace {

std::optional<Problem> problem(const Options& options, int64_t, const Degrees& degrees) {
  const int64_t e = options.integer("num_experts"), k = options.integer("num_experts_per_tok");
  if (k > e) return Problem{fmt::format("num_experts_per_tok: {} of num_experts = {}", k, e)};
  if (e % degrees.expert != 0)
    return Problem{fmt::format("num_experts: {} is not a multiple of parallel.expert = {}", e, degrees.expert)};
  const int64_t shared = options.integer("num_shared_experts") * options.integer("moe_intermediate_size");
  if (shared % degrees.tensor != 0)
    return Problem{
        fmt::format("num_shared_experts * moe_intermediate_size: {} is not a multiple of parallel.tensor = {}", shared,
                    degrees.tensor)};
  if (!options.is_null("capacity_factor") && options.real("capacity_factor") <= 0)
    return Problem{"capacity_factor: expected a number > 0 or null (no limit), found 0"};
  return std::nullopt;
}

std::unique_ptr<ChannelPart> build(const LayerContext& context, const Options& options) {
  MoeOptions o;
  o.num_experts = options.integer("num_experts");
  o.num_experts_per_tok = options.integer("num_experts_per_tok");
  o.moe_intermediate_size = options.integer("moe_intermediate_size");
  o.num_shared_experts = options.integer("num_shared_experts");
  const std::string& balance = options.choice("balance");
  o.balance = balance == "aux_loss" ? MoeOptions::Balance::aux_loss
              : balance == "bias"   ? MoeOptions::Balance::bias
                                    : MoeOptions::Balance::none;
  o.aux_loss_coef = options.real("aux_loss_coef");
  o.z_loss_coef = options.real("z_loss_coef");
  o.aux_loss_scope = options.choice("aux_loss_scope") == "sequence" ? MoeOptions::BalanceScope::sequence
                                                                    : MoeOptions::BalanceScope::micro_step;
  if (!options.is_null("capacity_factor")) o.capacity_factor = options.real("capacity_factor");
  o.norm_topk_prob = options.boolean("norm_topk_prob");
  o.scoring_func = options.choice("scoring_func") == "softmax" ? Scoring::softmax : Scoring::sigmoid;
  o.routed_scaling_factor = options.real("routed_scaling_factor");
  o.bias_update_rate = options.real("bias_update_rate");
  return std::make_unique<Moe>(context, o);
}

std::vector<OptionSpec> moe_options() {
  const MoeOptions o;
  return {
      OptionSpec::integer("num_experts", o.num_experts, 1, "routed experts"),
      OptionSpec::integer("num_experts_per_tok", o.num_experts_per_tok, 1, "experts that compute each token"),
      OptionSpec::integer("moe_intermediate_size", o.moe_intermediate_size, 1, "width of each expert"),
      OptionSpec::integer("num_shared_experts", o.num_shared_experts, 0, "experts that compute every token"),
      OptionSpec::choice("balance", "aux_loss", {"aux_loss", "bias", "none"}, "what keeps the load of experts even"),
      OptionSpec::real("aux_loss_coef", o.aux_loss_coef, 0, "weight of the balance loss (balance: aux_loss)"),
      OptionSpec::real("z_loss_coef", o.z_loss_coef, 0, "weight of the mean square of the router's log-sum-exp"),
      OptionSpec::choice("aux_loss_scope", "sequence", {"sequence", "micro_step"},
                         "tokens that the balance loss counts together"),
      OptionSpec::real("capacity_factor", o.capacity_factor, 0,
                       "choices an expert takes of a row, over the mean; null: no token is dropped"),
      OptionSpec::boolean("norm_topk_prob", o.norm_topk_prob, "weights of a token's experts sum to one"),
      OptionSpec::choice("scoring_func", "softmax", {"softmax", "sigmoid"}, "from the router's logits to scores"),
      OptionSpec::real("routed_scaling_factor", o.routed_scaling_factor, -std::numeric_limits<double>::infinity(),
                       "factor of the routed experts' weights"),
      OptionSpec::real("bias_update_rate", o.bias_update_rate, 0, "step of the balance bias (balance: bias)")};
}

// Gate, up and down of the experts that a token visits; the router and shared experts see every token.
double flops_per_token(const Options& options, int64_t hidden_size) {
  return 2.0 * 3 *
         static_cast<double>(options.integer("num_experts_per_tok") * options.integer("moe_intermediate_size") *
                             hidden_size);
}

}  // namespace

ChannelType moe_type() {
  return {
      .name = "moe", .options = moe_options(), .problem = problem, .build = build, .flops_per_token = flops_per_token};
}

}  // namespace og

// The keys of channel type `moe`.
#include "framework/nn/channels/moe.h"

namespace og {

namespace {

std::string problem(const Options& options, int64_t, const Degrees& degrees) {
  const int64_t e = options.integer("num_experts"), k = options.integer("num_experts_per_tok");
  if (k > e) return fmt::format("num_experts_per_tok: {} of num_experts = {}", k, e);
  if (e % degrees.expert != 0)
    return fmt::format("num_experts: {} is not a multiple of parallel.expert = {}", e, degrees.expert);
  const int64_t shared = options.integer("num_shared_experts") * options.integer("moe_intermediate_size");
  if (shared % degrees.tensor != 0)
    return fmt::format("num_shared_experts * moe_intermediate_size: {} is not a multiple of parallel.tensor = {}",
                       shared, degrees.tensor);
  if (!options.is_null("capacity_factor") && options.real("capacity_factor") <= 0)
    return "capacity_factor: expected a number > 0 or null (no limit), found 0";
  return "";
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
  o.aux_loss_scope =
      options.choice("aux_loss_scope") == "sequence" ? MoeOptions::BalanceScope::sequence : MoeOptions::BalanceScope::micro_step;
  if (!options.is_null("capacity_factor")) o.capacity_factor = options.real("capacity_factor");
  o.norm_topk_prob = options.boolean("norm_topk_prob");
  o.scoring_func = options.choice("scoring_func") == "softmax" ? Scoring::softmax : Scoring::sigmoid;
  o.routed_scaling_factor = options.real("routed_scaling_factor");
  o.bias_update_rate = options.real("bias_update_rate");
  return std::make_unique<Moe>(context, o);
}

}  // namespace

ChannelType moe_type() {
  using Kind = OptionSpec::Kind;
  const MoeOptions o;
  const std::vector<OptionSpec> options{
      {.name = "num_experts", .kind = Kind::integer, .fallback = o.num_experts, .least = 1, .help = "routed experts"},
      {.name = "num_experts_per_tok",
       .kind = Kind::integer,
       .fallback = o.num_experts_per_tok,
       .least = 1,
       .help = "experts that compute each token"},
      {.name = "moe_intermediate_size",
       .kind = Kind::integer,
       .fallback = o.moe_intermediate_size,
       .least = 1,
       .help = "width of each expert"},
      {.name = "num_shared_experts",
       .kind = Kind::integer,
       .fallback = o.num_shared_experts,
       .least = 0,
       .help = "experts that compute every token"},
      {.name = "balance",
       .kind = Kind::choice,
       .fallback = std::string("aux_loss"),
       .choices = {"aux_loss", "bias", "none"},
       .help = "what keeps the load of experts even"},
      {.name = "aux_loss_coef",
       .kind = Kind::real,
       .fallback = o.aux_loss_coef,
       .least = 0,
       .help = "weight of the balance loss (balance: aux_loss)"},
      {.name = "z_loss_coef",
       .kind = Kind::real,
       .fallback = o.z_loss_coef,
       .least = 0,
       .help = "weight of the mean square of the router's log-sum-exp"},
      {.name = "aux_loss_scope",
       .kind = Kind::choice,
       .fallback = std::string("sequence"),
       .choices = {"sequence", "micro_step"},
       .help = "tokens that the balance loss counts together"},
      {.name = "capacity_factor",
       .kind = Kind::real,
       .fallback = {},
       .least = 0,
       .nullable = true,
       .help = "choices an expert takes of a row, over the mean; null: all"},
      {.name = "norm_topk_prob",
       .kind = Kind::boolean,
       .fallback = o.norm_topk_prob,
       .help = "weights of a token's experts sum to one"},
      {.name = "scoring_func",
       .kind = Kind::choice,
       .fallback = std::string("softmax"),
       .choices = {"softmax", "sigmoid"},
       .help = "from the router's logits to scores"},
      {.name = "routed_scaling_factor",
       .kind = Kind::real,
       .fallback = o.routed_scaling_factor,
       .help = "factor of the routed experts' weights"},
      {.name = "bias_update_rate",
       .kind = Kind::real,
       .fallback = o.bias_update_rate,
       .least = 0,
       .help = "step of the balance bias (balance: bias)"}};
  return {.name = "moe",
          .options = options,
          .problem = problem,
          .build = build,
          .flops_per_token = [](const Options& values, int64_t hidden_size) {
            // Gate, up and down of the experts that a token visits; the router and shared experts see every token.
            return 2.0 * 3 *
                   static_cast<double>(values.integer("num_experts_per_tok") * values.integer("moe_intermediate_size") *
                                       hidden_size);
          }};
}

}  // namespace og

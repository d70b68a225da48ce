// Lightning Attention 2 (arXiv 2401.04658; as in MiniMax-01, arXiv 2501.08313): S = gamma S + k v^T with a decay per
// head and layer, silu on q, k and v, scale 1, no positions; RMS norm over all merged heads, sigmoid gate.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/parts/projection.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

// Slopes: the decay is exp(-slope).
double slope(const std::string& formula, int64_t head, int64_t num_heads, int64_t index, int64_t count) {
  const auto layer = static_cast<double>(index), num_layers = static_cast<double>(count);
  const auto h = static_cast<double>(head), heads = static_cast<double>(num_heads);
  if (formula == "linear") return 8 * h / heads * (1 - layer / num_layers);
  return std::exp2(-8 * (h + 1) / heads) * (1 - layer / (num_layers - 1 + 1e-5) + 1e-5);
}

constexpr Recurrence kRecurrence{.gate = Gate::scalar};

class Lightning final : public SequenceMixer {
 public:
  Lightning(const LayerContext& context, const Options& options)
      : num_heads_(options.integer("num_heads")),
        head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        log_decay_(per_local_head(context, num_heads_,
                                  [&](int64_t head) {
                                    return -slope(options.choice("slope"), head, num_heads_, context.layer_index,
                                                  context.num_layers);
                                  })),
        qkv_(context, options, options.boolean("short_conv"), Unary::silu),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), 1e-5) {}

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    const Heads h = qkv_(step, x, state);
    const Value g = constant_gate(step.tape, h.q, log_decay_);
    const Value o = scan_with_state(step.tape, kRecurrence, {.q = h.q, .k = h.k, .v = h.v, .g = g, .scale = 1.0},
                                    step.seq, state, "scan");
    return out_(step, o, x);
  }

 private:
  int64_t num_heads_, head_k_dim_, head_v_dim_;
  std::vector<double> log_decay_;  // of this rank's heads
  QkvProjection qkv_;
  MixerOutput out_;
};

}  // namespace

MixerType lightning_type() {
  MixerType type;
  type.name = "lightning";
  type.options = head_options(8, 64, 64);
  const OptionSpec slopes{
      .name = "slope",
      .kind = OptionSpec::Kind::choice,
      .fallback = std::string("geometric"),
      .choices = {"geometric", "linear"},
      .help = "geometric: 2^(-8(h+1)/H) (1 - l/(L-1)); linear: (8h/H)(1 - l/L), head 0 never decays"};
  type.options.push_back(slopes);
  type.options.push_back(conv_option(false));
  type.options.push_back(norm_option("merged"));
  type.options.push_back(gate_option("sigmoid"));
  type.problem = heads_problem;
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<Lightning>(c, o);
  };
  type.recurrence = {.formula = "S = exp(-slope(h)) S + k v^T, o = S^T q",
                     .recurrence = kRecurrence,
                     .streams = qkv_streams({scalar_gate_stream(false)}),
                     .options = {slopes,
                                 {.name = "layer_index", .fallback = int64_t{0}, .least = 0, .help = "l"},
                                 {.name = "num_layers", .fallback = int64_t{1}, .least = 1, .help = "L"}},
                     .run =
                         [](const RecurrenceCall& c) {
                           return run_scan(c, [&](int64_t head) {
                             return -slope(c.options.choice("slope"), head, c.at("q").size(2),
                                           c.options.integer("layer_index"), c.options.integer("num_layers"));
                           });
                         },
                     .default_scale = unit_scale};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

// Basic linear attention: S = S + k v^T, o = S^T q (arXiv 2006.16236), with a feature map on q and k and, for
// non-negative maps, an optional normaliser. Wrapped as Linear-MoE (arXiv 2503.05447) wraps every core: per-head RMS
// norm, silu gate. B batch, T tokens, H heads, K key width, V value width.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/projection.h"
#include "framework/ops/feature_map.h"
#include "framework/ops/shape.h"
#include "parallel/sequence.h"

namespace og {

namespace {

class LinearMixer final : public SequenceMixer {
 public:
  LinearMixer(const LayerContext& context, const Options& options)
      : head_k_dim_(options.integer("head_k_dim")),
        head_v_dim_(options.integer("head_v_dim")),
        num_heads_(options.integer("num_heads")),
        normalize_(options.boolean("normalize")),
        map_(feature_map_of(options.choice("feature_map"))),
        qkv_(context, options, options.boolean("short_conv"), Unary::identity),
        out_(context, num_heads_, head_v_dim_, norm_of(options), gate_of(options), kNormEps) {
    if (map_ != FeatureMap::hedgehog) return;
    // One K x K map a head, the identity at the start.
    const int64_t k = head_k_dim_;
    const Init identity = Init::custom([k](uint64_t, int64_t i) { return i % (k * k) / k == i % k ? 1.0 : 0.0; });
    q_map_ = &context.add("q_feature_map.weight", {num_heads_, k, k}, identity, Shard::tensor, 0);
    k_map_ = &context.add("k_feature_map.weight", {num_heads_, k, k}, identity, Shard::tensor, 0);
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    Heads h = qkv_(step, x, state);
    h.q = feature_map(step.tape, map_, h.q, q_map_ ? q_map_->value : Value());
    h.k = feature_map(step.tape, map_, h.k, k_map_ ? k_map_->value : Value());
    // A normalised map has its scale inside.
    const double scale = normalize_ ? 1.0 : 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    if (normalize_) h.v = append_ones(step.tape, h.v);
    Value o = scan_with_state(step.tape, {.gate = Gate::none}, {.q = h.q, .k = h.k, .v = h.v, .scale = scale}, step.seq,
                              state, "scan");
    if (normalize_) o = normalise_by_last(step.tape, o, kNormaliserEps);
    return out_(step, o, x);
  }

  double flops_per_token(int64_t) const override {
    const int64_t k = map_ == FeatureMap::hedgehog ? 2 * head_k_dim_ : head_k_dim_;
    const int64_t map = map_ == FeatureMap::hedgehog ? 4 * head_k_dim_ * head_k_dim_ : 0;
    return static_cast<double>(num_heads_ * (4 * k * (head_v_dim_ + (normalize_ ? 1 : 0)) + map));
  }

 private:
  static constexpr double kNormEps = 1e-5;
  static constexpr double kNormaliserEps = 1e-6;
  int64_t head_k_dim_, head_v_dim_, num_heads_;
  bool normalize_;
  FeatureMap map_;
  QkvProjection qkv_;
  MixerOutput out_;
  Parameter *q_map_ = nullptr, *k_map_ = nullptr;
};

}  // namespace

MixerType linear_type() {
  MixerType type;
  type.name = "linear";
  type.options = head_options(8, 64, 64);
  type.options.push_back({.name = "feature_map",
                          .kind = OptionSpec::Kind::choice,
                          .fallback = std::string("identity"),
                          .choices = feature_map_names(),
                          .help = "map of q and k before the recurrence"});
  type.options.push_back({.name = "normalize",
                          .kind = OptionSpec::Kind::boolean,
                          .fallback = false,
                          .help = "divide by the sum of weights; needs a non-negative feature map"});
  type.options.push_back(conv_option(false));
  type.options.push_back(norm_option("per_head"));
  type.options.push_back(gate_option("silu"));
  type.problem = [](const Options& o, int64_t hidden, int tensor) {
    if (o.boolean("normalize") && o.choice("feature_map") == "identity")
      return std::string(
          "normalize: true needs a feature_map that is never negative (elu_plus_one, relu, ...); the "
          "identity's sum of weights may change sign");
    return heads_problem(o, hidden, tensor);
  };
  type.build = [](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<LinearMixer>(c, o);
  };
  return type;
}

}  // namespace og

// Basic linear attention: S = S + k v^T, o = S^T q (arXiv 2006.16236), with a feature map on q and k and, for
// non-negative maps, an optional normaliser. Wrapped as Linear-MoE (arXiv 2503.05447) wraps every core: per-head RMS
// norm, silu gate. B batch, T tokens, H heads, K key width, V value width.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/parts/projection.h"
#include "framework/ops/feature_map.h"
#include "framework/ops/shape.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

constexpr double kNormaliserEps = 1e-6;

constexpr Recurrence kRecurrence{};

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
    for (Parameter* map : {q_map_, k_map_}) map->record.role = ParameterRole::product;
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    Heads h = qkv_(step, x, state);
    h.q = feature_map(step.tape, map_, h.q, q_map_ ? q_map_->value : Value());
    h.k = feature_map(step.tape, map_, h.k, k_map_ ? k_map_->value : Value());
    // A normalised map has its scale inside.
    const double scale = normalize_ ? 1.0 : 1.0 / std::sqrt(static_cast<double>(head_k_dim_));
    if (normalize_) h.v = append_ones(step.tape, h.v);
    Value o = scan_with_state(step.tape, kRecurrence, {.q = h.q, .k = h.k, .v = h.v, .scale = scale}, step.seq, state,
                              "scan");
    if (normalize_) o = normalise_by_last(step.tape, o, kNormaliserEps);
    return out_(step, o, x);
  }

 private:
  static constexpr double kNormEps = 1e-5;
  int64_t head_k_dim_, head_v_dim_, num_heads_;
  bool normalize_;
  FeatureMap map_;
  QkvProjection qkv_;
  MixerOutput out_;
  Parameter *q_map_ = nullptr, *k_map_ = nullptr;
};

}  // namespace

namespace {

Value run_linear(const RecurrenceCall& c) {
  const FeatureMap map = feature_map_of(c.options.choice("feature_map"));
  if (map == FeatureMap::hedgehog && !(c.at("q_map").defined() && c.at("k_map").defined()))
    fail(Status::data, "feature_map hedgehog needs the tensors q_map and k_map [H,K,K]");
  const auto mapped = [&](const char* x, const char* weight) {
    return feature_map(c.tape, map, c.at(x), map == FeatureMap::hedgehog ? c.at(weight) : Value());
  };
  const bool normalize = c.options.boolean("normalize");
  const Value v = normalize ? append_ones(c.tape, c.at("v")) : c.at("v");
  const Value o = run_scan(c, mapped("q", "q_map"), mapped("k", "k_map"), v, {});
  return normalize ? normalise_by_last(c.tape, o, kNormaliserEps) : o;
}

}  // namespace

MixerType linear_type() {
  MixerType type;
  type.name = "linear";
  type.options = head_options(8, 64, 64);
  const OptionSpec map{.name = "feature_map",
                       .kind = OptionSpec::Kind::choice,
                       .fallback = std::string("identity"),
                       .choices = feature_map_names(),
                       .help = "map of q and k before the recurrence"};
  const OptionSpec normalize{.name = "normalize",
                             .kind = OptionSpec::Kind::boolean,
                             .fallback = false,
                             .help = "divide by the sum of weights; needs a non-negative feature map"};
  type.options.push_back(map);
  type.options.push_back(normalize);
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
  type.recurrence = {
      .formula = "S = S + k v^T, o = S^T q; normalize: v gets a last column of ones, o is divided by its last column",
      .recurrence = kRecurrence,
      .streams = qkv_streams({{.name = "q_map", .dims = "HKK", .help = "W of hedgehog's queries", .required = false},
                              {.name = "k_map", .dims = "HKK", .help = "W of hedgehog's keys", .required = false}}),
      .options = {map, normalize},
      .run = run_linear,
      .default_scale =
          [](const Options& o, int64_t key_size) {
            return o.boolean("normalize") ? 1.0 : 1.0 / std::sqrt(static_cast<double>(key_size));
          },
      .widen =
          [](const Options& o, int64_t& K, int64_t& V) {
            if (o.choice("feature_map") == "hedgehog") K *= 2;
            if (o.boolean("normalize")) V += 1;
          }};
  type.scan_shape = scan_of_heads(type.recurrence);
  return type;
}

}  // namespace og

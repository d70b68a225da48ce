// Basic linear attention: S = S + k v^T, o = S^T q (arXiv 2006.16236), with a feature map on q and k and, for
// non-negative maps, an optional normaliser. Wrapped as Linear-MoE (arXiv 2503.05447) wraps every core: per-head RMS
// norm, silu gate. B batch, T tokens, H heads, K key width, V value width.
#include <cmath>

#include "framework/nn/mixers/mixers.h"
#include "framework/nn/mixers/scan_mixer.h"
#include "framework/ops/feature_map.h"
#include "framework/ops/shape.h"

namespace og {

namespace {

constexpr double kNormaliserEps = 1e-6;

ScanCore linear_core(const LayerContext& context, const Options& o) {
  const FeatureMap map = feature_map_of(o.choice("feature_map"));
  Parameter *q_map = nullptr, *k_map = nullptr;
  if (map == FeatureMap::hedgehog) {
    // One K x K map a head, the identity at the start.
    const int64_t heads = o.integer("num_heads"), k = o.integer("head_k_dim");
    const Init identity = Init::custom([k](uint64_t, int64_t i) { return i % (k * k) / k == i % k ? 1.0 : 0.0; });
    q_map = &context.add("q_feature_map.weight", {heads, k, k}, identity, Shard::tensor, 0);
    k_map = &context.add("k_feature_map.weight", {heads, k, k}, identity, Shard::tensor, 0);
    for (Parameter* p : {q_map, k_map}) p->record.role = ParameterRole::product;
  }
  const bool normalize = o.boolean("normalize");
  ScanCore core{.streams = [map, q_map, k_map, normalize](StepContext& step, const Value&, ScanStreams& s) {
    s.q = feature_map(step.tape, map, s.q, q_map ? q_map->value : Value());
    s.k = feature_map(step.tape, map, s.k, k_map ? k_map->value : Value());
    if (normalize) s.v = append_ones(step.tape, s.v);
  }};
  if (normalize) core.read_out = [](Tape& tape, const Value& v) { return normalise_by_last(tape, v, kNormaliserEps); };
  return core;
}

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
  const OptionSpec map =
      OptionSpec::choice("feature_map", "identity", feature_map_names(), "map of q and k before the recurrence");
  const OptionSpec normalize =
      OptionSpec::boolean("normalize", false, "divide by the sum of weights; needs a non-negative feature map");
  MixerType type = scan_mixer(
      {.name = "linear",
       .heads = head_options(8, 64, 64),
       .options = {map, normalize},
       .core = linear_core,
       .output_first = true,
       .recurrence = {
           .formula =
               "S = S + k v^T, o = S^T q; normalize: v gets a last column of ones, o is divided by its last column",
           .streams =
               qkv_streams({{.name = "q_map", .dims = "HKK", .help = "W of hedgehog's queries", .required = false},
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
               }}});
  type.problem = [](const Options& o, int64_t hidden, int tensor) -> std::optional<Problem> {
    if (o.boolean("normalize") && o.choice("feature_map") == "identity")
      return Problem{
          "normalize: true needs a feature_map that is never negative (elu_plus_one, relu, ...); the "
          "identity's sum of weights may change sign"};
    return heads_problem(o, hidden, tensor);
  };
  return type;
}

}  // namespace og

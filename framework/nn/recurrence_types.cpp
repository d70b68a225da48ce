#include "framework/nn/recurrence_types.h"

#include <cmath>

#include "framework/ops/feature_map.h"
#include "framework/ops/pointwise.h"
#include "framework/ops/shape.h"
#include "parallel/attention.h"
#include "parallel/sequence.h"

namespace og {

std::vector<double> retention_log_decay(int64_t num_heads) {
  std::vector<double> g;
  for (int64_t h = 0; h < num_heads; ++h) g.push_back(std::log1p(-std::exp2(-5.0 - static_cast<double>(h))));
  return g;
}

std::vector<double> lightning_log_decay(int64_t num_heads, int64_t layer, int64_t num_layers, bool minimax) {
  std::vector<double> g;
  const auto H = static_cast<double>(num_heads), l = static_cast<double>(layer), L = static_cast<double>(num_layers);
  for (int64_t i = 0; i < num_heads; ++i) {
    const auto h = static_cast<double>(i);
    g.push_back(minimax ? -std::exp2(-8 * (h + 1) / H) * (1 - l / (L - 1 + 1e-5) + 1e-5) : -(8 * h / H) * (1 - l / L));
  }
  return g;
}

namespace {

double inverse_root(const Options&, int64_t key_size) { return 1 / std::sqrt(static_cast<double>(key_size)); }
double one(const Options&, int64_t) { return 1; }

const StreamSpec kQ{.name = "q", .dims = "BTGK", .help = "queries"};
const StreamSpec kK{.name = "k", .dims = "BTGK", .help = "keys"};
const StreamSpec kV{.name = "v", .dims = "BTGV", .help = "values"};
const StreamSpec kBeta{.name = "beta", .dims = "BTH", .help = "write strength"};
const StreamSpec kScalarGate{.name = "g", .dims = "BTH", .help = "natural logarithm of the gate, <= 0"};
const StreamSpec kDiagonalGate{.name = "g", .dims = "BTHK", .help = "natural logarithm of the gate, <= 0"};
const StreamSpec kHeadGate{
    .name = "g", .dims = "BTH", .help = "instead of the decay that the head's index gives", .required = false};

Value run_scan(const RecurrenceCall& c, Gate gate, bool delta, const Value& q, const Value& k, const Value& v,
               const Value& g) {
  return scan_with_state(c.tape, {.gate = gate, .delta = delta, .form = c.form, .chunk = c.chunk},
                         {.q = q, .k = k, .v = v, .g = g, .beta = delta ? c.at("beta") : Value(), .scale = c.scale},
                         c.seq, c.state, "scan");
}

template <Gate kGate, bool kDelta>
Value plain(const RecurrenceCall& c) {
  return run_scan(c, kGate, kDelta, c.at("q"), c.at("k"), c.at("v"), c.at("g"));
}

Value linear(const RecurrenceCall& c) {
  const FeatureMap map = feature_map_of(c.options.choice("feature_map"));
  if (map == FeatureMap::hedgehog && !(c.at("q_map").defined() && c.at("k_map").defined()))
    fail(Status::data, "feature_map hedgehog needs the tensors q_map and k_map [H,K,K]");
  const auto mapped = [&](const char* x, const char* weight) {
    return feature_map(c.tape, map, c.at(x), map == FeatureMap::hedgehog ? c.at(weight) : Value());
  };
  const bool normalize = c.options.boolean("normalize");
  const Value v = normalize ? append_ones(c.tape, c.at("v")) : c.at("v");
  const Value o = run_scan(c, Gate::none, false, mapped("q", "q_map"), mapped("k", "k_map"), v, {});
  return normalize ? normalise_by_last(c.tape, o, 1e-6) : o;
}

Value retention(const RecurrenceCall& c) {
  const Value g =
      c.at("g").defined() ? c.at("g") : constant_gate(c.tape, c.at("q"), retention_log_decay(c.at("q").size(2)));
  return run_scan(c, Gate::scalar, false, c.at("q"), c.at("k"), c.at("v"), g);
}

Value lightning(const RecurrenceCall& c) {
  const std::vector<double> decay =
      lightning_log_decay(c.at("q").size(2), c.options.integer("layer_index"), c.options.integer("num_layers"),
                          c.options.choice("slopes") == "minimax");
  const Value g = c.at("g").defined() ? c.at("g") : constant_gate(c.tape, c.at("q"), decay);
  return run_scan(c, Gate::scalar, false, c.at("q"), c.at("k"), c.at("v"), g);
}

Value hgrn2(const RecurrenceCall& c) {
  const Value k = apply(c.tape, Unary::one_minus_exp, c.at("g"));
  return run_scan(c, Gate::diagonal, false, c.at("q"), k, c.at("v"), c.at("g"));
}

Value softmax(const RecurrenceCall& c) {
  SequenceAttentionOptions options;
  options.attention.scale = c.scale;
  if (!c.options.is_null("sliding_window")) options.attention.window = c.options.integer("sliding_window");
  return sequence_attention(c.tape, c.at("q"), c.at("k"), c.at("v"), options, c.seq, c.state);
}

std::vector<RecurrenceType> make_types() {
  using Kind = OptionSpec::Kind;
  return {
      {.name = "linear",
       .formula = "S = S + k v^T, o = S^T q; normalize: keys carry a column of ones in v, o is divided by its last",
       .streams = {kQ,
                   kK,
                   kV,
                   {.name = "q_map", .dims = "HKK", .help = "W of hedgehog's queries", .required = false},
                   {.name = "k_map", .dims = "HKK", .help = "W of hedgehog's keys", .required = false}},
       .options = {{.name = "feature_map",
                    .kind = Kind::choice,
                    .fallback = std::string("identity"),
                    .choices = feature_map_names(),
                    .help = "of q and k"},
                   {.name = "normalize",
                    .kind = Kind::boolean,
                    .fallback = false,
                    .help = "divide by the sum of weights (the state has V + 1 columns)"}},
       .default_scale = [](const Options& o,
                           int64_t key_size) { return o.boolean("normalize") ? 1.0 : inverse_root(o, key_size); },
       .run = linear,
       .widen =
           [](const Options& o, int64_t& K, int64_t& V) {
             if (o.choice("feature_map") == "hedgehog") K *= 2;
             if (o.boolean("normalize")) V += 1;
           }},
      {.name = "retention",
       .formula = "S = gamma_h S + k v^T, gamma_h = 1 - 2^(-5 - h), o = S^T q",
       .streams = {kQ, kK, kV, kHeadGate},
       .options = {},
       .default_scale = inverse_root,
       .run = retention},
      {.name = "lightning",
       .formula = "S = exp(-slope_h) S + k v^T, o = S^T q",
       .streams = {kQ, kK, kV, kHeadGate},
       .options = {{.name = "slopes",
                    .kind = Kind::choice,
                    .fallback = std::string("minimax"),
                    .choices = {"minimax", "fla"},
                    .help = "2^(-8(h+1)/H) (1 - l/(L-1+1e-5) + 1e-5), or (8h/H)(1 - l/L)"},
                   {.name = "layer_index", .fallback = int64_t{0}, .least = 0, .help = "l"},
                   {.name = "num_layers", .fallback = int64_t{1}, .least = 1, .help = "L"}},
       .default_scale = one,
       .run = lightning},
      {.name = "simple_gla",
       .formula = "S = exp(g) S + k v^T, o = S^T q",
       .streams = {kQ, kK, kV, kScalarGate},
       .options = {},
       .default_scale = inverse_root,
       .run = plain<Gate::scalar, false>},
      {.name = "mamba2",
       .formula = "S = exp(g) S + k v^T, o = S^T q; q = C, k = B, v = dt x, without the skip D x",
       .streams = {kQ, kK, kV, kScalarGate},
       .options = {},
       .default_scale = one,
       .run = plain<Gate::scalar, false>},
      {.name = "gla",
       .formula = "S = Diag(exp(g)) S + k v^T, o = S^T q",
       .streams = {kQ, kK, kV, kDiagonalGate},
       .options = {},
       .default_scale = inverse_root,
       .run = plain<Gate::diagonal, false>},
      {.name = "hgrn2",
       .formula = "S = Diag(exp(g)) S + (1 - exp(g)) v^T, o = S^T q",
       .streams = {{.name = "q", .dims = "BTHK", .help = "queries"},
                   {.name = "v", .dims = "BTHV", .help = "values"},
                   kDiagonalGate},
       .options = {},
       .default_scale = inverse_root,
       .run = hgrn2},
      {.name = "delta_net",
       .formula = "S = (I - beta k k^T) S + beta k v^T, o = S^T q",
       .streams = {kQ, kK, kV, kBeta},
       .options = {},
       .default_scale = inverse_root,
       .run = plain<Gate::none, true>},
      {.name = "gated_delta_net",
       .formula = "S = (I - beta k k^T) exp(g) S + beta k v^T, o = S^T q",
       .streams = {kQ, kK, kV, kScalarGate, kBeta},
       .options = {},
       .default_scale = inverse_root,
       .run = plain<Gate::scalar, true>},
      {.name = "attention",
       .formula = "o = softmax(q k^T) v, causal",
       .streams = {kQ, kK, kV},
       .options = {{.name = "sliding_window",
                    .fallback = OptionValue(),
                    .least = 1,
                    .nullable = true,
                    .help = "keys that a query sees, itself included; null: all"}},
       .default_scale = inverse_root,
       .run = softmax,
       .has_state = false},
  };
}

}  // namespace

std::span<const RecurrenceType> recurrence_types() {
  static const std::vector<RecurrenceType> types = make_types();
  return types;
}

const RecurrenceType* find_recurrence_type(const std::string& name) {
  for (const RecurrenceType& t : recurrence_types())
    if (t.name == name) return &t;
  return nullptr;
}

}  // namespace og

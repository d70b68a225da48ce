#include "framework/nn/mixers/recurrence_type.h"

#include <cmath>

#include "framework/ops/gates.h"
#include "parallel/sequence/scan.h"

namespace og {

std::vector<StreamSpec> qkv_streams(std::vector<StreamSpec> more) {
  std::vector<StreamSpec> all{{.name = "q", .dims = "BTGK", .help = "queries"},
                              {.name = "k", .dims = "BTGK", .help = "keys"},
                              {.name = "v", .dims = "BTGV", .help = "values"}};
  for (StreamSpec& s : more) all.push_back(std::move(s));
  return all;
}

StreamSpec scalar_gate_stream(bool required) {
  return {.name = "g",
          .dims = "BTH",
          .help = required ? "natural logarithm of the gate, <= 0" : "instead of the decay that belongs to the head",
          .required = required,
          .most = 0};
}

StreamSpec diagonal_gate_stream() {
  return {.name = "g", .dims = "BTHK", .help = "natural logarithm of the gate, <= 0", .most = 0};
}

StreamSpec write_strength_stream() { return {.name = "beta", .dims = "BTH", .help = "write strength"}; }

double unit_scale(const Options&, int64_t) { return 1; }

double scan_scale(const RecurrenceType& type, const Options& options, int64_t key_size) {
  return type.default_scale ? type.default_scale(options, key_size) : 1.0 / std::sqrt(static_cast<double>(key_size));
}

std::function<ScanShape(const Options&, int)> scan_of_heads(const RecurrenceType& type) {
  return [recurrence = type.recurrence, widen = type.widen](const Options& o, int tensor) {
    ScanShape shape{recurrence, o.integer("num_heads") / tensor, o.integer("head_k_dim"), o.integer("head_v_dim")};
    if (widen) widen(o, shape.key_size, shape.value_size);
    return shape;
  };
}

Value run_scan(const RecurrenceCall& c, const Value& q, const Value& k, const Value& v, const Value& g) {
  const Value beta = c.recurrence.delta ? c.at("beta") : Value();
  return scan_with_state(c.tape, c.recurrence, {{.q = q, .k = k, .v = v, .g = g, .beta = beta}, c.scale}, c.seq,
                         c.state, "scan");
}

Value run_scan(const RecurrenceCall& c) { return run_scan(c, c.at("q"), c.at("k"), c.at("v"), c.at("g")); }

Value run_scan(const RecurrenceCall& c, const std::function<double(int64_t head)>& log_decay) {
  if (c.at("g").defined()) return run_scan(c);
  std::vector<double> decay;
  for (int64_t h = 0; h < c.at("q").size(2); ++h) decay.push_back(log_decay(h));
  return run_scan(c, c.at("q"), c.at("k"), c.at("v"), constant_gate(c.tape, c.at("q"), decay));
}

}  // namespace og

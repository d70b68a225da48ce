// What a mixer does over the sequence: the shape of its scan, from which methods, plans, FLOPs and benchmarks are
// counted; and its recurrence alone, on streams as they are, which `onegather mixer NAME` runs. There feature maps,
// norms, rotations, gates and convolutions belong to the layer, unless an option names them.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "framework/nn/options.h"
#include "framework/ops/mixer_state.h"
#include "framework/ops/scan.h"
#include "parallel/sequence/context.h"

namespace og {

enum class MixerKind : uint8_t {
  recurrence,  // a linear recurrence: a state of fixed size goes on from token to token
  softmax,     // softmax attention to all tokens before: keys and values grow with the row
  window       // softmax attention to the last tokens
};

// The scan of a layer with a linear recurrence.
struct ScanShape {
  Recurrence recurrence{};
  int64_t heads = 0;                     // on one tensor rank
  int64_t key_size = 0, value_size = 0;  // in the state and the streams: maps and normalisers included

  // Forward, of one tensor rank: write and read the state; the delta rule reads once more before it writes.
  double flops_per_token() const {
    return static_cast<double>(heads * (recurrence.delta ? 6 : 4) * key_size * value_size);
  }
};

// dims: B rows, T tokens, H heads, G heads that divide H (each serves H / G neighbours), K, V widths. A stream whose
// dims do not begin with B is a weight, the same for all tokens.
struct StreamSpec {
  std::string name;
  std::string dims;  // "BTHK"
  std::string help;
  bool required = true;
  double most = std::numeric_limits<double>::infinity();  // the largest value of an element; 0 for log gates
};

struct RecurrenceCall {
  Tape& tape;
  std::map<std::string, Value> streams;  // by name, heads already shared out to [B, T, H, D]
  const Options& options;
  Recurrence recurrence;  // the type's, in the form that was asked for
  double scale;
  const SeqContext& seq;
  MixerState* state;  // entry "scan" [B, H, K, V], unless the type has no state of fixed size

  Value at(const std::string& name) const {
    auto found = streams.find(name);
    return found == streams.end() ? Value() : found->second;
  }
};

struct RecurrenceType {
  std::string formula;      // one line; empty: this mixer cannot be run alone
  Recurrence recurrence{};  // gate and delta rule; without meaning for softmax attention
  std::vector<StreamSpec> streams;
  std::vector<OptionSpec> options{};
  std::function<Value(const RecurrenceCall&)> run = nullptr;  // null: run_scan of the call's streams as they are
  // The default of `scale`; null: 1 / sqrt(K).
  std::function<double(const Options&, int64_t key_size)> default_scale = nullptr;
  bool has_state = true;  // takes initial_state and gives final_state
  // The state [K', V'] where it is not [K, V]: widens K and V. null: it is.
  std::function<void(const Options&, int64_t& K, int64_t& V)> widen = nullptr;
};

// q [B,T,G,K], k [B,T,G,K], v [B,T,G,V], then those that are given.
std::vector<StreamSpec> qkv_streams(std::vector<StreamSpec> more = {});
StreamSpec scalar_gate_stream(bool required = true);  // g [B,T,H]
StreamSpec diagonal_gate_stream();                    // g [B,T,H,K]
StreamSpec write_strength_stream();                   // beta [B,T,H]

double unit_scale(const Options&, int64_t key_size);  // 1
double scan_scale(const RecurrenceType& type, const Options& options, int64_t key_size);

// The shape of a layer whose keys are head_options (mixer_options): num_heads, head_k_dim, head_v_dim, widened as the
// type says.
std::function<ScanShape(const Options&, int tensor_degree)> scan_of_heads(const RecurrenceType& type);

// The scan of the call's state over these streams (beta: the call's).
Value run_scan(const RecurrenceCall& call, const Value& q, const Value& k, const Value& v, const Value& g);
// The same over the call's own q, k, v, g and beta.
Value run_scan(const RecurrenceCall& call);
// With the call's g or, in its absence, a decay that depends on the head alone.
Value run_scan(const RecurrenceCall& call, const std::function<double(int64_t head)>& log_decay);

}  // namespace og

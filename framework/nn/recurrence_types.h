// The recurrences of the mixers by name, with the streams they take: what `onegather mixer NAME` runs. q, k, v come as
// they are; feature maps, norms, rotations, gates and convolutions belong to the layers (nn/mixers), unless an option
// names them.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "framework/nn/options.h"
#include "framework/ops/mixer_state.h"
#include "framework/ops/scan.h"
#include "parallel/sequence_context.h"

namespace og {

// dims: B rows, T tokens, H heads, G heads that divide H (each serves H / G neighbours), K, V widths. A stream whose
// dims do not begin with B is a weight, the same for all tokens.
struct StreamSpec {
  std::string name;
  std::string dims;  // "BTHK"
  std::string help;
  bool required = true;
};

struct RecurrenceCall {
  Tape& tape;
  std::map<std::string, Value> streams;  // by name, heads already shared out to [B, T, H, D]
  const Options& options;
  double scale;
  ScanForm form;
  int64_t chunk;
  const SeqContext& seq;
  MixerState* state;  // entry "scan" [B, H, K, V], unless the type has no state of fixed size

  Value at(const std::string& name) const {
    auto found = streams.find(name);
    return found == streams.end() ? Value() : found->second;
  }
};

struct RecurrenceType {
  std::string name;     // "gla"
  std::string formula;  // one line
  std::vector<StreamSpec> streams;
  std::vector<OptionSpec> options;
  std::function<double(const Options&, int64_t key_size)> default_scale;
  std::function<Value(const RecurrenceCall&)> run;
  bool has_state = true;  // takes initial_state and gives final_state
  // The state [K', V'] where it is not [K, V]: widens K and V. null: it is.
  std::function<void(const Options&, int64_t& K, int64_t& V)> widen = nullptr;
};

std::span<const RecurrenceType> recurrence_types();
const RecurrenceType* find_recurrence_type(const std::string& name);  // null: no such type

// log of the decay of each head. Retention (arXiv 2307.08621): log(1 - 2^(-5 - h)).
std::vector<double> retention_log_decay(int64_t num_heads);
// Lightning Attention: minimax, -2^(-8 (h + 1) / H) (1 - l / (L - 1 + 1e-5) + 1e-5) for layer l of L; otherwise as in
// flash-linear-attention, -(8 h / H) (1 - l / L).
std::vector<double> lightning_log_decay(int64_t num_heads, int64_t layer, int64_t num_layers, bool minimax);

}  // namespace og

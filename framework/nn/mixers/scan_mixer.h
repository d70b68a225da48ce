// The layer that most linear mixers are: q, k and v in heads (QkvProjection), what the mixer makes of them, one scan,
// an output norm and gate (MixerOutput). A mixer of this kind is a ScanMixerSpec: its options, streams and recurrence.
#pragma once

#include "framework/nn/parts/heads.h"
#include "framework/nn/parts/mixer_options.h"
#include "framework/nn/parts/output.h"
#include "framework/nn/registry.h"

namespace og {

// A layer's own part.
struct ScanCore {
  // s has q, k, v [B, T, H / tensor, K or V] and the scale; x is the entered input. Sets the gate, maps q, k and v.
  std::function<void(StepContext& step, const Value& x, ScanStreams& s)> streams;
  // Applied to what the scan reads, before the output norm; null: as it is.
  std::function<Value(Tape& tape, const Value& o)> read_out = nullptr;
};

struct ScanMixerSpec {
  std::string name;
  std::vector<OptionSpec> heads;  // head_options
  std::vector<OptionSpec> options{};
  const char* output_norm = "per_head";
  const char* output_gate = "silu";
  Unary activation = Unary::identity;  // on q, k and v without convolutions; with them silu is
  // Adds the parameters of its own between those of q, k, v and those of the output.
  std::function<ScanCore(const LayerContext&, const Options&)> core;
  bool output_first = false;  // they are added after those of the output
  RecurrenceType recurrence;
};

// The complete type; its problem is heads_problem.
MixerType scan_mixer(ScanMixerSpec spec);

}  // namespace og

// Runs the recurrence of a mixer type on whole tensors, over thread ranks if asked: `onegather mixer`. Blocking; owns
// its ranks.
#pragma once

#include <map>
#include <string>

#include "framework/nn/registry.h"

namespace og {

struct MixerRun {
  const MixerType* type = nullptr;
  Options options{};
  enum class Form : uint8_t { recurrent, chunked, decode } form = Form::chunked;
  int64_t chunk = 64;
  Backend backend = Backend::cpu;
  int ranks = 1;
  int threads = 1;  // each rank's
};

using NamedTensors = std::map<std::string, Tensor>;

// inputs: the type's streams and, optionally, initial_state, cu_seqlens, scale, do, dfinal_state. Results: o,
// final_state and, with do or dfinal_state, d + name of every input. A missing or misshapen input is
// Error(Status::data), named `where`: its name, what was expected, what was found.
//
// Without cu_seqlens every row is one document, which began earlier if initial_state is given. With cu_seqlens [N + 1]
// (one row): initial_state [N,H,K,V] gives each document its own, and so are final_state and dfinal_state; [1,H,K,V]
// with N > 1 enters the first document, and final_state [1,H,K,V] is the last one's.
NamedTensors run_mixer(const MixerRun& run, const NamedTensors& inputs, const std::string& where);

}  // namespace og

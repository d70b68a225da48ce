// MixerState: what one layer remembers of the tokens before the piece it is given: named values of fixed size (scan
// states, the last rows of a convolution) or, in softmax layers, the keys and values so far. Absent in ordinary
// training, where every row begins from zero. Present when a sequence is processed piece by piece: decoding,
// evaluation, segments. They are Values, so that gradients can flow from a later piece into an earlier one.
#pragma once

#include <map>
#include <set>
#include <string>

#include "framework/autograd/value.h"

namespace og {

struct MixerState {
  std::map<std::string, Value> values;
  // The value of that name; an absent Value (defined() false) before the first piece.
  Value get(const std::string& name) const {
    auto found = values.find(name);
    return found == values.end() ? Value() : found->second;
  }
  void set(const std::string& name, Value v) { values[name] = std::move(v); }
  // Names of the values that grow with the tokens so far: keys and values of attention, [B, S, ..] for S tokens. A
  // piece of T tokens is given [B, S, ..] and sets [B, S + T, ..], its own rows last.
  std::set<std::string> growing;
};

}  // namespace og

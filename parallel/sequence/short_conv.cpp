#include "parallel/sequence/short_conv.h"

#include "parallel/sequence/halo.h"

namespace og {

Value sequence_short_conv(Tape& tape, const Value& x, const Value& weight, const Value& bias, ConvActivation activation,
                          const SeqContext& seq, MixerState* state, const std::string& name) {
  const int64_t num_rows = weight.size(1) - 1;
  const Value before = state ? state->get(name) : Value();
  const Value left = halo(tape, x, num_rows, seq, before);
  Value y = short_conv(tape, x, left, weight, bias, seq.start_BT, activation);
  if (state) state->set(name, last_rows(tape, x, num_rows, seq, before));
  return y;
}

}  // namespace og

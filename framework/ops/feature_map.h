// Feature maps of linear attention on [B, T, H, D], over the last dim.
#pragma once

#include <string>
#include <vector>

#include "framework/autograd/tape.h"

namespace og {

// softmax: over the features. hedgehog (arXiv 2402.04347, as in LoLCATs): [softmax(W x), softmax(-W x)], W learned per
// head, width 2 D.
enum class FeatureMap : uint8_t { identity, elu_plus_one, relu, squared_relu, softmax, hedgehog };

std::vector<std::string> feature_map_names();
FeatureMap feature_map_of(const std::string& name);

// w_HDD: hedgehog's maps, absent for the others.
Value feature_map(Tape& tape, FeatureMap map, const Value& x_BTHD, const Value& w_HDD);

// Softmax over the last dim.
Value softmax_last(Tape& tape, const Value& x);
// y [B, T, H, O] = x [B, T, H, I] with a matrix per head, w [H, O, I].
Value head_linear(Tape& tape, const Value& x_BTHI, const Value& w_HOI);

}  // namespace og

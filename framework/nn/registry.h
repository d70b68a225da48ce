// The types of sequence mixers and channel parts by name, with their options. registry.cpp lists them: one line
// each.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "framework/core/problem.h"
#include "framework/nn/layer.h"
#include "framework/nn/mixers/recurrence_type.h"
#include "framework/nn/options.h"

namespace og {

struct MixerType {
  std::string name;  // "gla"
  std::vector<OptionSpec> options;
  std::function<MixerKind(const Options&)> kind = [](const Options&) { return MixerKind::recurrence; };
  // The scan of a recurrence. Absent for softmax attention, which counts its operations itself.
  std::function<ScanShape(const Options&, int tensor_degree)> scan_shape{};
  std::function<double(const Options&, int64_t hidden_size, int64_t sequence_length)> attention_flops{};
  // What is wrong with these values together, or at this tensor degree, without the key's path.
  std::function<std::optional<Problem>(const Options&, int64_t hidden_size, int tensor_degree)> problem;
  // Why it cannot run over that many sequence ranks in that way. Absent: it always can.
  std::function<std::optional<Problem>(const Options&, const Degrees&, const SequenceOptions&)> sequence_problem{};
  std::function<std::unique_ptr<SequenceMixer>(const LayerContext&, const Options&)> build;
  RecurrenceType recurrence{};

  // Operations of a forward pass a token, without the parameters whose role is product.
  double flops_per_token(const Options& values, int64_t hidden_size, int64_t sequence_length) const {
    return scan_shape ? scan_shape(values, 1).flops_per_token() : attention_flops(values, hidden_size, sequence_length);
  }
};

struct ChannelType {
  std::string name;  // "moe"
  std::vector<OptionSpec> options;
  std::function<std::optional<Problem>(const Options&, int64_t hidden_size, const Degrees&)> problem;
  std::function<std::unique_ptr<ChannelPart>(const LayerContext&, const Options&)> build;
  // Operations of a forward pass a token, without the parameters whose role is product. Absent: none.
  std::function<double(const Options&, int64_t hidden_size)> flops_per_token{};
};

std::span<const MixerType> mixer_types();
std::span<const ChannelType> channel_types();
const MixerType* find_mixer_type(const std::string& name);  // null: no such type
const ChannelType* find_channel_type(const std::string& name);
// The type of a mixer whose options were read from a config; another name is a programmer's error.
const MixerType& mixer_type(const Options& mixer);
MixerKind kind_of(const Options& mixer);
// A layer type's options with those values and its defaults. where: "model.mixers.L".
template <class Type>
requires requires(const Type& type) { type.options; }
Options options_of(const Type& type, const std::string& where, const std::map<std::string, OptionValue>& values = {}) {
  return options_of(type.name, type.options, where, values);
}

}  // namespace og

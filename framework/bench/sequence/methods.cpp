#include "framework/bench/sequence/methods.h"

#include <algorithm>

#include "framework/config/config.h"
#include "framework/core/error.h"
#include "framework/nn/registry.h"
#include "parallel/sequence/methods.h"

namespace og {

namespace {

constexpr std::string_view kBlocking = "-blocking", kLeft = "-left";

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

class Reader {
 public:
  explicit Reader(const SubjectOptions& subject)
      : subject_(subject.config.empty() ? subject.mixer : subject.config),
        kinds_(layer_kinds(subject)),
        known_(sequence_method_names(subject)) {}

  SequenceMethod read(const std::string& name) const {
    SequenceMethod method;
    method.name = name;
    std::string_view base = name;
    if (base.ends_with(kBlocking)) {
      base.remove_suffix(kBlocking.size());
      method.overlap = false;
    }
    if (const size_t plus = base.find('+'); plus != std::string_view::npos) {
      if (!kinds_.linear || !kinds_.softmax)
        refuse(name, fmt::format("LINEAR+SOFTMAX needs layers of both kinds, and {} has {}", subject_,
                                 kinds_.linear ? "no softmax layer" : "no linear layer"));
      method.linear = find_linear_method(base.substr(0, plus));
      method.softmax = find_softmax_method(base.substr(plus + 1));
      if (!method.linear || !method.softmax)
        refuse(name, "expected LINEAR+SOFTMAX, a method of linear layers and one of softmax layers");
      return method;
    }
    if (std::find(known_.begin(), known_.end(), base) == known_.end())
      refuse(name, fmt::format("it is not built for {}; there are {}, each also with {}{}", subject_, list(known_),
                               kBlocking, kinds_.linear && kinds_.softmax ? ", and LINEAR+SOFTMAX" : ""));
    if (base.ends_with(kLeft)) {
      base.remove_suffix(kLeft.size());
      method.left_products = true;
    }
    if (kinds_.linear) method.linear = find_linear_method(base);
    if (kinds_.softmax) method.softmax = find_softmax_method(base);
    return method;
  }

 private:
  [[noreturn]] static void refuse(const std::string& name, const std::string& why) {
    fail(Status::usage, "bench sequence --methods: {}: {}", name, why);
  }
  std::string subject_;
  LayerKinds kinds_;
  std::vector<std::string> known_;
};

}  // namespace

LayerKinds layer_kinds(const SubjectOptions& subject) {
  if (subject.config.empty()) {
    const MixerType& type = subject_mixer(subject.mixer);
    const bool linear = type.scan_shape != nullptr;
    const Recurrence& r = type.recurrence.recurrence;
    return {linear, !linear, linear && r.gate == Gate::none && !r.delta};
  }
  const Config config = load_config(subject.config, subject.overrides, config_rules());
  LayerKinds kinds;
  for (const auto& [letter, options] : config.model.mixers) {
    if (config.model.layer_pattern.find(letter) == std::string::npos) continue;
    const MixerKind kind = kind_of(options);
    kinds.linear = kinds.linear || kind == MixerKind::recurrence;
    kinds.softmax = kinds.softmax || kind == MixerKind::softmax;
  }
  return kinds;
}

std::vector<std::string> sequence_method_names(const SubjectOptions& subject) {
  const LayerKinds kinds = layer_kinds(subject);
  std::vector<std::string> names;
  if (kinds.linear) names = names_of(linear_methods());
  if (kinds.softmax)
    for (const SoftmaxRow& row : softmax_methods())
      if (std::find(names.begin(), names.end(), row.name) == names.end()) names.emplace_back(row.name);
  if (kinds.left)
    for (const LinearRow& row : linear_methods())
      if (row.left_products) names.push_back(row.name + std::string(kLeft));
  return names;
}

std::vector<SequenceMethod> sequence_methods(const SubjectOptions& subject, const std::vector<std::string>& names) {
  const Reader reader(subject);
  std::vector<SequenceMethod> methods;
  for (const std::string& name : names.empty() ? sequence_method_names(subject) : names)
    if (std::none_of(methods.begin(), methods.end(), [&](const SequenceMethod& m) { return m.name == name; }))
      methods.push_back(reader.read(name));
  return methods;
}

}  // namespace og

// Points of `bench sequence` as JSON, and the methods by name.
#include <algorithm>

#include "framework/core/error.h"
#include "framework/core/nearest.h"
#include "framework/train/bench_sequence.h"

namespace og {

namespace {
constexpr const char* kBlocking = "-blocking";
constexpr const char* kRingLeft = "ring-left";  // the quadratic form, for the mixer without a gate
}  // namespace

std::vector<std::string> built_sequence_methods(const SubjectOptions& subject) {
  const bool softmax = subject.config.empty() && subject.mixer == "attention";
  if (softmax) return {std::begin(kSoftmaxMethods), std::end(kSoftmaxMethods)};
  std::vector<std::string> names{std::begin(kLinearMethods), std::end(kLinearMethods)};
  if (subject.config.empty() && subject.mixer == "linear") names.emplace_back(kRingLeft);
  return names;
}

SequenceMethod sequence_method_named(const SubjectOptions& subject, const std::string& name) {
  SequenceMethod method{name, {}};
  std::string base = name;
  if (base.ends_with(kBlocking)) {
    base.resize(base.size() - std::string(kBlocking).size());
    method.options.overlap = false;
  }
  const std::vector<std::string> built = built_sequence_methods(subject);
  if (std::find(built.begin(), built.end(), base) == built.end()) {
    std::string list;
    for (const std::string& b : built) list += (list.empty() ? "" : ", ") + b;
    fail(Status::usage, "bench sequence --methods: {} is not built for {}; there are {} (each also with {})", name,
         subject.config.empty() ? subject.mixer : subject.config, list, kBlocking);
  }
  method.options.left_products = base == kRingLeft;
  method.options.linear = value_named(kLinearMethods, base, method.options.linear);
  method.options.softmax = value_named(kSoftmaxMethods, base, method.options.softmax);
  return method;
}

Json to_json(const SequenceBench& b, const std::vector<SequencePoint>& points) {
  constexpr const char* kModes[] = {"strong", "weak", "fixed"};
  Json list = Json::array();
  for (const SequencePoint& p : points) {
    Json point = Json::object({{"ranks", p.ranks},
                               {"method", p.method},
                               {"length", p.length},
                               {"rows", p.rows},
                               {"status", p.status},
                               {"reason", p.reason},
                               {"estimated_seconds", p.estimated_seconds},
                               {"estimated_bytes", p.estimated_bytes},
                               {"estimated_memory_bytes", p.estimated_memory},
                               {"check_error", p.check_error}});
    if (p.status == "measured") {
      point.set("tokens_per_second", p.tokens_per_second);
      point.set("tokens_per_second_min", p.least);
      point.set("tokens_per_second_max", p.most);
      point.set("seconds", p.seconds);
      point.set("bytes_received", p.bytes_received);
      point.set("exposed_seconds", p.exposed_seconds);
      point.set("peak_memory_bytes", p.peak_memory);
    }
    list.push(point);
  }
  std::string overrides;
  for (const std::string& o : b.subject.overrides) overrides += (overrides.empty() ? "" : " ") + o;
  return Json::object({{"benchmark", "sequence"},
                       {"settings", Json::object({{"mode", kModes[static_cast<size_t>(b.mode)]},
                                                  {"tokens_per_rank", b.tokens_per_rank},
                                                  {"mixer", b.subject.config.empty() ? b.subject.mixer : ""},
                                                  {"heads", b.subject.heads},
                                                  {"head_dim", b.subject.head_dim},
                                                  {"config", b.subject.config},
                                                  {"overrides", overrides},
                                                  {"threads", b.subject.threads}})},
                       {"points", list}});
}

}  // namespace og

#include "framework/train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "framework/core/error.h"
#include "framework/io/file.h"
#include "framework/train/step.h"

namespace og {

Json to_json(const StepMetrics& m) {
  Json line = Json::object({{"step", m.step},
                            {"tokens", m.tokens},
                            {"loss", m.loss},
                            {"aux_loss", m.aux_loss},
                            {"z_loss", m.z_loss},
                            {"grad_norm", m.grad_norm},
                            {"learning_rate", m.learning_rate},
                            {"step_seconds", m.step_seconds},
                            {"tokens_per_second", m.tokens_per_second},
                            {"flops_per_second", m.flops_per_second},
                            {"data_seconds", m.data_seconds},
                            {"comm_seconds", m.comm_seconds},
                            {"comm_exposed_seconds", m.comm_exposed_seconds},
                            {"expert_load_max_over_mean", m.expert_load_max_over_mean},
                            {"tokens_dropped", m.tokens_dropped},
                            {"memory_bytes", m.memory_bytes}});
  if (m.eval_loss) line.set("eval_loss", *m.eval_loss);
  return line;
}

MetricsFile::MetricsFile(std::string path, int64_t last_step) : path_(std::move(path)) {
  std::string kept;
  if (std::filesystem::exists(path_)) {
    const std::string text = read_text(path_);
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string_view line = std::string_view(text).substr(begin, end - begin);
      if (Json::parse(line, path_)["step"].integer() > last_step) break;
      kept.append(line).push_back('\n');
    }
  }
  if (!kept.empty() || std::filesystem::exists(path_)) replace_text(path_, kept);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail(Status::data, "{}: cannot be written: {}", path_, std::strerror(errno));
}

MetricsFile::~MetricsFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void MetricsFile::append(const StepMetrics& metrics) {
  const std::string line = to_json(metrics).dump() + "\n";
  const ssize_t written = ::write(descriptor_, line.data(), line.size());
  if (written != static_cast<ssize_t>(line.size()))
    fail(Status::data, "{}: cannot be written: {}", path_, written < 0 ? std::strerror(errno) : "the disk is full");
}

namespace {

Json to_json(const CollectiveCount& r) {
  return Json::object({{"axis", r.axis},
                       {"verb", name_of(r.verb)},
                       {"site", r.site.name},
                       {"calls", r.calls},
                       {"bytes", r.bytes},
                       {"seconds", r.seconds},
                       {"exposed_seconds", r.exposed_seconds}});
}

}  // namespace

Json step_collectives(const CommCounters& counters) {
  Json list = Json::array();
  for (const CollectiveCount& r : counters.rows())
    if (r.phase == kStepPhase) list.push(to_json(r));
  return list;
}

Json other_collectives(const CommCounters& counters) {
  Json list = Json::array();
  for (const CollectiveCount& r : counters.rows()) {
    if (r.phase == kStepPhase) continue;
    Json row = to_json(r);
    row.set("phase", r.phase);
    list.push(std::move(row));
  }
  return list;
}

Series read_series(const std::string& metrics_path, const std::string& key) {
  Series series;
  const std::string text = read_text(metrics_path);
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const Json line = Json::parse(std::string_view(text).substr(begin, end - begin), metrics_path);
    const Json* value = line.find(key);
    if (value == nullptr || value->is_null()) continue;
    series.steps.push_back(line["step"].real());
    series.values.push_back(value->real());
  }
  return series;
}

}  // namespace og

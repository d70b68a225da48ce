#include "framework/bench/sequence/points.h"

#include <algorithm>

#include "framework/bench/sequence/sweep.h"
#include "framework/config/config.h"
#include "framework/core/build.h"
#include "framework/core/error.h"
#include "framework/kernels/dispatch.h"
#include "framework/train/session.h"

namespace og {

namespace {

// "1,1,2": ranks of each host, in the order of the ranks.
std::string ranks_by_host(Comm& world) {
  const std::vector<std::string> hosts = world.gather_text(world.host(), Sites::bench);
  std::string text;
  for (size_t begin = 0, end = 0; begin < hosts.size(); begin = end) {
    while (end < hosts.size() && hosts[end] == hosts[begin]) ++end;
    text += fmt::format("{}{}", text.empty() ? "" : ",", end - begin);
  }
  return text;
}

std::string shown(const Json& value) { return value.kind() == Json::Kind::string ? value.string() : value.dump(); }

SequencePoint point_of(const Json& j) {
  SequencePoint p;
  p.ranks = static_cast<int>(j["ranks"].integer());
  p.method = j["method"].string();
  p.extent = {j["length"].integer(), j["rows"].integer()};
  p.status = "measured";
  p.estimated = {j["estimated_seconds"].real(), j["estimated_bytes"].real(), j["estimated_memory_bytes"].real()};
  p.check_error = j["check_error"].real();
  p.checked = {j["check_length"].integer(), j["check_rows"].integer()};
  p.held_against = j["held_against"].string();
  p.held_error = j["held_error"].real();
  p.tokens_per_second = j["tokens_per_second"].real();
  p.least = j["tokens_per_second_min"].real();
  p.most = j["tokens_per_second_max"].real();
  p.cost = {j["seconds"].real(), j["bytes_received"].real(), j["peak_memory_bytes"].real()};
  p.exposed_seconds = j["exposed_seconds"].real();
  p.taken_over = true;
  return p;
}

}  // namespace

Json sweep_settings(const SequenceBench& b, Comm& world) {
  Json settings = Json::object({{"mode", name_of(b.mode)},
                                {"tokens_per_rank", b.tokens_per_rank},
                                {"threads", b.subject.threads},
                                {"label", b.label},
                                {"ranks_by_host", ranks_by_host(world)},
                                {"build", build()},
                                {"isa", name_of(best_isa())}});
  // The lengths of a weak sweep belong to its largest group.
  if (b.mode == ScalingMode::weak) settings.set("ranks", b.ranks.back());
  if (b.subject.config.empty()) {
    settings.set("mixer", b.subject.mixer);
    settings.set("heads", b.subject.heads);
    settings.set("head_dim", b.subject.head_dim);
    return settings;
  }
  const Config config = load_config(b.subject.config, b.subject.overrides, config_rules());
  settings.set("precision", resolve_precision(config.train.precision).name);
  Json values = Json::object();
  for (const auto& [key, value] : list_values(config))
    if (key.starts_with("model.") || key.starts_with("train.") || key.starts_with("parallel.") ||
        key == "data.tokenizer")
      values.set(key, value);
  settings.set("config", values);
  return settings;
}

Json to_json(const Json& settings, const std::vector<SequencePoint>& points) {
  Json list = Json::array();
  for (const SequencePoint& p : points) {
    Json point = Json::object({{"ranks", p.ranks},
                               {"method", p.method},
                               {"length", p.extent.length},
                               {"rows", p.extent.rows},
                               {"status", p.status},
                               {"reason", p.reason},
                               {"estimated_seconds", p.estimated.seconds},
                               {"estimated_bytes", p.estimated.bytes},
                               {"estimated_memory_bytes", p.estimated.memory},
                               {"check_error", p.check_error},
                               {"check_length", p.checked.length},
                               {"check_rows", p.checked.rows},
                               {"held_against", p.held_against},
                               {"held_error", p.held_error}});
    if (p.status == "measured") {
      point.set("tokens_per_second", p.tokens_per_second);
      point.set("tokens_per_second_min", p.least);
      point.set("tokens_per_second_max", p.most);
      point.set("seconds", p.cost.seconds);
      point.set("bytes_received", p.cost.bytes);
      point.set("exposed_seconds", p.exposed_seconds);
      point.set("peak_memory_bytes", p.cost.memory);
    }
    list.push(point);
  }
  return Json::object({{"benchmark", "sequence"}, {"settings", settings}, {"points", list}});
}

std::vector<SequencePoint> resumed_points(const std::string& text, const std::string& path, const Json& settings) {
  const Json file = Json::parse(text, path);
  const Json* theirs = file.find("settings");
  const Json* points = file.find("points");
  if (theirs == nullptr || theirs->kind() != Json::Kind::object || points == nullptr)
    fail(Status::data, "{}: expected a file that bench sequence --json wrote, found no settings and points", path);

  std::string differ;
  const auto compare = [&](const Json& there, const Json& here, const std::string& prefix) {
    const auto say = [&](const std::string& key, const std::string& a, const std::string& b) {
      if (a != b) differ += fmt::format("\n  {}{}: {} there, {} here", prefix, key, a, b);
    };
    const auto value = [](const Json& from, const std::string& key) {
      const Json* found = from.find(key);
      return found == nullptr ? std::string("nothing") : shown(*found);
    };
    for (const auto& [key, mine] : here.members())
      if (mine.kind() != Json::Kind::object) say(key, value(there, key), shown(mine));
    for (const auto& [key, other] : there.members())
      if (here.find(key) == nullptr && other.kind() != Json::Kind::object) say(key, shown(other), "nothing");
  };
  compare(*theirs, settings, "");
  const Json none = Json::object();
  const Json* their_config = theirs->find("config");
  const Json* config = settings.find("config");
  compare(their_config != nullptr ? *their_config : none, config != nullptr ? *config : none, "");
  if (!differ.empty())
    fail(Status::usage,
         "bench sequence --resume: {} was measured with other settings; give another file, or remove it{}", path,
         differ);

  std::vector<SequencePoint> out;
  try {
    for (const Json& point : points->items())
      if (point["status"].string() == "measured") out.push_back(point_of(point));
  } catch (const Error& e) {
    fail(Status::data, "{}: not a file of this program's bench sequence: {}", path, e.what());
  }
  return out;
}

}  // namespace og

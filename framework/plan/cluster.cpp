#include "framework/plan/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "framework/core/error.h"
#include "framework/core/nearest.h"
#include "framework/io/yaml.h"

namespace og {

namespace {

struct Key {
  const char* path;
  std::function<void(Cluster&, double)> set;
  bool whole = false;
  double least = 0;
};

const std::vector<Key>& keys() {
  static const std::vector<Key> all = {
      {"nodes", [](Cluster& c, double v) { c.nodes = static_cast<int>(v); }, true, 1},
      {"devices_per_node", [](Cluster& c, double v) { c.devices_per_node = static_cast<int>(v); }, true, 1},
      {"memory_bytes", [](Cluster& c, double v) { c.memory_bytes = v; }, false, 1},
      {"rates.products", [](Cluster& c, double v) { c.products = v; }, false, 1},
      {"rates.mixers", [](Cluster& c, double v) { c.mixers = v; }, false, 1},
      {"rates.attention", [](Cluster& c, double v) { c.attention = v; }, false, 1},
      {"rates.memory", [](Cluster& c, double v) { c.memory = v; }, false, 1},
      {"activation_passes", [](Cluster& c, double v) { c.activation_passes = v; }},
      {"overhead_seconds", [](Cluster& c, double v) { c.overhead_seconds = v; }},
      {"inside.latency", [](Cluster& c, double v) { c.inside.latency = v; }, false, 1e-12},
      {"inside.bandwidth", [](Cluster& c, double v) { c.inside.bandwidth = v; }, false, 1},
      {"across.latency", [](Cluster& c, double v) { c.across.latency = v; }, false, 1e-12},
      {"across.bandwidth", [](Cluster& c, double v) { c.across.bandwidth = v; }, false, 1},
  };
  return all;
}

constexpr int kMostDevices = 1 << 20;
constexpr std::pair<const char*, Device> kDevices[] = {{"core", Device::core}, {"gpu", Device::gpu}};

const char* name_of(Device device) { return kDevices[static_cast<size_t>(device)].first; }

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  Cluster read() {
    visit(read_yaml(path_), "");
    std::vector<std::string> missing = names();
    std::erase_if(missing, [&](const std::string& name) { return found(name); });
    if (!missing.empty()) fail(Status::usage, "{}: missing {}", path_, fmt::join(missing, ", "));
    if (cluster_.nodes > kMostDevices / cluster_.devices_per_node)
      fail(Status::usage, "{}: nodes x devices_per_node: expected at most {} devices, found {} x {}", path_,
           kMostDevices, cluster_.nodes, cluster_.devices_per_node);
    return cluster_;
  }

 private:
  static std::vector<std::string> names() {
    std::vector<std::string> all{"name", "device"};
    for (const Key& key : keys()) all.emplace_back(key.path);
    return all;
  }
  bool found(const std::string& path) const { return std::find(found_.begin(), found_.end(), path) != found_.end(); }

  void visit(const YamlNode& node, const std::string& section) {
    if (node.kind == YamlNode::Kind::null && section.empty()) return;  // an empty file: all is missing
    if (node.kind != YamlNode::Kind::map)
      fail(Status::usage, "{}:{}: {}expected keys with values, found {}", path_, node.line,
           section.empty() ? "" : section + ": ", node.describe());
    for (const auto& [name, value] : node.entries) {
      const std::string path = section.empty() ? name.text : section + "." + name.text;
      if (found(path)) fail(Status::usage, "{}:{}: {} is given twice", path_, name.line, path);
      found_.push_back(path);
      if (path == "rates" || path == "inside" || path == "across")
        visit(value, path);
      else
        take(path, value, name.line);
    }
  }

  void take(const std::string& path, const YamlNode& value, int line) {
    if (path == "name") {
      if (value.kind != YamlNode::Kind::scalar || value.text.empty())
        fail(Status::usage, "{}:{}: name: expected a text, found {}", path_, line, value.describe());
      cluster_.name = value.text;
      return;
    }
    if (path == "device") {
      for (const auto& [name, device] : kDevices)
        if (value.text == name) {
          cluster_.device = device;
          return;
        }
      fail(Status::usage, "{}:{}: device: expected core or gpu, found {}", path_, line, value.describe());
    }
    const auto key = std::find_if(keys().begin(), keys().end(), [&](const Key& k) { return path == k.path; });
    if (key == keys().end())
      fail(Status::usage, "{}:{}: unknown key {}{}", path_, line, path, did_you_mean(path, names()));
    size_t used = 0;
    double number = -1;
    try {
      number = std::stod(value.text, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used == 0 || used != value.text.size() || !std::isfinite(number) || number < key->least ||
        (key->whole && (number > kMostDevices || number != std::floor(number))))
      fail(Status::usage, "{}:{}: {}: expected a {} >= {}{}, found {}", path_, line, path,
           key->whole ? "whole number" : "number", key->least,
           key->whole ? fmt::format(" and <= {}", kMostDevices) : "", value.describe());
    key->set(cluster_, number);
  }

  std::string path_;
  Cluster cluster_;
  std::vector<std::string> found_;
};

}  // namespace

Places::Places(const Cluster& cluster, int world) : cluster_(cluster), world_(world) {
  OG_CHECK(world >= 1 && world <= cluster.devices(), "places: {} ranks on {} devices", world, cluster.devices());
  const bool cores = cluster.device == Device::core;
  per_node_ = cores ? (world + cluster.nodes - 1) / cluster.nodes : cluster.devices_per_node;
  width_ = cores ? static_cast<double>(cluster.devices_per_node) / per_node_ : 1;
}

int Places::nodes(int ranks, int stride) const {
  const int span = ranks * stride, last = (ranks - 1) * stride;
  if (stride >= per_node_) return ranks;
  int most = 1;
  for (int begin = 0; begin + span <= world_; begin += span)
    for (int r = begin; r < begin + stride; ++r) most = std::max(most, (r + last) / per_node_ - r / per_node_ + 1);
  return most;
}

Cluster read_cluster(const std::string& path) { return Reader(path).read(); }

std::string to_yaml(const Cluster& c) {
  return fmt::format(
      "name: {}\nnodes: {}\ndevice: {}   # core: a rank has its share of a node's; gpu: one a rank\n"
      "devices_per_node: {}\nmemory_bytes: {:.4g}   # of one device\n"
      "rates:   # of one device\n  products: {:.4g}    # FLOP/s\n  mixers: {:.4g}      # FLOP/s\n"
      "  attention: {:.4g}   # FLOP/s\n  memory: {:.4g}      # bytes/s\n"
      "activation_passes: {:.4g}\noverhead_seconds: {:.4g}\n"
      "inside: {{latency: {:.4g}, bandwidth: {:.4g}}}   # seconds, bytes/s\n"
      "across: {{latency: {:.4g}, bandwidth: {:.4g}}}\n",
      yaml_string(c.name), c.nodes, name_of(c.device), c.devices_per_node, c.memory_bytes, c.products, c.mixers,
      c.attention, c.memory, c.activation_passes, c.overhead_seconds, c.inside.latency, c.inside.bandwidth,
      c.across.latency, c.across.bandwidth);
}

}  // namespace og

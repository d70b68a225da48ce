#include "framework/train/cluster.h"

#include <functional>

#include "framework/core/error.h"
#include "framework/core/nearest.h"
#include "framework/io/file.h"
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

class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  Cluster read() {
    visit(parse_yaml(read_text(path_), path_), "");
    if (cluster_.name.empty()) missing_ += missing_.empty() ? "name" : ", name";
    for (const Key& key : keys())
      if (std::find(found_.begin(), found_.end(), key.path) == found_.end())
        missing_ += fmt::format("{}{}", missing_.empty() ? "" : ", ", key.path);
    if (!missing_.empty()) fail(Status::usage, "{}: missing {}", path_, missing_);
    return cluster_;
  }

 private:
  void visit(const YamlNode& node, const std::string& prefix) {
    if (node.kind != YamlNode::Kind::map)
      fail(Status::usage, "{}:{}: {}expected keys, found {}", path_, node.line, prefix, node.describe());
    for (const auto& [name, value] : node.entries) {
      const std::string path = prefix + name.text;
      if (path == "name") {
        cluster_.name = value.text;
      } else if (path == "rates" || path == "inside" || path == "across") {
        visit(value, path + ".");
      } else {
        take(path, value, name.line);
      }
    }
  }

  void take(const std::string& path, const YamlNode& value, int line) {
    std::vector<std::string> names{"name"};
    for (const Key& key : keys()) {
      names.emplace_back(key.path);
      if (path != key.path) continue;
      size_t used = 0;
      double number = -1;
      try {
        number = std::stod(value.text, &used);
      } catch (const std::exception&) {
        used = 0;
      }
      if (used == 0 || used != value.text.size() || number < key.least ||
          (key.whole && number != static_cast<double>(static_cast<int>(number))))
        fail(Status::usage, "{}:{}: {}: expected a {} >= {}, found {}", path_, line, path,
             key.whole ? "whole number" : "number", key.least, value.describe());
      key.set(cluster_, number);
      found_.push_back(path);
      return;
    }
    fail(Status::usage, "{}:{}: unknown key {}{}", path_, line, path, did_you_mean(path, names));
  }

  std::string path_;
  Cluster cluster_;
  std::vector<std::string> found_;
  std::string missing_;
};

}  // namespace

Cluster read_cluster(const std::string& path) { return Reader(path).read(); }

std::string to_yaml(const Cluster& c) {
  return fmt::format(
      "name: {}\nnodes: {}\ndevices_per_node: {}\nmemory_bytes: {:.4g}   # of one device\n"
      "rates:   # of one device\n  products: {:.4g}    # FLOP/s\n  mixers: {:.4g}      # FLOP/s\n"
      "  attention: {:.4g}   # FLOP/s\n  memory: {:.4g}      # bytes/s\n"
      "activation_passes: {:.4g}\noverhead_seconds: {:.4g}\n"
      "inside: {{latency: {:.4g}, bandwidth: {:.4g}}}   # seconds, bytes/s\n"
      "across: {{latency: {:.4g}, bandwidth: {:.4g}}}\n",
      yaml_string(c.name), c.nodes, c.devices_per_node, c.memory_bytes, c.products, c.mixers, c.attention, c.memory,
      c.activation_passes, c.overhead_seconds, c.inside.latency, c.inside.bandwidth, c.across.latency,
      c.across.bandwidth);
}

}  // namespace og

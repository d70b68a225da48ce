// A cluster as `onegather plan` sees it: devices, their rates, the links between them. Read from a YAML file; every key
// is required, unknown ones are refused with their line. `onegather doctor --measure FILE` writes one for this machine.
#pragma once

#include <string>

#include "parallel/comm/link.h"

namespace og {

enum class Device { core, gpu };

struct Cluster {
  std::string name;
  int nodes = 1;
  // A rank runs on one GPU, or on its share of the cores of a node.
  Device device = Device::core;
  int devices_per_node = 1;
  double memory_bytes = 0;  // one device's
  // What one device reaches, not what its data sheet says.
  double products = 0;   // FLOP/s of matrix products in the run's precision
  double mixers = 0;     // FLOP/s of recurrences, model FLOPs
  double attention = 0;  // FLOP/s of softmax attention, model FLOPs
  double memory = 0;     // bytes/s
  // How often a step touches each byte that it saves for backward: the norms, gates and additions around the products.
  double activation_passes = 0;
  double overhead_seconds = 0;  // added to every step, whatever its size
  Link inside, across;          // between two devices in one node, in two nodes

  int devices() const { return nodes * devices_per_node; }
};

// Where the ranks of a run lie, in their order, node by node. GPUs: a rank has one, nodes are filled. Cores: all nodes
// have as many ranks (the last one what is left), which share its cores evenly.
class Places {
 public:
  Places(const Cluster& cluster, int world);  // keeps a reference to `cluster`; world: at most devices()
  int ranks_per_node() const { return per_node_; }
  double width() const { return width_; }  // devices of a rank
  // The mesh cuts all ranks into groups of `ranks` ranks that lie `stride` apart. The most nodes that such a group lies
  // on, and its links.
  int nodes(int ranks, int stride) const;
  GroupLinks links(int ranks, int stride) const {
    return {ranks, nodes(ranks, stride), cluster_.inside, cluster_.across};
  }

 private:
  const Cluster& cluster_;
  int world_, per_node_;
  double width_;
};

// Error(Status::usage) naming file, line and key.
Cluster read_cluster(const std::string& path);
std::string to_yaml(const Cluster& cluster);

}  // namespace og

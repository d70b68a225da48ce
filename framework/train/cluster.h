// A cluster as `onegather plan` sees it: devices, their rates, the links between them. Read from a YAML file; every key
// is required, unknown ones are refused with their line. `onegather doctor --measure FILE` writes one for this machine.
#pragma once

#include <string>

#include "parallel/cost.h"

namespace og {

struct Cluster {
  std::string name;
  int nodes = 1;
  int devices_per_node = 1;  // GPUs, or the cores of a machine without
  double memory_bytes = 0;   // of one device
  // What one device reaches, not what its data sheet says.
  double products = 0;   // FLOP/s of matrix products in the run's precision
  double mixers = 0;     // FLOP/s of recurrences, model FLOPs
  double attention = 0;  // FLOP/s of softmax attention, model FLOPs
  double memory = 0;     // bytes/s
  // How often a step touches each byte that it saves for backward: the norms, gates and additions around the products.
  double activation_passes = 0;
  double overhead_seconds = 0;  // of a step, whatever its size
  Link inside, across;          // of two devices in one node, in two nodes

  int devices() const { return nodes * devices_per_node; }
  // The link that limits a group of ranks that lie `stride` devices apart.
  const Link& link(int ranks, int stride) const { return ranks * stride > devices_per_node ? across : inside; }
};

// Error(Status::usage) naming file, line and key.
Cluster read_cluster(const std::string& path);
std::string to_yaml(const Cluster& cluster);

}  // namespace og

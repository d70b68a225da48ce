// This machine as a Cluster, measured: `onegather doctor --measure FILE`, `onegather plan --validate`.
#pragma once

#include "framework/train/cluster.h"
#include "framework/train/config.h"

namespace og {

// Collective. A small hybrid model trains some steps on each rank's share of the cores; the rates are its FLOPs by part
// over its seconds by part. A device is a core. Links: between the ranks of the world, or, of one rank, two threads.
// precision: auto, f32, bf16.
Cluster measure_cluster(Comm& world, const std::string& precision);

// Latency from messages of 8 bytes, bandwidth from 4 MiB, both as all_gather takes them. Collective.
Link measure_link(Comm& comm);

}  // namespace og

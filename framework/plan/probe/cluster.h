// This machine as a Cluster, measured: `onegather doctor --measure FILE`, `onegather plan --validate`.
#pragma once

#include "framework/config/config.h"
#include "framework/plan/cluster.h"

namespace og {

// Collective. A small hybrid model trains some steps on each rank's share of the cores; the rates are its FLOPs by part
// over its seconds by part, the overhead what steps of two sizes leave for one of no tokens. A device is a core, a node
// a host. Links: between the ranks of each host and between hosts, or, of one rank, two threads.
// precision: auto, f32, bf16.
Cluster measure_cluster(Comm& world, const std::string& precision);

// Fills in inside and across. Collective: between ranks of one host, all hosts at the same time, and between the first
// ranks of the hosts. Where a host has one rank, two threads of it; on one host nothing is across, and it is taken for
// what is inside.
void measure_links(Comm& world, Cluster& cluster);

// Latency from messages of 8 bytes, bandwidth from 4 MiB, both as all_gather takes them. Collective.
Link measure_link(Comm& comm);

}  // namespace og

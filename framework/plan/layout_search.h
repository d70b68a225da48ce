// Which layouts of a number of ranks are legal: all that check_degrees() and check_config() accept, among
//   parallel.data, sequence, pipeline   every factor of the ranks
//   parallel.tensor                     within one node
//   parallel.expert                     up to the experts of a layer
//   parallel.zero                       0, and 1 where gradients are summed over ranks
//   parallel.virtual_stages             1 (1F1B), and 2 and the config's own (interleaved) where there are stages
// All other keys, such as sequence methods and order, micro_batch_size, recompute and segment_length, are the config's.
#pragma once

#include "framework/config/config.h"
#include "framework/plan/cluster.h"
#include "framework/plan/forecast.h"

namespace og {

struct LayoutSearch {
  std::vector<Layout> legal;
  std::string nearest;  // where nothing is legal: the layout with the fewest problems, and these
};

LayoutSearch search_layouts(const Config& config, const Cluster& cluster, int world);

// The config of a run with this layout.
Config with_layout(Config config, const Layout& layout);
std::string layout_name(const Layout& layout);  // "data 2, sequence 4, expert 8, ZeRO-1"

}  // namespace og

// The places in the program where a collective is called, by the names that counters, time-outs and plans show. Whoever
// calls, counts, forecasts or tests a collective takes its place from here: a Site cannot be made of a string.
#pragma once

#include <string_view>

#include "framework/core/error.h"

namespace og {

class Site {
 public:
  const char* name;
  // Where the adjoint of a collective of the tape (parallel/mesh/collectives.h) is counted.
  Site backward() const {
    OG_CHECK(backward_ != nullptr, "site {}: no place for an adjoint", name);
    return Site(backward_);
  }
  friend constexpr bool operator==(Site a, Site b) { return std::string_view(a.name) == b.name; }

 private:
  friend struct Sites;
  constexpr explicit Site(const char* called) : name(called) {}
  constexpr Site(const char* called, Site backward) : name(called), backward_(backward.name) {}
  const char* backward_ = nullptr;
};

struct Sites {
  // Linear layers: states, or what a method sends instead.
  static constexpr Site mixer_backward{"mixer.backward"}, mixer_forward{"mixer.forward", mixer_backward};
  static constexpr Site attention_backward{"attention.backward"},
      attention_forward{"attention.forward", attention_backward};
  static constexpr Site halo_backward{"halo.backward"}, halo_forward{"halo.forward", halo_backward};
  static constexpr Site tensor_backward{"tensor.backward"}, tensor_forward{"tensor.forward", tensor_backward};
  static constexpr Site pipeline_backward{"pipeline.backward"}, pipeline_forward{"pipeline.forward", pipeline_backward};
  static constexpr Site moe_counts{"moe.counts"}, moe_balance{"moe.balance"},
      moe_dispatch_backward{"moe.dispatch.backward"}, moe_dispatch{"moe.dispatch", moe_dispatch_backward},
      moe_combine_backward{"moe.combine.backward"}, moe_combine{"moe.combine", moe_combine_backward};
  static constexpr Site recompute{"recompute"};  // every forward site, while a region is run again
  static constexpr Site loss{"loss"}, gradients{"gradients"}, weights{"weights"};
  static constexpr Site startup{"startup"}, checkpoint{"checkpoint"}, metrics{"metrics"};
  static constexpr Site bench{"bench"}, bench_setup{"bench.setup"};
  static constexpr Site test_backward{"test.backward"}, test{"test", test_backward};  // for tests alone
};

}  // namespace og

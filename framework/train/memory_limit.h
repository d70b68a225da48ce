// Whether a training run can fit into memory at all, found before it takes any, and what to say where memory ends
// later.
#pragma once

#include "framework/config/config.h"
#include "framework/core/pool.h"
#include "framework/train/session.h"

namespace og {

// What one rank of a run holds at least: bytes. Without working memory, which only a run shows.
struct MemoryNeed {
  double weights = 0, gradients = 0, moments = 0;
  double activations = 0;  // the inputs of this rank's layers of one micro step, and a block of logits
  double total() const { return weights + gradients + moments + activations; }
};
// From the shapes of the session's parameters; it may be one of Weights::shapes.
MemoryNeed least_memory(const Config& config, Session& session);

// What a rank may take. Every bound is the most that can be had: a run that would fit is never refused.
struct MemoryBounds {
  std::string host, group;  // ranks of one host share its memory, those of one control group its bound
  double machine = 0;       // what the system can give now, swap included
  double control_group = 0;
  double address_space = 0;  // ulimit -v: of this process alone
};
MemoryBounds memory_bounds();

// Collective: Error(Status::usage) on every rank, with a table and what to lower, if the ranks cannot fit.
void check_memory(const MemoryNeed& need, const MemoryBounds& bounds, Comm& world, const Config& config);

// What to say of a run whose memory ended: `what` the system said.
std::string out_of_memory_text(const std::string& what, const MemoryNeed& need, const PoolStats& pool,
                               const Config& config, int ranks);

}  // namespace og

// Replication: which ranks hold the same elements of a parameter. ParameterStore::add decides it once; sums of
// gradients, their norm, optimizers that are cut over ranks (parallel/step/buckets.h) and the writers of checkpoints
// follow from it.
#pragma once

#include "parallel/comm/comm.h"

namespace og {

struct Replication {
  // Each rank of the group has a part of the gradient, which is complete as the sum over the group.
  Comm* group = nullptr;
  // So many groups hold the same elements and compute the same gradient: those of the tensor ranks, where nothing is
  // cut over that axis. This rank's group is the index-th of them.
  int groups = 1, index = 0;

  // This rank is the one that writes the elements, among all that hold the same.
  bool writes() const { return index == 0 && group->rank() == 0; }
  // Likewise where each rank of a group has a piece of its own.
  bool writes_piece() const { return index == 0; }
};

}  // namespace og

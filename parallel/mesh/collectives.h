// Collectives on the tape. Each says by its name what type it takes and what type it gives on its axes (see
// autograd/placement.h); the type fixes the gradient's, so the adjoint is another row of the same table:
//
//   forward                     types   backward
//   enter                       I -> R  all_reduce of the partial gradients to I
//   all_reduce_to_invariant     P -> I  nothing (I -> R)
//   all_reduce_to_replicated    P -> R  all_reduce to R
//   all_gather_to_replicated    V -> R  reduce_scatter
//   all_gather_to_invariant     V -> I  own slice
//   reduce_scatter              P -> V  all_gather to R
//   slice_to_varying            I -> V  all_gather to I
//   all_to_all_rows             V -> V  all_to_all_rows reversed
//   send_recv                   V -> V  send_recv reversed
//
// An input of another type is a programmer's error. Other axes' types pass through. The adjoint is counted at the
// site's backward(); while a region is recomputed, forward sites are Sites::recompute. `comm` is the group of `axes`;
// on a group of one rank all are copies. dims may be cut unequally: extents[r] is rank r's part of that dim and may be
// 0. All ranks of the group call, whatever they hold. The rank's own thread calls.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "framework/autograd/tape.h"
#include "parallel/comm/comm.h"
#include "parallel/mesh/extents.h"

namespace og {

// One axis or several that the group spans: Axis::tensor, or {Axis::data, Axis::sequence}.
class Axes {
 public:
  Axes(Axis axis) { add(axis); }  // NOLINT: implicit on purpose
  Axes(std::initializer_list<Axis> axes) {
    for (Axis a : axes) add(a);
  }
  bool has(Axis axis) const { return (bits_ >> static_cast<unsigned>(axis) & 1U) != 0; }

 private:
  void add(Axis axis) { bits_ |= 1U << static_cast<unsigned>(axis); }
  unsigned bits_ = 0;
};

Value enter(Tape& tape, const Value& x, Axes axes, Comm& comm, Site site);
Value all_reduce_to_invariant(Tape& tape, const Value& x, Axes axes, Comm& comm, Site site);
Value all_reduce_to_replicated(Tape& tape, const Value& x, Axes axes, Comm& comm, Site site);
Value all_gather_to_replicated(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes,
                               Comm& comm, Site site);
Value all_gather_to_invariant(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes,
                              Comm& comm, Site site);
Value reduce_scatter(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes, Comm& comm,
                     Site site);
Value slice_to_varying(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes, Comm& comm,
                       Site site);
// Rows of dim 0, ordered by destination; received ordered by source. send_rows, recv_rows: one count a rank.
Value all_to_all_rows(Tape& tape, const Value& x, std::span<const int64_t> send_rows,
                      std::span<const int64_t> recv_rows, Axes axes, Comm& comm, Site site);
// x goes to rank `to`, the result of `shape` comes from rank `from`; kNoRank: nothing is sent; the result is zeros.
inline constexpr int kNoRank = -1;
Value send_recv(Tape& tape, const Value& x, int to, int from, const Shape& shape, Axes axes, Comm& comm, Site site);

// The forward site as it is counted now.
Site forward_site(const Tape& tape, Site site);

// The table above, for tests and documents. run: applies the row to x, whose part on rank r is extents[r] in `dim`
// (whole for I, R, P); all_to_all cuts each rank's rows evenly over all, send_recv shifts by one rank to the right.
struct CollectiveRow {
  const char* name;
  Place from, to;
  const char* backward;
  bool cuts_dim;  // whether input or output is a part of dim
  Value (*run)(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axis axis, Comm& comm, Site site);
};
std::span<const CollectiveRow> collective_rows();

}  // namespace og

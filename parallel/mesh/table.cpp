#include "parallel/mesh/collectives.h"

namespace og {

namespace {

using Extents = std::span<const int64_t>;

Value run_all_to_all(Tape& tape, const Value& x, int, Extents extents, Axis axis, Comm& comm, Site site) {
  std::vector<int64_t> recv_rows;
  for (int64_t n : extents) recv_rows.push_back(even_extents(n, comm.size())[static_cast<size_t>(comm.rank())]);
  return all_to_all_rows(tape, x, even_extents(x.size(0), comm.size()), recv_rows, axis, comm, site);
}

Value run_send_recv(Tape& tape, const Value& x, int dim, Extents extents, Axis axis, Comm& comm, Site site) {
  const int right = comm.rank() + 1 < comm.size() ? comm.rank() + 1 : kNoRank, left = comm.rank() - 1;
  Shape shape = x.shape();
  if (left >= 0) shape.set(dim, extents[static_cast<size_t>(left)]);
  return send_recv(tape, x, right, left, shape, axis, comm, site);
}

template <Value (*F)(Tape&, const Value&, Axes, Comm&, Site)>
Value run_whole(Tape& tape, const Value& x, int, Extents, Axis axis, Comm& comm, Site site) {
  return F(tape, x, axis, comm, site);
}

template <Value (*F)(Tape&, const Value&, int, Extents, Axes, Comm&, Site)>
Value run_dim(Tape& tape, const Value& x, int dim, Extents extents, Axis axis, Comm& comm, Site site) {
  return F(tape, x, dim, extents, axis, comm, site);
}

constexpr Place kI = Place::invariant, kR = Place::replicated, kV = Place::varying, kP = Place::partial;

constexpr CollectiveRow kRows[] = {
    {"enter", kI, kR, "all_reduce_to_invariant", false, run_whole<enter>},
    {"all_reduce_to_invariant", kP, kI, "enter", false, run_whole<all_reduce_to_invariant>},
    {"all_reduce_to_replicated", kP, kR, "all_reduce_to_replicated", false, run_whole<all_reduce_to_replicated>},
    {"all_gather_to_replicated", kV, kR, "reduce_scatter", true, run_dim<all_gather_to_replicated>},
    {"all_gather_to_invariant", kV, kI, "slice_to_varying", true, run_dim<all_gather_to_invariant>},
    {"reduce_scatter", kP, kV, "all_gather_to_replicated", true, run_dim<reduce_scatter>},
    {"slice_to_varying", kI, kV, "all_gather_to_invariant", true, run_dim<slice_to_varying>},
    {"all_to_all_rows", kV, kV, "all_to_all_rows", true, run_all_to_all},
    {"send_recv", kV, kV, "send_recv", true, run_send_recv},
};

}  // namespace

std::span<const CollectiveRow> collective_rows() { return kRows; }

}  // namespace og

#include "parallel/mesh/collectives.h"

#include <numeric>

#include "framework/ops/ranges.h"
#include "parallel/mesh/rank_blocks.h"

namespace og {

Site forward_site(const Tape& tape, Site site) { return tape.runs_again ? Sites::recompute : site; }

namespace {

// Checks that x is `from` on all axes of the group; the placement of the result, `to` on them.
Placement convert(const char* name, const Value& x, Axes axes, Place from, Place to, Site site) {
  Placement place = x.place();
  for (int a = 0; a < kNumAxes; ++a) {
    const auto axis = static_cast<Axis>(a);
    if (!axes.has(axis)) continue;
    OG_CHECK(place[axis] == from, "{} at {}: expected a value that is {} on the {} axis, found {}", name, site.name,
             name_of(from), name_of(axis), name_of(place[axis]));
    place.set(axis, to);
  }
  return place;
}

// Opens the slot and lets fill(tensor) write there, or into a temporary that is then added.
template <class Fill>
void contribute(Context& cx, Slot* slot, Fill&& fill) {
  const auto [target, put] = slot->open(cx);
  if (put == Put::write) return fill(target);
  const Tensor temporary = cx.empty(target.shape(), target.dtype());
  fill(temporary);
  move_into(cx.stream, target, Put::add, temporary);
}

void gather(Context& cx, const Tensor& whole, const Tensor& part, const RankBlocks& blocks, Comm& comm, Site site) {
  const Tensor rows = blocks.as_rows(whole);
  if (blocks.same_order()) return comm.all_gather(rows, blocks.as_rows(part), blocks.rows(), site).wait();
  const Tensor by_rank = cx.empty(rows.shape(), rows.dtype());
  comm.all_gather(by_rank, blocks.as_rows(part), blocks.rows(), site).wait();
  blocks.ranks_to_whole(cx.stream, whole, by_rank);
}

void scatter(Context& cx, const Tensor& part, const Tensor& whole, const RankBlocks& blocks, Comm& comm, Site site) {
  Tensor rows = blocks.as_rows(whole);
  if (!blocks.same_order()) {
    rows = cx.empty(rows.shape(), rows.dtype());
    blocks.whole_to_ranks(cx.stream, rows, whole);
  }
  comm.reduce_scatter(blocks.as_rows(part), rows, blocks.rows(), site).wait();
}

// What a function with a collective in its backward keeps.
struct CollectiveFunction : Function {
  Comm* comm = nullptr;
  Site site = Sites::startup;
};

template <class F>
std::unique_ptr<F> make_function(Comm& comm, Site site) {
  auto f = std::make_unique<F>();
  f->comm = &comm;
  f->site = site.backward();
  return f;
}

// Backward of enter and of all_reduce_to_replicated.
struct SumBackward final : CollectiveFunction {
  const char* name() const override { return "sum of gradients"; }
  void backward(Context& cx) override {
    contribute(cx, input(0), [&](const Tensor& dx) {
      dx.copy_from(gradient(cx));
      comm->all_reduce(dx, Reduce::sum, site).wait();
    });
  }
};

struct PassBackward final : Function {
  const char* name() const override { return "all_reduce_to_invariant"; }
  void backward(Context& cx) override {
    contribute(cx, input(0), [&](const Tensor& dx) { dx.copy_from(gradient(cx)); });
  }
};

struct DimFunction : CollectiveFunction {
  RankBlocks blocks;
  explicit DimFunction(RankBlocks b) : blocks(std::move(b)) {}
};

struct ScatterBackward final : DimFunction {
  using DimFunction::DimFunction;
  const char* name() const override { return "all_gather_to_replicated"; }
  void backward(Context& cx) override {
    contribute(cx, input(0), [&](const Tensor& dx) { scatter(cx, dx, gradient(cx), blocks, *comm, site); });
  }
};

struct CutBackward final : DimFunction {
  using DimFunction::DimFunction;
  const char* name() const override { return "all_gather_to_invariant"; }
  void backward(Context& cx) override {
    contribute(cx, input(0), [&](const Tensor& dx) { blocks.cut(cx.stream, dx, gradient(cx), comm->rank()); });
  }
};

// Backward of reduce_scatter and of slice_to_varying.
struct GatherBackward final : DimFunction {
  using DimFunction::DimFunction;
  const char* name() const override { return "gather of gradients"; }
  void backward(Context& cx) override {
    contribute(cx, input(0), [&](const Tensor& dx) { gather(cx, dx, gradient(cx), blocks, *comm, site); });
  }
};

struct AllToAllBackward final : CollectiveFunction {
  std::vector<int64_t> send_rows, recv_rows;  // as forward used them
  const char* name() const override { return "all_to_all_rows"; }
  void backward(Context& cx) override {
    contribute(cx, input(0),
               [&](const Tensor& dx) { comm->all_to_all(dx, send_rows, gradient(cx), recv_rows, site).wait(); });
  }
};

void exchange(const Tensor& out, int from, const Tensor& in, int to, Comm& comm, Site site) {
  std::vector<Message> sends, receives;
  if (to != kNoRank) sends.push_back({to, in});
  if (from != kNoRank) receives.push_back({from, out});
  if (from == kNoRank) out.fill(0);
  comm.send_recv(std::move(sends), std::move(receives), site).wait();
}

struct SendRecvBackward final : CollectiveFunction {
  int to = kNoRank, from = kNoRank;
  const char* name() const override { return "send_recv"; }
  void backward(Context& cx) override {
    contribute(cx, input(0), [&](const Tensor& dx) { exchange(dx, to, gradient(cx), from, *comm, site); });
  }
};

RankBlocks blocks_of(const char* name, const Value& x, int dim, std::span<const int64_t> extents, bool x_is_part,
                     const Comm& comm, Site site) {
  OG_CHECK(std::ssize(extents) == comm.size(), "{} at {}: {} extents for {} ranks", name, site.name, extents.size(),
           comm.size());
  RankBlocks blocks(x.shape(), dim, extents);
  const Shape expected = x_is_part ? blocks.part_shape(comm.rank()) : blocks.whole_shape();
  OG_CHECK(x.shape() == expected, "{} at {}: expected {} on rank {}, found {}", name, site.name, expected.str(),
           comm.rank(), x.shape().str());
  return blocks;
}

template <class Backward>
void record(Tape& tape, const Value& x, const Value& y, RankBlocks blocks, Comm& comm, Site site) {
  auto f = std::make_unique<Backward>(std::move(blocks));
  f->comm = &comm;
  f->site = site.backward();
  tape.record(std::move(f), {x}, {y});
}

Value reduced(const char* name, Tape& tape, const Value& x, Axes axes, Place to, Comm& comm, Site site) {
  const Value y = tape.output(x.shape(), x.dtype(), convert(name, x, axes, Place::partial, to, site), {x});
  y.tensor().copy_from(x.tensor());
  comm.all_reduce(y.tensor(), Reduce::sum, forward_site(tape, site)).wait();
  return y;
}

template <class Backward>
Value gathered(const char* name, Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes,
               Place to, Comm& comm, Site site) {
  RankBlocks blocks = blocks_of(name, x, dim, extents, true, comm, site);
  const Placement place = convert(name, x, axes, Place::varying, to, site);
  const Value y = tape.output(blocks.whole_shape(), x.dtype(), place, {x});
  gather(tape.context(), y.tensor(), x.tensor(), blocks, comm, forward_site(tape, site));
  record<Backward>(tape, x, y, std::move(blocks), comm, site);
  return y;
}

}  // namespace

Value enter(Tape& tape, const Value& x, Axes axes, Comm& comm, Site site) {
  const Placement place = convert("enter", x, axes, Place::invariant, Place::replicated, site);
  const Value y = tape.output_of(x.tensor(), place, {x});
  tape.record(make_function<SumBackward>(comm, site), {x}, {y});
  return y;
}

Value all_reduce_to_invariant(Tape& tape, const Value& x, Axes axes, Comm& comm, Site site) {
  const Value y = reduced("all_reduce_to_invariant", tape, x, axes, Place::invariant, comm, site);
  tape.record(std::make_unique<PassBackward>(), {x}, {y});
  return y;
}

Value all_reduce_to_replicated(Tape& tape, const Value& x, Axes axes, Comm& comm, Site site) {
  const Value y = reduced("all_reduce_to_replicated", tape, x, axes, Place::replicated, comm, site);
  tape.record(make_function<SumBackward>(comm, site), {x}, {y});
  return y;
}

Value all_gather_to_replicated(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes,
                               Comm& comm, Site site) {
  return gathered<ScatterBackward>("all_gather_to_replicated", tape, x, dim, extents, axes, Place::replicated, comm,
                                   site);
}

Value all_gather_to_invariant(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes,
                              Comm& comm, Site site) {
  return gathered<CutBackward>("all_gather_to_invariant", tape, x, dim, extents, axes, Place::invariant, comm, site);
}

Value reduce_scatter(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes, Comm& comm,
                     Site site) {
  RankBlocks blocks = blocks_of("reduce_scatter", x, dim, extents, false, comm, site);
  const Placement place = convert("reduce_scatter", x, axes, Place::partial, Place::varying, site);
  const Value y = tape.output(blocks.part_shape(comm.rank()), x.dtype(), place, {x});
  scatter(tape.context(), y.tensor(), x.tensor(), blocks, comm, forward_site(tape, site));
  record<GatherBackward>(tape, x, y, std::move(blocks), comm, site);
  return y;
}

Value slice_to_varying(Tape& tape, const Value& x, int dim, std::span<const int64_t> extents, Axes axes, Comm& comm,
                       Site site) {
  RankBlocks blocks = blocks_of("slice_to_varying", x, dim, extents, false, comm, site);
  const Placement place = convert("slice_to_varying", x, axes, Place::invariant, Place::varying, site);
  const Value y = tape.output(blocks.part_shape(comm.rank()), x.dtype(), place, {x});
  blocks.cut(tape.stream(), y.tensor(), x.tensor(), comm.rank());
  record<GatherBackward>(tape, x, y, std::move(blocks), comm, site);
  return y;
}

Value all_to_all_rows(Tape& tape, const Value& x, std::span<const int64_t> send_rows,
                      std::span<const int64_t> recv_rows, Axes axes, Comm& comm, Site site) {
  const Placement place = convert("all_to_all_rows", x, axes, Place::varying, Place::varying, site);
  Shape shape = x.shape();
  shape.set(0, std::accumulate(recv_rows.begin(), recv_rows.end(), int64_t{0}));
  const Value y = tape.output(shape, x.dtype(), place, {x});
  comm.all_to_all(y.tensor(), recv_rows, x.tensor(), send_rows, forward_site(tape, site)).wait();
  auto f = make_function<AllToAllBackward>(comm, site);
  f->send_rows.assign(send_rows.begin(), send_rows.end());
  f->recv_rows.assign(recv_rows.begin(), recv_rows.end());
  tape.record(std::move(f), {x}, {y});
  return y;
}

Value send_recv(Tape& tape, const Value& x, int to, int from, const Shape& shape, Axes axes, Comm& comm, Site site) {
  const Placement place = convert("send_recv", x, axes, Place::varying, Place::varying, site);
  const Value y = tape.output(shape, x.dtype(), place, {x});
  exchange(y.tensor(), from, x.tensor(), to, comm, forward_site(tape, site));
  auto f = make_function<SendRecvBackward>(comm, site);
  f->to = to;
  f->from = from;
  tape.record(std::move(f), {x}, {y});
  return y;
}

}  // namespace og

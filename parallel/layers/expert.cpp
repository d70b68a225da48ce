#include "parallel/layers/expert.h"

#include <algorithm>
#include <numeric>

#include "framework/core/host_read.h"
#include "framework/kernels/route.h"
#include "framework/ops/moe.h"
#include "parallel/mesh/collectives.h"

namespace og {

namespace {

const Axes kTokenAxes{Axis::data, Axis::sequence, Axis::tensor};

// Backward of a flight comes in two parts: when the rows' gradients are known they start to fly back, and when the
// tokens' gradient is wanted they are waited for.
struct Arrive final : Function {
  std::shared_ptr<const ExpertRoute> route;
  std::shared_ptr<Pending> returning;
  Comm* group = nullptr;

  const char* name() const override { return "dispatch arrives"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const auto [dx, put] = input(0)->open(cx);
    OG_CHECK(put == Put::write, "dispatch: rows in flight are used elsewhere");
    *returning = group->all_to_all(dx, route->send_rows, dy, route->recv_rows, Sites::moe_dispatch_backward);
  }
};

struct Depart final : Function {
  std::shared_ptr<const ExpertRoute> route;
  std::shared_ptr<Pending> returning;

  const char* name() const override { return "dispatch departs"; }

  void backward(Context& cx) override {
    returning->wait();
    const Tensor dy = gradient(cx);
    const Profile::Scope scope(&cx.profile, Part::routing);
    auto [dx, put] = input(0)->open(cx);
    visit_real(dy.dtype(), [&, dx = dx, put = put](auto zero) {
      using T = decltype(zero);
      moe_kernels<T>(cx.stream).combine_forward(cx.stream, dx.template rows<T>(), put, dy.rows<const T>(), {},
                                                route->slots_NK.view<const int32_t, 2>());
    });
  }
};

// Whether rows that lie by source, then expert, lie by expert, then source too.
bool in_order(const int32_t* counts, int64_t ranks, int64_t num_experts) {
  int64_t last = -1;  // the (source, expert) of the rows before, in the order in which they arrive
  for (int64_t e = 0; e < num_experts; ++e)
    for (int64_t p = 0; p < ranks; ++p) {
      const int64_t at = p * num_experts + e;
      if (counts[at] == 0) continue;
      if (at < last) return false;
      last = at;
    }
  return true;
}

}  // namespace

int64_t ExpertRoute::num_received() const { return std::accumulate(recv_rows.begin(), recv_rows.end(), int64_t{0}); }

RowCounts exchange_counts(Tape& tape, const Tensor& experts, int64_t num_experts, Comm& group) {
  OG_CHECK(experts.rank() == 2 && experts.dtype() == DType::i32 && num_experts % group.size() == 0,
           "experts: {} experts over {} ranks, choices {} {}", num_experts, group.size(), name_of(experts.dtype()),
           experts.shape().str());
  Context& cx = tape.context();
  const int64_t ranks = group.size();
  const Shape shape{ranks, num_experts / ranks};
  const Tensor both = cx.empty({2, shape[0], shape[1]}, DType::i32);
  const RowCounts device{both.slice(0, 1).reshape(shape), both.slice(1, 2).reshape(shape), {}};
  {
    const Profile::Scope scope(&cx.profile, Part::routing);
    route_kernels(cx.stream).count_kept(cx.stream, device.sent_PE.flat<int32_t>(), experts.view<const int32_t, 2>());
  }
  const std::vector<int64_t> one(static_cast<size_t>(ranks), 1);
  group.all_to_all(device.received_PE, one, device.sent_PE, one, forward_site(tape, Sites::moe_counts)).wait();
  if (ranks == 1) return device;
  RowCounts counts = device;
  const std::vector<int32_t> numbers = host_read<int32_t>(cx, both);
  counts.on_host_2PE = cx.empty(both.shape(), DType::i32);
  std::copy(numbers.begin(), numbers.end(), counts.on_host_2PE.data<int32_t>());
  return counts;
}

std::shared_ptr<const ExpertRoute> make_route(Context& cx, const Tensor& experts, const RowCounts& counts) {
  const Profile::Scope scope(&cx.profile, Part::routing);
  const RouteKernels& kernels = route_kernels(cx.stream);
  const int64_t ranks = counts.sent_PE.size(0), local = counts.sent_PE.size(1);
  auto route = std::make_shared<ExpertRoute>();
  if (counts.on_host_2PE.defined()) {
    const auto* sent = counts.on_host_2PE.data<const int32_t>();
    const auto* received = sent + ranks * local;
    for (int64_t p = 0; p < ranks * local; p += local) {
      route->send_rows.push_back(std::accumulate(sent + p, sent + p + local, int64_t{0}));
      route->recv_rows.push_back(std::accumulate(received + p, received + p + local, int64_t{0}));
    }
    route->arrives_in_order = in_order(received, ranks, local);
  } else {
    route->send_rows = route->recv_rows = {experts.count()};
  }

  // What leaves: rows by expert; experts are numbered along the ranks.
  const int64_t num_sent = std::accumulate(route->send_rows.begin(), route->send_rows.end(), int64_t{0});
  route->token_M = cx.empty({num_sent}, DType::i32);
  route->slots_NK = cx.empty(experts.shape(), DType::i32);
  const Tensor begin = cx.empty({ranks * local + 1}, DType::i64);
  kernels.borders(cx.stream, begin.view<int64_t, 1>(),
                  counts.sent_PE.reshape({1, ranks * local}).view<const int32_t, 2>());
  kernels.place(cx.stream, route->slots_NK.view<int32_t, 2>(), route->token_M.view<int32_t, 1>(),
                begin.slice(0, ranks * local).view<int64_t, 1>(), experts.view<const int32_t, 2>());

  // What arrives: by source rank, then local expert. Wanted: by local expert, then source rank.
  route->row_begin_E = cx.empty({local + 1}, DType::i64);
  kernels.borders(cx.stream, route->row_begin_E.view<int64_t, 1>(), counts.received_PE.view<const int32_t, 2>());
  if (!route->arrives_in_order) {
    route->arrival_R = cx.empty({route->num_received()}, DType::i32);
    route->departure_R1 = cx.empty({route->num_received(), 1}, DType::i32);
    kernels.arrive(cx.stream, route->arrival_R.view<int32_t, 1>(), route->departure_R1.flat<int32_t>(),
                   counts.received_PE.view<const int32_t, 2>());
  }
  return route;
}

Dispatch::Dispatch(Tape& tape, const Value& x, std::shared_ptr<const ExpertRoute> route, Comm& group)
    : tape_(tape), route_(std::move(route)), group_(group), returning_(std::make_shared<Pending>()) {
  OG_CHECK(x.rank() == 2 && x.size(0) == route_->slots_NK.size(0), "dispatch: {} for {} tokens", x.shape().str(),
           route_->slots_NK.size(0));
  for (const Axis axis : {Axis::data, Axis::sequence, Axis::tensor})
    OG_CHECK(x.place()[axis] == Place::varying, "dispatch: expected tokens that are varying on the {} axis, found {}",
             name_of(axis), name_of(x.place()[axis]));
  Context& cx = tape.context();
  sent_MD_ = tape.output({route_->token_M.size(0), x.size(1)}, x.dtype(), x.place(), {x});
  {
    const Profile::Scope scope(&cx.profile, Part::routing);
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      moe_kernels<T>(cx.stream).gather(cx.stream, sent_MD_.tensor().template rows<T>(), x.tensor().rows<const T>(),
                                       route_->token_M.flat<const int32_t>());
    });
  }
  received_RD_ = cx.empty({route_->num_received(), x.size(1)}, x.dtype());
  flying_ = group.all_to_all(received_RD_, route_->recv_rows, sent_MD_.tensor(), route_->send_rows,
                             forward_site(tape, Sites::moe_dispatch));
  auto function = std::make_unique<Depart>();
  function->route = route_;
  function->returning = returning_;
  tape.record(std::move(function), {x}, {sent_MD_});
}

Value Dispatch::finish() {
  flying_.wait();
  Value y = tape_.output_of(std::move(received_RD_), sent_MD_.place(), {sent_MD_});
  auto function = std::make_unique<Arrive>();
  function->route = route_;
  function->returning = returning_;
  function->group = &group_;
  tape_.record(std::move(function), {sent_MD_}, {y});
  sent_MD_ = Value();
  return route_->arrives_in_order ? y : gather_rows(tape_, y, route_->arrival_R, route_->departure_R1);
}

Value combine(Tape& tape, const Value& y, const Value& weights, const ExpertRoute& route, Comm& group) {
  Value rows = y;
  if (!route.arrives_in_order)
    rows = gather_rows(tape, y, route.departure_R1.reshape({route.num_received()}),
                       route.arrival_R.reshape({route.num_received(), 1}));
  rows = all_to_all_rows(tape, rows, route.recv_rows, route.send_rows, kTokenAxes, group, Sites::moe_combine);
  return combine_rows(tape, rows, weights, route.slots_NK);
}

}  // namespace og

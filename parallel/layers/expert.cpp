#include "parallel/layers/expert.h"

#include <algorithm>
#include <numeric>

#include "framework/kernels/moe.h"
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

std::vector<int64_t> count_rows(const Tensor& experts, int64_t num_experts) {
  std::vector<int64_t> counts(static_cast<size_t>(num_experts), 0);
  const auto* e = experts.data<const int32_t>();
  for (int64_t i = 0; i < experts.count(); ++i)
    if (e[i] >= 0) counts[static_cast<size_t>(e[i])] += 1;
  return counts;
}

void check_experts(const Tensor& experts, int64_t num_experts, const Comm& group) {
  OG_CHECK(experts.rank() == 2 && experts.dtype() == DType::i32 && num_experts % group.size() == 0,
           "experts: {} experts over {} ranks, choices {} {}", num_experts, group.size(), name_of(experts.dtype()),
           experts.shape().str());
}

}  // namespace

Tensor exchange_counts(Tape& tape, const Tensor& experts, int64_t num_experts, Comm& group) {
  check_experts(experts, num_experts, group);
  Context& cx = tape.context();
  const int64_t ranks = group.size(), local = num_experts / ranks;
  const std::vector<int64_t> counts = count_rows(experts, num_experts);
  const Tensor out = cx.empty({ranks, local}, DType::i32), in = cx.empty({ranks, local}, DType::i32);
  std::transform(counts.begin(), counts.end(), in.data<int32_t>(), [](int64_t n) { return static_cast<int32_t>(n); });
  const std::vector<int64_t> one(static_cast<size_t>(ranks), 1);
  group.all_to_all(out, one, in, one, forward_site(tape, Sites::moe_counts)).wait();
  return out;
}

std::shared_ptr<const ExpertRoute> make_route(Context& cx, const Tensor& experts, int64_t num_experts,
                                              const Tensor& received, Comm& group) {
  check_experts(experts, num_experts, group);
  const Profile::Scope scope(&cx.profile, Part::routing);
  const int64_t ranks = group.size(), local = num_experts / ranks;
  auto route = std::make_shared<ExpertRoute>();

  // What leaves: rows by expert; experts are numbered along the ranks.
  const std::vector<int64_t> counts = count_rows(experts, num_experts);
  std::vector<int64_t> next(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), next.begin(), int64_t{0});
  for (int64_t p = 0; p < ranks; ++p)
    route->send_rows.push_back(
        std::accumulate(counts.begin() + p * local, counts.begin() + (p + 1) * local, int64_t{0}));
  const int64_t num_sent = std::accumulate(counts.begin(), counts.end(), int64_t{0}), k = experts.size(1);
  route->token_M = cx.empty({num_sent}, DType::i32);
  route->slots_NK = cx.empty(experts.shape(), DType::i32);
  const auto* choice = experts.data<const int32_t>();
  auto* slots = route->slots_NK.data<int32_t>();
  for (int64_t i = 0; i < experts.count(); ++i) {
    slots[i] = choice[i] < 0 ? -1 : static_cast<int32_t>(next[static_cast<size_t>(choice[i])]++);
    if (slots[i] >= 0) route->token_M.data<int32_t>()[slots[i]] = static_cast<int32_t>(i / k);
  }

  // What arrives: by source rank, then local expert. Wanted: by local expert, then source rank.
  const auto* rows = received.data<const int32_t>();
  // Where each (source, expert) begins in the received rows.
  std::vector<int64_t> first(static_cast<size_t>(ranks * local));
  int64_t num_received = 0;
  for (int64_t i = 0; i < ranks * local; ++i) {
    first[static_cast<size_t>(i)] = num_received;
    num_received += rows[i];
  }
  for (int64_t p = 0; p < ranks; ++p)
    route->recv_rows.push_back(std::accumulate(rows + p * local, rows + (p + 1) * local, int64_t{0}));
  route->arrival_R = cx.empty({num_received}, DType::i32);
  route->departure_R1 = cx.empty({num_received, 1}, DType::i32);
  int32_t row = 0;
  for (int64_t e = 0; e < local; ++e) {
    route->row_begin.push_back(row);
    for (int64_t p = 0; p < ranks; ++p)
      for (int32_t i = 0; i < rows[p * local + e]; ++i, ++row) {
        const auto from = static_cast<int32_t>(first[static_cast<size_t>(p * local + e)] + i);
        route->arrival_R.data<int32_t>()[row] = from;
        route->departure_R1.data<int32_t>()[from] = row;
        route->arrives_in_order = route->arrives_in_order && from == row;
      }
  }
  route->row_begin.push_back(row);
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

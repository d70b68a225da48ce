#include "parallel/sequence/methods.h"

#include <algorithm>

#include "framework/core/error.h"
#include "parallel/sequence/attention_methods.h"
#include "parallel/sequence/head_transport.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

// Blocks of zeco's chain: enough that ranks overlap, few enough that a message is worth its latency.
constexpr int kChainBlocks = 4;

constexpr const char* kNotBothSummaries =
    "needs both summaries of a rank in one AllGather: parallel.sequence_method: lasp2";

template <int kBlocks>
std::unique_ptr<StateExchange> start_chain(const StateCall& call) {
  return start_state_chain(call, kBlocks);
}
template <int kBlocks>
ExchangeCost chain(const GroupLinks& links, double n) {
  return chain_cost(links, n, kBlocks);
}
ExchangeCost ring(const GroupLinks& links, double n) { return hops_cost(links, n, links.ranks - 1); }
// K and V in P - 1 hops, dK and dV in P: home.
ExchangeCost ring_and_home(const GroupLinks& links, double n) { return hops_cost(links, n, 2 * links.ranks - 1); }

constexpr LinearRow kLinear[] = {
    {.name = "lasp2",
     .travels = Travels::summaries,
     .exchange = {Verb::all_gather, all_gather_cost, Meanwhile::all},
     .start = start_state_gather},
    {.name = "lasp1",
     .travels = Travels::summaries,
     .exchange = {Verb::send_recv, chain<1>, Meanwhile::all},
     .start = start_chain<1>,
     .zigzag_problem = kNotBothSummaries},
    {.name = "zeco",
     .travels = Travels::summaries,
     .exchange = {Verb::send_recv, chain<kChainBlocks>, Meanwhile::all},
     .start = start_chain<kChainBlocks>,
     .zigzag_problem = kNotBothSummaries},
    {.name = "scan",
     .travels = Travels::summaries,
     .exchange = {Verb::send_recv, rounds_cost, Meanwhile::all},
     .start = start_state_scan,
     .zigzag_problem = kNotBothSummaries},
    {.name = "hierarchical",
     .travels = Travels::summaries,
     .exchange = {Verb::all_gather, levels_cost, Meanwhile::all},
     .start = start_state_hosts,
     .zigzag_problem = kNotBothSummaries},
    {.name = "ring",
     .travels = Travels::pieces,
     .exchange = {Verb::send_recv, ring, Meanwhile::all},
     .start = start_state_ring,
     .zigzag_problem = kNotBothSummaries,
     .left_products = ring_attention},
    {.name = "ulysses",
     .travels = Travels::heads,
     .exchange = {Verb::all_to_all, all_to_all_cost},
     .transport = HeadTransport::exchange,
     .zigzag_problem = kNotBothSummaries,
     .left_products = ulysses_attention},
    {.name = "megatron",
     .travels = Travels::heads,
     .exchange = {Verb::all_gather, all_gather_cost},
     .transport = HeadTransport::gather,
     .zigzag_problem = kNotBothSummaries,
     .left_products = megatron_attention},
};

constexpr SoftmaxRow kSoftmax[] = {
    {.name = "all_gather_kv",
     .run = gathered_attention,
     .forward = {Verb::all_gather, all_gather_cost, Meanwhile::own_keys},
     .backward = {Verb::all_gather, all_gather_cost, Meanwhile::own_keys},
     .gradients = MethodExchange{Verb::reduce_scatter, reduce_scatter_cost},
     .keeps_keys = true},
    {.name = "ring",
     .run = ring_attention,
     .forward = {Verb::send_recv, ring, Meanwhile::all},
     .backward = {Verb::send_recv, ring_and_home, Meanwhile::all}},
    {.name = "ulysses",
     .run = ulysses_attention,
     .forward = {Verb::all_to_all, all_to_all_cost},
     .backward = {Verb::all_to_all, all_to_all_cost},
     .whole_heads = true,
     .zigzag_problem =
         "balances what ranks attend to; ulysses, which gives every rank whole heads, is balanced without it"},
};

template <class Method, class Row>
std::optional<Method> found(std::span<const Row> rows, std::string_view name) {
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].name == name) return static_cast<Method>(i);
  return {};
}

}  // namespace

double share_of(Meanwhile work, int ranks) {
  return work == Meanwhile::nothing ? 0 : work == Meanwhile::own_keys ? 1.0 / ranks : 1;
}

std::span<const LinearRow> linear_methods() { return kLinear; }
std::span<const SoftmaxRow> softmax_methods() { return kSoftmax; }
const LinearRow& row_of(LinearMethod method) { return kLinear[static_cast<size_t>(method)]; }
const SoftmaxRow& row_of(SoftmaxMethod method) { return kSoftmax[static_cast<size_t>(method)]; }

std::optional<LinearMethod> find_linear_method(std::string_view name) {
  return found<LinearMethod>(linear_methods(), name);
}
std::optional<SoftmaxMethod> find_softmax_method(std::string_view name) {
  return found<SoftmaxMethod>(softmax_methods(), name);
}
LinearMethod linear_method(std::string_view name) {
  const std::optional<LinearMethod> method = find_linear_method(name);
  OG_CHECK(method, "no linear method {}", name);
  return *method;
}
SoftmaxMethod softmax_method(std::string_view name) {
  const std::optional<SoftmaxMethod> method = find_softmax_method(name);
  OG_CHECK(method, "no softmax method {}", name);
  return *method;
}

}  // namespace og

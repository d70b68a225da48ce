// The methods by which layers work on a split sequence, a row each: what a method is called, how it exchanges, what
// that costs, what it refuses and why. The config's choices and checks, `auto`, plan, bench and tests go over these
// tables; docs/methods.md explains each row and a test holds it to them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/comm/link.h"
#include "parallel/mesh/sequence_options.h"

namespace og {

class StateExchange;
class Tape;
class Value;
struct SeqContext;
struct SequenceAttentionOptions;
struct StateCall;

// What goes from rank to rank in a linear layer: summaries of pieces, the streams that a piece is summarised from, or
// streams of heads (scan_heads.h).
enum class Travels : uint8_t { summaries, pieces, heads };

// How heads travel: head_transport.h says it.
enum class HeadTransport : uint8_t { exchange, gather };

// The local work that goes on meanwhile: nothing; the keys of the rank's own tokens, 1 / P of it; all of it.
enum class Meanwhile : uint8_t { nothing, own_keys, all };
double share_of(Meanwhile work, int ranks);

// What a rank exchanges in one pass, by calls of this verb.
struct MethodExchange {
  Verb verb;
  ExchangeLaw cost;
  Meanwhile meanwhile = Meanwhile::nothing;
};

using RunAttention = Value (*)(Tape&, const Value& q, const Value& k, const Value& v,
                               const SequenceAttentionOptions& options, const SeqContext& seq);

// Backward exchanges as much as forward.
struct LinearRow {
  const char* name;
  Travels travels;
  MethodExchange exchange;
  std::unique_ptr<StateExchange> (*start)(const StateCall& call) = nullptr;  // all but heads
  HeadTransport transport{};                                                 // heads
  const char* zigzag_problem = nullptr;                                      // why not in zigzag order; null: it goes
  // The layer by left products (attention_methods.h); null: not.
  RunAttention left_products = nullptr;
};

struct SoftmaxRow {
  const char* name;
  RunAttention run;
  MethodExchange forward, backward;
  std::optional<MethodExchange> gradients{};  // dK and dV, where they do not travel with K and V
  // A rank works for whole query heads, which must divide by the ranks, over the whole sequence: all ranks have as much
  // to do in contiguous order.
  bool whole_heads = false;
  bool keeps_keys = false;  // every rank has the keys and values of all tokens, which segments need
  const char* zigzag_problem = nullptr;
};

std::span<const LinearRow> linear_methods();
std::span<const SoftmaxRow> softmax_methods();
const LinearRow& row_of(LinearMethod method);
const SoftmaxRow& row_of(SoftmaxMethod method);
inline const char* name_of(LinearMethod method) { return row_of(method).name; }
inline const char* name_of(SoftmaxMethod method) { return row_of(method).name; }

// None of that name ("auto"): absent.
std::optional<LinearMethod> find_linear_method(std::string_view name);
std::optional<SoftmaxMethod> find_softmax_method(std::string_view name);
// Another name is a programmer's error.
LinearMethod linear_method(std::string_view name);
SoftmaxMethod softmax_method(std::string_view name);

template <class Row>
std::vector<std::string> names_of(std::span<const Row> rows) {
  std::vector<std::string> names;
  for (const Row& row : rows) names.emplace_back(row.name);
  return names;
}

}  // namespace og

// How layers work over a split sequence: names as in the config (parallel.sequence_method, .softmax_sequence_method,
// .sequence_order, .overlap).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace og {

enum class LinearMethod : uint8_t { lasp2, lasp1, zeco, scan, hierarchical, ring, ulysses, megatron };
enum class SoftmaxMethod : uint8_t { all_gather_kv, ring, ulysses };
enum class SequenceOrder : uint8_t { contiguous, zigzag };

struct SequenceOptions {
  LinearMethod linear = LinearMethod::lasp2;
  SoftmaxMethod softmax = SoftmaxMethod::all_gather_kv;
  SequenceOrder order = SequenceOrder::contiguous;
  bool overlap = true;  // false: every transfer is waited for where it starts, to measure what overlap buys
  // bench sequence alone: ring, ulysses or megatron by left products (attention_methods.h), as the LASP-2 paper ran
  // them.
  bool left_products = false;
};

// Names in the order of the values.
inline constexpr std::string_view kLinearMethods[] = {"lasp2",        "lasp1", "zeco",    "scan",
                                                      "hierarchical", "ring",  "ulysses", "megatron"};
inline constexpr std::string_view kSoftmaxMethods[] = {"all_gather_kv", "ring", "ulysses"};
inline constexpr std::string_view kSequenceOrders[] = {"contiguous", "zigzag"};

inline const char* name_of(LinearMethod method) { return kLinearMethods[static_cast<size_t>(method)].data(); }
inline const char* name_of(SoftmaxMethod method) { return kSoftmaxMethods[static_cast<size_t>(method)].data(); }
inline const char* name_of(SequenceOrder order) { return kSequenceOrders[static_cast<size_t>(order)].data(); }

// The value of that name; any other name ("auto"): fallback.
template <class E>
E value_named(std::span<const std::string_view> names, const std::string& name, E fallback) {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<E>(i);
  return fallback;
}

}  // namespace og

// The tables of methods, and the cost model behind `auto`: what is cheapest where, and what is left out.
#include "parallel/sequence/cost.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "framework/core/error.h"

namespace og {
namespace {

const LinearRow& linear(const char* name) { return row_of(linear_method(name)); }

std::string best(const GroupLinks& links, const LayerTraffic& layer) {
  const auto rows = linear_methods();
  return std::min_element(rows.begin(), rows.end(),
                          [&](const LinearRow& a, const LinearRow& b) {
                            return method_seconds(a, links, layer) < method_seconds(b, links, layer);
                          })
      ->name;
}

TEST(MethodCost, StatesBeatStreamsAtEveryLength) {
  const GroupLinks links{.ranks = 4, .hosts = 4};
  for (double tokens : {1e3, 1e5, 1e7}) {
    const LayerTraffic layer{.summary_bytes = 64e3, .stream_bytes = 2e3 * tokens, .key_bytes = 1e3 * tokens};
    const double states = method_seconds(linear("lasp2"), links, layer);
    for (const LinearRow& m : linear_methods()) {
      if (m.travels == Travels::summaries) continue;
      EXPECT_LT(states, method_seconds(m, links, layer)) << m.name;
    }
  }
}

TEST(MethodCost, FewRanksGatherManyHostsExchangeInLevels) {
  const LayerTraffic layer{.summary_bytes = 16e3, .stream_bytes = 64e6, .key_bytes = 32e6};
  EXPECT_EQ(best({.ranks = 2}, layer), "lasp2");
  EXPECT_EQ(best({.ranks = 64, .hosts = 8}, layer), "hierarchical");
  // Where every rank is a host of its own there is nothing to gain inside.
  EXPECT_EQ(best({.ranks = 64, .hosts = 64}, layer), "scan");
}

TEST(MethodCost, LocalWorkHidesWhatStatesTakeAndNoStreamsOfHeads) {
  LayerTraffic layer{.summary_bytes = 256e3, .stream_bytes = 1e6, .key_bytes = 1e6, .local_seconds = 1};
  const GroupLinks links{.ranks = 16, .hosts = 2};
  for (const LinearRow& m : linear_methods())
    EXPECT_EQ(method_seconds(m, links, layer) > 0, m.travels == Travels::heads) << m.name;
  layer.local_seconds = 1e-6;
  EXPECT_GT(method_seconds(linear("lasp1"), links, layer), method_seconds(linear("zeco"), links, layer));
}

TEST(MethodCost, SoftmaxIsBalancedByHeadsOrByOrder) {
  const GroupLinks links{.ranks = 4};
  LayerTraffic layer{.stream_bytes = 4e6, .key_bytes = 1e6, .local_seconds = 0.1};
  const auto cost = [&](const char* m, SequenceOrder order) {
    return method_seconds(row_of(softmax_method(m)), links, layer, order);
  };
  EXPECT_LT(cost("ulysses", SequenceOrder::contiguous), cost("all_gather_kv", SequenceOrder::contiguous));
  EXPECT_LT(cost("all_gather_kv", SequenceOrder::zigzag), cost("all_gather_kv", SequenceOrder::contiguous));
  EXPECT_TRUE(std::isinf(cost("ulysses", SequenceOrder::zigzag)));
  layer.whole_heads = false;
  EXPECT_TRUE(std::isinf(cost("ulysses", SequenceOrder::contiguous)));
}

// Names of the first column of a table under this heading.
std::vector<std::string> rows_under(const std::string& text, const std::string& heading) {
  std::vector<std::string> names;
  std::istringstream lines(text.substr(text.find("## " + heading)));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.starts_with("## "))
    if (line.starts_with("| ") && !line.starts_with("| method"))
      names.push_back(line.substr(2, line.find_first_of(" (", 2) - 2));
  return names;
}

TEST(Methods, TheDocumentHasARowForEach) {
  std::ifstream file(OG_SOURCE_DIR "/docs/methods.md");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(rows_under(text, "Linear layers"), names_of(linear_methods()));
  EXPECT_EQ(rows_under(text, "Softmax layers"), names_of(softmax_methods()));
}

TEST(Methods, NamesAreFoundAndOthersAreNot) {
  for (const std::string& name : names_of(linear_methods())) EXPECT_EQ(name_of(linear_method(name)), name);
  for (const std::string& name : names_of(softmax_methods())) EXPECT_EQ(name_of(softmax_method(name)), name);
  EXPECT_FALSE(find_linear_method("auto"));
  EXPECT_THROW(softmax_method("lasp2"), Error);
  EXPECT_EQ(name_of(LinearMethod{}), std::string("lasp2"));
  EXPECT_EQ(name_of(SoftmaxMethod{}), std::string("all_gather_kv"));
}

}  // namespace
}  // namespace og

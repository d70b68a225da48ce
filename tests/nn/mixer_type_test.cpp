// What each mixer type says that it is.
#include <gtest/gtest.h>

#include "framework/nn/registry.h"

namespace og {
namespace {

Options options_of(const std::string& name, const std::map<std::string, OptionValue>& more = {}) {
  return og::options_of(*find_mixer_type(name), "test", more);
}

ScanShape shape_of(const std::string& name, std::map<std::string, OptionValue> more, int tensor = 1) {
  more.insert({{"num_heads", int64_t{4}}, {"head_k_dim", int64_t{6}}, {"head_v_dim", int64_t{10}}});
  return find_mixer_type(name)->scan_shape(options_of(name, more), tensor);
}

TEST(MixerType, ARecurrenceHasAScanAndSoftmaxAttentionHasNone) {
  for (const MixerType& type : mixer_types())
    EXPECT_EQ(type.kind(options_of(type.name)) == MixerKind::recurrence, static_cast<bool>(type.scan_shape))
        << type.name;
  EXPECT_EQ(kind_of(options_of("attention")), MixerKind::softmax);
  EXPECT_EQ(kind_of(options_of("attention", {{"sliding_window", int64_t{8}}})), MixerKind::window);
}

TEST(MixerType, GateFamilies) {
  struct Row {
    const char* name;
    Gate gate;
    bool delta;
    int64_t transition;  // numbers a head, K = 6
  };
  const Row rows[] = {{"linear", Gate::none, false, 1},           {"retention", Gate::scalar, false, 1},
                      {"lightning", Gate::scalar, false, 1},      {"simple_gla", Gate::scalar, false, 1},
                      {"mamba2", Gate::scalar, false, 1},         {"gla", Gate::diagonal, false, 6},
                      {"hgrn2", Gate::diagonal, false, 6},        {"delta_net", Gate::none, true, 36},
                      {"gated_delta_net", Gate::scalar, true, 36}};
  for (const Row& row : rows) {
    const ScanShape shape = shape_of(row.name, {}, 2);
    EXPECT_EQ(shape.recurrence.gate, row.gate) << row.name;
    EXPECT_EQ(shape.recurrence.delta, row.delta) << row.name;
    EXPECT_EQ(shape.recurrence.transition_size(shape.key_size), row.transition) << row.name;
    EXPECT_EQ(shape.heads, 2) << row.name;
    EXPECT_EQ(shape.flops_per_token(), 2 * 60 * (row.delta ? 6 : 4)) << row.name;
  }
}

TEST(MixerType, MapsAndNormalisersWidenTheState) {
  const ScanShape plain = shape_of("linear", {});
  EXPECT_EQ(plain.key_size, 6);
  EXPECT_EQ(plain.value_size, 10);
  const ScanShape wide = shape_of("linear", {{"feature_map", std::string("hedgehog")}, {"normalize", true}});
  EXPECT_EQ(wide.key_size, 12);
  EXPECT_EQ(wide.value_size, 11);
  EXPECT_EQ(wide.flops_per_token(), 4 * 4 * 12 * 11);
}

}  // namespace
}  // namespace og

// Which ranks hold, sum and write a parameter, at layouts of every axis.
#include "framework/nn/parameter.h"

#include <gtest/gtest.h>

#include "tests/world.h"

namespace og {
namespace {

constexpr Degrees kLayouts[] = {{},
                                {.data = 2},
                                {.sequence = 2, .expert = 2},
                                {.tensor = 2, .expert = 2},
                                {.data = 2, .tensor = 2, .expert = 4},
                                {.tensor = 2, .expert = 2, .pipeline = 2},
                                {.data = 2, .sequence = 2, .tensor = 2, .expert = 2},
                                {.data = 2, .sequence = 2, .pipeline = 2}};

const Init kInit = Init::zeros();

void fill(ParameterStore& store, Mesh& mesh) {
  store.elsewhere = mesh.pipeline().rank() != 0;
  store.add({.name = "norm", .global_shape = {8}, .init = kInit});
  store.add({.name = "columns", .global_shape = {3, 8}, .shard = Shard::tensor, .shard_dim = 1, .init = kInit});
  store.add({.name = "experts", .global_shape = {8, 3, 5}, .shard = Shard::expert, .init = kInit});
  store.add({.name = "router", .global_shape = {5, 2}, .init = kInit, .varies_over_tensor = true});
  store.add(
      {.name = "embedding", .global_shape = {8, 2}, .shard = Shard::tensor, .init = kInit, .on_all_stages = true});
  store.add({.name = "bound", .global_shape = {6}, .init = kInit, .on_all_stages = true});
}

// Every element is written by one rank and counts once where a rank counts as one of those that hold it.
TEST(parameter, every_element_is_written_once_and_counted_once) {
  for (const Degrees& d : kLayouts)
    world(d.world(), [&](Comm& comm) {
      Context cx;
      Mesh mesh(comm, d);
      ParameterStore store(cx, mesh, DType::f32, 1, Weights::shapes);
      fill(store, mesh);
      for (const Parameter& p : store.all()) {
        const auto held = static_cast<double>(p.local_shape.count());
        const Replication& r = p.replication;
        const auto global = static_cast<double>(p.record.global_shape.count());
        EXPECT_EQ(comm.sum(r.writes() ? held : 0, Sites::test), global) << p.record.name;
        EXPECT_NEAR(comm.sum(held / (r.group->size() * r.groups), Sites::test), global, 1e-12) << p.record.name;
        // A piece for each rank of a group, as ZeRO-1 cuts: one group writes.
        EXPECT_NEAR(comm.sum(r.writes_piece() ? held / r.group->size() : 0, Sites::test), global, 1e-12)
            << p.record.name;
      }
    });
}

TEST(parameter, what_cannot_be_is_refused) {
  world(1, [](Comm& comm) {
    Context cx;
    Mesh mesh(comm, {});
    ParameterStore store(cx, mesh, DType::f32, 1, Weights::shapes);
    EXPECT_THROW(
        store.add(
            {.name = "both", .global_shape = {4}, .shard = Shard::tensor, .init = kInit, .varies_over_tensor = true}),
        Error);
  });
  world(2, [](Comm& comm) {
    Context cx;
    Mesh mesh(comm, {.tensor = 2});
    ParameterStore store(cx, mesh, DType::f32, 1, Weights::shapes);
    EXPECT_THROW(store.add({.name = "odd", .global_shape = {5}, .shard = Shard::tensor, .init = kInit}), Error);
  });
}

}  // namespace
}  // namespace og

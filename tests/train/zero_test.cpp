// ZeRO-1: an optimizer cut over the ranks that sum gradients does what a whole one does, holds a part of the moments,
// and saves and loads the same checkpoints.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "framework/train/snapshot.h"
#include "parallel/step/gradients.h"
#include "tests/files.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

// Parameters of every way of being cut and of awkward sizes: one element, fewer than ranks, odd, larger than a bucket.
struct Trained {
  Context cx;
  Mesh mesh;
  ParameterStore store;
  AdamW optimizer;
  GradientReducer reducer;
  Comm& world;

  Trained(Comm& comm, const Degrees& degrees, bool zero, int64_t rows, DType dtype = DType::f64)
      : mesh(comm, degrees),
        store(cx, mesh, dtype, 5),
        optimizer(fill(store, rows), {}, zero ? OptimizerSharding::zero1 : OptimizerSharding::none),
        reducer(cx, optimizer.layout()),
        world(comm) {}

  static ParameterStore& fill(ParameterStore& store, int64_t rows) {
    const Init init = Init::normal(0.5);
    store.add({.name = "one", .global_shape = {1}, .init = init, .decay = false});
    store.add({.name = "large", .global_shape = {rows, 1000}, .init = init});
    store.add({.name = "odd", .global_shape = {7, 3, 5}, .init = init});
    store.add({.name = "columns", .global_shape = {3, 8}, .shard = Shard::tensor, .shard_dim = 1, .init = init});
    store.add({.name = "experts", .global_shape = {8, 3, 5}, .shard = Shard::expert, .init = init});
    store.add({.name = "router", .global_shape = {5, 2}, .init = init, .varies_over_tensor = true});
    store.add({.name = "two", .global_shape = {2}, .init = init});
    return store;
  }

  // Steps with random gradients, another on each rank of a gradient's group and the same on ranks that hold copies.
  // Returns the norms.
  std::vector<double> train(int64_t begin, int64_t end, double scale) {
    std::vector<double> norms;
    for (int64_t s = begin; s < end; ++s) {
      reducer.begin();
      for (size_t i = store.all().size(); i-- > 0;) {
        Parameter& p = store.all()[i];
        if (p.record.name == "two" && s == 1) continue;  // used by nothing in this step
        const auto seed = static_cast<uint64_t>(1000 * s + 10 * static_cast<int64_t>(i) + p.replication.group->rank());
        p.value.slot()->open(cx).tensor.copy_from(random_tensor(cx, p.local_shape, store.dtype(), seed));
        reducer.ready(*p.value.slot());
      }
      reducer.finish();
      const Tensor sum = cx.zeros({1}, DType::f64);
      reducer.add_square_norm(sum);
      norms.push_back(std::sqrt(world.sum(sum.at(0), Sites::test)));
      optimizer.step(1e-2, Tensor::full(*cx.pool, {1}, DType::f64, scale));
      optimizer.clear_gradients();
    }
    return norms;
  }

  int64_t moment_elements() {
    int64_t n = 0;
    for (const AdamW::Moments& m : optimizer.moments()) n += m.first.count() + m.second.count();
    return n;
  }
};

constexpr int64_t kLarge = 601;  // rows of "large": in f64 more than a bucket

const Degrees kLayouts[] = {{.data = 2},
                            {.data = 3},
                            {.data = 4, .expert = 4},
                            {.sequence = 4, .expert = 2},
                            {.data = 2, .tensor = 2, .expert = 2},
                            {.data = 2, .sequence = 2, .tensor = 2, .expert = 4},
                            {.tensor = 2, .expert = 2},
                            {}};

void expect_same_weights(Trained& found, Trained& truth) {
  for (size_t i = 0; i < truth.store.all().size(); ++i) {
    const Tensor &a = found.store.all()[i].value.tensor(), &b = truth.store.all()[i].value.tensor();
    EXPECT_TRUE(std::equal(a.raw(), a.raw() + a.bytes(), b.raw())) << truth.store.all()[i].record.name;
  }
}

TEST(zero, Updates_are_those_of_a_whole_optimizer_to_the_last_bit) {
  for (const Degrees& d : kLayouts)
    world(d.world(), [&](Comm& comm) {
      for (DType dtype : {DType::f64, DType::f32}) {
        const int64_t rows = d.world() == 3 || dtype == DType::f32 ? kLarge / (dtype == DType::f64 ? 1 : 20) : 3;
        Trained whole(comm, d, false, rows, dtype), cut(comm, d, true, rows, dtype);
        const std::vector<double> norms = whole.train(0, 3, 0.25), found = cut.train(0, 3, 0.25);
        for (size_t s = 0; s < norms.size(); ++s) EXPECT_NEAR(found[s], norms[s], 1e-12 * norms[s]);
        expect_same_weights(cut, whole);
      }
    });
}

TEST(zero, Moments_are_held_once_in_each_group) {
  for (const Degrees& d : kLayouts)
    world(d.world(), [&](Comm& comm) {
      Trained cut(comm, d, true, 50);
      for (const AdamW::Moments& m : cut.optimizer.moments()) {
        Comm& group = *m.parameter->replication.group;
        EXPECT_EQ(group.sum(static_cast<double>(m.range.count), Sites::test), m.parameter->local_shape.count());
      }
      int64_t whole = 0;
      for (const Parameter& p : cut.store.all()) whole += 2 * p.local_shape.count();
      // Dense parameters rule here, and their group is data x sequence.
      EXPECT_NEAR(static_cast<double>(cut.moment_elements()) * cut.mesh.tokens().size(), static_cast<double>(whole),
                  5e-3 * static_cast<double>(whole));
    });
}

// Every gradient is reduce-scattered once and every weight gathered once: together the bytes of one all_reduce.
TEST(zero, Bytes_are_those_of_an_all_reduce) {
  world(4, [&](Comm& comm) {
    std::map<bool, int64_t> bytes;
    for (bool zero : {false, true}) {
      Trained t(comm, {.data = 4}, zero, kLarge);
      comm.counters().reset();
      t.train(0, 1, 1);
      for (const CollectiveCount& row : comm.counters().rows()) {
        if (row.site == Sites::test) continue;
        const Verb expected = !zero                        ? Verb::all_reduce
                              : row.site == Sites::weights ? Verb::all_gather
                                                           : Verb::reduce_scatter;
        EXPECT_EQ(row.verb, expected) << row.site.name;
        bytes[zero] += row.bytes;
      }
    }
    EXPECT_NEAR(static_cast<double>(bytes[true]), static_cast<double>(bytes[false]), 1e3);
    EXPECT_GT(bytes[true], 6000000);
  });
}

// The gathers of all buckets but the last start before the update of the last one.
TEST(zero, Weights_travel_while_the_next_bucket_is_updated) {
  world(2,
        [&](Comm& comm) {
          Profile events;
          events.keep_events(true);
          comm.profile = &events;
          Trained t(comm, {.data = 2}, true, kLarge);
          t.train(0, 1, 1);
          int64_t started = 0, waited = 0, started_before_the_first_wait = 0;
          for (const auto& event : events.events()) {
            if (event.name == "weights start") ++started;
            if (event.name == "weights wait" && waited++ == 0) started_before_the_first_wait = started;
          }
          EXPECT_GE(started, 3);
          EXPECT_EQ(started_before_the_first_wait, started);
        },
        {.delay_seconds = 0.005});
}

// Saved after two steps by one layout, loaded by another, and back: the third step is that of a run without a break.
TEST(zero, Checkpoints_move_between_layouts_and_settings) {
  struct Setting {
    Degrees degrees;
    bool zero;
  };
  const Setting settings[] = {{{.data = 4, .expert = 2}, true},
                              {{.data = 2}, false},
                              {{.sequence = 3}, true},
                              {{.tensor = 2, .expert = 2}, true},
                              {{}, false},
                              {{.data = 2, .sequence = 2, .tensor = 2, .expert = 8}, true},
                              {{}, true}};
  const TemporaryFolder folder;
  const auto at = [&](size_t i) { return fmt::format("{}/{}", folder.path(), i); };
  world(2, [&](Comm& comm) {
    Trained first(comm, {.data = 2}, false, 9);
    first.train(0, 2, 1);
    save_snapshot(at(0), comm, first.store, first.optimizer, {});
  });
  for (size_t i = 0; i < std::size(settings); ++i)
    world(settings[i].degrees.world(), [&](Comm& comm) {
      Trained here(comm, settings[i].degrees, settings[i].zero, 9);
      load_snapshot(Checkpoint(find_checkpoint(at(i))), comm, here.store, &here.optimizer);
      save_snapshot(at(i + 1), comm, here.store, here.optimizer, {});
    });
  world(2, [&](Comm& comm) {
    Trained truth(comm, {.data = 2}, false, 9), moved(comm, {.data = 2}, true, 9);
    truth.train(0, 3, 1);
    load_snapshot(Checkpoint(find_checkpoint(at(std::size(settings)))), comm, moved.store, &moved.optimizer);
    moved.optimizer.set_steps(2);
    moved.train(2, 3, 1);
    expect_same_weights(moved, truth);
  });
}

TEST(zero, Pieces_of_a_bucket_are_cut_anywhere) {
  world(4, [&](Comm& comm) {
    Context cx;
    std::vector<BucketItem> items;
    for (int64_t count : {1, 2, 10}) items.push_back({Value::leaf(cx.zeros({count}, DType::f32)), {.group = &comm}});
    const BucketLayout all(items, OptimizerSharding::zero1), small(items, OptimizerSharding::zero1, 12);
    ASSERT_EQ(all.buckets().size(), 1U);
    EXPECT_EQ(all.buckets()[0].items, (std::vector<size_t>{2, 1, 0}));
    EXPECT_EQ(all.buckets()[0].pieces, (std::vector<int64_t>{4, 3, 3, 3}));
    const int64_t in_largest[] = {4, 3, 3, 0};
    EXPECT_EQ(all.own(2).count, in_largest[comm.rank()]);
    EXPECT_EQ(all.own(0).count, comm.rank() == 3 ? 1 : 0);
    EXPECT_EQ(comm.sum(static_cast<double>(all.own_count()), Sites::test), 13);
    ASSERT_EQ(small.buckets().size(), 2U);
    EXPECT_EQ(small.buckets()[1].items, (std::vector<size_t>{1, 0}));
    EXPECT_EQ(small.buckets()[1].pieces, (std::vector<int64_t>{1, 1, 1, 0}));
  });
}

}  // namespace
}  // namespace og

#include "parallel/step/gradients.h"

#include <gtest/gtest.h>

#include <cmath>

#include "framework/ops/norm.h"
#include "parallel/mesh/mesh.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

// A model of three parameters on any mesh: one that every rank holds, one cut over tensor, one cut over the experts'
// ranks. The complete gradient of each is random and known; every rank contributes a share of it.
struct Model {
  Context cx;
  Mesh mesh;
  std::vector<Value> parameters;
  std::vector<Tensor> complete;  // this rank's part
  std::vector<Comm*> groups;
  BucketLayout layout;
  GradientReducer reducer;

  Model(Comm& comm, const Degrees& degrees, int64_t bucket_bytes)
      : mesh(comm, degrees), layout(items(), OptimizerSharding::none, bucket_bytes), reducer(cx, layout) {}

  std::vector<BucketItem> items() {
    const Placement tokens{{Axis::data, Place::replicated}, {Axis::sequence, Place::replicated}};
    Comm &tensor = mesh.tensor(), &expert = mesh.expert();
    return {create(24, {&mesh.tokens(), tensor.size(), tensor.rank()}, tokens, 0, 1),
            create(24, {&mesh.tokens()}, tokens.with(Axis::tensor, Place::varying), tensor.rank(), tensor.size()),
            create(48, {&mesh.expert_data()},
                   {{Axis::data, Place::varying}, {Axis::sequence, Place::varying}, {Axis::tensor, Place::varying}},
                   expert.rank(), expert.size()),
            create(5, {&mesh.tokens_and_tensor()}, tokens.with(Axis::tensor, Place::replicated), 0, 1)};
  }

  BucketItem create(int64_t global, const Replication& replication, const Placement& place, int piece, int num_pieces) {
    const Tensor all = random_tensor(cx, {global}, DType::f64, 10 + parameters.size());
    const int64_t n = global / num_pieces;
    complete.push_back(all.slice(piece * n, (piece + 1) * n));
    parameters.push_back(Value::leaf(cx.zeros({n}, DType::f64), place, fmt::format("p{}", parameters.size())));
    groups.push_back(replication.group);
    return {parameters.back(), replication};
  }

  // Rank r of a group of P gives (r + 1) / (1 + 2 + .. + P) of the sum.
  void contribute(size_t i) {
    const double size = groups[i]->size();
    const Tensor g = parameters[i].slot()->open(cx).tensor;
    for (int64_t k = 0; k < g.count(); ++k)
      g.data<double>()[k] = complete[i].at(k) * (groups[i]->rank() + 1) / (size * (size + 1) / 2);
  }

  double norm(Comm& world) {
    const Tensor sum = cx.zeros({1}, DType::f64);
    reducer.add_square_norm(sum);
    return std::sqrt(world.sum(sum.at(0), Sites::test));
  }
};

double norm_on_one_rank() {
  Context cx;
  double sum = 0;
  const int64_t counts[] = {24, 24, 48, 5};
  for (uint64_t i = 0; i < 4; ++i) {
    const Tensor t = random_tensor(cx, {counts[i]}, DType::f64, 10 + i);
    for (int64_t k = 0; k < t.count(); ++k) sum += t.at(k) * t.at(k);
  }
  return std::sqrt(sum);
}

TEST(gradients, sums_and_norm_are_those_of_one_rank_at_every_layout) {
  const Degrees layouts[] = {{},
                             {.data = 2},
                             {.sequence = 2, .expert = 2},
                             {.tensor = 2, .expert = 2},
                             {.data = 2, .sequence = 2, .expert = 2},
                             {.sequence = 2, .tensor = 2, .expert = 4},
                             {.data = 2, .sequence = 2, .tensor = 2, .expert = 2},
                             {.data = 2, .sequence = 1, .tensor = 4, .expert = 8}};
  const double expected = norm_on_one_rank();
  for (const Degrees& degrees : layouts) {
    for (int64_t bucket_bytes : {int64_t{1}, int64_t{100}, kBucketBytes}) {
      world(degrees.world(), [&](Comm& comm) {
        Model m(comm, degrees, bucket_bytes);
        for (int step = 0; step < 2; ++step) {
          m.reducer.begin();
          for (size_t i : {3U, 1U, 2U, 0U}) {  // not the order of the buckets
            m.contribute(i);
            m.reducer.ready(*m.parameters[i].slot());
          }
          m.reducer.finish();
          for (size_t i = 0; i < m.parameters.size(); ++i)
            EXPECT_LT(distance(m.parameters[i].slot()->gradient(), m.complete[i]), 1e-14) << i;
          EXPECT_NEAR(m.norm(comm), expected, 1e-13 * expected);
          for (const Value& p : m.parameters) p.slot()->clear();
        }
      });
    }
  }
}

// Backward writes where the collective reads: a sum over ranks takes no memory, a cut one that of its piece.
TEST(gradients, of_a_bucket_lie_side_by_side) {
  world(2, [&](Comm& comm) {
    Model m(comm, {.data = 2}, 1 << 20);
    ASSERT_LE(m.layout.buckets().size(), 3U);
    for (int step = 0; step < 2; ++step) {
      for (size_t i = 0; i < m.parameters.size(); ++i) m.contribute(i);
      for (const Bucket& b : m.layout.buckets())
        for (size_t k = 0; k < b.items.size(); ++k)
          EXPECT_EQ(
              m.parameters[b.items[k]].slot()->gradient().raw() - m.parameters[b.items[0]].slot()->gradient().raw(),
              b.begins[k] * 8);
      m.cx.pool->reset_peak();
      const int64_t before = m.cx.pool->stats().peak_bytes;
      m.reducer.begin();
      m.reducer.finish();
      EXPECT_EQ(m.cx.pool->stats().peak_bytes, before);
      for (const Value& p : m.parameters) p.slot()->clear();
    }
  });
}

TEST(gradients, a_bucket_starts_while_backward_runs_and_what_nothing_used_is_reduced_too) {
  const double delay = 0.02;
  world(2,
        [&](Comm& comm) {
          Profile events;
          events.keep_events(true);
          comm.profile = &events;
          Model m(comm, {.data = 2}, 100);
          events.reset();
          m.reducer.begin();
          m.contribute(3);
          m.reducer.ready(*m.parameters[3].slot());
          const double local = now_seconds();
          while (now_seconds() < local + 2 * delay) {
          }
          for (size_t i : {2U, 0U}) {
            m.contribute(i);
            m.reducer.ready(*m.parameters[i].slot());
          }
          m.reducer.finish();  // parameter 1 was used by nothing
          ASSERT_FALSE(events.events().empty());
          EXPECT_EQ(events.events()[0].name, "gradients start");
          EXPECT_LE(events.events()[0].end, local);
          EXPECT_LT(distance(m.parameters[2].slot()->gradient(), m.complete[2]), 1e-14);
          for (int64_t k = 0; k < m.complete[1].count(); ++k) EXPECT_EQ(m.parameters[1].slot()->gradient().at(k), 0);
          int64_t bytes = 0;
          for (const CollectiveCount& row : comm.counters().rows()) {
            if (row.site != Sites::gradients) continue;
            EXPECT_EQ(row.verb, Verb::all_reduce);
            bytes += row.bytes;
          }
          EXPECT_EQ(bytes, (24 + 24 + 48 + 5) * 8);  // 2 n (P - 1) / P with P = 2
        },
        {.delay_seconds = delay});
}

// The tape calls ready() by itself: the gradient of a shared weight over two ranks' different rows.
TEST(gradients, the_tape_reports_leaves) {
  Context one;
  const Tensor x_all = random_tensor(one, {6, 4}, DType::f64, 1), w = random_tensor(one, {4}, DType::f64, 2);
  const Tensor dy_all = random_tensor(one, {6, 4}, DType::f64, 3);
  const Value w_one = Value::leaf(w);
  Tape tape_one(one);
  tape_one.backward(rms_norm(tape_one, Value(x_all), w_one, 1e-6), dy_all);
  world(2, [&](Comm& comm) {
    Context cx;
    const Value weight = Value::leaf(w, {{Axis::data, Place::replicated}, {Axis::sequence, Place::replicated}});
    const BucketLayout layout({{weight, {.group = &comm}}}, OptimizerSharding::none);
    GradientReducer reducer(cx, layout);
    Tape tape(cx);
    tape.on_leaf_ready = [&](Slot& slot) { reducer.ready(slot); };
    reducer.begin();
    const Value x(x_all.slice(comm.rank() * 2, comm.rank() == 0 ? 2 : 6),
                  {{Axis::data, Place::varying}, {Axis::sequence, Place::replicated}});
    tape.backward(rms_norm(tape, x, weight, 1e-6), dy_all.slice(comm.rank() * 2, comm.rank() == 0 ? 2 : 6));
    reducer.finish();
    EXPECT_LT(distance(weight.slot()->gradient(), w_one.slot()->gradient()), 1e-14);
  });
}

TEST(gradients, a_gradient_that_is_complete_twice_is_a_bug_and_not_a_wrong_sum) {
  world(1, [](Comm& comm) {
    Context cx;
    const Value p = Value::leaf(cx.zeros({2}, DType::f32));
    const BucketItem item{p, {.group = &comm}};
    const BucketLayout layout({item}, OptimizerSharding::none), twice({item, item}, OptimizerSharding::none);
    EXPECT_THROW(GradientReducer(cx, twice), Error);
    GradientReducer reducer(cx, layout);
    reducer.begin();
    reducer.ready(*p.slot());
    EXPECT_THROW(reducer.ready(*p.slot()), Error);
  });
}

}  // namespace
}  // namespace og

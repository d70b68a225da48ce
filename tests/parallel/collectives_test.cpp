#include "parallel/mesh/collectives.h"

#include <gtest/gtest.h>

#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

constexpr Axis kAxis = Axis::sequence;

// Extents that differ, with empty ones when there are more than two ranks.
std::vector<int64_t> uneven(int num_ranks) {
  std::vector<int64_t> extents;
  for (int r = 0; r < num_ranks; ++r) extents.push_back(r % 3 == 2 ? 0 : 1 + (r * 2) % 5);
  return extents;
}

int64_t total(const std::vector<int64_t>& extents) {
  int64_t n = 0;
  for (int64_t e : extents) n += e;
  return n;
}

// A tensor of a value with this place: the same on all ranks, or this rank's own.
Tensor sample(Context& cx, const Shape& shape, Place place, Comm& comm, uint64_t key) {
  const bool own = place == Place::varying || place == Place::partial;
  return random_tensor(cx, shape, DType::f64, key + (own ? 1000 + static_cast<uint64_t>(comm.rank()) : 0));
}

// <gradient, value>: one number for the whole group. Invariant values count once, all others on every rank.
double pairing(const Tensor& a, const Tensor& b, Place place, Comm& comm) {
  double dot = 0;
  for (int64_t i = 0; i < a.count(); ++i) dot += a.at(i) * b.at(i);
  return place == Place::invariant ? dot : comm.sum(dot, Sites::test);
}

bool same_on_all(const Tensor& t, Comm& comm) {
  const std::string bytes(reinterpret_cast<const char*>(t.raw()), static_cast<size_t>(t.bytes()));
  return comm.broadcast_text(bytes, 0, Sites::test) == bytes;
}

struct Case {
  int num_ranks;
  int dim;
};

class EveryRow : public testing::TestWithParam<Case> {};

TEST_P(EveryRow, satisfies_the_adjoint_identity) {
  const auto [num_ranks, dim] = GetParam();
  world(num_ranks, [dim = dim](Comm& comm) {
    const std::vector<int64_t> extents = uneven(comm.size());
    for (const CollectiveRow& row : collective_rows()) {
      if (std::string(row.name) == "all_to_all_rows" && dim != 0) continue;  // has no other dim
      Context cx;
      Tape tape(cx);
      Shape shape{2, 3, 2};
      shape.set(dim, row.from == Place::varying ? extents[static_cast<size_t>(comm.rank())] : total(extents));
      const Value x = Value::leaf(sample(cx, shape, row.from, comm, 1), {{kAxis, row.from}});
      const Value y = row.run(tape, x, dim, extents, kAxis, comm, Sites::test);
      EXPECT_EQ(y.place()[kAxis], row.to) << row.name;
      EXPECT_EQ(y.place()[Axis::data], Place::invariant) << row.name;
      const Place dy_place = gradient_of(row.to), dx_place = gradient_of(row.from);
      const Tensor dy = sample(cx, y.shape(), dy_place, comm, 2);
      const Tensor y_copy = y.tensor().clone(*cx.pool);
      tape.backward(y, dy);
      const Tensor dx = x.slot()->gradient();
      const double left = pairing(dy, y_copy, row.to, comm), right = pairing(dx, x.tensor(), row.from, comm);
      EXPECT_NEAR(left, right, 1e-12 * std::max(1.0, std::abs(left))) << row.name << " on " << comm.size();
      const auto alike = [](Place p) { return p == Place::invariant || p == Place::replicated; };
      EXPECT_TRUE(!alike(row.to) || same_on_all(y_copy, comm)) << row.name;
      EXPECT_TRUE(!alike(dx_place) || same_on_all(dx, comm)) << row.name;
    }
  });
}

// F^T of each row is the row that the table names: run it on dy and compare with what the tape gives.
TEST_P(EveryRow, has_the_row_named_in_the_table_as_its_backward) {
  const auto [num_ranks, dim] = GetParam();
  world(num_ranks, [dim = dim](Comm& comm) {
    const std::vector<int64_t> extents = uneven(comm.size());
    const auto find = [](const std::string& name) {
      for (const CollectiveRow& r : collective_rows())
        if (r.name == name) return r;
      throw Error(Status::internal, "no row " + name);
    };
    for (const CollectiveRow& row : collective_rows()) {
      const CollectiveRow adjoint = find(row.backward);
      EXPECT_EQ(adjoint.from, gradient_of(row.to)) << row.name;
      EXPECT_EQ(adjoint.to, gradient_of(row.from)) << row.name;
      if (row.from == Place::varying && row.to == Place::varying) continue;  // the reverse has other arguments
      Context cx;
      Tape tape(cx);
      Shape shape{2, 3, 2};
      shape.set(dim, row.from == Place::varying ? extents[static_cast<size_t>(comm.rank())] : total(extents));
      const Value x = Value::leaf(sample(cx, shape, row.from, comm, 3), {{kAxis, row.from}});
      const Value y = row.run(tape, x, dim, extents, kAxis, comm, Sites::test);
      const Value dy(sample(cx, y.shape(), adjoint.from, comm, 4), {{kAxis, adjoint.from}});
      Tape forward(cx, Tape::Mode::no_gradient);
      const Value expected = adjoint.run(forward, dy, dim, extents, kAxis, comm, Sites::test);
      tape.backward(y, dy.tensor());
      EXPECT_TRUE(same_bits(x.slot()->gradient(), expected.tensor())) << row.name << " and " << row.backward;
    }
  });
}

TEST_P(EveryRow, adds_to_a_gradient_that_is_there_already) {
  const auto [num_ranks, dim] = GetParam();
  world(num_ranks, [dim = dim](Comm& comm) {
    const std::vector<int64_t> extents = uneven(comm.size());
    for (const CollectiveRow& row : collective_rows()) {
      if (std::string(row.name) == "all_to_all_rows" && dim != 0) continue;
      Context cx;
      Shape shape{2, 3, 2};
      shape.set(dim, row.from == Place::varying ? extents[static_cast<size_t>(comm.rank())] : total(extents));
      const Value x = Value::leaf(sample(cx, shape, row.from, comm, 5), {{kAxis, row.from}});
      std::vector<Tensor> gradients;
      for (int uses : {1, 2}) {
        Tape tape(cx);
        std::vector<Value> ys;
        for (int i = 0; i < uses; ++i) ys.push_back(row.run(tape, x, dim, extents, kAxis, comm, Sites::test));
        for (const Value& y : ys)
          y.slot()->open(cx).tensor.copy_from(sample(cx, y.shape(), gradient_of(row.to), comm, 6));
        tape.backward_from_slots();
        gradients.push_back(x.slot()->gradient().clone(*cx.pool));
        x.slot()->clear();
      }
      for (int64_t i = 0; i < gradients[0].count(); ++i)
        ASSERT_EQ(gradients[1].at(i), 2 * gradients[0].at(i)) << row.name;
    }
  });
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int ranks = 1; ranks <= 8; ++ranks)
    for (int dim : {0, 1, 2}) all.push_back({ranks, dim});
  return all;
}

INSTANTIATE_TEST_SUITE_P(collectives, EveryRow, testing::ValuesIn(cases()),
                         [](const auto& c) { return fmt::format("{}_ranks_dim_{}", c.param.num_ranks, c.param.dim); });

// The values themselves, against what one rank that sees everything would write.
TEST(collectives, gather_and_cut_the_middle_dim) {
  world(3, [](Comm& comm) {
    const std::vector<int64_t> extents{2, 0, 3};
    Context cx;
    Tape tape(cx);
    const Tensor whole = random_tensor(cx, {2, 5, 3}, DType::f32, 7);
    const Value v = slice_to_varying(tape, Value(whole), 1, extents, kAxis, comm, Sites::test);
    ASSERT_EQ(v.size(1), extents[static_cast<size_t>(comm.rank())]);
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t t = 0; t < v.size(1); ++t)
        for (int64_t d = 0; d < 3; ++d)
          EXPECT_EQ(v.tensor().at((b * v.size(1) + t) * 3 + d),
                    whole.at((b * 5 + (comm.rank() == 2 ? 2 : 0) + t) * 3 + d));
    EXPECT_TRUE(same_bits(all_gather_to_invariant(tape, v, 1, extents, kAxis, comm, Sites::test).tensor(), whole));
    EXPECT_TRUE(same_bits(all_gather_to_replicated(tape, v, -2, extents, kAxis, comm, Sites::test).tensor(), whole));
    const Value p(whole, {{kAxis, Place::partial}});
    const Value s = reduce_scatter(tape, p, 1, extents, kAxis, comm, Sites::test);
    for (int64_t i = 0; i < s.tensor().count(); ++i)
      EXPECT_NEAR(s.tensor().at(i), 3 * v.tensor().at(i), 1e-6 * std::abs(3 * v.tensor().at(i)));
  });
}

TEST(collectives, an_input_of_the_wrong_type_is_refused_with_names) {
  world(1, [](Comm& comm) {
    Context cx;
    Tape tape(cx);
    const Value x(cx.zeros({2}, DType::f32), {{kAxis, Place::varying}});
    try {
      all_reduce_to_invariant(tape, x, kAxis, comm, Sites::tensor_forward);
      FAIL() << "a varying value was reduced";
    } catch (const Error& e) {
      EXPECT_NE(
          std::string(e.what()).find("all_reduce_to_invariant at tensor.forward: expected a value that is partial "
                                     "on the sequence axis, found varying"),
          std::string::npos)
          << e.what();
    }
  });
}

TEST(collectives, a_group_may_span_several_axes) {
  world(4, [](Comm& comm) {
    Context cx;
    Tape tape(cx);
    const Value x(Tensor::full(*cx.pool, {1}, DType::f32, comm.rank()),
                  {{Axis::data, Place::partial}, {Axis::sequence, Place::partial}, {Axis::tensor, Place::invariant}});
    const Value y = all_reduce_to_invariant(tape, x, {Axis::data, Axis::sequence}, comm, Sites::loss);
    EXPECT_EQ(y.tensor().at(0), 6);
    EXPECT_EQ(y.place(), Placement());
  });
}

TEST(collectives, sites_of_backward_and_of_recomputed_regions) {
  EXPECT_EQ(Sites::tensor_forward.backward(), Sites::tensor_backward);
  EXPECT_EQ(Sites::moe_dispatch.backward(), Sites::moe_dispatch_backward);
  EXPECT_THROW(Sites::metrics.backward(), Error);
  world(2, [](Comm& comm) {
    Context cx;
    Tape tape(cx);
    tape.runs_again = true;
    const Value x = Value::leaf(cx.zeros({1, 2}, DType::f32), {{kAxis, Place::varying}});
    const std::vector<int64_t> extents{1, 1};
    const Value y = all_gather_to_replicated(tape, x, 0, extents, kAxis, comm, Sites::mixer_forward);
    tape.backward(y);
    ASSERT_EQ(comm.counters().rows().size(), 2U);
    EXPECT_EQ(comm.counters().rows()[0].site, Sites::recompute);
    EXPECT_EQ(comm.counters().rows()[0].verb, Verb::all_gather);
    EXPECT_EQ(comm.counters().rows()[1].site, Sites::mixer_backward);
    EXPECT_EQ(comm.counters().rows()[1].verb, Verb::reduce_scatter);
  });
}

}  // namespace
}  // namespace og

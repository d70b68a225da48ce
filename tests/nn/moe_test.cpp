// Channel parts on any layout: outputs, gradients, losses, drops and biases equal those of one rank; ranks and experts
// without tokens; what a second pass repeats.
#include "framework/nn/channels/moe.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <mutex>

#include "framework/autograd/check.h"
#include "framework/autograd/recompute.h"
#include "framework/ops/pointwise.h"
#include "parallel/mesh/collectives.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

constexpr int64_t kRows = 4, kLength = 5, kWidth = 6;
const Placement kHidden{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};

struct Layout {
  Degrees degrees;
  std::vector<int64_t> first{};  // borders of the sequence shards; empty: even
  int64_t micro_rows = 1;        // rows of a data rank in a micro step
};

// What a step gives, put together from all ranks.
struct Whole {
  Tensor y, dx;                              // [rows, length, width]
  std::map<std::string, Tensor> gradient{};  // by parameter, f64, global shape
  std::map<std::string, Tensor> value{};     // after end_step()
  double aux = 0, z = 0;
  int64_t dropped = 0;
};

// Tokens of local piece [rows, begin .. begin + count) copied out of or into x [kRows, kLength, kWidth].
void copy_piece(const Tensor& x, const Tensor& piece, int64_t row, int64_t begin, bool out) {
  const auto bytes = static_cast<size_t>(piece.shape().count_from(1) * size_of(x.dtype()));
  for (int64_t b = 0; b < piece.size(0); ++b) {
    std::byte* a = x.raw() + ((row + b) * kLength + begin) * kWidth * size_of(x.dtype());
    std::byte* p = piece.raw() + b * static_cast<int64_t>(bytes);
    std::memcpy(out ? p : a, out ? a : p, bytes);
  }
}

using Build = std::function<std::unique_ptr<ChannelPart>(const LayerContext&)>;
using Prepare = std::function<void(ParameterStore&)>;

Build moe(const MoeOptions& options) {
  return [options](const LayerContext& context) { return std::make_unique<Moe>(context, options); };
}

// One optimizer step's worth of micro steps of a layer: L = <dy, y> + its auxiliary losses.
Whole run(const Layout& layout, const Build& build, DType dtype = DType::f64, const Prepare& prepare = {},
          int64_t num_steps = 1) {
  Context outer;
  const Tensor x = random_tensor(outer, {kRows, kLength, kWidth}, dtype, 1),
               dy = random_tensor(outer, {kRows, kLength, kWidth}, dtype, 2);
  Whole whole{.y = outer.empty(x.shape(), dtype), .dx = outer.empty(x.shape(), dtype)};
  std::mutex lock;
  world(layout.degrees.world(), [&](Comm& comm) {
    Context cx;
    Mesh mesh(comm, layout.degrees);
    ParameterStore store(cx, mesh, dtype, 7);
    const auto layer = build({.store = store, .prefix = "l", .hidden_size = kWidth, .initializer_range = 0.7});
    if (prepare) prepare(store);
    SideOutputs side;
    for (int64_t n = 0; n < num_steps; ++n) {
      side = {.losses = {}, .sums = StepSums(cx)};
      for (Parameter& p : store.all()) p.value.slot()->clear();
      for (int64_t row = mesh.data().rank() * layout.micro_rows; row < kRows;
           row += mesh.data().size() * layout.micro_rows) {
        SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), layout.micro_rows, kLength, {});
        if (!layout.first.empty()) seq.first = layout.first;
        Tape tape(cx);
        StepContext step{tape, mesh, seq, kRows, true};
        const Tensor piece = cx.empty({layout.micro_rows, seq.local_length(), kWidth}, dtype),
                     seed = cx.empty(piece.shape(), dtype);
        copy_piece(x, piece, row, seq.begin(), true);
        copy_piece(dy, seed, row, seq.begin(), true);
        const Value in = Value::leaf(piece, kHidden);
        const size_t before = side.losses.size();
        const Value y = layer->forward(step, in, side);
        ASSERT_EQ(y.place().str(), kHidden.str());
        y.slot()->open(cx).tensor.copy_from(seed);
        for (size_t i = before; i < side.losses.size(); ++i) side.losses[i].slot()->open(cx).tensor.fill(1);
        tape.backward_from_slots();
        const std::lock_guard hold(lock);
        copy_piece(whole.y, y.tensor(), row, seq.begin(), false);
        copy_piece(whole.dx, in.slot()->gradient_or_zero(cx), row, seq.begin(), false);
      }
      layer->end_step();
    }
    for (Parameter& p : store.all()) {
      const Tensor g = p.value.slot()->gradient_or_zero(cx);
      p.replication.group->all_reduce(g, Reduce::sum, Sites::gradients).wait();
      const std::lock_guard hold(lock);
      for (auto* target : {&whole.gradient, &whole.value}) {
        const Tensor& from = target == &whole.value ? p.value.tensor() : g;
        Tensor& to = target->try_emplace(p.record.name, Tensor::zeros(*outer.pool, p.record.global_shape, DType::f64))
                         .first->second;
        for_each_run(p, [&](int64_t global, int64_t local, int64_t length) {
          for (int64_t i = 0; i < length; ++i) to.data<double>()[global + i] = from.at(local + i);
        });
      }
    }
    const std::lock_guard hold(lock);
    const auto logged = [&](StepSum place) { return side.sums.at(place).at(0); };
    whole.aux += logged(StepSum::aux_loss);
    whole.z += logged(StepSum::z_loss);
    whole.dropped += static_cast<int64_t>(logged(StepSum::tokens_dropped));
    EXPECT_GE(logged(StepSum::expert_load), logged(StepSum::expert_layers));
  });
  return whole;
}

void expect_equal(const Whole& a, const Whole& one, double bound, const std::string& what) {
  Context cx;
  const auto f64 = [&](const Tensor& t) { return t.cast(*cx.pool, DType::f64); };
  EXPECT_LT(distance(f64(a.y), f64(one.y)), bound) << what;
  EXPECT_LT(distance(f64(a.dx), f64(one.dx)), bound) << what;
  ASSERT_EQ(a.gradient.size(), one.gradient.size());
  for (const auto& [name, g] : one.gradient) EXPECT_LT(distance(a.gradient.at(name), g), bound) << what << ' ' << name;
  for (const auto& [name, v] : one.value) EXPECT_LT(distance(a.value.at(name), v), bound) << what << ' ' << name;
  EXPECT_NEAR(a.aux, one.aux, bound) << what;
  EXPECT_NEAR(a.z, one.z, bound) << what;
  EXPECT_EQ(a.dropped, one.dropped) << what;
}

std::string name_of(const Layout& l) {
  return fmt::format("data {} sequence {} tensor {} expert {} micro rows {}", l.degrees.data, l.degrees.sequence,
                     l.degrees.tensor, l.degrees.expert, l.micro_rows);
}

// Two ranks each way, every expert degree; all four; shards of no tokens.
const std::vector<Layout> kLayouts = {
    {{.data = 1}, {}, 4},
    {{.data = 2, .expert = 2}, {}, 2},
    {{.sequence = 2, .expert = 2}},
    {{.tensor = 2, .expert = 2}, {}, 4},
    {{.data = 2, .sequence = 2, .expert = 4}},
    {{.data = 2, .sequence = 1, .tensor = 2, .expert = 2}, {}, 2},
    {{.sequence = 2, .tensor = 2, .expert = 4}, {}, 2},
    {{.sequence = 3, .expert = 1}, {0, 0, 5, 5}},
    {{.sequence = 4, .expert = 4}, {0, 1, 1, 4, 5}, 2},
    {{.data = 2, .sequence = 2, .tensor = 2, .expert = 8}},
    {{.data = 2, .sequence = 2, .tensor = 2, .expert = 4}, {0, 5, 5}},
    {{.sequence = 4, .tensor = 2, .expert = 2}},
};

void expect_every_layout_equal(const Build& build, const Prepare& prepare = {}, int64_t num_steps = 1) {
  const Whole one = run({}, build, DType::f64, prepare, num_steps);
  for (const Layout& layout : kLayouts)
    expect_equal(run(layout, build, DType::f64, prepare, num_steps), one, 1e-12, name_of(layout));
}

const MoeOptions kSmall{.num_experts = 8, .num_experts_per_tok = 2, .moe_intermediate_size = 4};

TEST(Moe, EveryLayoutEqualsOneRank) { expect_every_layout_equal(moe(kSmall)); }

TEST(Moe, EveryLayoutEqualsOneRankWithSharedExpertsSigmoidAndCapacity) {
  MoeOptions o = kSmall;
  o.num_shared_experts = 1;
  o.scoring_func = Scoring::sigmoid;
  o.routed_scaling_factor = 1.5;
  o.num_experts_per_tok = 3;
  o.capacity_factor = 1.0;
  const Whole one = run({}, moe(o));
  EXPECT_GT(one.dropped, 0);
  EXPECT_LT(one.dropped, kRows * kLength * 3 / 2);
  expect_every_layout_equal(moe(o));
}

TEST(Moe, EveryLayoutEqualsOneRankInF32) {
  const Whole one = run({}, moe(kSmall), DType::f32);
  expect_equal(one, run({}, moe(kSmall)), 2e-5, "f64");
  for (const Layout& layout : kLayouts) expect_equal(run(layout, moe(kSmall), DType::f32), one, 2e-5, name_of(layout));
}

TEST(Moe, BiasesMoveTheSameWayOnEveryLayout) {
  MoeOptions o = kSmall;
  o.balance = MoeOptions::Balance::bias;
  o.bias_update_rate = 0.01;
  expect_every_layout_equal(moe(o), {}, 3);
  const Whole one = run({}, moe(o), DType::f64, {}, 3);
  EXPECT_EQ(one.aux, 0);
  double moved = 0;
  for (int64_t e = 0; e < 8; ++e) {
    moved += std::abs(one.value.at("l.gate.bias").at(e));
    EXPECT_EQ(one.gradient.at("l.gate.bias").at(e), 0);
  }
  EXPECT_GT(moved, 0.05);
}

TEST(Moe, BalanceOverAMicroStepIsTheSameForTheSameMicroStep) {
  MoeOptions o = kSmall;
  o.aux_loss_scope = MoeOptions::BalanceScope::micro_step;
  o.capacity_factor = 1.5;
  const Whole one = run({{.data = 1}, {}, 4}, moe(o));
  for (const Layout& layout : kLayouts)
    if (layout.micro_rows * layout.degrees.data == 4) expect_equal(run(layout, moe(o)), one, 1e-12, name_of(layout));
  EXPECT_GT(std::abs(one.aux - run({}, moe(o)).aux), 1e-6);
}

// Every token chooses experts 2 and 3, whose scores' biases are far above the others.
TEST(Moe, ExpertsWithoutTokensHaveZeroGradientsAndRanksWithoutRowsHangNobody) {
  MoeOptions o = kSmall;
  o.balance = MoeOptions::Balance::bias;
  o.bias_update_rate = 0;
  const auto skew = [](ParameterStore& store) {
    for (const int e : {2, 3}) store.find("l.gate.bias")->value.tensor().data<double>()[e] = 10;
  };
  expect_every_layout_equal(moe(o), skew);
  const Whole one = run({}, moe(o), DType::f64, skew);
  for (const char* name : {"l.experts.gate_proj.weight", "l.experts.up_proj.weight", "l.experts.down_proj.weight"}) {
    const Tensor& g = one.gradient.at(name);
    for (int64_t i = 0; i < g.count(); ++i) {
      const int64_t e = i / g.shape().count_from(1);
      if (e == 2 || e == 3) {
        EXPECT_NE(g.at(i), 0);
      } else {
        EXPECT_EQ(g.at(i), 0);
      }
    }
  }
}

TEST(Moe, BiasesEvenTheLoad) {
  Context cx;
  const auto self = make_self_comm();
  Mesh mesh(*self, {});
  ParameterStore store(cx, mesh, DType::f64, 3);
  MoeOptions o = kSmall;
  o.balance = MoeOptions::Balance::bias;
  o.bias_update_rate = 0.001;
  Moe layer({.store = store, .prefix = "l", .hidden_size = kWidth, .initializer_range = 0.3}, o);
  const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 1, 200, {});
  const Tensor x = random_tensor(cx, {1, 200, kWidth}, DType::f64, 5);
  for (int64_t i = 0; i < x.count(); i += kWidth) x.data<double>()[i] += 3;  // all tokens lean to the same experts
  double first = 0, last = 0;
  for (int n = 0; n < 200; ++n) {
    Tape tape(cx, Tape::Mode::no_gradient);
    StepContext step{tape, mesh, seq, 1, true};
    SideOutputs side{.losses = {}, .sums = StepSums(cx)};
    layer.forward(step, Value(x, kHidden), side);
    layer.end_step();
    (n == 0 ? first : last) = side.sums.at(StepSum::expert_load).at(0);
  }
  EXPECT_GT(first, 2);
  EXPECT_LT(last, 1.15);
}

// A scalar that is partial or varying over the one rank of a mesh, as an ordinary number beside y's.
Value summed(Tape& tape, const Value& loss, Mesh& mesh) {
  Value v = all_reduce_to_invariant(tape, loss, Axis::tensor, mesh.tensor(), Sites::test);
  v = all_reduce_to_replicated(tape, v, Axis::data, mesh.data(), Sites::test);
  return all_reduce_to_replicated(tape, v, Axis::sequence, mesh.sequence(), Sites::test);
}

void expect_gradients_of_differences(const Build& build) {
  Context cx;
  const auto self = make_self_comm();
  Mesh mesh(*self, {});
  ParameterStore store(cx, mesh, DType::f64, 7);
  const auto layer = build({.store = store, .prefix = "l", .hidden_size = kWidth, .initializer_range = 0.7});
  const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 2, 4, {});
  std::vector<Value> leaves{Value::leaf(random_tensor(cx, {2, 4, kWidth}, DType::f64, 1), kHidden)};
  for (Parameter& p : store.all()) leaves.push_back(p.value);
  const auto f = [&](Tape& tape, std::span<const Value> x) {
    StepContext step{tape, mesh, seq, 2, true};
    SideOutputs side;
    Value loss = weighted_sum(tape, layer->forward(step, x[0], side), 3);
    for (const Value& extra : side.losses) loss = add(tape, loss, summed(tape, extra, mesh));
    return loss;
  };
  const auto check = check_gradient(cx, f, leaves);
  EXPECT_LT(check.largest_error, 1e-7) << check.where;
}

TEST(Moe, GradientsMatchDifferences) {
  MoeOptions o = kSmall;
  o.num_experts = 4;
  o.aux_loss_coef = 0.3;
  o.z_loss_coef = 0.1;
  expect_gradients_of_differences(moe(o));
  o.norm_topk_prob = false;
  o.num_shared_experts = 1;
  o.scoring_func = Scoring::sigmoid;
  o.capacity_factor = 0.8;
  expect_gradients_of_differences(moe(o));
}

Build mlp() {
  return [](const LayerContext& context) { return std::make_unique<Mlp>(context, 8); };
}

TEST(Mlp, GradientsMatchDifferencesAndEveryLayoutEqualsOneRank) {
  expect_gradients_of_differences(mlp());
  expect_every_layout_equal(mlp());
}

// The second pass takes experts and counts from the first: only rows move again, and nothing is logged twice.
TEST(Moe, RecomputedEqualsKeptAndDecidesNothingAgain) {
  MoeOptions o = kSmall;
  o.balance = MoeOptions::Balance::bias;
  o.capacity_factor = 1.0;
  Tensor gradients[2];
  for (const bool again : {false, true}) {
    world(2, [&](Comm& comm) {
      Context cx;
      Mesh mesh(comm, {.sequence = 2, .expert = 2});
      ParameterStore store(cx, mesh, DType::f64, 7);
      Moe layer({.store = store, .prefix = "l", .hidden_size = kWidth, .initializer_range = 0.7}, o);
      const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 1, 8, {});
      const Value x = Value::leaf(random_tensor(cx, {1, 4, kWidth}, DType::f64, 1), kHidden);
      Tape tape(cx);
      SideOutputs side, second;
      const Region region = [&](Tape& t, const Value& input) {
        StepContext step{t, mesh, seq, 1, true};
        SideOutputs own{.losses = {}, .sums = StepSums(cx)};
        std::vector<Value> outputs{layer.forward(step, input, own)};
        outputs.insert(outputs.end(), own.losses.begin(), own.losses.end());
        (t.pins && t.pins->replaying() ? second : side) = own;
        return outputs;
      };
      std::vector<Value> parameters;
      for (Parameter& p : store.all()) parameters.push_back(p.value);
      const std::vector<Value> y = again ? recompute(tape, region, x, parameters) : region(tape, x);
      for (const Value& v : y) v.slot()->open(cx).tensor.fill(1);
      // The biases move between the passes, as they never do: the choice must not.
      for (int e = 0; e < 8; ++e) store.find("l.gate.bias")->value.tensor().data<double>()[e] = 100 * e;
      tape.backward_from_slots();
      EXPECT_EQ(side.sums.at(StepSum::expert_layers).at(0), 1);
      if (again) {
        EXPECT_EQ(second.sums.at(StepSum::tokens_dropped).at(0), 0);
        EXPECT_EQ(second.sums.at(StepSum::expert_layers).at(0), 0);
      }
      for (const CollectiveCount& row : comm.counters().rows())
        if (row.site == Sites::moe_counts || row.site == Sites::moe_balance ||
            row.site == Sites::moe_dispatch_backward) {
          EXPECT_EQ(row.calls, 1) << row.site.name;
        }
      EXPECT_EQ(cx.host_reads, 1);
      if (comm.rank() == 0) gradients[again] = x.slot()->gradient_or_zero(cx).clone(*cx.pool);
    });
  }
  EXPECT_TRUE(same_bits(gradients[0], gradients[1]));
}

// Messages between ranks need the numbers of their rows on the host. Nothing else of routing does.
TEST(Moe, TheHostReadsOnceAMicroStepWhereExpertsAreOnSeveralRanks) {
  MoeOptions o = kSmall;
  o.z_loss_coef = 0.1;
  o.capacity_factor = 1.0;
  for (const auto balance : {MoeOptions::Balance::bias, MoeOptions::Balance::aux_loss})
    for (const int degree : {1, 2})
      world(2, [&](Comm& comm) {
        Context cx;
        Mesh mesh(comm, {.sequence = 2, .expert = degree});
        ParameterStore store(cx, mesh, DType::f32, 7);
        MoeOptions own = o;
        own.balance = balance;
        Moe layer({.store = store, .prefix = "l", .hidden_size = kWidth}, own);
        const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 1, 8, {});
        Tape tape(cx);
        StepContext step{tape, mesh, seq, 1, true};
        SideOutputs side;
        const Value x = Value::leaf(random_tensor(cx, {1, 4, kWidth}, DType::f32, 1), kHidden);
        const Value y = layer.forward(step, x, side);
        y.slot()->open(cx).tensor.fill(1);
        for (const Value& loss : side.losses) loss.slot()->open(cx).tensor.fill(1);
        tape.backward_from_slots();
        layer.end_step();
        EXPECT_EQ(cx.host_reads, degree == 1 ? 0 : 1);
      });
}

TEST(Moe, SharedExpertsRunWhileRowsFlyThereAndBack) {
  world(2, [&](Comm& comm) {
    Context cx;
    cx.profile.keep_events(true);
    Mesh mesh(comm, {.data = 2, .expert = 2});
    mesh.expert().profile = mesh.tensor().profile = &cx.profile;
    ParameterStore store(cx, mesh, DType::f64, 7);
    MoeOptions o = kSmall;
    o.num_shared_experts = 1;
    Moe layer({.store = store, .prefix = "l", .hidden_size = kWidth}, o);
    const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 1, 8, {});
    Tape tape(cx);
    StepContext step{tape, mesh, seq, 2, true};
    SideOutputs side;
    tape.backward(layer.forward(step, Value::leaf(random_tensor(cx, {1, 8, kWidth}, DType::f64, 1), kHidden), side));
    // The sum over tensor ranks at the end of the shared experts, and of their input's gradient, lie in between.
    const auto between = [&](const std::string& flight, const std::string& work) {
      const auto& events = cx.profile.events();
      const auto at = [&](const std::string& name) {
        return std::find_if(events.begin(), events.end(), [&](const TimedEvent& e) { return e.name == name; });
      };
      const auto start = at(flight + " start"), end = at(flight + " wait");
      return start < end && end != events.end() &&
             std::any_of(start, end, [&](const TimedEvent& e) { return e.name.starts_with(work); });
    };
    EXPECT_TRUE(between("moe.dispatch", "tensor.forward"));
    EXPECT_TRUE(between("moe.dispatch.backward", "tensor.backward"));
  });
}

TEST(Moe, OutsideTrainingNothingIsCountedOrDropped) {
  world(2, [&](Comm& comm) {
    Context cx;
    Mesh mesh(comm, {.sequence = 2, .expert = 2});
    ParameterStore store(cx, mesh, DType::f32, 7);
    MoeOptions o = kSmall;
    o.capacity_factor = 0.1;
    Moe layer({.store = store, .prefix = "l", .hidden_size = kWidth}, o);
    const SeqContext seq = make_seq_context(*cx.pool, mesh.sequence(), 1, 1, {});  // one token: rank 1 has none
    Tape tape(cx, Tape::Mode::no_gradient);
    StepContext step{tape, mesh, seq, 1, false};
    SideOutputs side{.losses = {}, .sums = StepSums(cx)};
    const Tensor x = random_tensor(cx, {1, seq.local_length(), kWidth}, DType::f32, 1);
    const Value y = layer.forward(step, Value(x, kHidden), side);
    EXPECT_EQ(y.size(1), seq.local_length());
    EXPECT_TRUE(side.losses.empty());
    for (int64_t i = 0; i < kNumStepSums; ++i) EXPECT_EQ(side.sums.at(i).at(0), 0);
    for (const CollectiveCount& row : comm.counters().rows()) EXPECT_NE(row.site, Sites::moe_balance);
  });
}

TEST(Moe, BadOptionsAreNamed) {
  const ChannelType type = moe_type();
  Options options = options_of(type, "model.channels.M");
  EXPECT_FALSE(type.problem(options, 64, {.data = 8, .expert = 8}));
  EXPECT_NE(type.problem(options, 64, {.data = 3, .expert = 3})->text.find("num_experts"), std::string::npos);
  options.values["num_experts_per_tok"] = int64_t{9};
  EXPECT_NE(type.problem(options, 64, {})->text.find("num_experts_per_tok"), std::string::npos);
}

}  // namespace
}  // namespace og

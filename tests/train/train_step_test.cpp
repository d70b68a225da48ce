// Whole optimizer steps of a hybrid mixture-of-experts model: any degrees against one rank, recompute, accumulation,
// counters.
#include "framework/train/step.h"

#include <algorithm>

#include "tests/train/step_outcome.h"

namespace og {
namespace {

class Layouts : public testing::TestWithParam<Degrees> {};

TEST_P(Layouts, GiveTheLossesAndNormsOfOneRank) {
  const Degrees d = GetParam();
  world(d.world(),
        [&](Comm& comm) { expect_same(run(comm, d, 4), one_rank(), 1e-10, "rank " + std::to_string(comm.rank())); });
}

// Every tuple of degrees on up to 8 ranks that the model's 4 heads, 8 rows and 8 experts allow.
std::vector<Degrees> all_degrees() {
  std::vector<Degrees> all;
  for (int data : {1, 2, 4, 8})
    for (int sequence : {1, 2, 3, 4, 8})
      for (int tensor : {1, 2, 4})
        for (int expert : {1, 2, 4, 8})
          for (int pipeline : {1, 2, 3, 4}) {
            const Degrees d{data, sequence, tensor, expert, pipeline};
            if (d.world() > 1 && d.world() <= 8 && !check_degrees(d, d.world())) all.push_back(d);
          }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, Layouts, testing::ValuesIn(all_degrees()), [](const auto& row) {
  const Degrees& d = row.param;
  return fmt::format("d{}s{}t{}e{}p{}", d.data, d.sequence, d.tensor, d.expert, d.pipeline);
});

// What four layers and four heads do not allow: a stage a layer and a tensor rank a head of a model of eight.
TEST(TrainStep, EightStagesAndEightTensorRanksGiveTheNumbersOfOneRank) {
  std::vector<std::string> eight{"model.num_hidden_layers=8"};
  for (const char* mixer : {"G", "D", "S"}) eight.push_back(fmt::format("model.mixers.{}.num_heads=8", mixer));
  eight.push_back("model.mixers.N.num_attention_heads=8");
  Outcome one;
  world(1, [&](Comm& comm) { one = run(comm, {}, 2, false, 1, eight); });
  for (const Degrees& d : {Degrees{.pipeline = 8}, Degrees{.tensor = 8}, Degrees{.tensor = 8, .expert = 2},
                           Degrees{.tensor = 8, .expert = 4}, Degrees{.tensor = 8, .expert = 8}})
    world(8, [&](Comm& comm) {
      expect_same(run(comm, d, 2, false, 1, eight), one, 1e-10,
                  fmt::format("pipeline {} tensor {} expert {}", d.pipeline, d.tensor, d.expert));
    });
}

TEST(TrainStep, ZeroAndSequenceNormsChangeNoNumber) {
  const std::vector<std::string> zero{"parallel.zero=1"}, norms{"parallel.sequence_norms=true"},
      both{"parallel.sequence_norms=true", "parallel.zero=1"};
  const std::pair<Degrees, const std::vector<std::string>*> cases[] = {
      {{.tensor = 2}, &norms},
      {{.tensor = 4, .expert = 2}, &norms},
      {{.sequence = 2, .tensor = 4, .expert = 8}, &norms},
      {{.data = 2, .sequence = 2, .tensor = 2, .expert = 4}, &both},
      {{.sequence = 3, .tensor = 2}, &both},
      {{.data = 4, .expert = 2}, &zero},
      {{}, &both}};
  for (const auto& [d, overrides] : cases)
    world(d.world(), [&, d = d, overrides = overrides](Comm& comm) {
      expect_same(run(comm, d, 4, false, 1, *overrides), one_rank(), 1e-10, fmt::format("tensor {}", d.tensor));
    });
  const Degrees d{.sequence = 2, .tensor = 2};
  world(4, [&](Comm& comm) { expect_same(run(comm, d, 4, true, 1, both), one_rank(), 1e-10, "recompute"); });
}

// With hidden states cut over tensor an all_reduce of them is a reduce_scatter and an all_gather; routed experts, which
// need them cut, move nothing over tensor.
TEST(TrainStep, SequenceNormsMoveFewerBytes) {
  world(4, [&](Comm& comm) {
    const Degrees d{.tensor = 4, .expert = 2};
    const auto bytes = [&](const Outcome& o) {
      int64_t n = 0;
      for (const CollectiveCount& c : o.counts)
        if (c.site == Sites::tensor_forward || c.site == Sites::tensor_backward) n += c.bytes;
      return n;
    };
    const int64_t whole = bytes(run(comm, d, 1)),
                  cut = bytes(run(comm, d, 1, false, 1, {"parallel.sequence_norms=true"}));
    EXPECT_LT(cut, whole);
    EXPECT_GT(cut, whole / 2);
  });
}

TEST(TrainStep, BeginsAtTheLossOfAUniformGuess) {
  const Outcome& o = one_rank();
  EXPECT_GT(o.steps[0].grad_norm, 0);
  EXPECT_NEAR(o.steps[0].loss, std::log(29.0), 0.3);
}

TEST(TrainStep, RecomputeGivesTheSameNumbersAndNoGatherTwice) {
  world(2, [&](Comm& comm) {
    const Degrees d{.sequence = 2, .expert = 2};
    const Outcome plain = run(comm, d, 4), again = run(comm, d, 4, true);
    expect_same(again, plain, 1e-12, "recompute");
    // Three linear layers, eight micro steps: one AllGather each forward and one backward, with and without recompute.
    for (const Outcome* o : {&plain, &again}) {
      EXPECT_EQ(calls(*o, Sites::mixer_forward, Verb::all_gather), 3 * 8);
      EXPECT_EQ(calls(*o, Sites::mixer_backward, Verb::all_gather), 3 * 8);
    }
  });
}

TEST(TrainStep, BytesOfStatesDoNotDependOnTheSequenceLength) {
  world(2, [&](Comm& comm) {
    const auto bytes = [&](int64_t length) {
      const Outcome o =
          run(comm, {.sequence = 2}, 1, false, 1,
              {fmt::format("data.sequence_length={}", length), fmt::format("train.tokens_per_step={}", 8 * length)});
      std::vector<int64_t> found;
      for (const Site site : {Sites::mixer_forward, Sites::mixer_backward})
        for (const CollectiveCount& c : o.counts)
          if (c.site == site) found.push_back(c.bytes);
      return found;
    };
    const auto few = bytes(7), many = bytes(26);
    EXPECT_EQ(few.size(), 2U);
    EXPECT_EQ(few, many);
  });
}

TEST(TrainStep, MicroBatchesOfSeveralRowsGiveTheSameStep) {
  world(2,
        [&](Comm& comm) { expect_same(run(comm, {.data = 2}, 4, false, 4), one_rank(), 1e-10, "four rows at once"); });
}

TEST(TrainStep, BadNumbersStopBeforeTheUpdateAndNameTheLayer) {
  world(2, [&](Comm& comm) {
    const Config config = tiny({});
    Context cx;
    Mesh mesh(comm, {.sequence = 2});
    ParameterStore store(cx, mesh, DType::f32, 3);
    HybridLM model(store, config.model);
    AdamW optimizer(store, {});
    TrainStep step(model, optimizer, {.rows = {.rows_in_step = 8}});
    const RowSource rows = [&](int64_t first, int64_t count) { return make_rows(*cx.pool, first, count, 13); };
    store.find("model.layers.2.mixer.o_proj.weight")->value.tensor().fill(NAN);
    const Tensor before = store.find("lm_head.weight")->value.tensor().clone(*cx.pool);
    try {
      step.run(7, 0, rows, 1e-2, false);
      ADD_FAILURE() << "went on with NaN";
    } catch (const Error& e) {
      EXPECT_EQ(e.status(), Status::numbers);
      EXPECT_NE(std::string(e.what()).find("step 7"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("layer 2"), std::string::npos) << e.what();
    }
    EXPECT_TRUE(same_bits(before, store.find("lm_head.weight")->value.tensor()));
  });
}

// The update is started before the host has seen the numbers: it must not change a weight or a moment, nor count.
TEST(TrainStep, BadNumbersChangeNeitherWeightsNorMoments) {
  for (const auto sharding : {OptimizerSharding::none, OptimizerSharding::zero1})
    world(2, [&](Comm& comm) {
      const Config config = tiny({"model.channels.M.balance=bias"});
      Context cx;
      Mesh mesh(comm, {.data = 2, .expert = 2});
      ParameterStore store(cx, mesh, DType::f32, 3);
      HybridLM model(store, config.model);
      AdamW optimizer(store, {}, sharding);
      TrainStep step(model, optimizer, {.rows = {.rows_in_step = 8}});
      const RowSource rows = [&](int64_t first, int64_t count) { return make_rows(*cx.pool, first, count, 13); };
      step.run(1, 0, rows, 1e-2, false);  // moments are no zeros then
      store.find("model.norm.weight")->value.tensor().data<float>()[3] = NAN;
      const auto all = [&] {
        std::vector<Tensor> now;
        for (const Parameter& p : store.all()) now.push_back(p.value.tensor().clone(*cx.pool));
        for (const AdamW::Moments& m : optimizer.moments()) {
          now.push_back(m.first.clone(*cx.pool));
          now.push_back(m.second.clone(*cx.pool));
        }
        return now;
      };
      const std::vector<Tensor> before = all();
      EXPECT_THROW(step.run(2, 8, rows, 1e-2, false), Error);
      const std::vector<Tensor> after = all();
      for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(before[i], after[i])) << i;
      EXPECT_EQ(optimizer.steps(), 1);
    });
}

}  // namespace
}  // namespace og

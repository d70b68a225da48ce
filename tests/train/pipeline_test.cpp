// Pipelines against one rank beside the options that touch several stages (train_step_test has every tuple of degrees):
// interleaved chunks, uneven stages, tied embeddings, parameters that several stages share, ZeRO-1, recompute.
#include <algorithm>

#include "framework/train/pipeline.h"
#include "tests/train/step_outcome.h"

namespace og {
namespace {

Outcome one(const std::vector<std::string>& overrides) {
  Outcome o;
  world(1, [&](Comm& comm) { o = run(comm, {}, 4, false, 1, overrides); });
  return o;
}

void expect_pipeline(const Degrees& d, const std::vector<std::string>& model,
                     const std::vector<std::string>& parallel = {}, bool recompute = false, int64_t micro = 1) {
  const Outcome truth = one(model);
  std::vector<std::string> overrides = model;
  overrides.insert(overrides.end(), parallel.begin(), parallel.end());
  std::string what = fmt::format("pipeline {}", d.pipeline);
  for (const std::string& o : overrides) what += " " + o;
  world(d.world(), [&](Comm& comm) { expect_same(run(comm, d, 4, recompute, micro, overrides), truth, 1e-10, what); });
}

TEST(Pipeline, Interleaved) {
  const std::vector<std::string> two{"parallel.pipeline_schedule=interleaved", "parallel.virtual_stages=2"};
  expect_pipeline({.pipeline = 2}, {}, two);
  expect_pipeline({.tensor = 2, .expert = 2, .pipeline = 2}, {}, two);
  expect_pipeline({.data = 2, .sequence = 2, .expert = 4, .pipeline = 2}, {}, two);
  expect_pipeline({.pipeline = 2}, {"model.num_hidden_layers=9"}, two);
  expect_pipeline({.pipeline = 2}, {"model.num_hidden_layers=8"},
                  {"parallel.pipeline_schedule=interleaved", "parallel.virtual_stages=4"});
  expect_pipeline({.pipeline = 4}, {"model.num_hidden_layers=8"}, two);
}

// What several chunks of a stage use is complete only when the last of them has walked back.
TEST(Pipeline, ChunksShareBounds) {
  const std::vector<std::string> two{"parallel.pipeline_schedule=interleaved", "parallel.virtual_stages=2"};
  expect_pipeline({.data = 2, .pipeline = 2},
                  {"model.layer_pattern=G", "model.mixers.G.type=hgrn2", "model.tie_word_embeddings=true"}, two);
  expect_pipeline({.data = 2, .pipeline = 2}, {"model.layer_pattern=G", "model.mixers.G.type=hgrn2"}, two, true);
}

// The sums over the gradients of a stage's last chunk start while its first chunk has micro steps to walk back. Layers
// 0 and 1, the stages' first chunks, are linear: each of the two micro steps left says mixer.backward.
TEST(Pipeline, AChunksGradientsAreSummedUnderTheBackwardOfTheChunkBefore) {
  world(4, [&](Comm& comm) {
    const Config config = tiny({});
    Context cx;
    cx.stream.backend = Backend::ref;
    cx.profile.keep_events(true);
    comm.profile = &cx.profile;
    Mesh mesh(comm, {.data = 2, .pipeline = 2});
    mesh.virtual_stages = 2;
    ParameterStore store(cx, mesh, DType::f64, 3);
    HybridLM model(store, config.model);
    const BucketLayout layout = lay_out(store, OptimizerSharding::none, 1);
    GradientReducer reducer(cx, layout);
    std::vector<Batch> batches;
    for (int64_t m = 0; m < 4; ++m) batches.push_back(make_rows(*cx.pool, 2 * m + mesh.data().rank(), 1, 13));
    cx.profile.reset();
    reducer.begin();
    train_pipeline(model, batches, {.rows_in_step = 8}, 1, StepSums(), [&](Slot& slot) { reducer.ready(slot); });
    reducer.finish();
    const auto& events = cx.profile.events();
    const auto first =
        std::find_if(events.begin(), events.end(), [](const TimedEvent& e) { return e.name == "gradients start"; });
    EXPECT_GE(std::count_if(first, events.end(), [](const TimedEvent& e) { return e.name == "mixer.backward start"; }),
              2);
  });
}

TEST(Pipeline, UnevenStages) {
  expect_pipeline({.pipeline = 2}, {"model.num_hidden_layers=5"});
  expect_pipeline({.sequence = 2, .pipeline = 4}, {"model.num_hidden_layers=7"});
}

TEST(Pipeline, StagesShareTiedEmbeddingsAndBounds) {
  for (const Degrees& d :
       {Degrees{.pipeline = 2}, Degrees{.tensor = 2, .pipeline = 4}, Degrees{.data = 2, .sequence = 2, .pipeline = 2}})
    expect_pipeline(d, {"model.tie_word_embeddings=true"});
  expect_pipeline({.sequence = 2, .pipeline = 2}, {"model.mixers.G.type=hgrn2"});
  // Layers of two widths: bounds of each, whichever stage has met which first.
  expect_pipeline({.tensor = 2, .pipeline = 2},
                  {"model.mixers.G.type=hgrn2", "model.mixers.D.type=hgrn2", "model.mixers.D.head_k_dim=8"});
  expect_pipeline({.data = 2, .pipeline = 2}, {"model.tie_word_embeddings=true"}, {"parallel.zero=1"});
}

TEST(Pipeline, WorksBesideOtherOptions) {
  expect_pipeline({.pipeline = 4}, {}, {"parallel.zero=1"});
  expect_pipeline({.data = 2, .sequence = 2, .pipeline = 2}, {}, {"parallel.zero=1"});
  expect_pipeline({.tensor = 2, .pipeline = 2}, {}, {"parallel.sequence_norms=true"});
  expect_pipeline({.sequence = 2, .pipeline = 2}, {}, {}, true);
  expect_pipeline({.pipeline = 2}, {}, {}, false, 4);
  expect_pipeline({.sequence = 2, .pipeline = 2},
                  {"model.channels.M.balance=bias", "model.channels.M.capacity_factor=1.1"});
  expect_pipeline({.sequence = 2, .pipeline = 2}, {"data.sequence_length=12", "train.tokens_per_step=96"},
                  {"parallel.sequence_order=zigzag"});
}

// The state of long rows is streamed through the stages, segment by segment.
TEST(Pipeline, SegmentsAreStreamedThroughTheStages) {
  for (const Degrees& d : {Degrees{.pipeline = 2}, Degrees{.pipeline = 4}, Degrees{.sequence = 2, .pipeline = 2},
                           Degrees{.data = 2, .tensor = 2, .expert = 4, .pipeline = 2}})
    for (int length : {3, 5, 12}) expect_pipeline(d, {}, {fmt::format("train.segment_length={}", length)});
  expect_pipeline({.sequence = 2, .pipeline = 2},
                  {"model.channels.M.capacity_factor=1.1", "model.mixers.N.sliding_window=4"},
                  {"train.segment_length=5"});
}

// A stage holds the weights of its own layers only, and moves hidden states of the micro steps and nothing else.
TEST(Pipeline, StagesHoldTheirOwnLayers) {
  world(2, [&](Comm& comm) {
    const Config config = tiny({});
    Context cx;
    Mesh mesh(comm, {.pipeline = 2});
    ParameterStore store(cx, mesh, DType::f64, 3);
    const HybridLM model(store, config.model);
    int64_t held = 0;
    for (const Parameter& p : store.all()) held += p.local_shape.count();
    EXPECT_EQ(static_cast<int64_t>(comm.sum(static_cast<double>(held), Sites::metrics)), store.global_count());
    EXPECT_LT(held, store.global_count() * 3 / 4);
    for (const Parameter& p : store.all()) {
      const bool first = p.record.name.starts_with("model.layers.0.") || p.record.name.starts_with("model.embed");
      if (first) {
        EXPECT_EQ(p.local_shape.count() > 0, comm.rank() == 0) << p.record.name;
      }
    }
  });
  world(2, [&](Comm& comm) {
    const Outcome o = run(comm, {.pipeline = 2}, 1);
    int64_t forward = 0, backward = 0;
    for (const CollectiveCount& c : o.counts) {
      if (c.site == Sites::pipeline_forward) forward += c.bytes;
      if (c.site == Sites::pipeline_backward) backward += c.bytes;
    }
    const int64_t states = 8 * 13 * 16 * 8;  // rows, tokens, width, f64
    EXPECT_EQ(forward, comm.rank() == 1 ? states : 0);
    EXPECT_EQ(backward, comm.rank() == 0 ? states : 0);
  });
}

}  // namespace
}  // namespace og

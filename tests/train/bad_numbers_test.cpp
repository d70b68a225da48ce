// Numbers that go bad: what a save tries, and what eval and generate say of weights that give no logits.
#include <cmath>
#include <cstring>

#include "framework/core/finite.h"
#include "framework/program/commands/eval.h"
#include "framework/program/commands/generate.h"
#include "framework/train/session.h"
#include "framework/train/snapshot.h"
#include "tests/files.h"
#include "tests/train/step_outcome.h"

namespace og {
namespace {

TEST(bad_numbers, the_first_of_them_is_found_wherever_it_lies) {
  const double nan = std::nan(""), infinity = HUGE_VAL;
  std::vector<double> x(5000, -1e300);
  const auto first = [](const auto& v, size_t skip) {
    const DType dtype = sizeof v[0] == 4 ? DType::f32 : DType::f64;
    return first_not_finite(dtype, std::as_bytes(std::span(v)).subspan(skip));
  };
  EXPECT_EQ(first(x, 0), -1);
  for (const double bad : {nan, -nan, infinity, -infinity})
    for (size_t at : {size_t{0}, size_t{1023}, size_t{1024}, size_t{4999}}) {
      std::vector<double> y = x;
      y[at] = bad;
      if (at < 4999) y[at + 1] = bad;
      EXPECT_EQ(first(y, 0), static_cast<int64_t>(at));
      std::vector<float> z(5000, 3e38f);
      z[at] = static_cast<float>(bad);
      EXPECT_EQ(first(z, 0), static_cast<int64_t>(at));
    }
  EXPECT_EQ(first_not_finite(DType::f64, {}), -1);
  const std::vector<int32_t> whole{-1, 0x7fffffff};
  EXPECT_EQ(first_not_finite(DType::i32, std::as_bytes(std::span(whole))), -1);
  x[3] = nan;  // at an address that no double has
  std::vector<char> bytes(1 + 8 * x.size());
  std::memcpy(bytes.data() + 1, x.data(), 8 * x.size());
  EXPECT_EQ(first_not_finite(DType::f64, std::as_bytes(std::span(bytes)).subspan(1)), 3);
}

// Weights of a small model, each multiplied, tried over so many ranks: the message, or "" if they may be saved.
std::string tried(const Degrees& degrees, double factor, const std::string& name, int64_t length = 16,
                  SequenceOrder order = SequenceOrder::contiguous) {
  std::string message;
  world(degrees.world(), [&](Comm& comm) {
    const Config config = tiny({"data.sequence_length=16", "train.tokens_per_step=128"});
    Context cx;
    cx.stream.backend = Backend::ref;
    Mesh mesh(comm, degrees);
    mesh.sequence_options.order = order;
    ParameterStore store(cx, mesh, DType::f64, 3);
    HybridLM model(store, config.model);
    AdamW optimizer(store, {});
    TrainStep step(model, optimizer, {.rows = {.rows_in_step = 8}});
    for (const Parameter& p : store.all())
      if (p.record.name.find(name) != std::string::npos)
        for (int64_t i = 0; i < p.local_shape.count(); ++i) p.value.tensor().data<double>()[i] *= factor;
    std::string mine;
    try {
      step.try_weights(7, 56, [&](int64_t first, int64_t count) { return make_rows(*cx.pool, first, count, length); });
    } catch (const Error& e) {
      EXPECT_EQ(e.status(), Status::numbers);
      mine = e.what();
    }
    const std::vector<std::string> all = comm.gather_text(mine, Sites::startup);
    for (const std::string& other : all) EXPECT_EQ(other, all[0]);  // they end alike
    if (comm.rank() == 0) message = mine;
  });
  return message;
}

TEST(bad_numbers, weights_are_tried_before_they_are_saved) {
  for (const Degrees& d : {Degrees{}, Degrees{.data = 2}, Degrees{.sequence = 2}, Degrees{.tensor = 2},
                           Degrees{.pipeline = 2}, Degrees{.data = 2, .sequence = 2, .expert = 4}}) {
    const std::string layout =
        fmt::format("data {} sequence {} tensor {} pipeline {}", d.data, d.sequence, d.tensor, d.pipeline);
    EXPECT_EQ(tried(d, 1, ""), "") << layout;
    // Twice and ten times the loss of nothing: a bad model, and none.
    EXPECT_EQ(tried(d, 50, "lm_head"), "") << layout;
    EXPECT_TRUE(contains(tried(d, 1e5, "lm_head"), "has ln(vocabulary) = 3.367. These weights were not saved"))
        << layout;
    EXPECT_TRUE(contains(tried(d, std::nan(""), "layers.2"), "first go bad in the output of layer 2 ")) << layout;
  }
}

TEST(bad_numbers, of_a_long_row_the_beginning_is_tried) {
  for (const SequenceOrder order : {SequenceOrder::contiguous, SequenceOrder::zigzag}) {
    EXPECT_EQ(tried({.sequence = 2}, 1, "", 2500, order), "");
    EXPECT_TRUE(contains(tried({.sequence = 2}, 1e5, "lm_head", 2500, order), "were not saved"));
  }
}

// A snapshot as a program without checks would have saved it: finite weights, of which no product is.
TEST(bad_numbers, eval_and_generate_end_with_status_4) {
  TemporaryFolder folder;
  Config config = tiny({"data.tokenizer=bytes", "train.precision=f32", "train.threads=1"});
  config.model.vocab_size = 257;
  const auto save = [&](const std::string& run, double factor) {
    const auto comm = make_self_comm();
    Session session(config, *comm, {});
    AdamW optimizer(session.store(), {});
    for (const Parameter& p : session.store().all())
      for (int64_t i = 0; i < p.local_shape.count(); ++i) {
        float& w = p.value.tensor().data<float>()[i];
        w = static_cast<float>(w * factor);
      }
    save_snapshot(run, *comm, session.store(), optimizer, {{}, to_yaml(config), "bytes", ""});
  };
  save(folder / "good", 1);
  save(folder / "bad", 1e30);
  write_file(folder / "text", std::string(100, 'a'));
  EXPECT_EQ(generate_command({folder / "good", "--prompt", "a", "--tokens", "2"}), 0);
  EXPECT_EQ(eval_command({folder / "good", "--data", folder / "text"}), 0);
  testing::internal::CaptureStderr();
  EXPECT_EQ(generate_command({folder / "bad", "--prompt", "a", "--tokens", "2"}), 4);
  EXPECT_EQ(eval_command({folder / "bad", "--data", folder / "text"}), 4);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(said, "step-00000000: after 2 tokens the logit of token 0 is ")) << said;
  EXPECT_TRUE(contains(said, "the weights are out of range; take an earlier checkpoint")) << said;
}

}  // namespace
}  // namespace og

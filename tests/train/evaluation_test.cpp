// What an evaluation counts, against the same tokens read one by one; runs from before the rule of rows changed.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "framework/data/token_file.h"
#include "framework/io/checkpoint.h"
#include "framework/io/checksum.h"
#include "framework/train/corpus.h"
#include "framework/train/evaluate.h"
#include "framework/train/trained_model.h"
#include "framework/train/trainer.h"
#include "models/decoder.h"
#include "tests/files.h"
#include "tests/world.h"

namespace og {
namespace {

const char* const kConfig = R"(
model:
  hidden_size: 16
  num_hidden_layers: 2
  layer_pattern: GN
  channel_pattern: M
  initializer_range: 0.3
  mixers:
    G: {type: gla, num_heads: 2, head_k_dim: 8, head_v_dim: 8}
    N: {type: attention, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8}
  channels:
    M: {type: moe, num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 8}
data: {sequence_length: 16}
train:
  num_steps: 1
  tokens_per_step: 32
  precision: f64
  threads: 1
)";

Config config(const std::vector<std::string>& overrides) {
  return parse_config(kConfig, "c", overrides, config_rules());
}

TEST(Evaluation, RowsAreSpreadEvenly) {
  EXPECT_EQ(spread_rows(5, 0), (std::vector<int64_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(spread_rows(5, 5), spread_rows(5, 0));
  EXPECT_EQ(spread_rows(5, 9), spread_rows(5, 0));
  EXPECT_EQ(spread_rows(12, 4), (std::vector<int64_t>{1, 4, 7, 10}));
  EXPECT_EQ(spread_rows(10, 3), (std::vector<int64_t>{1, 5, 8}));
  EXPECT_EQ(spread_rows(100, 1), (std::vector<int64_t>{50}));
}

// The sum that an evaluation must give, by position in the row: every token of the file as a target, read one token at
// a time, from a fresh state at every beginning of a document or a row.
std::vector<double> loss_by_hand(Session& session, const TokenFile& file, int64_t length) {
  std::vector<double> sums(static_cast<size_t>(length), 0.0);
  std::optional<Decoder> decoder;
  for (int64_t d = 0; d < file.num_documents(); ++d) {
    const auto [begin, end] = file.document(d);
    for (int64_t at = begin; at < end; ++at) {
      if (at == begin || at % length == 0) decoder.emplace(session.context(), session.mesh(), session.model());
      const int32_t before = at == begin ? 256 : file.token(at - 1);
      const Tensor logits = decoder->read(std::span(&before, 1));
      double total = 0;
      for (int64_t i = 0; i < logits.count(); ++i) total += std::exp(logits.at(i));
      sums[static_cast<size_t>(at % length)] += std::log(total) - logits.at(file.token(at));
    }
  }
  return sums;
}

TEST(Evaluation, CountsEveryTokenOnceAtAnyRowLengthAndLayout) {
  const TemporaryFolder folder;
  const std::string path = folder / "documents.tokens";
  TokenFileWriter writer(path, 257, "bytes");
  for (const std::string text : {"first one", "", "a document that is longer than some rows are", "b", "the last"}) {
    std::vector<int32_t> ids(text.begin(), text.end());
    ids.push_back(256);
    writer.add_document(ids);
  }
  writer.finish();
  const TokenFile file(path);
  for (int64_t length : {5, 16, 67, 100}) {
    const auto loader = [&] {
      return Loader("data.eval", {{{path}, 0}}, {.sequence_length = length, .shuffle = false, .fill_last_row = true},
                    257, "bytes");
    };
    const std::vector<std::string> keys{fmt::format("data.sequence_length={}", length), "model.vocab_size=257",
                                        fmt::format("train.tokens_per_step={}", 6 * length)};
    std::vector<double> truth;
    world(1, [&](Comm& comm) {
      Session session(config(keys), comm, {});
      truth = loss_by_hand(session, file, length);
    });
    const double sum = std::accumulate(truth.begin(), truth.end(), 0.0);
    for (int ranks : {1, 2, 3}) {
      for (const char* axis : {"data", "sequence"}) {
        world(ranks, [&](Comm& comm) {
          std::vector<std::string> all = keys;
          all.push_back(fmt::format("parallel.{}={}", axis, ranks));
          const Config c = config(all);
          Session session(c, comm, resolve_degrees(c, ranks));
          for (int64_t at_once : {1, 2}) {
            const Evaluation e = evaluate_data(session.model(), loader(), 0, at_once, 0, true);
            EXPECT_EQ(e.valid_tokens, static_cast<double>(file.num_tokens()));
            EXPECT_NEAR(e.loss_sum, sum, 1e-9 * sum) << length << " " << ranks << " " << axis;
            for (int64_t t = 0; t < length; ++t) {
              const auto i = static_cast<size_t>(t);
              EXPECT_NEAR(e.loss_at[i], truth[i], 1e-9 * sum) << length << " at " << t;
              EXPECT_EQ(e.tokens_at[i], static_cast<double>((file.num_tokens() - t + length - 1) / length));
            }
          }
          // Some of the rows: the sum over those rows alone.
          const int64_t most = 2;
          const Evaluation some = evaluate_data(session.model(), loader(), most, 1, 0, false);
          Evaluation by_row;
          for (int64_t r : spread_rows(loader().rows_per_epoch(), most)) {
            const RowSource row = [&](int64_t, int64_t) { return loader().rows(*session.context().pool, r, 1); };
            const Evaluation one = evaluate_rows(session.model(), 1, 1, 0, row, false);
            by_row.loss_sum += one.loss_sum;
            by_row.valid_tokens += one.valid_tokens;
          }
          EXPECT_EQ(some.valid_tokens, by_row.valid_tokens);
          EXPECT_NEAR(some.loss_sum, by_row.loss_sum, 1e-9 * sum);
        });
      }
    }
  }
}

// The checkpoint as a program from before the rule would have written it.
void forget_row_rule(const std::string& checkpoint) {
  const std::string path = checkpoint + "/index.json";
  Json index = Json::parse(file_bytes(path), path), metadata = Json::object();
  for (const auto& [key, value] : index["content"]["metadata"].members())
    if (key != "row_rule") metadata.set(key, value);
  Json content = index["content"];
  ASSERT_LT(metadata.members().size(), content["metadata"].members().size());
  content.set("metadata", metadata);
  index.set("checksum", checksum(content.dump())).set("content", content);
  write_file(path, index.dump(1) + "\n");
}

TEST(Evaluation, RunsOfTheOldRowRuleAreNotResumedButLoad) {
  const TemporaryFolder folder;
  ASSERT_EQ(setenv("ONEGATHER_CACHE", (folder / "cache").c_str(), 1), 0);
  std::string text;
  for (int i = 0; i < 60; ++i) text += fmt::format("line {}\n", i);
  write_file(folder / "text.txt", text);
  const auto run = [&](const std::string& dir, int steps, const std::string& init, Comm& comm) {
    return train(config({fmt::format("data.train=[{}]", folder / "text.txt"), fmt::format("run.dir={}", folder / dir),
                         fmt::format("train.num_steps={}", steps)}),
                 comm, {.resume = "auto", .init = init});
  };
  world(1, [&](Comm& comm) {
    EXPECT_EQ(run("run", 1, "", comm), Status::ok);
    const std::string checkpoint = list_checkpoints(folder / "run").back();
    forget_row_rule(checkpoint);
    const std::string message = message_of(Status::data, [&] { run("run", 2, "", comm); });
    for (const char* part : {"end-of-document token opens every document", "--init", "step-00000001"})
      EXPECT_TRUE(contains(message, part)) << message;
    EXPECT_EQ(open_trained_model(checkpoint, {}, comm).step, 1);
    EXPECT_EQ(run("again", 2, checkpoint, comm), Status::ok);
    EXPECT_EQ(run("again", 3, "", comm), Status::ok);  // its own checkpoints are of the rule of today
  });
  ASSERT_EQ(unsetenv("ONEGATHER_CACHE"), 0);
}

}  // namespace
}  // namespace og

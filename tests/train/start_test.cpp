// Where a run begins: which checkpoint it takes, what it leaves behind, what descends from what.
#include "framework/train/start.h"

#include "tests/files.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

using Kind = SnapshotSource::Kind;

// checkpoints/step-<step> of a run folder; `tokens` makes the content another. Returns its path.
std::string save(const std::string& run, int64_t step, std::vector<SnapshotSource> sources = {}, int64_t tokens = 0) {
  const SnapshotNotes notes{.position = {step, 0, tokens, 0},
                            .config = "",
                            .tokenizer = "bytes",
                            .data = "data",
                            .sources = std::move(sources),
                            .tried = true};
  const std::string folder = checkpoint_folder(run, step);
  world(1, [&](Comm& comm) {
    Context cx;
    save_checkpoint(folder, std::vector<CheckpointTensor>{{"w", {1}, {0}, cx.zeros({1}, DType::f32)}}, to_json(notes),
                    comm);
  });
  return folder;
}

SnapshotSource source(const std::string& folder, Kind kind = Kind::resume) {
  const Checkpoint c(folder);
  return {kind, folder, c.metadata()["step"].integer(), c.id()};
}

Start start(const std::string& run, const std::string& resume, const std::string& init = "") {
  Config config;
  config.run.dir = run;
  return find_start(config, {resume, init});
}

std::string chosen(const Start& s) { return s.checkpoint ? s.checkpoint->folder() : ""; }

TEST(start, auto_takes_the_newest_and_leaves_nothing_behind) {
  TemporaryFolder f;
  EXPECT_EQ(start(f / "run", "auto").text, "fresh weights, seed 1");
  EXPECT_FALSE(std::filesystem::exists(f / "run"));
  save(f / "run", 4);
  const std::string newest = save(f / "run", 8, {{Kind::resume, "/there", 2, "id"}});
  for (const std::string& resume : {std::string("auto"), f / "run", f / "run/"}) {
    const Start s = start(f / "run", resume);
    EXPECT_EQ(chosen(s), newest);
    EXPECT_EQ(s.text, "resumed from " + newest + " at step 8");
    EXPECT_TRUE(s.in_run_folder && s.left_behind.empty() && s.remarks.empty());
    ASSERT_EQ(s.sources.size(), 1u);
    EXPECT_EQ(s.sources[0].path, "/there");
  }
  EXPECT_TRUE(contains(message_of(Status::data, [&] { start(f / "run", "never"); }), "--resume never was asked for"));
}

// A continuous run's later checkpoints are not a branch; one that was begun by naming a checkpoint is.
TEST(start, a_named_checkpoint_begins_a_branch_once) {
  TemporaryFolder f;
  const std::string run = f / "run", four = save(run, 4), eight = save(run, 8), twelve = save(run, 12);
  const Start first = start(run, four);
  EXPECT_EQ(chosen(first), four);
  EXPECT_TRUE(first.in_run_folder);
  EXPECT_EQ(first.left_behind, (std::vector<std::string>{eight, twelve}));
  ASSERT_EQ(first.sources.size(), 1u);
  EXPECT_EQ(first.sources[0].id, Checkpoint(four).id());
  const std::string six = save(run, 6, first.sources);  // killed before it set aside the last of them
  EXPECT_EQ(chosen(start(run, four)), six);
  EXPECT_EQ(start(run, four).left_behind, first.left_behind);
  EXPECT_EQ(start(run, four).sources.size(), 1u);
  std::filesystem::remove_all(four);  // checkpoint.keep took it
  EXPECT_EQ(chosen(start(run, four)), six);
  save(run, 4, {}, 77);  // another one at its path
  EXPECT_EQ(chosen(start(run, four)), four);
  EXPECT_EQ(start(run, four).left_behind.size(), 3u);
}

TEST(start, into_another_folder_what_descends_is_known_by_content) {
  TemporaryFolder f;
  const std::string a = save(f / "a", 90), other = save(f / "b", 5);
  const Start first = start(f / "b", a);
  EXPECT_EQ(chosen(first), a);
  EXPECT_FALSE(first.in_run_folder);
  EXPECT_EQ(first.left_behind, std::vector<std::string>{other});
  const std::string own = save(f / "b", 91, first.sources);
  std::filesystem::rename(a, f / "moved");
  EXPECT_EQ(chosen(start(f / "b", f / "moved")), own);
  EXPECT_EQ(chosen(start(f / "b", a)), own);  // gone: its path is known
  EXPECT_TRUE(contains(message_of(Status::data, [&] { start(f / "b", f / "a/checkpoints/step-91"); }), "no such"));
  // A run folder that goes on and has removed the checkpoint that was its newest.
  save(f / "a", 100);
  EXPECT_EQ(chosen(start(f / "b", f / "a")), own);
  EXPECT_EQ(chosen(start(f / "c", f / "a")), checkpoint_folder(f / "a", 100));
}

TEST(start, weights_are_for_a_run_without_checkpoints) {
  TemporaryFolder f;
  const std::string w = save(f / "w", 3);
  const Start first = start(f / "run", "auto", w);
  EXPECT_EQ(chosen(first), "");
  EXPECT_EQ(first.weights->folder(), w);
  ASSERT_EQ(first.sources.size(), 1u);
  EXPECT_EQ(first.sources[0].kind, Kind::init);
  const std::string own = save(f / "run", 1, first.sources);
  const auto remark = [](const Start& s) { return s.remarks.empty() ? std::string() : s.remarks.back(); };
  EXPECT_EQ(chosen(start(f / "run", "auto", w)), own);
  EXPECT_TRUE(contains(remark(start(f / "run", "auto", w)), "the run began with these weights and goes on"));
  EXPECT_TRUE(contains(remark(start(f / "run", "auto", f / "x")), "is not used"));
  EXPECT_EQ(chosen(start(f / "run", w)), w);  // its weights alone are not a branch of it
}

TEST(start, damaged_ones_do_not_stand_in_the_way_of_an_earlier_one) {
  TemporaryFolder f;
  const std::string four = save(f / "run", 4), eight = save(f / "run", 8);
  std::filesystem::remove(eight + "/index.json");
  EXPECT_TRUE(contains(message_of(Status::data, [&] { start(f / "run", "auto"); }), "step-00000008"));
  const Start s = start(f / "run", four);
  EXPECT_EQ(chosen(s), four);
  EXPECT_EQ(s.left_behind, std::vector<std::string>{eight});
  ASSERT_EQ(s.remarks.size(), 1u);
  EXPECT_TRUE(contains(s.remarks[0], "passed over: " + eight));
}

TEST(start, notes_of_older_programs_load_and_names_of_any_bytes_survive) {
  TemporaryFolder f;
  const std::string run = f / "run", folder = checkpoint_folder(run, 4);
  world(1, [&](Comm& comm) {
    Context cx;
    const Json old = Json::object({{"format", "onegather training run"},
                                   {"step", 4},
                                   {"rows", 1},
                                   {"tokens", 2},
                                   {"seconds", 0.5},
                                   {"tokenizer", "bytes"},
                                   {"data", "d"},
                                   {"config", "x"}});
    save_checkpoint(folder, std::vector<CheckpointTensor>{{"w", {1}, {0}, cx.zeros({1}, DType::f32)}}, old, comm);
  });
  const SnapshotNotes notes = notes_of(Checkpoint(folder));
  EXPECT_EQ(notes.position.step, 4);
  EXPECT_TRUE(notes.sources.empty() && !notes.tried);
  EXPECT_EQ(start(run, folder).sources.size(), 1u);

  SnapshotNotes strange{.position = {},
                        .config = "data: {train: [caf\xe9.txt]}",
                        .tokenizer = "bytes",
                        .data = "d",
                        .sources = {source(folder)},
                        .tried = true};
  strange.sources[0].path = "/caf\xe9";
  world(1, [&](Comm& comm) {
    Context cx;
    save_checkpoint(folder, std::vector<CheckpointTensor>{{"w", {1}, {0}, cx.zeros({1}, DType::f32)}}, to_json(strange),
                    comm);
  });
  EXPECT_EQ(notes_of(Checkpoint(folder)).config, strange.config);
  EXPECT_EQ(notes_of(Checkpoint(folder)).sources[0].path, strange.sources[0].path);
  EXPECT_TRUE(notes_of(Checkpoint(folder)).tried);
}

}  // namespace
}  // namespace og

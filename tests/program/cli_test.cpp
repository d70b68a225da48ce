// The program as users run it: exit statuses and messages.
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "framework/data/token_file.h"
#include "framework/io/checkpoint.h"
#include "framework/io/run_lock.h"
#include "framework/io/safetensors.h"
#include "framework/program/world.h"
#include "framework/train/progress.h"
#include "tests/files.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

struct Outcome {
  int status = -1;
  std::string out;  // standard output and standard error
};

// The shell command with PROGRAM replaced by the program built beside this test.
Outcome shell(std::string command) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string program = self.substr(0, self.rfind('/')) + "/onegather";
  for (size_t at; (at = command.find("PROGRAM")) != std::string::npos;) command.replace(at, 7, program);
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  char block[4096];
  for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;) outcome.out.append(block, n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

void expect(const std::string& command, int status, std::initializer_list<const char*> parts) {
  const Outcome outcome = shell(command);
  EXPECT_EQ(outcome.status, status) << command << "\n" << outcome.out;
  for (const char* part : parts)
    EXPECT_TRUE(contains(outcome.out, part)) << command << "\n" << outcome.out << "\n  lacks " << part;
}

TEST(progress, fields_that_do_not_fit_are_left_out_whole) {
  const std::vector<std::string> fields{"  1% ETA 2:03", "step 3/240", "loss 5.5644", "1.50 GFLOP/s", "2.89 MiB"};
  EXPECT_EQ(fitted(fields, 40), "  1% ETA 2:03  step 3/240  loss 5.5644");
  EXPECT_EQ(fitted(fields, 38), "  1% ETA 2:03  step 3/240  loss 5.5644");  // to the last column
  EXPECT_EQ(fitted(fields, 37), "  1% ETA 2:03  step 3/240");
  EXPECT_EQ(fitted(fields, 80), "  1% ETA 2:03  step 3/240  loss 5.5644  1.50 GFLOP/s  2.89 MiB");
  EXPECT_EQ(fitted(fields, 200), fitted(fields, 80));
  EXPECT_EQ(fitted(fields, 5), "");
}

TEST(cli, help_version_and_wrong_usage) {
  expect("PROGRAM --help", 0, {"inspect", "plan", "(not built yet)", "Exit status"});
  expect("PROGRAM --version", 0, {"onegather ", "built with ref, cpu"});
  expect("PROGRAM", 2, {"error: expected a command", "usage:"});
  expect("PROGRAM inspct x", 2, {"error: unknown command inspct; did you mean inspect?"});
  expect("PROGRAM convert x", 2, {"error: convert: not built yet"});
  expect("PROGRAM convert", 2, {"error: convert: not built yet"});
  expect("PROGRAM inspect", 2, {"expected a path"});
  expect("PROGRAM inspect a b", 2, {"unexpected b"});
  expect("PROGRAM inspect --help", 0, {"usage: onegather inspect"});
}

// What stands after PROGRAM generate, and the sentence.
TEST(cli, options_say_what_to_write_instead) {
  const std::pair<const char*, const char*> cases[] = {
      {"--temperature -1", "--temperature: expected a number >= 0, found -1\n"},
      {"--temperature nan", "--temperature: expected a number >= 0, found nan\n"},
      {"--temperature 1e999", "found 1e999; the most is 1.79e308\n"},
      {"--top-p 2", "--top-p: expected a number from 0 to 1, found 2\n"},
      {"--top-p 90%", "found 90%; write 0.9\n"},
      {"--tokens 1e2", "--tokens: expected a whole number >= 1, found 1e2; write 100\n"},
      {"--tokens 0", "--tokens: expected a whole number >= 1, found 0\n"},
      {"--tokens 99999999999999999999", "found 99999999999999999999; the most is 9223372036854775807\n"},
      {"--seed -1", "--seed: expected a whole number >= 0, found -1\n"},
      {"--tokens=", "--tokens: expected a whole number >= 1, found nothing\n"},
      {"--prompt", "expected a value after --prompt: --prompt=TEXT\n"},
      {"--prompt --text",
       "expected a value after --prompt, found --text; a value that begins with dashes: --prompt=--text\n"},
      {"--prompt '--a b'", "a value that begins with dashes: --prompt='--a b'\n"},
      {"--prompt a --prompt b", "--prompt is given twice\n"},
      {"--tokns 3", "unknown option --tokns; did you mean --tokens?\n"},
      {"--train.num_steps=5",
       "unknown option --train.num_steps; config keys have no dashes: write train.num_steps=5\n"},
      {"--lr 1e-3", "config keys have no dashes: write train.optimizer.learning_rate=1e-3\n"},
      {"--precision f32", "write train.precision=f32\n"},
  };
  for (const auto& [words, sentence] : cases) {
    const Outcome outcome = shell(fmt::format("PROGRAM generate nowhere {}", words));
    EXPECT_EQ(outcome.status, 2) << words << "\n" << outcome.out;
    EXPECT_TRUE(contains(outcome.out, sentence)) << words << "\n" << outcome.out << "\n  lacks " << sentence;
    EXPECT_LT(outcome.out.size(), 400u) << outcome.out;
  }
  // These are values: what is missing is the checkpoint.
  for (const char* words : {"--prompt=--text", "--prompt=", "--prompt ''", "--prompt a --temperature 0 --tokens +7"})
    expect(fmt::format("PROGRAM generate nowhere {}", words), 3, {"nowhere"});
  expect("PROGRAM generate --help", 0, {"'data.train=[\"a,b.txt\"]'"});
  expect("PROGRAM train train.num_steps=5", 2, {"train.num_steps=5: the config file comes before key=value"});
}

TEST(cli, under_mpirun_a_mistake_is_told_once) {
  if (contains(shell("PROGRAM --version").out, "no MPI")) return;  // then there is nothing to tell once
  const Outcome outcome =
      shell("OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe -np 3 PROGRAM inspct x");
  EXPECT_EQ(outcome.status, 2) << outcome.out;
  const size_t first = outcome.out.find("error: unknown command");
  EXPECT_NE(first, std::string::npos) << outcome.out;
  EXPECT_EQ(outcome.out.find("error: unknown command", first + 1), std::string::npos) << outcome.out;
}

TEST(cli, inspect_reads_every_kind_of_file_and_refuses_damage) {
  TemporaryFolder folder;
  Context cx;
  const auto self = make_self_comm();
  const std::string run = folder / "run", saved = checkpoint_folder(run, 7);
  const Tensor x = random_tensor(cx, {30, 4}, DType::f32, 1);
  const std::vector<CheckpointTensor> tensors{{"model.x", {30, 4}, {0, 0}, x, true},
                                              {"optimizer.first.x", {30, 4}, {0, 0}, x, true}};
  save_checkpoint(saved, tensors, Json::object({{"step", 7}, {"config", "train:\n  seed: 1\n"}}), *self);
  write_file(run + "/metrics.jsonl", "{\"step\": 6, \"loss\": 2.5}\n{\"step\": 7, \"loss\": 2.25}\n{\"step\": 8, \"lo");
  expect("PROGRAM inspect " + saved, 0,
         {"kind: checkpoint", "checksums: all as saved", "step: 7", "seed: 1", "model.x  F32  [30, 4]",
          "elements_without_optimizer: 120"});
  expect("PROGRAM inspect " + run + "/", 0, {"kind: run folder", "loss: 2.25", "step-00000007", "model.x"});
  const Json json = Json::parse(shell("PROGRAM inspect --json " + run).out, "output");
  EXPECT_EQ(json["newest"]["tensors"].items()[0]["name"].string(), "model.x");
  EXPECT_EQ(json["last_metrics"]["step"].integer(), 7);

  write_safetensors(folder / "t.safetensors", {{"q", x}});
  expect("PROGRAM inspect " + (folder / "t.safetensors"), 0, {"kind: safetensors file", "q  F32  [30, 4]"});
  {
    TokenFileWriter writer(folder / "t.tokens", 257, "bytes");
    writer.add_document(std::vector<int32_t>{1, 2, 256});
    writer.finish();
  }
  expect("PROGRAM inspect " + (folder / "t.tokens"), 0, {"kind: token file", "tokens: 3", "tokenizer: bytes"});

  const std::string shard = saved + "/" + Checkpoint(saved).files()[0].name;
  std::string bytes = file_bytes(shard);
  bytes[bytes.size() - 5] = static_cast<char>(bytes[bytes.size() - 5] ^ 1);
  write_file(shard, bytes);
  expect("PROGRAM inspect " + run, 3, {"error: the checkpoint is damaged", "shard-", "optimizer.first.x"});
  write_file(folder / "text", "just a text that is no tensor file\n");
  expect("PROGRAM inspect " + (folder / "text"), 3,
         {"text: neither a token file nor a safetensors file; inspect reads checkpoints"});
  write_file(folder / "p.png", "\x89PNG\r\n\x1a\n\1\1\1\1");
  expect("PROGRAM inspect " + (folder / "p.png"), 3, {"p.png: a picture (PNG); inspect reads checkpoints"});
  write_file(folder / "t.model", "pieces of a tokenizer");
  expect("PROGRAM inspect " + (folder / "t.model"), 3, {"t.model: a tokenizer's file by its name"});
  write_file(folder / "cut.safetensors", "1234");
  expect("PROGRAM inspect " + (folder / "cut.safetensors"), 3, {"cut.safetensors: not a safetensors file: 4 bytes"});
  write_file(folder / "c.yaml", "model: {hidden_size: 3}\n");
  expect("PROGRAM inspect " + (folder / "c.yaml"), 3,
         {"a config (YAML); onegather train ", "--dry-run shows every key"});
  write_file(folder / "d.yaml", "name: x\nnodes: 2\n");
  expect("PROGRAM inspect " + (folder / "d.yaml"), 3, {"a cluster (YAML); onegather plan CONFIG --cluster "});
  write_file(folder / "e.yaml", "- x\n");
  expect("PROGRAM inspect " + (folder / "e.yaml"), 3, {"YAML, neither a config"});
  write_file(folder / "f.txt", "x\n");
  expect("PROGRAM inspect " + (folder / "f.txt"), 3, {"text; onegather data inspect "});
  expect("PROGRAM inspect " + folder.path(), 3, {"neither a checkpoint"});
  expect("PROGRAM inspect " + (folder / "absent"), 3, {"absent: no such file or folder\n"});
  expect("PROGRAM inspect " + run + "/checkpoints/step-7/", 3,
         {"step-7: no such file or folder; did you mean ", "run/checkpoints/step-00000007?"});
  expect("PROGRAM generate " + run + "/checkpoints/step-7 --prompt a", 3, {"no such folder; did you mean "});
}

TEST(failure, a_bug_is_called_a_bug) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(report_failure(std::runtime_error("map::at")), 1);
  EXPECT_EQ(report_failure(Error(Status::data, "x.bin: truncated")), 3);
  EXPECT_EQ(run_in_world(1, [](Comm&) -> int { fail(Status::numbers, "loss is nan in step {}", 3); }), 4);
  EXPECT_EQ(run_in_world(1, [](Comm& world) { return world.size(); }), 1);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains(said, "error: internal error: map::at; this is a bug, please report it")) << said;
  EXPECT_TRUE(contains(said, "error: x.bin: truncated\n")) << said;
  EXPECT_TRUE(contains(said, "error: loss is nan in step 3\n")) << said;
}

TEST(run_lock, a_second_run_is_refused_and_a_killed_one_lets_go) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t holder = fork();
  if (holder == 0) {
    const RunLock lock(run);
    [[maybe_unused]] const auto told = write(ready[1], "x", 1);
    pause();
    _exit(0);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  const std::string message = message_of(Status::data, [&] { RunLock(run, 0.2); });
  EXPECT_TRUE(contains(message, fmt::format("host {}, process {}", host, holder))) << message;
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    kill(holder, SIGKILL);
    waitpid(holder, nullptr, 0);
  });
  { const RunLock lock(run, 5); }
  { const RunLock again(run, 0); }
  killer.join();
}

}  // namespace
}  // namespace og

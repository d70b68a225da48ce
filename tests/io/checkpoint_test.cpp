#include "framework/io/checkpoint.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <thread>

#include "framework/io/file.h"
#include "tests/files.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

// Global element i of a tensor is key + i, so that every box knows what it must hold.
void fill(const CheckpointTensor& t, double key) {
  Shape at = t.begin;
  for (int64_t i = 0; i < t.tensor.count(); ++i) {
    int64_t global = 0;
    int64_t rest = i;
    Shape place = at;
    for (int d = t.begin.rank() - 1; d >= 0; --d) {
      place.set(d, t.begin[d] + rest % t.tensor.size(d));
      rest /= t.tensor.size(d);
    }
    for (int d = 0; d < t.begin.rank(); ++d) global = global * t.global_shape[d] + place[d];
    const double value = key + static_cast<double>(global);
    if (t.tensor.dtype() == DType::f32) t.tensor.data<float>()[i] = static_cast<float>(value);
    if (t.tensor.dtype() == DType::f64) t.tensor.data<double>()[i] = value;
    if (t.tensor.dtype() == DType::i64) t.tensor.data<int64_t>()[i] = static_cast<int64_t>(value);
  }
}

// The tensors of one rank of a layout: cut by rows, by columns, whole on every rank, of rank 0, empty.
std::vector<CheckpointTensor> tensors_of(Context& cx, const Comm& comm, DType dtype = DType::f32) {
  const int64_t r = comm.rank(), n = comm.size();
  const auto piece = [&](int64_t total) { return std::pair(total * r / n, total * (r + 1) / n); };
  const auto [row, row_end] = piece(7);
  const auto [column, column_end] = piece(10);
  const bool first = r == 0;
  std::vector<CheckpointTensor> out;
  out.push_back({"rows", {7, 3}, {row, 0}, cx.empty({row_end - row, 3}, dtype), true});
  out.push_back({"columns", {2, 3, 10, 2}, {0, 0, column, 0}, cx.empty({2, 3, column_end - column, 2}, dtype), true});
  out.push_back({"whole", {5}, {0}, cx.empty({5}, dtype), r == n - 1});
  out.push_back({"count", {}, {}, cx.empty({}, DType::i64), first});
  out.push_back({"none", {0, 4}, {0, 0}, cx.empty({0, 4}, dtype), first});
  out.push_back({"optimizer.rows", {7, 3}, {row, 0}, cx.empty({row_end - row, 3}, DType::f64), true});
  return out;
}

void save(const std::string& folder, int num_ranks, double key = 0, DType dtype = DType::f32) {
  world(num_ranks, [&](Comm& comm) {
    Context cx;
    const auto tensors = tensors_of(cx, comm, dtype);
    for (size_t i = 0; i < tensors.size(); ++i) fill(tensors[i], key + 1000 * static_cast<double>(i));
    save_checkpoint(folder, tensors, Json::object({{"step", static_cast<int64_t>(key)}, {"text", "a\n\xff"}}), comm);
  });
}

void load_and_compare(const std::string& folder, int num_ranks, double key = 0) {
  const Checkpoint checkpoint(folder);
  EXPECT_EQ(checkpoint.metadata()["step"].integer(), static_cast<int64_t>(key));
  world(num_ranks, [&](Comm& comm) {
    Context cx;
    const auto tensors = tensors_of(cx, comm), expected = tensors_of(cx, comm);
    load_checkpoint(checkpoint, tensors, comm);
    for (size_t i = 0; i < tensors.size(); ++i) {
      fill(expected[i], key + 1000 * static_cast<double>(i));
      EXPECT_TRUE(same_bits(tensors[i].tensor, expected[i].tensor)) << tensors[i].name;
    }
  });
}

// Loads on two ranks; the message, which must be a refusal of the data.
std::string load_message(const std::string& folder) {
  return message_of(Status::data, [&] { load_and_compare(folder, 2); });
}

TEST(checkpoint, saved_at_any_layout_it_loads_at_any_other) {
  TemporaryFolder folder;
  for (int a : {1, 2, 3, 8})  // 8: ranks with no rows
    for (int b : {1, 2, 4, 8}) {
      save(folder / "c", a, a);
      load_and_compare(folder / "c", b, a);
      Checkpoint(folder / "c").verify();
    }
}

TEST(checkpoint, no_rank_or_degree_in_any_name) {
  TemporaryFolder folder;
  save(folder / "c", 4);
  for (const auto& item : std::filesystem::directory_iterator(folder / "c")) {
    const std::string name = item.path().filename().string();
    EXPECT_TRUE(name == "index.json" || (name.starts_with("shard-") && name.size() == 6 + 16 + 12)) << name;
  }
  EXPECT_EQ(Checkpoint(folder / "c").files().size(), 4u);
  EXPECT_FALSE(std::filesystem::exists(folder / "c.part"));
}

TEST(checkpoint, its_id_is_that_of_its_content_wherever_it_lies) {
  TemporaryFolder folder;
  save(folder / "a", 2, 1);
  save(folder / "b", 2, 2);
  std::filesystem::copy(folder / "a", folder / "copy");
  EXPECT_EQ(Checkpoint(folder / "a").id(), Checkpoint(folder / "copy").id());
  EXPECT_NE(Checkpoint(folder / "a").id(), Checkpoint(folder / "b").id());
}

// One of all ranks finds it; all end alike, the old checkpoint stays and nothing else does.
TEST(checkpoint, numbers_that_are_not_finite_are_not_saved) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL})
    for (size_t which : {size_t{0}, size_t{5}}) {  // f32, and f64 of the optimizer
      TemporaryFolder folder;
      save(folder / "c", 2, 7);
      world(2, [&](Comm& comm) {
        Context cx;
        const auto tensors = tensors_of(cx, comm);
        for (const auto& t : tensors) fill(t, 0);
        if (comm.rank() == 1) {
          const Tensor& t = tensors[which].tensor;
          if (which == 0)
            t.data<float>()[t.count() - 1] = static_cast<float>(bad);
          else
            t.data<double>()[t.count() - 1] = bad;
        }
        EXPECT_TRUE(contains(message_of(Status::numbers, [&] { save_checkpoint(folder / "c", tensors, {}, comm); }),
                             tensors[which].name + ": element "));
      });
      load_and_compare(folder / "c", 1, 7);
      EXPECT_FALSE(std::filesystem::exists(folder / "c.part"));
    }
}

TEST(checkpoint, parts_and_other_reals_load_only_when_asked_for) {
  TemporaryFolder folder;
  save(folder / "c", 2);
  const Checkpoint checkpoint(folder / "c");
  Context cx;
  const auto self = make_self_comm();
  auto tensors = tensors_of(cx, *self);
  tensors.pop_back();
  EXPECT_TRUE(contains(message_of(Status::data, [&] { load_checkpoint(checkpoint, tensors, *self); }),
                       "checkpoint of another model: its tensor optimizer.rows [7, 3] is not in this one"));
  load_checkpoint(checkpoint, tensors, *self, {.ignored_prefixes = {"optimizer."}});
  EXPECT_EQ(tensors[0].tensor.at(20), 20);

  const auto doubles = tensors_of(cx, *self, DType::f64);
  EXPECT_TRUE(contains(message_of(Status::data, [&] { load_checkpoint(checkpoint, doubles, *self); }),
                       "tensor rows is F32 there and F64 here"));
  load_checkpoint(checkpoint, doubles, *self, {.convert_reals = true});
  EXPECT_EQ(doubles[1].tensor.at(119), 1119);
}

TEST(checkpoint, another_model_is_named_by_its_first_difference) {
  TemporaryFolder folder;
  save(folder / "c", 1);
  const Checkpoint checkpoint(folder / "c");
  world(2, [&](Comm& comm) {
    Context cx;
    auto tensors = tensors_of(cx, comm);
    tensors[2] = {"whole", {6}, {0}, cx.empty({6}, DType::f32), true};
    EXPECT_TRUE(contains(message_of(Status::data, [&] { load_checkpoint(checkpoint, tensors, comm); }),
                         "checkpoint of another model: tensor whole is [5] there and [6] here"));
    tensors[2].name = "extra";
    EXPECT_TRUE(contains(message_of(Status::data, [&] { load_checkpoint(checkpoint, tensors, comm); }),
                         "it has no tensor extra [6]"));
  });
}

TEST(checkpoint, each_file_damaged_cut_missing_or_foreign_is_refused_by_name) {
  TemporaryFolder folder;
  save(folder / "c", 3);
  std::vector<std::string> files;
  for (const auto& item : std::filesystem::directory_iterator(folder / "c")) files.push_back(item.path().string());
  ASSERT_EQ(files.size(), 4u);
  for (const std::string& path : files) {
    const std::string good = file_bytes(path);
    const bool index = path.ends_with("index.json");
    const auto refused = [&](const std::string& what) {
      const std::string message = load_message(folder / "c");
      EXPECT_TRUE(contains(message, path.substr(path.rfind('/') + 1))) << what << ": " << message;
      EXPECT_TRUE(index || contains(message, "tensor ")) << what << ": " << message;
    };
    for (size_t at = 0; at < good.size(); at += std::max<size_t>(1, good.size() / 23)) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 4);
      write_file(path, bad);
      if (index && (good[at] == ' ' || good[at] == '\n') && bad.find_first_not_of(" \n\t\r$*", at) == at) continue;
      refused(fmt::format("byte {}", at));
    }
    for (size_t length : {size_t{0}, size_t{5}, good.size() / 2, good.size() - 2}) {
      write_file(path, good.substr(0, length));
      refused(fmt::format("{} bytes", length));
    }
    write_file(path, "PK\x03\x04 a file of another program");
    refused("foreign");
    std::filesystem::remove(path);
    refused("missing");
    write_file(path, good);
    load_and_compare(folder / "c", 2);
  }
}

TEST(checkpoint, boxes_that_do_not_cover_a_tensor_once_are_a_bug) {
  TemporaryFolder folder;
  world(2, [&](Comm& comm) {
    Context cx;
    auto tensors = tensors_of(cx, comm);
    for (const auto& t : tensors) fill(t, 0);
    tensors[2].this_rank_writes = true;
    EXPECT_TRUE(contains(message_of(Status::internal, [&] { save_checkpoint(folder / "c", tensors, {}, comm); }),
                         "tensor whole: boxes overlap"));
    tensors[2].this_rank_writes = false;
    tensors[0].this_rank_writes = comm.rank() == 0;
    EXPECT_TRUE(contains(message_of(Status::internal, [&] { save_checkpoint(folder / "c", tensors, {}, comm); }),
                         "tensor rows: 9 of 21 elements are written"));
  });
  EXPECT_FALSE(std::filesystem::exists(folder / "c"));
}

TEST(checkpoint, a_run_folder_keeps_the_newest) {
  TemporaryFolder run;
  EXPECT_TRUE(list_checkpoints(run.path()).empty());
  EXPECT_TRUE(contains(message_of(Status::data, [&] { find_checkpoint(run.path()); }), "no checkpoint here"));
  EXPECT_TRUE(contains(message_of(Status::data, [&] { find_checkpoint(run / "absent"); }), "no such folder"));
  for (int step : {5, 20, 100}) save(checkpoint_folder(run.path(), step), 1, step);
  std::filesystem::create_directories(run / "checkpoints/step-00000200.part");
  std::filesystem::create_directories(run / "checkpoints/notes");
  EXPECT_EQ(list_checkpoints(run.path()).size(), 3u);
  EXPECT_EQ(find_checkpoint(run.path()), checkpoint_folder(run.path(), 100));
  EXPECT_EQ(find_checkpoint(checkpoint_folder(run.path(), 5)), checkpoint_folder(run.path(), 5));
  remove_old_checkpoints(run.path(), checkpoint_folder(run.path(), 100), 2);
  EXPECT_EQ(list_checkpoints(run.path()),
            (std::vector<std::string>{checkpoint_folder(run.path(), 20), checkpoint_folder(run.path(), 100)}));
  // A save below steps that are there stays, whatever `keep` says; set aside, those are no more of the run.
  remove_old_checkpoints(run.path(), checkpoint_folder(run.path(), 20), 1);
  EXPECT_EQ(list_checkpoints(run.path()).size(), 2u);
  save(checkpoint_folder(run.path(), 30), 1, 30);
  const std::string aside = set_aside_checkpoints(run.path(), {checkpoint_folder(run.path(), 30)}, 20);
  EXPECT_EQ(aside, run / "checkpoints/abandoned-at-step-00000020");
  load_and_compare(aside + "/step-00000030", 1, 30);
  save(checkpoint_folder(run.path(), 30), 1, 31);
  EXPECT_EQ(set_aside_checkpoints(run.path(), {checkpoint_folder(run.path(), 30)}, 20), aside + "-2");
  EXPECT_EQ(list_checkpoints(run.path()).size(), 2u);
  // Moved aside by a save that was killed before it put the new one there.
  std::filesystem::rename(checkpoint_folder(run.path(), 100), checkpoint_folder(run.path(), 100) + ".old");
  load_and_compare(find_checkpoint(run.path()), 1, 100);
  save(checkpoint_folder(run.path(), 101), 1, 101);
  EXPECT_FALSE(std::filesystem::exists(run / "checkpoints/step-00000200.part"));
  EXPECT_EQ(list_checkpoints(run.path()).size(), 3u);
}

// Runs body in a child; the wait status.
template <class F>
pid_t in_child(F&& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    int status = 99;
    try {
      status = body();
    } catch (const std::exception& e) {
      fprintf(stderr, "%s\n", e.what());
    }
    _exit(status);
  }
  return pid;
}

TEST(checkpoint, killed_at_any_moment_the_newest_loads) {
  TemporaryFolder run;
  const std::string path = run.path();
  save(checkpoint_folder(path, 1), 1, 1);
  int64_t step = 1;
  for (int round = 0; round < 20; ++round) {
    const pid_t pid = in_child([&] {
      for (int64_t s = step + 1;; ++s) {
        // Every third replaces the one before.
        save(checkpoint_folder(path, s), 1, static_cast<double>(s));
        if (s % 3 == 0) save(checkpoint_folder(path, s), 1, static_cast<double>(s));
        remove_old_checkpoints(path, checkpoint_folder(path, s), 2);
      }
      return 0;
    });
    const auto pause = static_cast<int64_t>(1000 + 60000 * random_uniform(7, static_cast<uint64_t>(round)));
    std::this_thread::sleep_for(std::chrono::microseconds(pause));
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    const std::string newest = find_checkpoint(path);
    const Checkpoint checkpoint(newest);
    checkpoint.verify();
    const int64_t found = checkpoint.metadata()["step"].integer();
    EXPECT_EQ(newest, checkpoint_folder(path, found));
    EXPECT_GE(found, step);
    load_and_compare(newest, 1, static_cast<double>(found));
    step = found;
  }
  EXPECT_GT(step, 5);
}

// A place in this (child) process that takes about 100 KiB: a small tmpfs where that is allowed, else a limit on the
// size of files.
void make_small_disk(const std::string& folder) {
  std::filesystem::create_directories(folder);
  const bool own = unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
  if (own && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      mount("none", folder.c_str(), "tmpfs", 0, "size=100k") == 0)
    return;
  signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100 << 10, 100 << 10};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(98);
}

TEST(checkpoint, a_full_disk_leaves_the_old_one) {
  TemporaryFolder folder;
  const std::string run = folder / "run";
  const pid_t pid = in_child([&] {
    make_small_disk(run);
    save(checkpoint_folder(run, 1), 2, 1);
    std::string message;
    world(2, [&](Comm& comm) {
      Context cx;
      auto tensors = tensors_of(cx, comm);
      tensors[2] = {"whole", {50000}, {0}, cx.zeros({50000}, DType::f32), comm.rank() == 1};
      for (const auto& t : tensors) fill(t, 0);
      try {
        save_checkpoint(checkpoint_folder(run, 2), tensors, {}, comm);
      } catch (const Error& e) {
        if (e.status() == Status::data && comm.rank() == 0) message = e.what();
      }
    });
    load_and_compare(find_checkpoint(run), 1, 1);
    // The ranks share the disk: either may be the one that finds it full.
    const std::string what = ": cannot write " + checkpoint_folder(run, 2);
    const bool told = (contains(message, "rank 0" + what) || contains(message, "rank 1" + what)) &&
                      (contains(message, "No space left") || contains(message, "File too large"));
    if (!told) fprintf(stderr, "message: %s\n", message.c_str());
    const bool clean = !std::filesystem::exists(checkpoint_folder(run, 2) + ".part");
    return told && clean && list_checkpoints(run).size() == 1 && !::testing::Test::HasFailure() ? 0 : 1;
  });
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(checkpoint, a_folder_that_cannot_be_written_is_refused_on_all_ranks) {
  TemporaryFolder folder;
  write_file(folder / "file", "not a folder");
  world(2, [&](Comm& comm) {
    Context cx;
    const auto tensors = tensors_of(cx, comm);
    for (const auto& t : tensors) fill(t, 0);
    EXPECT_TRUE(contains(message_of(Status::data, [&] { save_checkpoint(folder / "file/c", tensors, {}, comm); }),
                         "cannot make the folder"));
  });
}

}  // namespace
}  // namespace og

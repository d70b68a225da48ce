// Memory that cannot suffice: who shares which bound, what is said, and the margin that a tensor leaves.
#include "framework/train/memory_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "framework/core/memory_margin.h"
#include "framework/measure/host_memory.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

constexpr double kGiB = 1 << 30;

MemoryNeed gib(double each) { return {each * kGiB, each * kGiB, 2 * each * kGiB, 0}; }

MemoryBounds plenty() {
  return {.host = "a", .group = "job", .machine = 1e15, .control_group = 1e15, .address_space = 1e15};
}

// What each of two ranks ends with; empty: nothing is wrong.
std::vector<std::string> refusals(const std::function<void(int, MemoryNeed&, MemoryBounds&)>& change) {
  std::vector<std::string> told(2);
  world(2, [&](Comm& comm) {
    MemoryNeed need = gib(1);  // 4 GiB a rank
    MemoryBounds bounds = plenty();
    change(comm.rank(), need, bounds);
    try {
      check_memory(need, bounds, comm, Config());
    } catch (const Error& e) {
      EXPECT_EQ(e.status(), Status::usage);
      told[static_cast<size_t>(comm.rank())] = e.what();
    }
  });
  return told;
}

TEST(MemoryLimit, RanksOfAHostShareItsMemory) {
  for (const std::string& text : refusals([](int, MemoryNeed&, MemoryBounds& b) { b.machine = 7 * kGiB; })) {
    EXPECT_NE(text.find("2 ranks of this host would together take at least 8.00 GiB"), std::string::npos) << text;
    EXPECT_NE(text.find("leaves 7.00 GiB"), std::string::npos) << text;
    EXPECT_NE(text.find("moments        2.00 GiB"), std::string::npos) << text;
    EXPECT_NE(text.find("parallel.zero: 1"), std::string::npos) << text;
  }
  for (const std::string& text : refusals([](int, MemoryNeed&, MemoryBounds& b) { b.machine = 9 * kGiB; }))
    EXPECT_EQ(text, "") << "it fits";
  for (const std::string& text : refusals([](int rank, MemoryNeed&, MemoryBounds&b) {
         b.machine = 7 * kGiB;
         b.host = rank == 0 ? "a" : "b";
       }))
    EXPECT_EQ(text, "") << "a host each";
}

TEST(MemoryLimit, RanksOfAControlGroupShareItsBound) {
  for (const std::string& text : refusals([](int, MemoryNeed&, MemoryBounds& b) { b.control_group = 7 * kGiB; }))
    EXPECT_NE(text.find("the control group (memory.max) leaves 7.00 GiB"), std::string::npos) << text;
  for (const std::string& text : refusals([](int rank, MemoryNeed&, MemoryBounds&b) {
         b.control_group = 7 * kGiB;
         b.group = rank == 0 ? "job" : "another";
       }))
    EXPECT_EQ(text, "") << "a bound each";
}

TEST(MemoryLimit, OneRankThatCannotFitEndsAll) {
  const auto told = refusals([](int rank, MemoryNeed&, MemoryBounds& b) {
    if (rank == 1) b.address_space = 3 * kGiB;
  });
  EXPECT_NE(
      told[1].find("1 rank would take at least 4.00 GiB, and the limit of the address space (ulimit -v) leaves 3.00"),
      std::string::npos)
      << told[1];
  EXPECT_NE(told[1].find("Rank 1 holds at least"), std::string::npos) << told[1];
  EXPECT_EQ(told[0], told[1]);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they live on address space

// `bytes` more of address space than this process has now, until the end of the scope.
class AddressLimit {
 public:
  explicit AddressLimit(int64_t bytes) {
    getrlimit(RLIMIT_AS, &before_);
    rlimit all = before_;
    all.rlim_cur = std::min<rlim_t>(before_.rlim_max, rlim_t{1} << 50);
    setrlimit(RLIMIT_AS, &all);
    rlimit limit = before_;
    limit.rlim_cur = all.rlim_cur - static_cast<rlim_t>(free_address_bytes()) + static_cast<rlim_t>(bytes);
    setrlimit(RLIMIT_AS, &limit);
  }
  ~AddressLimit() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

TEST(MemoryLimit, TheLimitOfTheAddressSpaceIsRead) {
  const AddressLimit limit(int64_t{200} << 20);
  const double free = memory_bounds().address_space;
  EXPECT_LE(free, 201 << 20);
  EXPECT_GE(free, 190 << 20) << "what reading it takes is little";
  EXPECT_TRUE(memory_is_left(int64_t{100} << 20));
  EXPECT_FALSE(memory_is_left(int64_t{201} << 20));
}

TEST(MemoryLimit, ATensorLeavesTheMargin) {
  auto pool = Pool::create(false);
  const AddressLimit limit(int64_t{200} << 20);
  { const auto fits = pool->allocate(int64_t{128} << 20); }
  const auto other = Pool::create(false);
  try {
    other->allocate(int64_t{64} << 20);  // 72 MiB are left
    FAIL() << "less than the margin would be left";
  } catch (const OutOfMemory& e) {
    EXPECT_NE(std::string(e.what()).find("no 64.0 MiB for a tensor"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(memory_is_left(kMemoryMargin));
  EXPECT_EQ(other->stats().held_bytes, 0);
}

TEST(MemoryLimit, TheReserveIsGivenBack) {
  MemoryReserve reserve;
  const AddressLimit limit(int64_t{1} << 20);
  EXPECT_FALSE(memory_is_left(int64_t{3} << 20));
  reserve.release();
  EXPECT_TRUE(memory_is_left(int64_t{3} << 20));
}

#endif

}  // namespace
}  // namespace og

// Which implementation a stream gets: none runs in the place of a back end that is not built.
#include "framework/kernels/dispatch.h"

#include <gtest/gtest.h>

#include "framework/core/error.h"
#include "framework/kernels/attention.h"
#include "framework/kernels/balance.h"
#include "framework/kernels/bf16.h"
#include "framework/kernels/blocks.h"
#include "framework/kernels/conv.h"
#include "framework/kernels/embed.h"
#include "framework/kernels/gates.h"
#include "framework/kernels/loss.h"
#include "framework/kernels/matmul.h"
#include "framework/kernels/moe.h"
#include "framework/kernels/norm.h"
#include "framework/kernels/optim.h"
#include "framework/kernels/pointwise.h"
#include "framework/kernels/rope.h"
#include "framework/kernels/route.h"
#include "framework/kernels/scan.h"
#include "framework/kernels/summary.h"

namespace og {
namespace {

template <class Call>
void expect_refused(const char* family, Call&& call) {
  try {
    call();
    ADD_FAILURE() << family << ": something ran for cuda";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), Status::usage) << family;
    EXPECT_NE(std::string(e.what()).find("cuda"), std::string::npos) << e.what();
  }
}

template <class T>
void expect_families_refused() {
  const Stream s{.backend = Backend::cuda};
  expect_refused("attention", [&] { attention_kernels<T>(s); });
  expect_refused("balance", [&] { balance_kernels<T>(s); });
  expect_refused("blocks", [&] { block_kernels<T>(s); });
  expect_refused("conv", [&] { conv_kernels<T>(s); });
  expect_refused("embed", [&] { embed_kernels<T>(s); });
  expect_refused("gates", [&] { gate_kernels<T>(s); });
  expect_refused("loss", [&] { loss_kernels<T>(s); });
  expect_refused("matmul", [&] { matmul_kernels<T>(s); });
  expect_refused("moe", [&] { moe_kernels<T>(s); });
  expect_refused("norm", [&] { norm_kernels<T>(s); });
  expect_refused("optim", [&] { optim_kernels<T>(s); });
  expect_refused("pointwise", [&] { pointwise_kernels<T>(s); });
  expect_refused("rope", [&] { rope_kernels<T>(s); });
  expect_refused("summary", [&] { summary_kernels<T>(s); });
  for (const ScanForm form : {ScanForm::automatic, ScanForm::recurrent, ScanForm::chunked})
    expect_refused("scan", [&] { scan_kernels<T>(s, form); });
}

TEST(Dispatch, NoFamilyRunsOnTheProcessorForCuda) {
  expect_families_refused<float>();
  expect_families_refused<double>();
  expect_refused("route", [] { route_kernels(Stream{.backend = Backend::cuda}); });
  expect_refused("bf16", [] { bf16_kernels(Stream{.backend = Backend::cuda}); });
}

TEST(Dispatch, RefNeverLeavesRef) {
  const Stream s{.backend = Backend::ref};
  EXPECT_EQ(&norm_kernels<float>(s), &norm_ref<float>());
  EXPECT_EQ(&scan_kernels<float>(s, ScanForm::automatic), &scan_ref<float>());
  EXPECT_EQ(&norm_kernels<float>(Stream{}) == &norm_ref<float>(), best_isa() == Isa::base);
}

}  // namespace
}  // namespace og

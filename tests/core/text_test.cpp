// Quantities as people read them.
#include "framework/core/text.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace og {
namespace {

TEST(Text, TimesHaveAUnitInWhichTheyAreSeen) {
  EXPECT_EQ(human_time(0), "0");
  EXPECT_EQ(human_time(4e-10), "0.4 ns");
  EXPECT_EQ(human_time(120e-9), "120 ns");
  EXPECT_EQ(human_time(2.4e-6), "2.4 us");
  EXPECT_EQ(human_time(24.06e-6), "24.1 us");
  EXPECT_EQ(human_time(0.0135), "13.5 ms");
  EXPECT_EQ(human_time(1.25), "1.25 s");
  EXPECT_EQ(human_time(999.4), "999 s");
  EXPECT_EQ(human_time(2160.4), "2160 s");
}

TEST(Text, NanIsPrintedWithoutASign) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(fmt::format("{} {:.4f}", printable(-nan), printable(std::copysign(nan, -1))), "nan nan");
  EXPECT_EQ(fmt::format("{} {}", printable(-1.5), printable(-HUGE_VAL)), "-1.5 -inf");
}

TEST(Text, WhatRoundsUpTakesTheNextUnit) {
  EXPECT_EQ(human_time(999.4e-6), "999 us");
  EXPECT_EQ(human_time(999.6e-6), "1 ms");
  EXPECT_EQ(human_time(0.99951), "1 s");
  EXPECT_EQ(human_time(999.6), "1000 s");
}

TEST(Text, Counts) {
  EXPECT_EQ(human_count(999), "999");
  EXPECT_EQ(human_count(12345), "12.3K");
  EXPECT_EQ(human_count(4.5e6), "4.50M");
  EXPECT_EQ(human_rate(4.27e9), "4.27 GFLOP/s");
  EXPECT_EQ(human_bytes(1000), "1000 B");
  EXPECT_EQ(human_bytes(1.25 * 1024 * 1024), "1.25 MiB");
}

TEST(Text, WhatIsLeftIsAClock) {
  EXPECT_EQ(human_seconds(-1), "0:00");
  EXPECT_EQ(human_seconds(122.6), "2:03");
  EXPECT_EQ(human_seconds(3723), "1:02:03");
}

TEST(Text, LongLinesAreBrokenAndIndentedAsTheirLastColumn) {
  EXPECT_EQ(wrapped("one two three\n\nfour\n", 8), "one two\nthree\n\nfour\n");
  EXPECT_EQ(wrapped("  --a TEXT   first second third", 25), "  --a TEXT   first second\n             third");
  EXPECT_EQ(wrapped("0123456789 ab", 8), "0123456789 ab");
  EXPECT_EQ(wrapped("12345678", 8), "12345678");
  EXPECT_EQ(wrapped("1234 678 0", 8), "1234 678\n0");
}

}  // namespace
}  // namespace og

#include <gtest/gtest.h>
#include "tests/world.h"
using namespace og;
TEST(comm, first) {
  for (int n : {1,2,3,4,8}) world(n, [](Comm& c) {
    EXPECT_EQ(c.sum(c.rank(), {"a"}), c.size()*(c.size()-1)/2);
    c.barrier({"b"});
    EXPECT_EQ(c.broadcast_text("hello", 0, {"c"}), "hello");
    EXPECT_EQ(c.gather_text(std::string(c.rank(), 'x'), {"c"}).back().size(), c.size()-1);
    auto s = c.split(c.rank()%2, -c.rank(), "sub");
    EXPECT_EQ(s->max(c.rank(), {"d"}), (c.size()-1)-((c.size()-1-c.rank())%2));
  });
  EXPECT_THROW(world(3, [](Comm& c) { if (c.rank()==1) throw std::runtime_error("x"); c.barrier({"b"}); }), std::runtime_error);
}

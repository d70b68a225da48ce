// What every transport must do, as expectations on one rank of a group: run on thread ranks by comm_test, on real MPI
// ranks by mpi_ranks.
#pragma once

#include <gtest/gtest.h>

#include <numeric>

#include "parallel/comm/comm.h"
#include "tests/tensors.h"

namespace og {

inline const DType kAllTypes[] = {DType::f32, DType::f64, DType::i32, DType::i64};

// Small whole numbers that differ between ranks, elements and keys: sums are exact in every type.
inline Tensor numbered(Context& cx, const Shape& shape, DType dtype, int rank, int64_t key = 0) {
  const Tensor t = cx.empty(shape, DType::f64);
  for (int64_t i = 0; i < t.count(); ++i)
    t.data<double>()[i] = static_cast<double>((rank * 37 + i * 7 + key * 11) % 101 - 50);
  if (is_real(dtype)) return t.cast(*cx.pool, dtype);
  const Tensor whole = cx.empty(shape, dtype);
  for (int64_t i = 0; i < t.count(); ++i) {
    if (dtype == DType::i32) {
      whole.data<int32_t>()[i] = static_cast<int32_t>(t.at(i));
    } else {
      whole.data<int64_t>()[i] = static_cast<int64_t>(t.at(i));
    }
  }
  return whole;
}

// Different counts for each rank, among them 0.
inline std::vector<int64_t> uneven_rows(int size, int64_t scale = 1) {
  std::vector<int64_t> rows;
  for (int r = 0; r < size; ++r) rows.push_back(r % 3 == 1 ? 0 : scale * (r + 1));
  return rows;
}

inline int64_t rows_before(const std::vector<int64_t>& rows, int rank) {
  return std::accumulate(rows.begin(), rows.begin() + rank, int64_t{0});
}

inline void check_all_reduce(Comm& comm, Context& cx) {
  for (DType dtype : kAllTypes) {
    for (int64_t n : {0, 1, 5, 20000}) {  // 20000: more than fits one message of a small sum
      for (Reduce op : {Reduce::sum, Reduce::max, Reduce::min}) {
        const Tensor x = numbered(cx, {n}, dtype, comm.rank());
        comm.all_reduce(x, op, Sites::test).wait();
        std::vector<Tensor> all;
        for (int r = 0; r < comm.size(); ++r) all.push_back(numbered(cx, {n}, dtype, r));
        int64_t wrong = 0;
        for (int64_t i = 0; i < n; ++i) {
          double expected = all[0].at(i);
          for (int r = 1; r < comm.size(); ++r) {
            const double v = all[static_cast<size_t>(r)].at(i);
            expected = op == Reduce::sum   ? expected + v
                       : op == Reduce::max ? std::max(expected, v)
                                           : std::min(expected, v);
          }
          wrong += x.at(i) != expected;
        }
        EXPECT_EQ(wrong, 0) << name_of(dtype) << " " << n << " op " << static_cast<int>(op);
      }
    }
  }
}

// Sums of numbers that round: the ranks' terms added in the order of the ranks, so the same bits everywhere.
inline void check_sum_order(Comm& comm, Context& cx) {
  for (int64_t n : {3, 30001}) {
    const Tensor x = random_tensor(cx, {n}, DType::f32, 100 + static_cast<uint64_t>(comm.rank()));
    const Tensor in = x.clone(*cx.pool);
    comm.all_reduce(x, Reduce::sum, Sites::test).wait();
    const Tensor expected = random_tensor(cx, {n}, DType::f32, 100);
    for (int r = 1; r < comm.size(); ++r) {
      const Tensor term = random_tensor(cx, {n}, DType::f32, 100 + static_cast<uint64_t>(r));
      for (int64_t i = 0; i < n; ++i) expected.data<float>()[i] += term.data<float>()[i];
    }
    EXPECT_TRUE(same_bits(x, expected)) << n;
    const std::vector<int64_t> rows = uneven_rows(comm.size());
    const int64_t mine = rows[static_cast<size_t>(comm.rank())], before = rows_before(rows, comm.rank());
    const Tensor part = cx.empty({mine}, DType::f32);
    const int64_t all = rows_before(rows, comm.size());
    if (all > n) continue;
    comm.reduce_scatter(part, in.slice(0, all), rows, Sites::test).wait();
    EXPECT_TRUE(same_bits(part, expected.slice(before, before + mine))) << n;
  }
}

inline void check_gather_and_scatter(Comm& comm, Context& cx) {
  for (DType dtype : kAllTypes) {
    for (int64_t scale : {0, 1, 3000}) {
      const std::vector<int64_t> rows = uneven_rows(comm.size(), scale);
      const int64_t mine = rows[static_cast<size_t>(comm.rank())], all = rows_before(rows, comm.size());
      const Tensor out = cx.empty({all, 2}, dtype);
      comm.all_gather(out, numbered(cx, {mine, 2}, dtype, comm.rank()), rows, Sites::test).wait();
      for (int r = 0; r < comm.size(); ++r) {
        const int64_t begin = rows_before(rows, r), n = rows[static_cast<size_t>(r)];
        EXPECT_TRUE(same_bits(out.slice(begin, begin + n), numbered(cx, {n, 2}, dtype, r))) << name_of(dtype);
      }
      if (!is_real(dtype)) continue;
      const Tensor part = cx.empty({mine, 2}, dtype);
      comm.reduce_scatter(part, numbered(cx, {all, 2}, dtype, comm.rank()), rows, Sites::test).wait();
      int64_t wrong = 0;
      for (int64_t i = 0; i < part.count(); ++i) {
        double expected = 0;
        for (int r = 0; r < comm.size(); ++r)
          expected += static_cast<double>((r * 37 + (2 * rows_before(rows, comm.rank()) + i) * 7) % 101 - 50);
        wrong += part.at(i) != expected;
      }
      EXPECT_EQ(wrong, 0) << name_of(dtype) << " " << scale;
    }
  }
}

// Rank r sends (r + 2 p) % 4 rows to rank p.
inline void check_all_to_all(Comm& comm, Context& cx) {
  const auto sent = [](int from, int to) { return int64_t{(from + 2 * to) % 4}; };
  for (DType dtype : kAllTypes) {
    std::vector<int64_t> send_rows, recv_rows;
    for (int p = 0; p < comm.size(); ++p) {
      send_rows.push_back(sent(comm.rank(), p));
      recv_rows.push_back(sent(p, comm.rank()));
    }
    const Tensor in = numbered(cx, {rows_before(send_rows, comm.size()), 3}, dtype, comm.rank());
    const Tensor out = cx.empty({rows_before(recv_rows, comm.size()), 3}, dtype);
    comm.all_to_all(out, recv_rows, in, send_rows, Sites::test).wait();
    for (int p = 0; p < comm.size(); ++p) {
      std::vector<int64_t> theirs;
      for (int q = 0; q < comm.size(); ++q) theirs.push_back(sent(p, q));
      const int64_t from = rows_before(theirs, comm.rank()), n = sent(p, comm.rank());
      const Tensor whole = numbered(cx, {rows_before(theirs, comm.size()), 3}, dtype, p);
      const int64_t at = rows_before(recv_rows, p);
      EXPECT_TRUE(same_bits(out.slice(at, at + n), whole.slice(from, from + n))) << p << " to " << comm.rank();
    }
  }
}

inline void check_broadcast(Comm& comm, Context& cx) {
  for (DType dtype : kAllTypes)
    for (int root = 0; root < comm.size(); ++root)
      for (int64_t n : {0, 1, 7000}) {
        const Tensor x = numbered(cx, {n}, dtype, comm.rank());
        comm.broadcast(x, root, Sites::test).wait();
        EXPECT_TRUE(same_bits(x, numbered(cx, {n}, dtype, root))) << root << " " << n;
      }
  EXPECT_EQ(comm.broadcast_text(comm.rank() == 0 ? "config\n\xC3\xA9" : "", 0, Sites::test), "config\n\xC3\xA9");
}

// Everybody to the right neighbour (on one rank: to itself), several messages of a pair in order; then only the first
// rank to the last, with the others not calling.
inline void check_send_recv(Comm& comm, Context& cx) {
  const int right = (comm.rank() + 1) % comm.size(), left = (comm.rank() + comm.size() - 1) % comm.size();
  const Tensor first = cx.empty({4}, DType::f32), second = cx.empty({9000}, DType::f64);
  comm.send_recv({{right, numbered(cx, {4}, DType::f32, comm.rank(), 1)},
                  {right, numbered(cx, {9000}, DType::f64, comm.rank(), 2)}},
                 {{left, first}, {left, second}}, Sites::test)
      .wait();
  EXPECT_TRUE(same_bits(first, numbered(cx, {4}, DType::f32, left, 1)));
  EXPECT_TRUE(same_bits(second, numbered(cx, {9000}, DType::f64, left, 2)));
  const int last = comm.size() - 1;
  std::vector<Message> sends, receives;
  if (comm.rank() == 0) sends.push_back({last, numbered(cx, {3}, DType::i32, 0)});
  if (comm.rank() == last) receives.push_back({0, first.slice(0, 3)});
  if (last == 0) receives[0].tensor = cx.empty({3}, DType::i32);
  if (last != 0 && comm.rank() == last) receives[0].tensor = cx.empty({3}, DType::i32);
  if (sends.empty() && receives.empty()) return;
  const Tensor got = receives.empty() ? Tensor() : receives[0].tensor;
  comm.send_recv(std::move(sends), std::move(receives), Sites::test).wait();
  EXPECT_TRUE(!got.defined() || same_bits(got, numbered(cx, {3}, DType::i32, 0)));
}

// Several verbs under way at once, waited for in the reverse order.
inline void check_many_at_once(Comm& comm, Context& cx) {
  const std::vector<int64_t> rows = uneven_rows(comm.size(), 500);
  std::vector<Tensor> sums, gathered;
  std::vector<Pending> pending;
  for (int k = 0; k < 6; ++k) {
    sums.push_back(numbered(cx, {k % 2 ? 9000 : 10}, DType::f64, comm.rank(), k));
    gathered.push_back(cx.empty({rows_before(rows, comm.size())}, DType::f32));
    pending.push_back(comm.all_reduce(sums.back(), Reduce::sum, Sites::loss));
    pending.push_back(comm.all_gather(
        gathered.back(), numbered(cx, {rows[static_cast<size_t>(comm.rank())]}, DType::f32, comm.rank(), k), rows,
        Sites::metrics));
  }
  while (!pending.empty()) {
    pending.back().wait();
    pending.pop_back();
  }
  for (int k = 0; k < 6; ++k) {
    const Tensor expected = cx.zeros(sums[static_cast<size_t>(k)].shape(), DType::f64);
    for (int r = 0; r < comm.size(); ++r) {
      const Tensor term = numbered(cx, expected.shape(), DType::f64, r, k);
      for (int64_t i = 0; i < term.count(); ++i) expected.data<double>()[i] += term.at(i);
      const int64_t begin = rows_before(rows, r), n = rows[static_cast<size_t>(r)];
      EXPECT_TRUE(
          same_bits(gathered[static_cast<size_t>(k)].slice(begin, begin + n), numbered(cx, {n}, DType::f32, r, k)));
    }
    EXPECT_TRUE(same_bits(sums[static_cast<size_t>(k)], expected));
  }
}

inline void check_split(Comm& comm) {
  const auto odd = comm.split(comm.rank() % 2, -comm.rank(), "sequence");  // reversed order
  EXPECT_EQ(odd->axis(), "sequence");
  std::vector<int64_t> expected;
  for (int r = comm.size() - 1; r >= 0; --r)
    if (r % 2 == comm.rank() % 2) expected.push_back(r);
  EXPECT_EQ(odd->gather(comm.rank(), Sites::test), expected);
  EXPECT_EQ(odd->size(), std::ssize(expected));
  const auto alone = odd->split(odd->rank(), 0, "data");
  EXPECT_EQ(alone->size(), 1);
  EXPECT_EQ(alone->sum(3, Sites::test), 3);
  EXPECT_EQ(&alone->counters(), &comm.counters());
}

inline void check_bookkeeping(Comm& comm) {
  const int n = comm.size();
  EXPECT_EQ(comm.sum(comm.rank() + 0.5, Sites::test), n * (n - 1) / 2.0 + 0.5 * n);
  EXPECT_EQ(comm.max(-comm.rank(), Sites::test), 0);
  const std::vector<int64_t> all = comm.gather(int64_t{1} << (40 + comm.rank()), Sites::test);
  for (int r = 0; r < n; ++r) EXPECT_EQ(all[static_cast<size_t>(r)], int64_t{1} << (40 + r));
  const std::vector<std::string> texts =
      comm.gather_text(std::string(static_cast<size_t>(comm.rank()), 'x'), Sites::test);
  for (int r = 0; r < n; ++r) EXPECT_EQ(texts[static_cast<size_t>(r)], std::string(static_cast<size_t>(r), 'x'));
  comm.barrier(Sites::test);
}

inline const CollectiveCount* count_of(Comm& comm, Verb verb, Site site) {
  for (const CollectiveCount& row : comm.counters().rows())
    if (row.verb == verb && row.site == site) return &row;
  return nullptr;
}

// Bytes are those that come from other ranks.
inline void check_counters(Comm& comm, Context& cx) {
  const int64_t n = comm.size();
  const auto bytes = [&](Verb verb) {
    const CollectiveCount* row = count_of(comm, verb, Sites::bench);
    return row ? row->bytes : -1;
  };
  const std::vector<int64_t> rows = uneven_rows(comm.size()), ones(static_cast<size_t>(n), 1);
  const int64_t mine = rows[static_cast<size_t>(comm.rank())], all = rows_before(rows, comm.size());
  for (int i = 0; i < 2; ++i) {
    comm.all_gather(cx.empty({all, 3}, DType::f32), cx.zeros({mine, 3}, DType::f32), rows, Sites::bench).wait();
    comm.reduce_scatter(cx.empty({mine, 3}, DType::f64), cx.zeros({all, 3}, DType::f64), rows, Sites::bench).wait();
    comm.all_to_all(cx.empty({n, 5}, DType::i32), ones, cx.zeros({n, 5}, DType::i32), ones, Sites::bench).wait();
    comm.all_reduce(cx.zeros({n * 10}, DType::f32), Reduce::sum, Sites::bench).wait();
    comm.broadcast(cx.zeros({7}, DType::i64), 0, Sites::bench).wait();
    comm.barrier(Sites::bench);
  }
  EXPECT_EQ(bytes(Verb::all_gather), 2 * (all - mine) * 3 * 4);
  EXPECT_EQ(bytes(Verb::reduce_scatter), 2 * (n - 1) * mine * 3 * 8);
  EXPECT_EQ(bytes(Verb::all_to_all), 2 * (n - 1) * 5 * 4);
  EXPECT_EQ(bytes(Verb::all_reduce), 2 * 2 * (n - 1) * 10 * 4);
  EXPECT_EQ(bytes(Verb::broadcast), comm.rank() == 0 ? 0 : 2 * 7 * 8);
  EXPECT_EQ(bytes(Verb::barrier), 0);
  const CollectiveCount* row = count_of(comm, Verb::all_gather, Sites::bench);
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->calls, 2);
  EXPECT_EQ(row->axis, comm.axis());
  EXPECT_GE(row->seconds, row->exposed_seconds);
}

inline void check_every_verb(Comm& comm) {
  Context cx;
  check_all_reduce(comm, cx);
  check_sum_order(comm, cx);
  check_gather_and_scatter(comm, cx);
  check_all_to_all(comm, cx);
  check_broadcast(comm, cx);
  check_send_recv(comm, cx);
  check_many_at_once(comm, cx);
  check_split(comm);
  check_bookkeeping(comm);
  check_counters(comm, cx);
}

}  // namespace og

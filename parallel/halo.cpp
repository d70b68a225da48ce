#include "parallel/halo.h"

#include <algorithm>
#include <cstring>

#include "parallel/collectives.h"

namespace og {

namespace {

struct Rows {
  int64_t begin = 0, end = 0;  // of the whole sequence; negative: before its first token
  int64_t count() const { return std::max<int64_t>(0, end - begin); }
  Rows with(Rows other) const { return {std::max(begin, other.begin), std::min(end, other.end)}; }
};

// Which rows each rank wants and has.
struct Exchange {
  Comm* comm = nullptr;
  std::vector<int64_t> first;   // as in SeqContext
  std::vector<int64_t> wanted;  // the first row that each rank wants
  int64_t num_rows = 0;         // how many, the same on all ranks

  int size() const { return comm->size(); }
  int rank() const { return comm->rank(); }
  Rows owned_by(int r) const { return {first[static_cast<size_t>(r)], first[static_cast<size_t>(r) + 1]}; }
  Rows wanted_by(int r) const { return {wanted[static_cast<size_t>(r)], wanted[static_cast<size_t>(r)] + num_rows}; }
};

// Rows [begin, end) of dim 1 of x [B, T, ..] as bytes: f(batch row, address, bytes).
template <class F>
void for_each_block(const Tensor& x, int64_t begin, int64_t end, F&& f) {
  const int64_t row = x.shape().count_from(2) * size_of(x.dtype());
  if (begin >= end) return;
  for (int64_t b = 0; b < x.size(0); ++b) f(b, x.raw() + (b * x.size(1) + begin) * row, (end - begin) * row);
}

Shape with_rows(const Tensor& x, int64_t rows) {
  Shape shape = x.shape();
  shape.set(1, rows);
  return shape;
}

Tensor copy_rows(Context& cx, const Tensor& x, int64_t begin, int64_t end) {
  const Tensor out = cx.empty(with_rows(x, end - begin), x.dtype());
  for_each_block(x, begin, end, [&](int64_t b, const std::byte* from, int64_t bytes) {
    std::memcpy(out.raw() + b * bytes, from, static_cast<size_t>(bytes));
  });
  return out;
}

// Rows [begin, end) of x become (or grow by) those of y [B, end - begin, ..].
void put_rows(const Tensor& x, int64_t begin, int64_t end, const Tensor& y, Put put) {
  for_each_block(x, begin, end, [&](int64_t b, std::byte* to, int64_t bytes) {
    const std::byte* from = y.raw() + b * bytes;
    if (put == Put::write) {
      std::memcpy(to, from, static_cast<size_t>(bytes));
      return;
    }
    visit_real(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      auto* sum = reinterpret_cast<T*>(to);
      const auto* term = reinterpret_cast<const T*>(from);
      for (int64_t i = 0; i < bytes / size_of(x.dtype()); ++i) sum[i] += term[i];
    });
  });
}

// Rows of others that this rank wants, and of this rank that others want: one message each way per pair of ranks.
struct Traffic {
  std::vector<Rows> from, to;  // by peer
  explicit Traffic(const Exchange& x) {
    for (int r = 0; r < x.size(); ++r) {
      const bool self = r == x.rank();
      from.push_back(self ? Rows{} : x.wanted_by(x.rank()).with(x.owned_by(r)));
      to.push_back(self ? Rows{} : x.owned_by(x.rank()).with(x.wanted_by(r)));
    }
  }
};

void send_and_receive(const Exchange& x, std::vector<Message> sends, std::vector<Message> receives, Site site) {
  if (sends.empty() && receives.empty()) return;
  x.comm->send_recv(std::move(sends), std::move(receives), site).wait();
}

struct SequenceRows final : Function {
  Exchange exchange;
  DType dtype = DType::f32;

  const char* name() const override { return "sequence_rows"; }

  void backward(Context& cx) override {
    const Tensor dy = gradient(cx);
    const int64_t origin = exchange.wanted_by(exchange.rank()).begin;
    if (input(0)) add_to_owners(cx, dy, origin);
    if (input(1)) {
      const auto [target, put] = input(1)->open(cx);
      if (put == Put::write) target.fill(0);
      const Rows rows = exchange.wanted_by(exchange.rank()).with({-target.size(1), 0});
      if (rows.count() > 0)
        put_rows(target, rows.begin + target.size(1), rows.end + target.size(1),
                 copy_rows(cx, dy, rows.begin - origin, rows.end - origin), Put::add);
    }
  }

 private:
  void add_to_owners(Context& cx, const Tensor& dy, int64_t origin) {
    const Traffic traffic(exchange);
    std::vector<Message> sends, receives;
    std::vector<Rows> rows_received;
    const auto [dx, put] = input(0)->open(cx);
    if (put == Put::write) dx.fill(0);
    for (int r = 0; r < exchange.size(); ++r) {
      const Rows out = traffic.from[static_cast<size_t>(r)], in = traffic.to[static_cast<size_t>(r)];
      if (out.count() > 0) sends.push_back({r, copy_rows(cx, dy, out.begin - origin, out.end - origin)});
      if (in.count() > 0) receives.push_back({r, cx.empty(with_rows(dy, in.count()), dtype)});
    }
    const std::vector<Message> received = receives;
    send_and_receive(exchange, std::move(sends), std::move(receives), Site{"halo.backward"});
    const Rows owned = exchange.owned_by(exchange.rank());
    size_t next = 0;
    for (int r = 0; r < exchange.size(); ++r) {
      if (r == exchange.rank()) {
        const Rows own = exchange.wanted_by(r).with(owned);
        if (own.count() > 0)
          put_rows(dx, own.begin - owned.begin, own.end - owned.begin,
                   copy_rows(cx, dy, own.begin - origin, own.end - origin), Put::add);
        continue;
      }
      const Rows in = traffic.to[static_cast<size_t>(r)];
      if (in.count() > 0) put_rows(dx, in.begin - owned.begin, in.end - owned.begin, received[next++].tensor, Put::add);
    }
  }
};

Value sequence_rows(Tape& tape, const Value& x, const Value& before, Exchange exchange, Place place) {
  Context& cx = tape.context();
  const Rows owned = exchange.owned_by(exchange.rank()), wanted = exchange.wanted_by(exchange.rank());
  OG_CHECK(x.rank() >= 2 && x.size(1) == owned.count(), "halo: {} where this rank holds {} tokens", x.shape().str(),
           owned.count());
  OG_CHECK(!before.defined() || (before.rank() == x.rank() && before.size(0) == x.size(0) &&
                                 before.shape().count_from(2) == x.shape().count_from(2)),
           "halo: {} before {}", before.shape().str(), x.shape().str());
  Value y = tape.output(with_rows(x.tensor(), exchange.num_rows), x.dtype(), x.place().with(Axis::sequence, place),
                        {x, before});
  const Traffic traffic(exchange);
  std::vector<Message> sends, receives;
  for (int r = 0; r < exchange.size(); ++r) {
    const Rows in = traffic.from[static_cast<size_t>(r)], out = traffic.to[static_cast<size_t>(r)];
    if (out.count() > 0)
      sends.push_back({r, copy_rows(cx, x.tensor(), out.begin - owned.begin, out.end - owned.begin)});
    if (in.count() > 0) receives.push_back({r, cx.empty(with_rows(x.tensor(), in.count()), x.dtype())});
  }
  const std::vector<Message> received = receives;
  send_and_receive(exchange, std::move(sends), std::move(receives), forward_site(tape, Site{"halo.forward"}));

  const auto place_rows = [&](Rows rows, const Tensor& values) {
    put_rows(y.tensor(), rows.begin - wanted.begin, rows.end - wanted.begin, values, Put::write);
  };
  const int64_t kept = before.defined() ? before.size(1) : 0;
  const Rows unknown = wanted.with({wanted.begin, -kept}), earlier = wanted.with({-kept, 0});
  if (unknown.count() > 0) place_rows(unknown, cx.zeros(with_rows(x.tensor(), unknown.count()), x.dtype()));
  if (earlier.count() > 0)
    place_rows(earlier, copy_rows(cx, before.tensor(), earlier.begin + kept, earlier.end + kept));
  for (const Message& m : received) place_rows(traffic.from[static_cast<size_t>(m.peer)], m.tensor);
  const Rows own = wanted.with(owned);
  if (own.count() > 0) place_rows(own, copy_rows(cx, x.tensor(), own.begin - owned.begin, own.end - owned.begin));

  auto function = std::make_unique<SequenceRows>();
  function->exchange = std::move(exchange);
  function->dtype = x.dtype();
  tape.record(std::move(function), {x, before}, {y});
  return y;
}

}  // namespace

Value halo(Tape& tape, const Value& x, int64_t num_rows, const SeqContext& seq, const Value& before) {
  Exchange exchange{seq.comm, seq.first, {}, num_rows};
  for (int r = 0; r < seq.comm->size(); ++r) exchange.wanted.push_back(seq.first[static_cast<size_t>(r)] - num_rows);
  return sequence_rows(tape, x, before, std::move(exchange), Place::varying);
}

Value last_rows(Tape& tape, const Value& x, int64_t num_rows, const SeqContext& seq, const Value& before) {
  Exchange exchange{seq.comm, seq.first, {}, num_rows};
  exchange.wanted.assign(static_cast<size_t>(seq.comm->size()), seq.first.back() - num_rows);
  return sequence_rows(tape, x, before, std::move(exchange), Place::replicated);
}

}  // namespace og

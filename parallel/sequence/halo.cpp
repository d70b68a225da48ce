#include "parallel/sequence/halo.h"

#include <algorithm>
#include <optional>

#include "framework/ops/ranges.h"
#include "parallel/mesh/collectives.h"

namespace og {

namespace {

struct Rows {
  int64_t begin = 0, end = 0;  // positions in the whole sequence; negative: before its first token
  int64_t count() const { return std::max<int64_t>(0, end - begin); }
  Rows with(Rows other) const { return {std::max(begin, other.begin), std::min(end, other.end)}; }
};

// Which rows each shard wants and has. A rank with two shards of a row holds them one behind the other: x is
// [B, shards of the rank * T, ..] here, and y likewise.
struct Exchange {
  const SeqContext seq;
  std::vector<int64_t> wanted;  // the first row that each shard wants
  int64_t num_rows = 0;         // how many, the same for all

  int shards() const { return seq.num_shards(); }
  bool mine(int shard) const { return seq.owner(shard) == seq.comm->rank(); }
  Rows owned_by(int s) const { return {seq.first[static_cast<size_t>(s)], seq.first[static_cast<size_t>(s) + 1]}; }
  Rows wanted_by(int s) const { return {wanted[static_cast<size_t>(s)], wanted[static_cast<size_t>(s)] + num_rows}; }
  // From a place in the sequence to the row of this rank's x, or y, for its shard s.
  int64_t in_x(int s) const { return half(s) * seq.local_length() - owned_by(s).begin; }
  int64_t in_y(int s) const { return half(s) * num_rows - wanted_by(s).begin; }

 private:
  int64_t half(int s) const { return s < seq.comm->size() ? 0 : 1; }
};

Shape with_rows(const Tensor& x, int64_t rows) {
  Shape shape = x.shape();
  shape.set(1, rows);
  return shape;
}

// Rows that go from the shard that has them to one that wants them.
struct Move {
  int from, to;
  Rows rows;
};

// All of them in which this rank takes part, in an order that both ends of a pair share.
std::vector<Move> moves_of(const Exchange& x) {
  std::vector<Move> moves;
  for (int to = 0; to < x.shards(); ++to)
    for (int from = 0; from < x.shards(); ++from) {
      const Rows rows = x.wanted_by(to).with(x.owned_by(from));
      if (rows.count() > 0 && (x.mine(to) || x.mine(from))) moves.push_back({from, to, rows});
    }
  return moves;
}

void send_and_receive(const Exchange& x, std::vector<Message> sends, std::vector<Message> receives, Site site) {
  if (sends.empty() && receives.empty()) return;
  x.seq.comm->send_recv(std::move(sends), std::move(receives), site).wait();
}

struct SequenceRows final : Function {
  std::optional<Exchange> exchange;
  DType dtype = DType::f32;

  const char* name() const override { return "sequence_rows"; }

  void backward(Context& cx) override {
    const Exchange& x = *exchange;
    const Tensor dy = paired(gradient(cx), x.seq);
    if (input(0)) add_to_owners(cx, dy);
    if (input(1)) {  // states come with one shard a rank
      const auto [target, put] = input(1)->open(cx);
      if (put == Put::write) target.fill(0);
      const int own = x.seq.comm->rank();
      const Rows rows = x.wanted_by(own).with({-target.size(1), 0});
      if (rows.count() > 0)
        move_range(cx.stream, 1, target, rows.begin + target.size(1), Put::add, dy, rows.begin + x.in_y(own),
                   rows.count());
    }
  }

  // Rows in memory -> rows of the batch, [B, shards of the rank * T, ..].
  static Tensor paired(const Tensor& x, const SeqContext& seq) {
    Shape shape = x.shape();
    shape.set(0, shape[0] / seq.shards_of_rank());
    shape.set(1, shape[1] * seq.shards_of_rank());
    return x.reshape(shape);
  }

 private:
  void add_to_owners(Context& cx, const Tensor& dy) {
    const Exchange& x = *exchange;
    const std::vector<Move> moves = moves_of(x);
    std::vector<Message> sends, receives;
    const auto [target, put] = input(0)->open(cx);
    const Tensor dx = paired(target, x.seq);
    if (put == Put::write) dx.fill(0);
    for (const Move& m : moves) {
      const int64_t begin = m.rows.begin + x.in_y(m.to);
      if (x.mine(m.to) && !x.mine(m.from))
        sends.push_back({x.seq.owner(m.from), copy_range(cx, 1, dy, begin, begin + m.rows.count())});
      if (x.mine(m.from) && !x.mine(m.to))
        receives.push_back({x.seq.owner(m.to), cx.empty(with_rows(dy, m.rows.count()), dtype)});
    }
    const std::vector<Message> received = receives;
    send_and_receive(x, std::move(sends), std::move(receives), Sites::halo_backward);
    size_t next = 0;
    for (const Move& m : moves) {
      if (!x.mine(m.from)) continue;
      const bool here = x.mine(m.to);
      move_range(cx.stream, 1, dx, m.rows.begin + x.in_x(m.from), Put::add, here ? dy : received[next++].tensor,
                 here ? m.rows.begin + x.in_y(m.to) : 0, m.rows.count());
    }
  }
};

Value sequence_rows(Tape& tape, const Value& x_value, const Value& before, Exchange exchange, Place place) {
  Context& cx = tape.context();
  const SeqContext& seq = exchange.seq;
  OG_CHECK(x_value.rank() >= 2 && x_value.size(1) == seq.local_length(), "halo: {} where this rank holds {} tokens",
           x_value.shape().str(), seq.local_length());
  OG_CHECK(!before.defined() || !seq.zigzag(), "halo: a state in zigzag order");
  OG_CHECK(!before.defined() || (before.rank() == x_value.rank() && before.size(0) == x_value.size(0) &&
                                 before.shape().count_from(2) == x_value.shape().count_from(2)),
           "halo: {} before {}", before.shape().str(), x_value.shape().str());
  Value y_value = tape.output(with_rows(x_value.tensor(), exchange.num_rows), x_value.dtype(),
                              x_value.place().with(Axis::sequence, place), {x_value, before});
  const Tensor x = SequenceRows::paired(x_value.tensor(), seq), y = SequenceRows::paired(y_value.tensor(), seq);
  const std::vector<Move> moves = moves_of(exchange);
  std::vector<Message> sends, receives;
  for (const Move& m : moves) {
    const int64_t begin = m.rows.begin + exchange.in_x(m.from);
    if (exchange.mine(m.from) && !exchange.mine(m.to))
      sends.push_back({seq.owner(m.to), copy_range(cx, 1, x, begin, begin + m.rows.count())});
    if (exchange.mine(m.to) && !exchange.mine(m.from))
      receives.push_back({seq.owner(m.from), cx.empty(with_rows(x, m.rows.count()), x.dtype())});
  }
  const std::vector<Message> received = receives;
  send_and_receive(exchange, std::move(sends), std::move(receives), forward_site(tape, Sites::halo_forward));

  const int64_t kept = before.defined() ? before.size(1) : 0;
  for (int s = 0; s < exchange.shards(); ++s) {
    if (!exchange.mine(s)) continue;
    const Rows wanted = exchange.wanted_by(s);
    const Rows unknown = wanted.with({wanted.begin, -kept}), earlier = wanted.with({-kept, 0});
    const auto place_rows = [&](Rows rows, const Tensor& values, int64_t from) {
      move_range(cx.stream, 1, y, rows.begin + exchange.in_y(s), Put::write, values, from, rows.count());
    };
    if (unknown.count() > 0) place_rows(unknown, cx.zeros(with_rows(x, unknown.count()), x.dtype()), 0);
    if (earlier.count() > 0) place_rows(earlier, before.tensor(), earlier.begin + kept);
  }
  size_t next = 0;
  for (const Move& m : moves) {
    if (!exchange.mine(m.to)) continue;
    const bool here = exchange.mine(m.from);
    move_range(cx.stream, 1, y, m.rows.begin + exchange.in_y(m.to), Put::write, here ? x : received[next++].tensor,
               here ? m.rows.begin + exchange.in_x(m.from) : 0, m.rows.count());
  }

  auto function = std::make_unique<SequenceRows>();
  function->exchange.emplace(std::move(exchange));
  function->dtype = x.dtype();
  tape.record(std::move(function), {x_value, before}, {y_value});
  return y_value;
}

}  // namespace

Value halo(Tape& tape, const Value& x, int64_t num_rows, const SeqContext& seq, const Value& before) {
  Exchange exchange{seq, {}, num_rows};
  for (int s = 0; s < seq.num_shards(); ++s) exchange.wanted.push_back(seq.first[static_cast<size_t>(s)] - num_rows);
  return sequence_rows(tape, x, before, std::move(exchange), Place::varying);
}

Value last_rows(Tape& tape, const Value& x, int64_t num_rows, const SeqContext& seq, const Value& before) {
  OG_CHECK(!seq.zigzag(), "last rows in zigzag order");
  Exchange exchange{seq, {}, num_rows};
  exchange.wanted.assign(static_cast<size_t>(seq.num_shards()), seq.first.back() - num_rows);
  return sequence_rows(tape, x, before, std::move(exchange), Place::replicated);
}

}  // namespace og

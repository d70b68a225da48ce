// LASP-2 on thread ranks: any split equals one rank, one all_gather each way, hidden behind local work.
#include "parallel/sequence/scan.h"

#include <gtest/gtest.h>

#include <map>

#include "framework/autograd/recompute.h"
#include "parallel/sequence/methods.h"
#include "parallel/sequence/states.h"
#include "tests/parallel/split_sequence.h"

namespace og {
namespace {

struct Trial {
  int64_t B = 1, T = 7, H = 2, K = 3, V = 4;
  Recurrence recurrence{};
  DType dtype = DType::f64;
  std::vector<int64_t> starts{};  // documents' first tokens in every row; empty: one document
  bool initial = true;            // with an initial state, and the first document began before the row
  SequenceOptions options{};
};

struct Streams {  // whole rows on every rank
  Tensor q, k, v, g, beta, initial, dout, dfinal, starts;
};

Streams make(Context& cx, const Trial& p) {
  const auto random = [&](const Shape& s, uint64_t key) { return random_tensor(cx, s, DType::f64, key); };
  Streams w;
  w.q = random({p.B, p.T, p.H, p.K}, 1);
  w.k = random_tensor(cx, {p.B, p.T, p.H, p.K}, DType::f64, 2, 1 / std::sqrt(static_cast<double>(p.K)));
  w.v = random({p.B, p.T, p.H, p.V}, 3);
  if (p.recurrence.gate != Gate::none) {
    w.g = random(p.recurrence.gate == Gate::scalar ? Shape{p.B, p.T, p.H} : Shape{p.B, p.T, p.H, p.K}, 4);
    for (int64_t i = 0; i < w.g.count(); ++i) w.g.data<double>()[i] = -0.2 * std::abs(w.g.at(i));
  }
  if (p.recurrence.delta) {
    w.beta = random({p.B, p.T, p.H}, 5);
    for (int64_t i = 0; i < w.beta.count(); ++i) w.beta.data<double>()[i] = 1 / (1 + std::exp(-w.beta.at(i)));
  }
  if (p.initial) w.initial = random({p.B, p.H, p.K, p.V}, 6);
  w.dout = random({p.B, p.T, p.H, p.V}, 7);
  w.dfinal = random({p.B, p.H, p.K, p.V}, 8);
  for (Tensor* t : {&w.q, &w.k, &w.v, &w.g, &w.beta, &w.initial, &w.dout, &w.dfinal})
    if (t->defined()) *t = t->cast(*cx.pool, p.dtype);
  w.starts = cx.empty({p.B, p.T}, DType::i32);
  for (int64_t b = 0; b < p.B; ++b) {
    int32_t at = p.initial ? -1 : 0;
    for (int64_t t = 0; t < p.T; ++t) {
      if (std::find(p.starts.begin(), p.starts.end(), t) != p.starts.end()) at = static_cast<int32_t>(t);
      w.starts.data<int32_t>()[b * p.T + t] = at;
    }
  }
  return w;
}

// Rows of a stream that may be absent.
Tensor rows(Context& cx, const Tensor& x, int64_t begin, int64_t end) {
  return x.defined() ? cut(cx, x, begin, end) : Tensor();
}

struct Piece {
  SeqContext seq;
  ScanStreams streams;
  Value initial;
};

Piece piece(Context& cx, Comm& comm, const Trial& p, const Streams& w, const std::vector<int64_t>& first) {
  Piece x;
  x.seq = context_of(cx, comm, first, w.starts);
  x.seq.options = p.options;
  const Placement varying{{Axis::sequence, Place::varying}};
  const int64_t begin = x.seq.begin(), end = begin + x.seq.local_length();
  const auto leaf = [&](const Tensor& t) {
    return t.defined() ? Value::leaf(rows(cx, t, begin, end), varying) : Value();
  };
  x.streams = {{.q = leaf(w.q), .k = leaf(w.k), .v = leaf(w.v), .g = leaf(w.g), .beta = leaf(w.beta)}, 0.6};
  if (w.initial.defined()) x.initial = Value::leaf(w.initial.clone(*cx.pool));
  return x;
}

// Puts gradients into both outputs and walks.
void backward(Context& cx, Tape& tape, const ScanOutput& out, const Tensor& dout, const Tensor& dfinal) {
  out.o.slot()->open(cx).tensor.copy_from(dout);
  out.final_state.slot()->open(cx).tensor.copy_from(dfinal);
  tape.backward_from_slots();
}

struct Result {
  Tensor o, final_state;
  std::vector<Tensor> gradients;  // q k v g beta, then the initial state
};

Result evaluate(Context& cx, Comm& comm, const Trial& p, const Streams& w, const std::vector<int64_t>& first) {
  const Piece x = piece(cx, comm, p, w, first);
  Tape tape(cx);
  const ScanOutput out = scan(tape, p.recurrence, x.streams, x.seq, x.initial);
  backward(cx, tape, out, rows(cx, w.dout, x.seq.begin(), x.seq.begin() + x.seq.local_length()), w.dfinal);
  Result r{out.o.tensor(), out.final_state.tensor(), {}};
  for (const Value* v : {&x.streams.q, &x.streams.k, &x.streams.v, &x.streams.g, &x.streams.beta, &x.initial})
    r.gradients.push_back(v->defined() ? v->slot()->gradient() : Tensor());
  return r;
}

Result evaluate(Context& cx, Comm& comm, const Trial& p, const std::vector<int64_t>& first) {
  return evaluate(cx, comm, p, make(cx, p), first);
}

void expect_split_equals_whole(const Trial& p, const std::vector<int64_t>& first, int ranks_per_host = 0) {
  Context whole_cx;
  const auto self = make_self_comm();
  const Result whole = evaluate(whole_cx, *self, p, {0, p.T});
  const double bound = p.dtype == DType::f64 ? 1e-12 : 1e-5;
  world(static_cast<int>(first.size()) - 1,
        [&](Comm& comm) {
          Context cx;
          const Result mine = evaluate(cx, comm, p, first);
          const int64_t begin = first[static_cast<size_t>(comm.rank())],
                        end = first[static_cast<size_t>(comm.rank()) + 1];
          EXPECT_LT(distance(mine.o, rows(cx, whole.o, begin, end)), bound);
          EXPECT_LT(distance(mine.final_state, whole.final_state), bound);
          for (size_t i = 0; i < 5; ++i)
            if (whole.gradients[i].defined()) {
              EXPECT_LT(distance(mine.gradients[i], rows(cx, whole.gradients[i], begin, end)), bound)
                  << "gradient " << i << ", rank " << comm.rank() << " of " << comm.size() << ", "
                  << name_of(p.options.linear);
            }
          if (p.initial) {
            EXPECT_LT(distance(mine.gradients[5], whole.gradients[5]), bound);
          }
        },
        {.ranks_per_host = ranks_per_host});
}

std::vector<Recurrence> recurrences() {
  std::vector<Recurrence> all;
  for (Gate gate : {Gate::none, Gate::scalar, Gate::diagonal})
    for (bool delta : {false, true}) all.push_back({.gate = gate, .delta = delta, .chunk = 4});
  return all;
}

TEST(Sequence, AnySplitEqualsOneRank) {
  for (const Recurrence& r : recurrences())
    for (DType dtype : {DType::f64, DType::f32})
      for (int ranks : {1, 2, 3, 4, 7, 8})
        for (bool initial : {false, true})
          expect_split_equals_whole({.recurrence = r, .dtype = dtype, .initial = initial}, split_evenly(7, ranks));
}

TEST(Sequence, UnequalAndEmptyShards) {
  for (const Recurrence& r : recurrences())
    for (DType dtype : {DType::f64, DType::f32}) {
      expect_split_equals_whole({.B = 2, .T = 13, .recurrence = r, .dtype = dtype}, {0, 1, 1, 9, 13});
      expect_split_equals_whole({.B = 2, .T = 13, .recurrence = r, .dtype = dtype}, {0, 0, 13, 13});
      expect_split_equals_whole({.T = 0, .recurrence = r, .dtype = dtype}, {0, 0, 0});
    }
}

TEST(Sequence, PackedDocuments) {
  // One document over several ranks, several in one, one that begins exactly at a shard's first token, one of length 1.
  for (const Recurrence& r : recurrences())
    for (DType dtype : {DType::f64, DType::f32})
      for (const std::vector<int64_t>& starts :
           {std::vector<int64_t>{0, 2}, {3}, {5, 10}, {1, 2, 3, 11, 14}, {0, 5, 9, 10, 15}})
        expect_split_equals_whole({.B = 2, .T = 16, .recurrence = r, .dtype = dtype, .starts = starts},
                                  {0, 5, 10, 10, 16});
}

TEST(Sequence, LargeHeadsAcrossChunks) {
  for (Recurrence r : recurrences()) {
    r.chunk = 64;
    expect_split_equals_whole(
        {.T = 150, .H = 1, .K = 32, .V = 16, .recurrence = r, .dtype = DType::f32, .starts = {70}, .initial = false},
        split_evenly(150, 2));
  }
}

TEST(Sequence, OtherMethodsEqualOneRank) {
  for (const LinearRow& row : linear_methods())
    for (bool overlap : {true, false})
      for (const Recurrence& r : recurrences())
        for (DType dtype : {DType::f64, DType::f32}) {
          const SequenceOptions options{.linear = linear_method(row.name), .overlap = overlap};
          for (int ranks : {2, 3, 5, 8})
            expect_split_equals_whole(
                {.V = 3, .recurrence = r, .dtype = dtype, .initial = ranks % 2 == 0, .options = options},
                split_evenly(7, ranks),
                ranks == 2   ? 0
                : ranks == 5 ? 2
                             : 3);
          expect_split_equals_whole({.B = 2, .T = 13, .V = 9, .recurrence = r, .dtype = dtype, .options = options},
                                    {0, 1, 1, 9, 13}, 2);
          expect_split_equals_whole(
              {.B = 2, .T = 16, .recurrence = r, .dtype = dtype, .starts = {1, 2, 3, 11}, .options = options},
              {0, 5, 10, 10, 16});
        }
}

// Bytes received by one rank: section 3 of the cost models. A chain passes each state once; the scan a summary a round.
TEST(Sequence, SchedulesMoveWhatTheirFormulasSay) {
  const Recurrence gated{.gate = Gate::scalar};
  constexpr int kRanks = 8, kRanksOfHost = 4;
  const auto received = [&](const LinearRow& method, Site site) {
    int64_t most = 0;
    world(kRanks,
          [&](Comm& comm) {
            Context cx;
            const Trial p{.T = 16,
                          .recurrence = gated,
                          .dtype = DType::f32,
                          .initial = false,
                          .options = {.linear = linear_method(method.name)}};
            const Streams w = make(cx, p);
            const Piece x = piece(cx, comm, p, w, split_evenly(p.T, comm.size()));
            comm.counters().reset();
            Tape tape(cx);
            const ScanOutput out = scan(tape, p.recurrence, x.streams, x.seq, {}, false);
            EXPECT_FALSE(out.final_state.defined());
            tape.backward(out.o, rows(cx, w.dout, x.seq.begin(), x.seq.begin() + x.seq.local_length()));
            double bytes = 0;
            for (const CollectiveCount& row : comm.counters().rows())
              if (row.site == site) bytes += static_cast<double>(row.bytes);
            const double worst = comm.max(bytes, Sites::metrics);
            if (comm.rank() == 0) most = static_cast<int64_t>(worst);
          },
          {.ranks_per_host = kRanksOfHost});
    return most;
  };
  const int64_t state = 4 * 2 * 3 * 4, summary = state + 4 * 2;  // heads x K x V, and a number a head
  // 2 tokens a rank of 2 heads: k, v and a gate, or q, the gradient of o, a gate and A; where documents begin.
  const int64_t block = 4 * (2 * 2 * (3 + 4 + 1) + 2);
  // Streams of 2 tokens, 2 heads on 8 ranks: a rank with a head receives q, k, v, g (o back) of the others' 14 tokens,
  // and back what the other head's rank computed of its own tokens.
  const int64_t q_k_v_g = 3 + 3 + 4 + 1, o = 4;
  struct Formula {
    int64_t forward, backward;
  };
  const std::map<std::string, Formula> formulas{
      {"lasp2", {7 * summary, 7 * summary}},
      {"lasp1", {state, state}},
      {"zeco", {state, state}},
      {"scan", {4 * summary, 4 * summary}},  // three rounds and the shift
      // The first rank of a host: three neighbours' summaries and the other host's.
      {"hierarchical", {4 * summary, 4 * summary}},
      {"ring", {7 * block, 7 * (block + 4 * 2)}},
      {"ulysses", {4 * (14 * q_k_v_g + 2 * o), 4 * (14 * o + 2 * q_k_v_g)}},
      // All heads' streams of 14 tokens, and partial sums of this rank's 2 tokens from 7 ranks.
      {"megatron", {4 * 2 * 14 * (q_k_v_g + o), 4 * 2 * 14 * (q_k_v_g + o)}},
  };
  for (const LinearRow& method : linear_methods()) {
    ASSERT_TRUE(formulas.contains(method.name)) << method.name;
    const Formula& formula = formulas.at(method.name);
    EXPECT_EQ(received(method, Sites::mixer_forward), formula.forward) << method.name;
    EXPECT_EQ(received(method, Sites::mixer_backward), formula.backward) << method.name;
  }
}

// Each transfer is waited for where it starts: one in each direction of every method; of heads' streams one after the
// other, q, k, v, g and o, and their gradients.
TEST(Sequence, WithoutOverlapTheDelayIsExposed) {
  const double delay = 0.03;
  for (const LinearRow& method : linear_methods())
    world(2,
          [&](Comm& comm) {
            Context cx;
            const Trial p{.T = 256,
                          .recurrence = {.gate = Gate::scalar},
                          .options = {.linear = linear_method(method.name), .overlap = false}};
            comm.counters().reset();
            evaluate(cx, comm, p, split_evenly(p.T, comm.size()));
            const double exposed = comm.max(comm.counters().exposed_seconds(), Sites::metrics);
            EXPECT_GE(exposed, (method.travels == Travels::heads ? 10 : 2) * 0.9 * delay) << method.name;
          },
          {.delay_seconds = delay});
}

// Schedules in rounds react between parts of the local work: a transfer that answers another starts before the work
// ends, each way. A loaded machine may keep the first rank from sending anything in that time, so one of a few attempts
// counts.
TEST(Sequence, RoundsGoOnUnderLocalWork) {
  for (const LinearRow& method : linear_methods()) {
    if (method.travels == Travels::heads || method.exchange.cost == all_gather_cost) continue;  // one round
    world(4,
          [&](Comm& comm) {
            Context cx;
            cx.stream.backend = Backend::ref;
            cx.profile.keep_events(true);
            comm.profile = &cx.profile;
            const Trial p{.T = 2048,
                          .H = 8,
                          .K = 32,
                          .V = 32,
                          .recurrence = {.gate = Gate::scalar, .form = ScanForm::chunked},
                          .dtype = DType::f32,
                          .initial = false,
                          .options = {.linear = linear_method(method.name)}};
            const Streams w = make(cx, p);
            double least = 0;
            for (int attempt = 0; attempt < 8 && least == 0; ++attempt) {
              const Piece x = piece(cx, comm, p, w, split_evenly(p.T, comm.size()));
              comm.barrier(Sites::startup);
              cx.profile.reset();
              Tape tape(cx);
              const ScanOutput out = scan(tape, p.recurrence, x.streams, x.seq, {}, false);
              tape.backward(out.o, rows(cx, w.dout, x.seq.begin(), x.seq.begin() + x.seq.local_length()));
              std::vector<double> answers;  // forward, backward
              const std::vector<TimedEvent> events = cx.profile.events();
              for (const TimedEvent& local : events) {
                if (local.name != "mixer.local") continue;
                answers.push_back(comm.sum(static_cast<double>(std::count_if(events.begin(), events.end(),
                                                                             [&](const TimedEvent& e) {
                                                                               return e.name.ends_with(" start") &&
                                                                                      e.begin > local.begin &&
                                                                                      e.begin < local.end;
                                                                             })),
                                           Sites::metrics));
              }
              ASSERT_EQ(answers.size(), 2U);
              least = std::min(answers[0], answers[1]);
            }
            EXPECT_GT(least, 0) << method.name;
          },
          {.ranks_per_host = 2});
  }
}

TEST(Sequence, OneGatherEachWayWhateverTheLength) {
  for (const Recurrence& r : recurrences()) {
    std::vector<int64_t> bytes;
    for (int64_t length : {8, 24}) {
      const Trial p{.T = length, .recurrence = r, .dtype = DType::f32};
      const int64_t summary = 4 * p.B * p.H * (r.transition_size(p.K) + p.K * p.V);  // bytes of one rank's (A, B)
      world(4, [&](Comm& comm) {
        Context cx;
        comm.counters().reset();
        evaluate(cx, comm, p, split_evenly(length, comm.size()));
        ASSERT_EQ(comm.counters().rows().size(), 2U);
        for (size_t i : {0, 1}) {
          const CollectiveCount& row = comm.counters().rows()[i];
          EXPECT_EQ(row.verb, Verb::all_gather);
          EXPECT_EQ(row.site, i == 0 ? Sites::mixer_forward : Sites::mixer_backward);
          EXPECT_EQ(row.calls, 1);
          EXPECT_EQ(row.bytes, 3 * summary);
        }
      });
    }
  }
}

// Every collective completes `delay` after the last rank started it, so the rank that started last and does its local
// work meanwhile waits less than that. Plain loops, so that there is much local work; a loaded machine may hold a rank
// back, so the best of a few attempts counts.
TEST(Sequence, TheGatherHidesBehindLocalWork) {
  const double delay = 0.08;
  for (bool delta : {false, true}) {
    const Trial p{.T = 4096,
                  .H = 2,
                  .K = 64,
                  .V = 64,
                  .recurrence = {.gate = Gate::scalar, .delta = delta, .form = ScanForm::chunked},
                  .dtype = DType::f32};
    world(2,
          [&](Comm& comm) {
            Context cx;
            cx.stream.backend = Backend::ref;
            const Streams w = make(cx, p);
            double exposed[] = {1, 1};
            for (int attempt = 0; attempt < 8 && std::max(exposed[0], exposed[1]) >= delay; ++attempt) {
              cx.profile.reset();
              cx.profile.keep_events(true);
              comm.profile = &cx.profile;
              evaluate(cx, comm, p, w, split_evenly(p.T, comm.size()));
              comm.profile = nullptr;
              const auto& e = cx.profile.events();
              const auto find = [&](const std::string& name, size_t from) {
                while (from < e.size() && e[from].name != name) ++from;
                OG_CHECK(from < e.size(), "no event {}", name);
                return from;
              };
              size_t at = 0;
              for (size_t i : {0, 1}) {
                const std::string site = i == 0 ? Sites::mixer_forward.name : Sites::mixer_backward.name;
                const size_t start = find(site + " start", at), local = find("mixer.local", start);
                at = find(site + " wait", local);
                EXPECT_LE(e[start].end, e[local].begin);
                EXPECT_LE(e[local].end, e[at].begin);
                EXPECT_GT(e[local].end, e[local].begin);
                const double waited = e[at].end - e[at].begin;
                exposed[i] = std::min(exposed[i], -comm.max(-waited, Sites::metrics));
              }
            }
            EXPECT_LT(exposed[0], delay);
            EXPECT_LT(exposed[1], delay);
          },
          {.delay_seconds = delay});
  }
}

TEST(Sequence, RecomputeKeepsTheEntryStateAndGathersOnce) {
  for (const Recurrence& r : recurrences()) {
    const Trial p{.T = 12, .recurrence = r, .initial = false};
    world(3, [&](Comm& comm) {
      Context cx;
      const std::vector<int64_t> first = split_evenly(p.T, comm.size());
      Result plain;
      const Streams w = make(cx, p);
      std::vector<Tensor> dq;
      for (bool again : {false, true}) {
        const Piece x = piece(cx, comm, p, w, first);
        comm.counters().reset();
        Tape tape(cx);
        const auto region = [&](Tape& t, const Value& q) {
          ScanStreams s = x.streams;
          s.q = q;
          return std::vector<Value>{scan(t, r, s, x.seq, {}).o};
        };
        const Value parameters[] = {x.streams.k, x.streams.v};
        const Value o = again ? recompute(tape, region, x.streams.q, parameters)[0] : region(tape, x.streams.q)[0];
        tape.backward(o, rows(cx, w.dout, x.seq.begin(), x.seq.begin() + x.seq.local_length()));
        for (const Value* v : {&x.streams.q, &x.streams.k, &x.streams.v, &x.streams.g, &x.streams.beta})
          dq.push_back(v->defined() ? v->slot()->gradient() : cx.zeros({1}, p.dtype));
        ASSERT_EQ(comm.counters().rows().size(), 2U);
        for (const CollectiveCount& row : comm.counters().rows()) EXPECT_EQ(row.calls, 1) << row.site.name;
      }
      for (size_t i = 0; i < 5; ++i) EXPECT_LT(distance(dq[i], dq[i + 5]), 1e-13) << i;
    });
  }
}

}  // namespace
}  // namespace og

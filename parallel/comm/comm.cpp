#include "parallel/comm/comm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>

#include "framework/core/log.h"

namespace og {

const char* name_of(Verb verb) {
  constexpr const char* kNames[] = {"all_gather", "all_reduce", "reduce_scatter", "all_to_all",
                                    "broadcast",  "send_recv",  "barrier"};
  return kNames[static_cast<size_t>(verb)];
}

std::string list_of(const std::vector<int>& ranks) { return fmt::format("{}", fmt::join(ranks, ", ")); }

void CommCounters::add(const CollectiveCount& calls) {
  auto row = std::find_if(rows_.begin(), rows_.end(), [&](const CollectiveCount& r) {
    return r.verb == calls.verb && r.site == calls.site && r.axis == calls.axis && r.phase == calls.phase;
  });
  if (row == rows_.end()) {
    rows_.push_back(calls);
    return;
  }
  row->calls += calls.calls;
  row->bytes += calls.bytes;
  row->seconds += calls.seconds;
  row->exposed_seconds += calls.exposed_seconds;
}

double CommCounters::seconds(std::string_view phase) const {
  double s = 0;
  for (const CollectiveCount& r : rows_) s += phase.empty() || r.phase == phase ? r.seconds : 0;
  return s;
}

double CommCounters::exposed_seconds(std::string_view phase) const {
  double s = 0;
  for (const CollectiveCount& r : rows_) s += phase.empty() || r.phase == phase ? r.exposed_seconds : 0;
  return s;
}

struct Pending::State {
  std::unique_ptr<Operation> operation;
  std::shared_ptr<CommCounters> counters;
  CollectiveCount call;
  Profile* profile = nullptr;
  double start = 0;
};

Pending::Pending() = default;
Pending::Pending(Pending&&) noexcept = default;

Pending& Pending::operator=(Pending&& other) noexcept {
  std::swap(state_, other.state_);  // `other` waits for what was here
  return *this;
}

Pending::~Pending() {
  if (!state_ || std::uncaught_exceptions() > 0) return;
  try {
    wait();
  } catch (const std::exception& e) {
    log::error("{}", e.what());  // the next verb on this group throws
  }
}

bool Pending::done() const {
  OG_CHECK(state_ != nullptr, "done: nothing was started, or it was waited for already");
  return !state_->operation || state_->operation->done();
}

void Pending::wait() {
  OG_CHECK(state_ != nullptr, "wait: nothing was started, or it was waited for already");
  const std::unique_ptr<State> s = std::move(state_);
  const double begin = now_seconds();
  double done = s->start;
  {
    Profile::Scope scope(s->profile, Part::communication);
    if (s->operation) done = s->operation->finish();
  }
  const double end = now_seconds();
  const double exposed = s->operation ? end - begin : 0;
  s->call.seconds = std::max(done - s->start, exposed);
  s->call.exposed_seconds = exposed;
  s->counters->add(s->call);
  if (s->profile) s->profile->event(std::string(s->call.site.name) + " wait", begin, end);
}

template <class Start>
Pending Comm::begin(Verb verb, Site site, int64_t bytes, Start&& start) {
  Pending p;
  p.state_ = std::make_unique<Pending::State>();
  Pending::State& s = *p.state_;
  verb_ = verb;
  s.counters = counters_;
  s.call = {.phase = counters_->phase(), .axis = axis_, .verb = verb, .site = site, .calls = 1, .bytes = bytes};
  s.profile = profile;
  s.start = now_seconds();
  {
    Profile::Scope scope(profile, Part::communication);
    s.operation = start();
  }
  if (profile) profile->event(std::string(site.name) + " start", s.start, now_seconds());
  return p;
}

namespace {

int64_t sum_of(std::span<const int64_t> rows) { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); }

int64_t row_bytes(const Tensor& t) { return t.shape().count_from(1) * size_of(t.dtype()); }

void check_rows(const Comm& comm, Verb verb, Site site, const char* what, const Tensor& t,
                std::span<const int64_t> rows) {
  OG_CHECK(std::ssize(rows) == comm.size(), "{} at {}: {} row counts for the {} ranks of axis {}", name_of(verb),
           site.name, rows.size(), comm.size(), comm.axis());
  OG_CHECK(std::all_of(rows.begin(), rows.end(), [](int64_t r) { return r >= 0; }), "{} at {}: a negative row count",
           name_of(verb), site.name);
  OG_CHECK(t.defined() && t.rank() >= 1 && t.size(0) == sum_of(rows), "{} at {}: {} {} for {} rows", name_of(verb),
           site.name, what, t.shape().str(), sum_of(rows));
}

void check_alike(Verb verb, Site site, const Tensor& a, const Tensor& b) {
  OG_CHECK(a.defined() && b.defined() && a.rank() >= 1 && b.rank() >= 1 && a.dtype() == b.dtype() &&
               a.shape().count_from(1) == b.shape().count_from(1),
           "{} at {}: rows of {} {} and {} {} differ", name_of(verb), site.name, name_of(a.dtype()), a.shape().str(),
           name_of(b.dtype()), b.shape().str());
}

}  // namespace

Pending Comm::all_reduce(const Tensor& x, Reduce op, Site site) {
  OG_CHECK(x.defined(), "all_reduce at {}: absent tensor", site.name);
  return begin(Verb::all_reduce, site, 2 * x.bytes() * (size_ - 1) / size_,
               [&] { return start_all_reduce(x, op, site); });
}

Pending Comm::all_gather(const Tensor& out, const Tensor& in, std::span<const int64_t> rows, Site site) {
  check_alike(Verb::all_gather, site, out, in);
  check_rows(*this, Verb::all_gather, site, "output", out, rows);
  const int64_t own = rows[static_cast<size_t>(rank_)];
  OG_CHECK(in.size(0) == own, "all_gather at {}: input {} for {} rows of rank {}", site.name, in.shape().str(), own,
           rank_);
  return begin(Verb::all_gather, site, (out.size(0) - own) * row_bytes(out),
               [&] { return start_all_gather(out, in, rows, site); });
}

Pending Comm::reduce_scatter(const Tensor& out, const Tensor& in, std::span<const int64_t> rows, Site site) {
  check_alike(Verb::reduce_scatter, site, out, in);
  check_rows(*this, Verb::reduce_scatter, site, "input", in, rows);
  OG_CHECK(is_real(in.dtype()), "reduce_scatter at {}: expected f32 or f64, found {}", site.name, name_of(in.dtype()));
  OG_CHECK(out.size(0) == rows[static_cast<size_t>(rank_)], "reduce_scatter at {}: output {} for {} rows of rank {}",
           site.name, out.shape().str(), rows[static_cast<size_t>(rank_)], rank_);
  return begin(Verb::reduce_scatter, site, (size_ - 1) * out.bytes(),
               [&] { return start_reduce_scatter(out, in, rows, site); });
}

Pending Comm::all_to_all(const Tensor& out, std::span<const int64_t> recv_rows, const Tensor& in,
                         std::span<const int64_t> send_rows, Site site) {
  check_alike(Verb::all_to_all, site, out, in);
  check_rows(*this, Verb::all_to_all, site, "output", out, recv_rows);
  check_rows(*this, Verb::all_to_all, site, "input", in, send_rows);
  const auto own = static_cast<size_t>(rank_);
  OG_CHECK(recv_rows[own] == send_rows[own], "all_to_all at {}: rank {} sends itself {} rows and receives {}",
           site.name, rank_, send_rows[own], recv_rows[own]);
  return begin(Verb::all_to_all, site, (out.size(0) - recv_rows[own]) * row_bytes(out),
               [&] { return start_all_to_all(out, recv_rows, in, send_rows, site); });
}

Pending Comm::broadcast(const Tensor& x, int root, Site site) {
  OG_CHECK(x.defined() && 0 <= root && root < size_, "broadcast at {}: root {} of {} ranks", site.name, root, size_);
  return begin(Verb::broadcast, site, rank_ == root ? 0 : x.bytes(), [&] { return start_broadcast(x, root, site); });
}

Pending Comm::send_recv(std::vector<Message> sends, std::vector<Message> receives, Site site) {
  int64_t bytes = 0;
  for (const std::vector<Message>* messages : {&sends, &receives}) {
    for (const Message& m : *messages) {
      OG_CHECK(m.tensor.defined() && 0 <= m.peer && m.peer < size_, "send_recv at {}: peer {} of {} ranks", site.name,
               m.peer, size_);
      if (messages == &receives && m.peer != rank_) bytes += m.tensor.bytes();
    }
  }
  return begin(Verb::send_recv, site, bytes,
               [&] { return start_send_recv(std::move(sends), std::move(receives), site); });
}

void Comm::barrier(Site site) {
  const Tensor token = Tensor::zeros(*pool_, {1}, DType::i32);
  begin(Verb::barrier, site, 0, [&] { return start_all_reduce(token, Reduce::sum, site); }).wait();
}

double Comm::reduce_one(double x, Reduce op, Site site) {
  const Tensor t = Tensor::full(*pool_, {1}, DType::f64, x);
  all_reduce(t, op, site).wait();
  return t.at(0);
}

double Comm::sum(double x, Site site) { return reduce_one(x, Reduce::sum, site); }

double Comm::max(double x, Site site) { return reduce_one(x, Reduce::max, site); }

std::vector<int64_t> Comm::gather(int64_t x, Site site) {
  const Tensor in = Tensor::empty(*pool_, {1}, DType::i64);
  const Tensor out = Tensor::empty(*pool_, {size_}, DType::i64);
  in.data<int64_t>()[0] = x;
  const std::vector<int64_t> rows(static_cast<size_t>(size_), 1);
  all_gather(out, in, rows, site).wait();
  return {out.data<int64_t>(), out.data<int64_t>() + size_};
}

// Text travels as i32 elements of one byte each: it is short, and the verbs know no narrower type.
std::string Comm::broadcast_text(std::string text, int root, Site site) {
  const Tensor length = Tensor::full(*pool_, {1}, DType::i64, static_cast<double>(text.size()));
  broadcast(length, root, site).wait();
  text.resize(static_cast<size_t>(length.data<int64_t>()[0]));
  const Tensor bytes = Tensor::empty(*pool_, {std::ssize(text)}, DType::i32);
  std::transform(text.begin(), text.end(), bytes.data<int32_t>(), [](char c) { return int32_t{c}; });
  broadcast(bytes, root, site).wait();
  std::transform(bytes.data<int32_t>(), bytes.data<int32_t>() + bytes.count(), text.begin(),
                 [](int32_t c) { return static_cast<char>(c); });
  return text;
}

std::vector<std::string> Comm::gather_text(const std::string& text, Site site) {
  const std::vector<int64_t> rows = gather(std::ssize(text), site);
  const Tensor in = Tensor::empty(*pool_, {std::ssize(text)}, DType::i32);
  const Tensor out = Tensor::empty(*pool_, {sum_of(rows)}, DType::i32);
  std::transform(text.begin(), text.end(), in.data<int32_t>(), [](char c) { return int32_t{c}; });
  all_gather(out, in, rows, site).wait();
  std::vector<std::string> texts;
  const int32_t* at = out.data<int32_t>();
  for (int64_t n : rows) {
    std::string s(static_cast<size_t>(n), ' ');
    std::transform(at, at + n, s.begin(), [](int32_t c) { return static_cast<char>(c); });
    texts.push_back(std::move(s));
    at += n;
  }
  return texts;
}

}  // namespace og

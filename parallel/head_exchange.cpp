#include "parallel/head_exchange.h"

#include <cstring>

namespace og {

namespace {

// The elements of tokens [begin, end) and heads `heads` of x [B, T, H, D], one after another: f(offset in x, offset in
// the block, count).
template <class F>
void for_each_run(const Tensor& x, int64_t begin, int64_t end, HeadRange heads, F&& f) {
  const int64_t count = heads.count() * x.size(3);
  int64_t at = 0;
  for (int64_t b = 0; b < x.size(0); ++b)
    for (int64_t t = begin; t < end; ++t, at += count)
      f(((b * x.size(1) + t) * x.size(2) + heads.begin) * x.size(3), at, count);
}

int64_t sum_of(const std::vector<int64_t>& counts) {
  int64_t sum = 0;
  for (const int64_t n : counts) sum += n;
  return sum;
}

}  // namespace

HeadExchange HeadExchange::to_heads(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads,
                                    const SeqContext& seq, Site site) {
  HeadExchange e;
  e.heads_ = heads;
  e.first_ = seq.first;
  e.rank_ = static_cast<size_t>(seq.comm->rank());
  e.batch_ = x.size(0);
  e.width_ = x.size(3);
  const int64_t token = e.batch_ * e.width_, length = x.size(1);
  std::vector<int64_t> sent, received;
  for (size_t r = 0; r < heads.size(); ++r) {
    sent.push_back(token * length * heads[r].count());
    received.push_back(token * (seq.first[r + 1] - seq.first[r]) * heads[e.rank_].count());
  }
  const Tensor out = cx.empty({sum_of(sent)}, x.dtype());
  const int64_t size = size_of(x.dtype());
  int64_t begin = 0;
  for (size_t r = 0; r < heads.size(); begin += sent[r++])
    for_each_run(x, 0, length, heads[r], [&](int64_t from, int64_t to, int64_t n) {
      std::memcpy(out.raw() + (begin + to) * size, x.raw() + from * size, static_cast<size_t>(n * size));
    });
  e.received_ = cx.empty({sum_of(received)}, x.dtype());
  e.pending_ = seq.comm->all_to_all(e.received_, received, out, sent, site);
  return e;
}

Tensor HeadExchange::finish_heads(Context& cx) {
  pending_.wait();
  const HeadRange mine{0, heads_[rank_].count()};
  const Tensor y = cx.empty({batch_, first_.back(), mine.count(), width_}, received_.dtype());
  const int64_t size = size_of(y.dtype());
  int64_t begin = 0;
  for (size_t r = 0; r + 1 < first_.size(); ++r) {
    for_each_run(y, first_[r], first_[r + 1], mine, [&](int64_t to, int64_t from, int64_t n) {
      std::memcpy(y.raw() + to * size, received_.raw() + (begin + from) * size, static_cast<size_t>(n * size));
    });
    begin += batch_ * width_ * (first_[r + 1] - first_[r]) * mine.count();
  }
  received_ = {};
  return y;
}

HeadExchange HeadExchange::to_tokens(Context& cx, const Tensor& y, const std::vector<HeadRange>& heads,
                                     const SeqContext& seq, Site site) {
  HeadExchange e;
  e.heads_ = heads;
  e.first_ = seq.first;
  e.rank_ = static_cast<size_t>(seq.comm->rank());
  e.batch_ = y.size(0);
  e.width_ = y.size(3);
  const int64_t token = e.batch_ * e.width_;
  const HeadRange mine{0, heads[e.rank_].count()};
  std::vector<int64_t> sent, received;
  for (size_t r = 0; r < heads.size(); ++r) {
    sent.push_back(token * (seq.first[r + 1] - seq.first[r]) * mine.count());
    received.push_back(token * seq.local_length() * heads[r].count());
  }
  const Tensor out = cx.empty({sum_of(sent)}, y.dtype());
  const int64_t size = size_of(y.dtype());
  int64_t begin = 0;
  for (size_t r = 0; r < heads.size(); begin += sent[r++])
    for_each_run(y, seq.first[r], seq.first[r + 1], mine, [&](int64_t from, int64_t to, int64_t n) {
      std::memcpy(out.raw() + (begin + to) * size, y.raw() + from * size, static_cast<size_t>(n * size));
    });
  e.received_ = cx.empty({sum_of(received)}, y.dtype());
  e.pending_ = seq.comm->all_to_all(e.received_, received, out, sent, site);
  return e;
}

void HeadExchange::finish_tokens(const Tensor& x, Put put) {
  pending_.wait();
  if (put == Put::write) x.fill(0);
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = received_.data<const T>();
    T* to = x.data<T>();
    for (const HeadRange& heads : heads_) {
      for_each_run(x, 0, x.size(1), heads, [&](int64_t at, int64_t begin, int64_t n) {
        for (int64_t i = 0; i < n; ++i) to[at + i] += from[begin + i];
      });
      from += batch_ * width_ * x.size(1) * heads.count();
    }
  });
  received_ = {};
}

}  // namespace og

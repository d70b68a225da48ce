#include "parallel/sequence/head_exchange.h"

#include <cstring>
#include <numeric>

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

}  // namespace

Tensor take_heads(Context& cx, const Tensor& x, int64_t begin, int64_t end) {
  if (begin == 0 && end == x.size(2)) return x;
  const Tensor out = cx.empty({x.size(0), x.size(1), end - begin, x.size(3)}, x.dtype());
  const int64_t head = x.size(3) * size_of(x.dtype());
  for (int64_t t = 0; t < x.size(0) * x.size(1); ++t)
    std::memcpy(out.raw() + t * (end - begin) * head, x.raw() + (t * x.size(2) + begin) * head,
                static_cast<size_t>((end - begin) * head));
  return out;
}

void put_heads(const Tensor& x, int64_t begin, const Tensor& y, Put put) {
  visit_real(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const int64_t count = y.size(2) * y.size(3);
    for (int64_t t = 0; t < x.size(0) * x.size(1); ++t) {
      T* to = x.data<T>() + (t * x.size(2) + begin) * x.size(3);
      const T* from = y.data<const T>() + t * count;
      for (int64_t i = 0; i < count; ++i) to[i] = put == Put::add ? to[i] + from[i] : from[i];
    }
  });
}

HeadExchange::HeadExchange(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads, const SeqContext& seq,
                           const std::vector<Slice>& sent, const std::vector<int64_t>& received, Site site)
    : heads_(heads),
      first_(seq.first),
      rank_(static_cast<size_t>(seq.comm->rank())),
      batch_(x.size(0)),
      width_(x.size(3)) {
  const int64_t size = size_of(x.dtype());
  std::vector<int64_t> counts;
  for (const Slice& p : sent) counts.push_back(batch_ * width_ * (p.end - p.begin) * p.heads.count());
  const Tensor out = cx.empty({std::reduce(counts.begin(), counts.end())}, x.dtype());
  int64_t begin = 0;
  for (size_t r = 0; r < sent.size(); begin += counts[r++])
    for_each_run(x, sent[r].begin, sent[r].end, sent[r].heads, [&](int64_t from, int64_t to, int64_t n) {
      std::memcpy(out.raw() + (begin + to) * size, x.raw() + from * size, static_cast<size_t>(n * size));
    });
  received_ = cx.empty({std::reduce(received.begin(), received.end())}, x.dtype());
  transfer_ = {seq.comm->all_to_all(received_, received, out, counts, site), seq};
}

HeadExchange HeadExchange::to_heads(Context& cx, const Tensor& x, const std::vector<HeadRange>& heads,
                                    const SeqContext& seq, Site site) {
  const int64_t token = x.size(0) * x.size(3), own = heads[static_cast<size_t>(seq.comm->rank())].count();
  std::vector<Slice> sent;
  std::vector<int64_t> received;
  for (size_t r = 0; r < heads.size(); ++r) {
    sent.push_back({0, x.size(1), heads[r]});
    received.push_back(token * (seq.first[r + 1] - seq.first[r]) * own);
  }
  return {cx, x, heads, seq, sent, received, site};
}

Tensor HeadExchange::finish_heads(Context& cx) {
  transfer_.wait();
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
  const int64_t token = y.size(0) * y.size(3);
  std::vector<Slice> sent;
  std::vector<int64_t> received;
  for (size_t r = 0; r < heads.size(); ++r) {
    sent.push_back({seq.first[r], seq.first[r + 1], {0, y.size(2)}});
    received.push_back(token * seq.local_length() * heads[r].count());
  }
  return {cx, y, heads, seq, sent, received, site};
}

void HeadExchange::finish_tokens(const Tensor& x, Put put) {
  transfer_.wait();
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

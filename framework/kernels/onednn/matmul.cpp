// Float products through oneDNN (v2.6 and newer). A primitive is code generated for one shape, 0.6 to 5 ms each, so
// they are kept, and shapes that change from step to step (rows of tokens per expert) are cut: multiples of 64 rows as
// they are, the rest padded to the next power of two in scratch memory.
#include <dnnl.h>
#include <dnnl.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <new>
#include <tuple>
#include <vector>

#include "framework/core/error.h"
#include "framework/core/memory_margin.h"
#include "framework/kernels/bf16.h"
#include "framework/kernels/dispatch.h"
#include "framework/kernels/matmul.h"

namespace og {

namespace {

using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

struct Key {
  int64_t m, n, k;
  Transpose transpose;
  Put put;
  bool bf16;
  auto operator<=>(const Key&) const = default;
};

struct Plan {
  dnnl::memory::desc a, b, c;
  dnnl::matmul primitive;
};

// One thread's primitives and scratch. Ranks that are threads each have their own; nothing is shared.
struct Workspace {
  dnnl::stream stream{engine()};
  std::map<Key, Plan> plans;
  std::vector<uint16_t> a16, b16;
  std::vector<float> rows, out;
};

Workspace& workspace() {
  thread_local Workspace w;
  return w;
}

const Plan& plan(Workspace& w, const Key& key) {
  auto found = w.plans.find(key);
  if (found != w.plans.end()) return found->second;
  if (!memory_is_left(kMemoryMargin)) throw std::bad_alloc();  // v2.6 writes its code wherever it was given a place
  const Type in = key.bf16 ? Type::bf16 : Type::f32;
  Plan p;
  p.a = {{key.m, key.k}, in, key.transpose == Transpose::tn ? Tag::ba : Tag::ab};
  p.b = {{key.k, key.n}, in, key.transpose == Transpose::nt ? Tag::ba : Tag::ab};
  p.c = {{key.m, key.n}, Type::f32, Tag::ab};
  dnnl::primitive_attr attr;
  if (key.put == Put::add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attr.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  p.primitive = dnnl::matmul(dnnl::matmul::primitive_desc(engine(), p.a, p.b, p.c, attr));
#else
  p.primitive = dnnl::matmul(dnnl::matmul::primitive_desc(dnnl::matmul::desc(p.a, p.b, p.c), attr, engine()));
#endif
  return w.plans.emplace(key, std::move(p)).first->second;
}

void round_to_bf16(const Stream& stream, std::vector<uint16_t>& out, const float* x, int64_t count) {
  if (static_cast<int64_t>(out.size()) < count) out.resize(static_cast<size_t>(count));
  bf16_kernels(stream).round(stream, out.data(), x, count);
}

// A thread has at least so much to do. The library is fast at many rows; where few meet a large matrix, as in decoding,
// it is memory that takes time.
constexpr int64_t kLeastProducts = 8 * kProductsOfAThread, kLeastElements = 1 << 16;
int threads_for(const Stream& stream, int64_t m, int64_t n, int64_t k) {
  const int64_t worth = std::max(m * n * k / kLeastProducts, (m * k + k * n + m * n) / kLeastElements);
  return static_cast<int>(std::clamp<int64_t>(worth, 1, stream.num_threads));
}

struct Problem {
  Transpose transpose;
  int64_t m, n, k;
  const float *a, *b;
  float* c;
};

void execute(const Stream& stream, Workspace& w, const Problem& p, Put put) {
  const bool bf16 = stream.products == Products::bf16 && bf16_is_native();
  set_thread_count(threads_for(stream, p.m, p.n, p.k));
  const Plan& plan_ = plan(w, {p.m, p.n, p.k, p.transpose, put, bf16});
  const void *a = p.a, *b = p.b;
  if (bf16) {
    round_to_bf16(stream, w.a16, p.a, p.m * p.k);
    round_to_bf16(stream, w.b16, p.b, p.k * p.n);
    a = w.a16.data();
    b = w.b16.data();
  }
  plan_.primitive.execute(w.stream, {{DNNL_ARG_SRC, {plan_.a, engine(), const_cast<void*>(a)}},
                                     {DNNL_ARG_WEIGHTS, {plan_.b, engine(), const_cast<void*>(b)}},
                                     {DNNL_ARG_DST, {plan_.c, engine(), p.c}}});
  w.stream.wait();
}

constexpr int64_t kBlock = 64;
int64_t bucket(int64_t rows) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))); }

const float* padded(std::vector<float>& scratch, const float* rows, int64_t count, int64_t width, int64_t total) {
  scratch.resize(std::max(scratch.size(), static_cast<size_t>(total * width)));
  std::memcpy(scratch.data(), rows, static_cast<size_t>(count * width) * sizeof(float));
  std::fill(scratch.begin() + count * width, scratch.begin() + total * width, 0.0F);
  return scratch.data();
}

}  // namespace

namespace {
void multiply(const Stream& stream, Transpose transpose, View<float, 2> c, Put put, View<const float, 2> a,
              View<const float, 2> b) {
  Workspace& w = workspace();
  const int64_t n = c.shape[1];
  if (transpose != Transpose::tn) {  // rows of A and C are the dim that changes
    const int64_t m = c.shape[0], k = a.shape[1];
    const int64_t main = m / kBlock * kBlock, rest = m - main;
    if (main > 0) execute(stream, w, {transpose, main, n, k, a.data, b.data, c.data}, put);
    if (rest == 0) return;
    const int64_t rows = bucket(rest);
    float* tail = &c(main);
    if (rows == rest) return execute(stream, w, {transpose, rest, n, k, &a(main), b.data, tail}, put);
    const float* in = padded(w.rows, &a(main), rest, k, rows);
    w.out.resize(std::max(w.out.size(), static_cast<size_t>(rows * n)));
    execute(stream, w, {transpose, rows, n, k, in, b.data, w.out.data()}, Put::write);
    for (int64_t i = 0; i < rest * n; ++i) store(tail[i], put, w.out[static_cast<size_t>(i)]);
    return;
  }
  // The contraction is over the rows that change.
  const int64_t m = c.shape[0], k = a.shape[0];
  const int64_t main = k / kBlock * kBlock, rest = k - main;
  if (main > 0) execute(stream, w, {transpose, m, n, main, a.data, b.data, c.data}, put);
  if (rest == 0) return;
  const Put put_rest = main > 0 ? Put::add : put;
  const int64_t rows = bucket(rest);
  if (rows == rest) return execute(stream, w, {transpose, m, n, rest, &a(main), &b(main), c.data}, put_rest);
  const float* a_rows = padded(w.rows, &a(main), rest, m, rows);
  const float* b_rows = padded(w.out, &b(main), rest, n, rows);
  execute(stream, w, {transpose, m, n, rows, a_rows, b_rows, c.data}, put_rest);
}

}  // namespace

void matmul_library(const Stream& stream, Transpose transpose, View<float, 2> c, Put put, View<const float, 2> a,
                    View<const float, 2> b) {
  try {
    multiply(stream, transpose, c, put, a, b);
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw;
  }
}

const char* matmul_library_name() {
  static const std::string name = [] {
    const dnnl_version_t* v = dnnl_version();
    return fmt::format("oneDNN {}.{}.{}", v->major, v->minor, v->patch);
  }();
  return name.c_str();
}

bool bf16_is_native() {
#if defined(__x86_64__)
  static const bool native = __builtin_cpu_supports("avx512bf16") && best_isa() == Isa::avx512;
  return native;
#else
  return false;
#endif
}

}  // namespace og

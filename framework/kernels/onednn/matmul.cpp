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
#include "framework/kernels/loops/matmul.h"
#include "framework/kernels/matmul.h"

namespace og {

namespace {

using Type = dnnl::memory::data_type;

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

struct Key {
  int64_t m, n, k, lead_a, lead_b, lead_c;
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
  using Dims = dnnl::memory::dims;
  p.a = {{key.m, key.k}, in, key.transpose == Transpose::tn ? Dims{1, key.lead_a} : Dims{key.lead_a, 1}};
  p.b = {{key.k, key.n}, in, key.transpose == Transpose::nt ? Dims{1, key.lead_b} : Dims{key.lead_b, 1}};
  p.c = {{key.m, key.n}, Type::f32, Dims{key.lead_c, 1}};
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

// Rounded copies lie without gaps.
Matrix<const uint16_t> round_to_bf16(const Stream& stream, std::vector<uint16_t>& out, Matrix<const float> x) {
  const int64_t count = x.rows * x.columns;
  if (static_cast<int64_t>(out.size()) < count) out.resize(static_cast<size_t>(count));
  const Bf16Kernels& kernels = bf16_kernels(stream);
  if (x.lead == x.columns) {
    kernels.round(stream, out.data(), x.data, count);
  } else {
    stream.parallel_for(x.rows, (1 << 15) / x.columns + 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) kernels.round(Stream{}, out.data() + i * x.columns, x.row(i), x.columns);
    });
  }
  return {out.data(), x.rows, x.columns, x.columns};
}

// A thread has at least so much to do. The library is fast at many rows; where few meet a large matrix, as in decoding,
// it is memory that takes time.
constexpr int64_t kLeastProducts = 8 * kProductsOfAThread, kLeastElements = 1 << 16;
int threads_for(const Stream& stream, int64_t m, int64_t n, int64_t k) {
  const int64_t worth = std::max(m * n * k / kLeastProducts, (m * k + k * n + m * n) / kLeastElements);
  return static_cast<int>(std::clamp<int64_t>(worth, 1, stream.num_threads));
}

// Leads of matrices without gaps, also of single rows: one plan for all of them.
template <class T>
int64_t lead_of(const Matrix<T>& x) {
  return x.rows == 1 ? x.columns : x.lead;
}

void execute(const Stream& stream, Workspace& w, Transpose transpose, Matrix<float> c, Put put, Matrix<const float> a,
             Matrix<const float> b) {
  const bool bf16 = stream.products == Products::bf16 && bf16_is_native();
  const int64_t m = c.rows, n = c.columns, k = transpose == Transpose::tn ? a.rows : a.columns;
  set_thread_count(threads_for(stream, m, n, k));
  Key key{m, n, k, lead_of(a), lead_of(b), lead_of(c), transpose, put, bf16};
  const void *from_a = a.data, *from_b = b.data;
  if (bf16) {
    const Matrix<const uint16_t> a16 = round_to_bf16(stream, w.a16, a), b16 = round_to_bf16(stream, w.b16, b);
    from_a = a16.data, from_b = b16.data;
    key.lead_a = a16.lead, key.lead_b = b16.lead;
  }
  const Plan& plan_ = plan(w, key);
  plan_.primitive.execute(w.stream, {{DNNL_ARG_SRC, {plan_.a, engine(), const_cast<void*>(from_a)}},
                                     {DNNL_ARG_WEIGHTS, {plan_.b, engine(), const_cast<void*>(from_b)}},
                                     {DNNL_ARG_DST, {plan_.c, engine(), c.data}}});
  w.stream.wait();
}

constexpr int64_t kBlock = 64;
int64_t bucket(int64_t rows) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows))); }

template <class T>
Matrix<T> rows_of(const Matrix<T>& x, int64_t begin, int64_t end) {
  return {x.row(begin), end - begin, x.columns, x.lead};
}

// The rows of x and zeros after them, without gaps.
Matrix<const float> padded(std::vector<float>& scratch, Matrix<const float> x, int64_t rows) {
  scratch.resize(std::max(scratch.size(), static_cast<size_t>(rows * x.columns)));
  for (int64_t i = 0; i < x.rows; ++i)
    std::memcpy(scratch.data() + i * x.columns, x.row(i), static_cast<size_t>(x.columns) * sizeof(float));
  std::fill(scratch.begin() + x.rows * x.columns, scratch.begin() + rows * x.columns, 0.0F);
  return {scratch.data(), rows, x.columns, x.columns};
}

void multiply(const Stream& stream, Transpose transpose, Matrix<float> c, Put put, Matrix<const float> a,
              Matrix<const float> b) {
  Workspace& w = workspace();
  if (transpose != Transpose::tn) {  // rows of A and C are the dim that changes
    const int64_t m = c.rows, main = m / kBlock * kBlock, rest = m - main;
    if (main > 0) execute(stream, w, transpose, rows_of(c, 0, main), put, rows_of(a, 0, main), b);
    if (rest == 0) return;
    const int64_t rows = bucket(rest);
    const Matrix<float> tail = rows_of(c, main, m);
    const Matrix<const float> tail_a = rows_of(a, main, m);
    if (rows == rest) return execute(stream, w, transpose, tail, put, tail_a, b);
    w.out.resize(std::max(w.out.size(), static_cast<size_t>(rows * c.columns)));
    const Matrix<float> out{w.out.data(), rows, c.columns, c.columns};
    execute(stream, w, transpose, out, Put::write, padded(w.rows, tail_a, rows), b);
    for (int64_t i = 0; i < rest; ++i)
      for (int64_t j = 0; j < c.columns; ++j) store(tail.row(i)[j], put, out.row(i)[j]);
    return;
  }
  // The contraction is over the rows that change.
  const int64_t k = a.rows, main = k / kBlock * kBlock, rest = k - main;
  if (main > 0) execute(stream, w, transpose, c, put, rows_of(a, 0, main), rows_of(b, 0, main));
  if (rest == 0) return;
  const Put put_rest = main > 0 ? Put::add : put;
  const int64_t rows = bucket(rest);
  const Matrix<const float> tail_a = rows_of(a, main, k), tail_b = rows_of(b, main, k);
  if (rows == rest) return execute(stream, w, transpose, c, put_rest, tail_a, tail_b);
  execute(stream, w, transpose, c, put_rest, padded(w.rows, tail_a, rows), padded(w.out, tail_b, rows));
}

void product(const Stream& stream, Transpose transpose, Matrix<float> c, Put put, Matrix<const float> a,
             Matrix<const float> b) {
  if (c.rows * c.columns == 0) return;
  if ((transpose == Transpose::tn ? a.rows : a.columns) == 0) {
    if (put == Put::write) write_zeros(c);
    return;
  }
  try {
    multiply(stream, transpose, c, put, a, b);
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_out_of_memory) throw std::bad_alloc();
    throw;
  }
}

}  // namespace

const MatmulKernels<float>& matmul_library() {
  static constexpr MatmulKernels<float> table = MatmulLoops<float, product>::table();
  return table;
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

// Products of matrices. C [M, N] is written or added to.
//   nt: A [M, K] B [N, K]^T   (y = x w^T)
//   nn: A [M, K] B [K, N]     (dx = dy w)
//   tn: A [K, M]^T B [K, N]   (dw = dy^T x)
// An empty contraction (K = 0) writes zeros. With Stream::products == bf16, float inputs are rounded to bf16 and sums
// kept in f32. Products::none: see stream.h. Thread safe; scratch memory belongs to the calling thread and is reused.
#pragma once

#include "framework/core/stream.h"
#include "framework/core/view.h"

namespace og {

enum class Transpose : unsigned char { nt, nn, tn };

template <class T>
void matmul(const Stream& stream, Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a, View<const T, 2> b);

// Plain loops: the definition of truth.
template <class T>
void matmul_ref(Transpose transpose, View<T, 2> c, Put put, View<const T, 2> a, View<const T, 2> b);

// The library behind the float products. onednn/: oneDNN; no_onednn.cpp: a build without it, which computes with
// matmul_ref.
void matmul_library(const Stream& stream, Transpose transpose, View<float, 2> c, Put put, View<const float, 2> a,
                    View<const float, 2> b);
const char* matmul_library_name();  // "oneDNN 2.6.0" or "none (built without oneDNN)"

// The processor multiplies bf16 itself (AVX-512 BF16 or AMX) and the library makes use of it.
bool bf16_is_native();

}  // namespace og

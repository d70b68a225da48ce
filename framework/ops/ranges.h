// Ranges of one dim of tensors, copied, added or filled, off the tape. With them tensors are cut, joined, and laid out
// for other ranks.
#pragma once

#include "framework/core/context.h"

namespace og {

// Places [to_begin, to_begin + count) of dim `dim` of `to` become, or grow by, places [from_begin, from_begin + count)
// of the same dim of `from`. Before and after that dim both have as many elements. dim may be negative (from the end).
void move_range(const Stream& stream, int dim, const Tensor& to, int64_t to_begin, Put put, const Tensor& from,
                int64_t from_begin, int64_t count);

// Places [begin, begin + count) of dim `dim` of `to` become `value`.
void fill_range(const Stream& stream, int dim, const Tensor& to, int64_t begin, int64_t count, double value);

// A copy of places [begin, end) of dim `dim` of x.
Tensor copy_range(const Context& cx, int dim, const Tensor& x, int64_t begin, int64_t end);

// `to` becomes, or grows by, `from`, of as many elements.
void move_into(const Stream& stream, const Tensor& to, Put put, const Tensor& from);

}  // namespace og

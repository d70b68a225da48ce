// Rows of a table by id. R ids, V rows of width D: row v of the table stands for id first_row + v. Ids of other rows
// are legal: another rank holds them.
#pragma once

#include "framework/core/view.h"
#include "framework/kernels/dispatch.h"

namespace og {

template <class T>
struct EmbedKernels {
  // y_r = w_v, v = ids_r - first_row; zeros where the table has no such row.
  void (*forward)(const Stream&, View<T, 2> y, View<const T, 2> w, View<const int32_t, 1> ids, int64_t first_row);
  // dw_v = sum of dy_r over the r with ids_r - first_row = v, in the order of r.
  void (*backward)(const Stream&, View<T, 2> dw, Put put, View<const T, 2> dy, View<const int32_t, 1> ids,
                   int64_t first_row);
};

template <class T>
const EmbedKernels<T>& embed_ref();
template <class T>
const EmbedKernels<T>& embed_kernels(const Stream& stream);

}  // namespace og

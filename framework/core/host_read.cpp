#include "framework/core/host_read.h"

namespace og {

template <class T>
std::vector<T> host_read(Context& cx, const Tensor& x) {
  OG_CHECK(x.defined(), "host_read: a tensor that is absent");
  cx.host_reads += 1;
  const T* begin = x.data<const T>();
  return {begin, begin + x.count()};
}
template std::vector<float> host_read(Context&, const Tensor&);
template std::vector<double> host_read(Context&, const Tensor&);
template std::vector<int32_t> host_read(Context&, const Tensor&);
template std::vector<int64_t> host_read(Context&, const Tensor&);

}  // namespace og

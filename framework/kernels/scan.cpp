#include "framework/kernels/scan.h"

namespace og {

template <>
const ScanKernels<float>& scan_kernels(const Stream& stream, ScanForm form) {
  if (form == ScanForm::recurrent) return choose(stream, scan_ref<float>());
  const ScanKernels<float>& plain = form == ScanForm::chunked ? scan_chunked<float>() : scan_ref<float>();
  return choose(stream, plain, avx2::scan_table, avx512::scan_table);
}
template <>
const ScanKernels<double>& scan_kernels(const Stream& stream, ScanForm form) {
  return choose(stream, form == ScanForm::chunked ? scan_chunked<double>() : scan_ref<double>());
}

}  // namespace og

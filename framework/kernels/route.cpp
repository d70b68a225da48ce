#include "framework/kernels/route.h"

namespace og {

// Some integers a token: kernels/cpu has nothing better.
const RouteKernels& route_kernels(const Stream& stream) { return choose(stream, route_ref()); }

}  // namespace og

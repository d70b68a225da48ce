// One function a mixer type; registry.cpp lists them.
#pragma once

#include "framework/nn/registry.h"

namespace og {

MixerType linear_type();
MixerType retention_type();
MixerType lightning_type();
MixerType simple_gla_type();
MixerType mamba2_type();
MixerType gla_type();
MixerType hgrn2_type();
MixerType delta_net_type();
MixerType gated_delta_net_type();

}  // namespace og

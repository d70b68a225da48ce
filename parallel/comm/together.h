// Work that every rank does for itself and that must succeed on all: if it throws on any rank, every rank throws.
#pragma once

#include <functional>

#include "parallel/comm/comm.h"

namespace og {

// Collective. Runs `work`; then every rank throws the Error of the lowest rank that failed, with its status, its
// message led by "rank r: " where the world has several.
void together(Comm& world, Site site, const std::function<void()>& work);

// The same for work without collectives that may take one rank longer than a collective may wait: a thread of its own
// does it, and the ranks meet five times a second until it is done on all.
void together_at_length(Comm& world, Site site, const std::function<void()>& work);

}  // namespace og

// How the program meets its world and how it ends: one clear message, one exit status, no stack trace.
#pragma once

#include <exception>
#include <functional>
#include <string>

#include "parallel/comm/comm.h"

namespace og {

// The world this process belongs to: MPI if mpirun or srun started it, else one rank. Rank 0 says once which it is.
std::unique_ptr<Comm> join_world(double timeout_seconds);

// Joins the world and runs body in it. An exception of body becomes the exit status: the other ranks are told to stop,
// and the message is printed once (by rank 0 if all ranks failed, else by the rank that did).
int run_in_world(double timeout_seconds, const std::function<int(Comm&)>& body);

// For exceptions outside of a world: prints the message (once where a launcher started several of this program) and
// returns the exit status.
int report_failure(const std::exception& error);

}  // namespace og

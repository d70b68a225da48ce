// `onegather bench comm`: every verb of Comm at several sizes on the ranks of the world, each checked before it is
// timed, and per verb the line seconds = alpha + beta x bytes received.
#pragma once

#include <string>
#include <vector>

#include "framework/io/json.h"
#include "parallel/comm/comm.h"

namespace og {

struct CommBenchRow {
  Verb verb = Verb::barrier;
  int64_t size = 0;      // bytes of a rank's input or output, whichever is larger; a multiple of the ranks
  int64_t received = 0;  // bytes, as the counters count them: the rank that receives most
  double seconds = 0;    // one call on the slowest rank: the median batch
  double least = 0, most = 0;
};

struct CommFit {
  Verb verb = Verb::barrier;
  double alpha = 0;  // seconds of a call that carries nothing
  double beta = 0;   // seconds a received byte; 0 if nothing is received (one rank)
  double error = 0;  // root of the mean squared relative residual
};

struct CommBenchResult {
  int ranks = 1;
  std::vector<CommBenchRow> rows;
  std::vector<CommFit> fits;
};

// One verb at one size. Collective. A wrong result: Error(Status::internal).
CommBenchRow bench_verb(Comm& comm, Verb verb, int64_t size);

// Collective. A verb that gives a wrong result: Error(Status::internal), no figures. Buffers that do not fit in the
// free memory: Error(Status::usage).
CommBenchResult bench_comm(Comm& world, const std::vector<int64_t>& sizes);

// Least squares of the relative residuals, so that small messages weigh as much as large ones; neither number is below
// zero.
CommFit fit_line(Verb verb, const std::vector<CommBenchRow>& rows);

std::string describe(const CommBenchResult& result);
Json to_json(const CommBenchResult& result);

}  // namespace og

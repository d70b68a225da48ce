// Points of `bench sequence`: what was measured where, as JSON with the settings that they hold for.
#pragma once

#include <string>
#include <vector>

#include "framework/bench/sequence/estimate.h"
#include "framework/io/json.h"

namespace og {

struct SequencePoint {
  int ranks = 1;
  std::string method;
  Extent extent;
  std::string status;  // "measured", "not run" or "refused" (its result is wrong)
  std::string reason;
  PassCost estimated;
  PassCost cost;                 // the median pass
  double exposed_seconds = 0;    // the part blocked in communication: the most of any rank
  double tokens_per_second = 0;  // the whole group's; the median
  double least = 0, most = 0;    // tokens a second
  double check_error = 0;        // difference from one rank alone, relative
  Extent checked;                // where that was found: at the point's own extent, or the longest affordable one
  std::string held_against;      // where not at its own: the method whose result there it was compared with
  double held_error = 0;         // the difference from that
  bool taken_over = false;       // from the resumed file
};

struct SequenceBench;
class Comm;

// What a measurement depends on beside its point: subject, config, threads, build, instruction set, precision, hosts.
// Collective.
Json sweep_settings(const SequenceBench& bench, Comm& world);
Json to_json(const Json& settings, const std::vector<SequencePoint>& points);
// The measured points of a file's text. One that is no such file: Error(Status::data) with its path; other settings:
// Error(Status::usage) that says what differs.
std::vector<SequencePoint> resumed_points(const std::string& text, const std::string& path, const Json& settings);

}  // namespace og

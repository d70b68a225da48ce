// The planner against published measurements. For each cluster at most three constants are fitted to all of its tables
// together, by least squares of relative errors; everything else is known: shapes, bytes of states, and where a table
// has a column without sequence parallelism, that as the local work. Cells come from the functions of
// parallel/comm/link.h and, for operators and steps, from forecast_time() (plan/published/tables.cpp).
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace og {

struct PublishedCell {
  std::string name;
  double published = 0;                                            // seconds
  std::function<double(const std::vector<double>&)> of_constants;  // the model
  double modelled = 0;                                             // at the fitted ones
  double error() const { return modelled / published - 1; }
};

struct PublishedTable {
  std::string title, model;
  std::vector<PublishedCell> cells;
  double mean_error() const;  // mean absolute relative error
  double worst_error() const;
};

struct PublishedFit {
  std::string cluster, source;
  bool verified = false;  // a source that could be read; only those gate anything
  struct Constant {
    std::string name, unit;
    double value;  // before the fit: where it starts
  };
  std::vector<Constant> constants;
  std::vector<PublishedTable> tables;
};

// As published, not fitted.
PublishedFit lasp2_a100();
PublishedFit zeco_h100();

std::vector<PublishedFit> fit_published_tables();
std::string describe(const PublishedFit& fit);

}  // namespace og

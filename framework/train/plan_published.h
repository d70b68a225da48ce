// The cost model against published measurements: for each table the constants of its cluster (at most three) are fitted
// by least squares of relative errors, and every cell is compared.
#pragma once

#include <string>
#include <vector>

namespace og {

struct PublishedCell {
  std::string name;
  double published = 0, modelled = 0;
  double error() const { return modelled / published - 1; }
};

struct PublishedFit {
  std::string title, source, model;
  bool verified = false;  // a source that could be read; only those gate anything
  std::vector<std::pair<std::string, double>> constants;
  std::vector<PublishedCell> cells;
  double mean_error() const;  // of absolute relative errors
  double worst_error() const;
};

std::vector<PublishedFit> fit_published_tables();
std::string describe(const PublishedFit& fit);

}  // namespace og

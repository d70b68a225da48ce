#include "framework/plan/published/fit.h"

#include <algorithm>
#include <cmath>

#include "framework/core/error.h"

namespace og {

namespace {

constexpr size_t kMostConstants = 3;

double squares(const PublishedFit& fit, const std::vector<double>& constants) {
  double sum = 0;
  for (const PublishedTable& t : fit.tables)
    for (const PublishedCell& c : t.cells) sum += std::pow(c.of_constants(constants) / c.published - 1, 2);
  return sum;
}

// Constants are positive and enter through max() and whole numbers of blocks: a compass search over their logarithms.
void fit(PublishedFit& f) {
  OG_CHECK(f.constants.size() <= kMostConstants, "{} constants", f.constants.size());
  std::vector<double> x;
  for (const auto& c : f.constants) x.push_back(c.value);
  double least = squares(f, x);
  for (double step = 1; step > 1e-3;) {
    bool better = false;
    for (size_t i = 0; i < x.size(); ++i)
      for (double sign : {1.0, -1.0}) {
        std::vector<double> y = x;
        y[i] *= std::exp(sign * step);
        const double sum = squares(f, y);
        if (sum >= least) continue;
        x = y, least = sum, better = true;
      }
    if (!better) step /= 2;
  }
  for (size_t i = 0; i < x.size(); ++i) f.constants[i].value = x[i];
  for (PublishedTable& t : f.tables)
    for (PublishedCell& c : t.cells) c.modelled = c.of_constants(x);
}

}  // namespace

double PublishedTable::mean_error() const {
  double sum = 0;
  for (const PublishedCell& c : cells) sum += std::abs(c.error());
  return sum / static_cast<double>(cells.size());
}

double PublishedTable::worst_error() const {
  double worst = 0;
  for (const PublishedCell& c : cells) worst = std::max(worst, std::abs(c.error()));
  return worst;
}

std::vector<PublishedFit> fit_published_tables() {
  std::vector<PublishedFit> all{lasp2_a100(), zeco_h100()};
  for (PublishedFit& f : all) fit(f);
  return all;
}

std::string describe(const PublishedFit& f) {
  std::string text = fmt::format("{} ({}{}), one fit of\n", f.cluster, f.source, f.verified ? "" : ": gates nothing");
  for (const auto& c : f.constants) text += fmt::format("  {:<34} {:.3g} {}\n", c.name, c.value, c.unit);
  for (const PublishedTable& t : f.tables) {
    text += fmt::format("{}: {}\n  {} cells: mean error {:.1f} %, worst {:.1f} %\n", t.title, t.model, t.cells.size(),
                        100 * t.mean_error(), 100 * t.worst_error());
    for (const PublishedCell& c : t.cells)
      text += fmt::format("    {:<20} {:>10.5f} s published {:>10.5f} s modelled {:>+7.1f} %\n", c.name, c.published,
                          c.modelled, 100 * c.error());
  }
  return text;
}

}  // namespace og

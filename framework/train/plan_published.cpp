#include "framework/train/plan_published.h"

#include <algorithm>
#include <cmath>

#include "framework/core/error.h"
#include "framework/train/least_squares.h"

namespace og {

namespace {

constexpr size_t kMostConstants = 3;
struct Cell {
  std::string name;
  double seconds;                // published
  double known;                  // a part that is not fitted
  std::vector<double> features;  // what each constant is multiplied with
};

PublishedFit fit(std::string title, std::string source, bool verified, std::string model,
                 const std::vector<std::string>& constants, const std::vector<Cell>& cells) {
  OG_CHECK(constants.size() <= kMostConstants, "{} constants", constants.size());
  PublishedFit result{std::move(title), std::move(source), std::move(model), verified, {}, {}};
  std::vector<Observation> observations;
  for (const Cell& c : cells) observations.push_back({c.features, c.seconds - c.known, c.seconds});
  const std::vector<double> x = fit_costs(observations);
  for (size_t i = 0; i < x.size(); ++i) result.constants.emplace_back(constants[i], x[i]);
  for (const Cell& c : cells) {
    double seconds = c.known;
    for (size_t i = 0; i < x.size(); ++i) seconds += x[i] * c.features[i];
    result.cells.push_back({c.name, c.seconds, seconds});
  }
  return result;
}

const char* const kZeco = "arXiv 2507.01004, numbers at second hand";

// One collective of the states, 8K tokens a GPU, 32 heads, H100: milliseconds.
PublishedFit zeco_communication() {
  constexpr int kRanks[] = {8, 16, 32, 64, 128, 256};
  constexpr double kGather[] = {0.375, 0.658, 1.616, 2.543, 4.350, 8.514};
  constexpr double kChain[] = {0.226, 0.297, 0.448, 0.739, 1.272, 2.165};
  std::vector<Cell> cells;
  for (size_t i = 0; i < std::size(kRanks); ++i) {
    const double others = kRanks[i] - 1;
    cells.push_back({"AllGather on " + std::to_string(kRanks[i]), kGather[i] * 1e-3, 0, {1, others, 0}});
    cells.push_back({"All-Scan on " + std::to_string(kRanks[i]), kChain[i] * 1e-3, 0, {1, 0, others}});
  }
  return fit("ZeCO, communication", kZeco, false, "start + (P - 1) message, a message for each schedule",
             {"start", "gather message", "chain hop"}, cells);
}

// One GLA operator, 16K tokens a GPU: milliseconds. Without sequence parallelism: as published.
PublishedFit zeco_operator() {
  struct Row {
    int ranks;
    double lasp1, lasp2, zeco, none;
  };
  constexpr Row kRows[] = {{8, 22.6, 19.4, 7.3, 6.4}, {32, 39.0, 25.7, 7.7, 6.4}, {128, 113.7, 35.7, 9.9, 6.1}};
  std::vector<Cell> cells;
  for (const Row& r : kRows) {
    const std::string on = " on " + std::to_string(r.ranks);
    const double others = r.ranks - 1;
    // LASP-1 and LASP-2 ran another kernel than the one without sequence parallelism: its time is the first constant.
    cells.push_back({"LASP-1" + on, r.lasp1 * 1e-3, 0, {1, others, 0}});
    cells.push_back({"LASP-2" + on, r.lasp2 * 1e-3, 0, {1, 0, others}});
    cells.push_back({"ZeCO" + on, r.zeco * 1e-3, r.none * 1e-3, {0, 0, 0.25 * others}});
  }
  return fit("ZeCO, operator", kZeco, false,
             "kernel + (P - 1) hop or message; ZeCO: without parallelism + (P - 1) message / 4",
             {"kernel", "LASP-1 hop", "gather message"}, cells);
}

// Training, 32K tokens a GPU: seconds of a step from tokens/s per GPU, over those without sequence parallelism.
PublishedFit zeco_training() {
  struct Row {
    int ranks;
    double lasp1, lasp2, zeco, none;
  };
  constexpr Row kRows[] = {{8, 27014, 42946, 47369, 49633},
                           {64, 12268, 37485, 44468, 48230},
                           {128, 0, 33327, 43278, 47848},
                           {256, 0, 25402, 40967, 46588}};
  constexpr double kTokens = 32768;
  std::vector<Cell> cells;
  for (const Row& r : kRows) {
    const std::string on = " on " + std::to_string(r.ranks);
    const double others = r.ranks - 1, none = kTokens / r.none;
    if (r.lasp1 > 0) cells.push_back({"LASP-1" + on, kTokens / r.lasp1, none, {others, 0, 0}});
    cells.push_back({"LASP-2" + on, kTokens / r.lasp2, none, {0, others, 0}});
    cells.push_back({"ZeCO" + on, kTokens / r.zeco, none, {0, 0, others}});
  }
  return fit("ZeCO, training", kZeco, false, "without parallelism + (P - 1) message of all layers",
             {"LASP-1 hop", "LASP-2 message", "ZeCO hop"}, cells);
}

// Linear-Llama3-1B, batch 1, A100: tokens/s of N tokens on P GPUs; 0: out of memory.
PublishedFit lasp2_table6() {
  constexpr int kRanks[] = {16, 32, 64, 128};
  struct Row {
    double kilo_tokens;
    double speed[4];
  };
  constexpr Row kRows[] = {{2, {1254, 1209, 1285, 1205}},
                           {4, {2478, 2446, 2327, 2344}},
                           {8, {4835, 4784, 4693, 4678}},
                           {16, {9530, 9494, 9305, 9313}},
                           {32, {18105, 17755, 17835, 17807}},
                           {64, {35507, 34240, 34118, 33344}},
                           {128, {68406, 68545, 67344, 66811}},
                           {256, {135635, 132605, 130215, 131550}},
                           {512, {0, 250586, 245353, 233442}},
                           {1024, {0, 0, 442221, 416465}},
                           {2048, {0, 0, 0, 769030}}};
  std::vector<Cell> cells;
  for (const Row& r : kRows)
    for (size_t i = 0; i < std::size(kRanks); ++i) {
      if (r.speed[i] == 0) continue;
      const double tokens = r.kilo_tokens * 1024;
      cells.push_back({std::to_string(static_cast<int>(r.kilo_tokens)) + "K on " + std::to_string(kRanks[i]),
                       tokens / r.speed[i],
                       0,
                       {1, tokens / kRanks[i], tokens}});
    }
  return fit("LASP-2, table 6", "arXiv 2502.07563", true,
             "overhead + N / P tokens of a rank + N tokens handled whole (data, host)",
             {"overhead", "a rank's token", "a token of the row"}, cells);
}

}  // namespace

double PublishedFit::mean_error() const {
  double sum = 0;
  for (const PublishedCell& c : cells) sum += std::abs(c.error());
  return sum / static_cast<double>(cells.size());
}

double PublishedFit::worst_error() const {
  double worst = 0;
  for (const PublishedCell& c : cells) worst = std::max(worst, std::abs(c.error()));
  return worst;
}

std::vector<PublishedFit> fit_published_tables() {
  return {lasp2_table6(), zeco_communication(), zeco_operator(), zeco_training()};
}

std::string describe(const PublishedFit& f) {
  std::string text =
      fmt::format("{} ({}{})\n  {}\n  ", f.title, f.source, f.verified ? "" : ": gates nothing", f.model);
  for (size_t i = 0; i < f.constants.size(); ++i)
    text += fmt::format("{}{} {:.3g} s", i == 0 ? "" : ", ", f.constants[i].first, f.constants[i].second);
  text += fmt::format("\n  {} cells: mean error {:.1f} %, worst {:.1f} %\n", f.cells.size(), 100 * f.mean_error(),
                      100 * f.worst_error());
  for (const PublishedCell& c : f.cells)
    text += fmt::format("    {:<20} {:>10.5f} s published {:>10.5f} s modelled {:>+7.1f} %\n", c.name, c.published,
                        c.modelled, 100 * c.error());
  return text;
}

}  // namespace og

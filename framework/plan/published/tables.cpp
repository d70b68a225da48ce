// What was published, and the same cells as the planner composes them.
#include <memory>

#include "framework/plan/published/fit.h"
#include "framework/plan/time.h"

namespace og {

namespace {

using Constants = std::vector<double>;

Config one_row_of(int64_t layers, int64_t tokens) {
  Config config;
  ModelConfig& model = config.model;
  model.hidden_size = 2048, model.num_hidden_layers = layers;
  model.layer_pattern = "L", model.channel_pattern = "P";
  set_mixer(model, 'L', "gla", {{"num_heads", 16}, {"head_k_dim", 128}, {"head_v_dim", 128}});
  set_channel(model, 'P', "mlp", {{"intermediate_size", 8192}});
  config.data.sequence_length = config.train.tokens_per_step = tokens;
  config.train.precision = "f32";
  return config;
}

// A pure linear model on P sequence ranks, one row: what forecast_time() needs of it, without running it.
struct PublishedModel {
  Config config;
  ModelProbe probe;
  std::vector<LayerExchanges> exchanges;  // for one kind of layer
  Layout layout;
  SequenceOptions sequence;

  PublishedModel(int64_t layers, int64_t tokens_of_row, int ranks, const LinearRow& method, double state_bytes)
      : config(one_row_of(layers, tokens_of_row)) {
    LayerProbe layer;
    layer.mixer = 'L', layer.channel = 'P', layer.count = layers;
    layer.state_bytes = state_bytes;
    probe.layers = {layer};
    probe.order.assign(static_cast<size_t>(layers), 0);
    LayerExchanges sent;
    for (const Site site : {Sites::mixer_forward, Sites::mixer_backward})
      sent.layer.push_back({.axis = Axis::sequence,
                            .site = site,
                            .verb = method.exchange.verb,
                            .ranks = 2,
                            .calls = 1,
                            .row_bytes = state_bytes,
                            .cost = method.exchange.cost,
                            .meanwhile = method.exchange.meanwhile});
    exchanges.push_back(sent);
    layout.degrees.sequence = ranks;
    sequence.linear = linear_method(method.name);
  }

  // Local work that is known as seconds: of all of a rank's layers together.
  void take(double seconds) {
    const double tokens = static_cast<double>(config.data.sequence_length) / layout.degrees.sequence;
    const double passes = 3;
    probe.layers[0].flops.products = seconds / (tokens * passes * static_cast<double>(probe.layers[0].count));
  }

  double seconds(const Cluster& cluster) const {
    return forecast_time(LayoutWork(config, cluster, probe, layout, sequence, {&exchanges[0]})).step_seconds();
  }
};

// Known work counts as it is; the rest of a step costs nothing.
Cluster only_links(int ranks, const Link& link) {
  Cluster c;
  c.device = Device::gpu, c.nodes = (ranks + 7) / 8, c.devices_per_node = 8;
  c.products = c.mixers = c.attention = 1, c.memory = 1e30;
  c.inside = c.across = link;
  return c;
}

struct PublishedMethod {
  const char *name, *title;
  const LinearRow& row() const { return row_of(linear_method(name)); }
};
constexpr PublishedMethod kLasp1{"lasp1", "LASP-1"}, kLasp2{"lasp2", "LASP-2"}, kZeco{"zeco", "ZeCO"};

// A chain of states in as many blocks as are best.
ExchangeCost best_chain(const GroupLinks& links, double n) { return chain_cost(links, n, best_chain_blocks(links, n)); }

}  // namespace

PublishedFit zeco_h100() {
  constexpr double kState = 32.0 * 128 * 128 * 4;  // 32 heads of 128 x 128, f32
  constexpr int64_t kLayers = 16;                  // the 1B model's; the notes do not say
  const auto link = [](const Constants& x) { return Link{x[0], x[1]}; };
  PublishedFit f{"H100",
                 "arXiv 2507.01004, numbers at second hand",
                 false,
                 {{"latency of a message", "s", 7.5e-6},
                  {"bandwidth of a rank", "bytes/s", 6e10},
                  {"LASP-1: serial share of a layer", "", 0.1}},
                 {}};

  PublishedTable communication{"communication", "link.h: AllGather, chain in the best number of blocks; a state", {}};
  constexpr int kRanks[] = {8, 16, 32, 64, 128, 256};
  constexpr double kGather[] = {0.375, 0.658, 1.616, 2.543, 4.350, 8.514};  // ms
  constexpr double kChain[] = {0.226, 0.297, 0.448, 0.739, 1.272, 2.165};
  for (size_t i = 0; i < std::size(kRanks); ++i) {
    const int P = kRanks[i];
    for (const auto& [what, ms, law] :
         {std::tuple{"AllGather", kGather[i], &all_gather_cost}, {"All-Scan", kChain[i], &best_chain}})
      communication.cells.push_back({fmt::format("{} on {}", what, P), ms * 1e-3, [=, law = law](const Constants& x) {
                                       return law({.ranks = P, .inside = link(x)}, kState).seconds;
                                     }});
  }

  // A cell of `layers` layers whose work without sequence parallelism is known; `layer`: of one layer's operator.
  const auto cell = [&](const PublishedMethod& method, int P, int64_t layers, int64_t tokens, double published,
                        double without, double layer) {
    auto model = std::make_shared<PublishedModel>(layers, tokens * P, P, method.row(), kState);
    model->take(without);
    if (std::string_view(method.name) == kZeco.name)
      for (Exchange& e : model->exchanges[0].layer) e.cost = best_chain;
    // A rank of LASP-1 works between receiving and sending, forward and backward.
    const double serial = std::string_view(method.name) == kLasp1.name ? layer / 2 : 0;
    return PublishedCell{fmt::format("{} on {}", method.title, P), published, [=](const Constants& x) {
                           Link l = link(x);
                           l.latency += x[2] * serial;
                           return model->seconds(only_links(P, l));
                         }};
  };
  constexpr double kOperator = 6.4e-3;  // 16K tokens, forward and backward
  struct Row {
    int ranks;
    double lasp1, lasp2, zeco, none;
  };
  // One GLA operator, 16K tokens a GPU, milliseconds.
  PublishedTable one{"operator", "forecast_time of one layer; local: the column without sequence parallelism", {}};
  for (const Row& r : {Row{8, 22.6, 19.4, 7.3, 6.4}, {32, 39.0, 25.7, 7.7, 6.4}, {128, 113.7, 35.7, 9.9, 6.1}})
    for (const auto& [method, ms] : {std::pair{kLasp1, r.lasp1}, {kLasp2, r.lasp2}, {kZeco, r.zeco}})
      one.cells.push_back(cell(method, r.ranks, 1, 16384, ms * 1e-3, r.none * 1e-3, kOperator));
  // Training, 32K tokens a GPU, tokens/s per GPU.
  PublishedTable step{"training", "forecast_time of 16 layers; local: the column without sequence parallelism", {}};
  constexpr int64_t kTokens = 32768;
  for (const Row& r : {Row{8, 27014, 42946, 47369, 49633},
                       {64, 12268, 37485, 44468, 48230},
                       {128, 0, 33327, 43278, 47848},
                       {256, 0, 25402, 40967, 46588}})
    for (const auto& [method, speed] : {std::pair{kLasp1, r.lasp1}, {kLasp2, r.lasp2}, {kZeco, r.zeco}})
      if (speed > 0)
        step.cells.push_back(cell(method, r.ranks, kLayers, kTokens, kTokens / speed, kTokens / r.none, 2 * kOperator));
  f.tables = {communication, one, step};
  return f;
}

PublishedFit lasp2_a100() {
  // Linear-Llama3-1B, batch 1: tokens/s of N tokens on P GPUs; 0: out of memory.
  constexpr int kRanks[] = {16, 32, 64, 128};
  struct Row {
    int64_t kilo_tokens;
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
  constexpr int64_t kLayers = 16, kHidden = 2048, kInner = 8192, kVocabulary = 128256;
  constexpr double kState = 16.0 * 128 * 128 * 4;
  PublishedFit f{"A100",
                 "arXiv 2502.07563, table 6",
                 true,
                 {{"overhead of a step", "s", 1},
                  {"rate of products", "FLOP/s", 5e13},
                  {"bandwidth of a rank across nodes", "bytes/s", 2.2e10}},
                 {}};
  PublishedTable table{"Linear-Llama3-1B, LASP-2",
                       "forecast_time: FLOPs and gradients of the model, two AllGathers of a state a layer",
                       {}};
  for (const Row& r : kRows)
    for (size_t i = 0; i < std::size(kRanks); ++i) {
      if (r.speed[i] == 0) continue;
      const int64_t tokens = r.kilo_tokens * 1024;
      auto model = std::make_shared<PublishedModel>(kLayers, tokens, kRanks[i], kLasp2.row(), kState);
      LayerProbe& layer = model->probe.layers[0];
      layer.dense = 4.0 * kHidden * kHidden + 3.0 * kHidden * kInner;
      layer.flops.products = 2 * layer.dense;
      layer.flops.mixers = 4.0 * 16 * 128 * 128;
      model->probe.matrix_elements = static_cast<double>(kVocabulary * kHidden);
      model->probe.head_flops = 2 * model->probe.matrix_elements;
      table.cells.push_back({fmt::format("{}K on {}", r.kilo_tokens, kRanks[i]),
                             static_cast<double>(tokens) / r.speed[i], [=](const Constants& x) {
                               // As configs/clusters/a100.yaml, but for the constants.
                               Cluster c = only_links(kRanks[i], {1.2e-5, x[2]});
                               c.products = c.mixers = c.attention = x[1], c.memory = 1.6e12;
                               c.inside = {8e-6, 2e11};
                               c.overhead_seconds = x[0];
                               return model->seconds(c);
                             }});
    }
  f.tables = {table};
  return f;
}

}  // namespace og

// Every layer of the registry against numbers from outside the project: tests/golden/*.safetensors, which
// tests/golden/make.py writes from the papers' formulas, one token at a time in f64. Outputs, gradients of the input
// and of every weight.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "framework/io/safetensors.h"
#include "framework/nn/registry.h"
#include "tests/tensors.h"
#include "tests/world.h"

namespace og {
namespace {

constexpr double kUnitRoundoff = 0x1p-24;  // f32

struct Golden {
  std::string name;
  std::string path;
};
std::ostream& operator<<(std::ostream& out, const Golden& g) { return out << g.name; }

std::vector<Golden> golden_files() {
  std::vector<Golden> files;
  for (const auto& entry : std::filesystem::directory_iterator(OG_SOURCE_DIR "/tests/golden"))
    if (entry.path().extension() == ".safetensors") files.push_back({entry.path().stem(), entry.path()});
  std::sort(files.begin(), files.end(), [](const Golden& a, const Golden& b) { return a.name < b.name; });
  return files;
}

std::map<std::string, std::string> metadata_of(const SafetensorsFile& file) {
  return {file.metadata().begin(), file.metadata().end()};
}

OptionValue option_of(const OptionSpec& spec, const std::string& text) {
  if (text == "null") return {};
  switch (spec.kind) {
    case OptionSpec::Kind::boolean:
      return text == "true";
    case OptionSpec::Kind::integer:
      return int64_t{std::stoll(text)};
    case OptionSpec::Kind::real:
      return std::stod(text);
    case OptionSpec::Kind::choice:
      return text;
  }
  return {};
}

// Every key of the type from the file, and no other.
Options options_of(const std::string& type, const std::vector<OptionSpec>& specs,
                   const std::map<std::string, std::string>& metadata) {
  Options options;
  options.type = type;
  options.where = "golden";
  const std::string prefix = "option.";
  for (const OptionSpec& spec : specs) {
    const auto found = metadata.find(prefix + spec.name);
    if (found == metadata.end()) {
      ADD_FAILURE() << type << ": the file has no option " << spec.name << "; write it in make.py";
      options.values[spec.name] = spec.fallback;
    } else {
      options.values[spec.name] = option_of(spec, found->second);
    }
  }
  for (const auto& [key, value] : metadata)
    EXPECT_TRUE(!key.starts_with(prefix) || options.values.contains(key.substr(prefix.size()))) << key;
  return options;
}

// What a layer is given and gives, by the names of the file: x, dy and "weight:..", then y, dx, "gradient:.." and the
// losses of a channel part.
using Tensors = std::map<std::string, Tensor>;

const Placement kPlace{{Axis::data, Place::varying}, {Axis::sequence, Place::varying}};

// Forward and backward on `given`, the layer built as models/hybrid_lm.cpp builds it.
Tensors run(Context& cx, const SafetensorsFile& file, const Tensors& given, DType dtype) {
  const auto metadata = metadata_of(file);
  const std::string& type = metadata.at("type");
  const bool is_mixer = metadata.at("kind") == "mixer";
  const auto self = make_self_comm();
  Mesh mesh(*self, {});
  ParameterStore store(cx, mesh, dtype, 7);
  const Tensor x = given.at("x").cast(*cx.pool, dtype), dy = given.at("dy").cast(*cx.pool, dtype);
  const LayerContext context{
      .store = store,
      .prefix = "model.layers." + metadata.at("layer_index") + (is_mixer ? ".mixer" : ".mlp"),
      .hidden_size = x.size(2),
      .layer_index = std::stoi(metadata.at("layer_index")),
      .num_layers = std::stoi(metadata.at("num_layers")),
      .rms_norm_eps = std::stod(metadata.at("rms_norm_eps")),
  };
  std::unique_ptr<SequenceMixer> mixer;
  std::unique_ptr<ChannelPart> channel;
  Options options;
  if (is_mixer) {
    const MixerType* found = find_mixer_type(type);
    OG_CHECK(found, "{}: no mixer type {}", file.path(), type);
    options = options_of(type, found->options, metadata);
    EXPECT_FALSE(found->problem(options, context.hidden_size, 1));
    mixer = found->build(context, options);
  } else {
    const ChannelType* found = find_channel_type(type);
    OG_CHECK(found, "{}: no channel type {}", file.path(), type);
    options = options_of(type, found->options, metadata);
    EXPECT_FALSE(found->problem(options, context.hidden_size, {}));
    channel = found->build(context, options);
  }
  size_t weights = 0;
  for (const auto& [name, tensor] : given) weights += name.starts_with("weight:");
  EXPECT_EQ(weights, store.all().size()) << "weights of the file and of the layer";
  for (Parameter& p : store.all()) {
    const auto found = given.find("weight:" + p.record.name);
    OG_CHECK(found != given.end(), "{} has no {}", file.path(), p.record.name);
    OG_CHECK(found->second.shape() == p.local_shape, "{}: {} has another shape", file.path(), p.record.name);
    p.value.tensor().copy_from(found->second.cast(*cx.pool, dtype));
  }

  const SeqContext seq = make_seq_context(*cx.pool, *self, x.size(0), x.size(1), given.at("starts"));
  const Value in = Value::leaf(x, kPlace);
  Tape tape(cx);
  StepContext step{tape, mesh, seq, x.size(0), true};
  SideOutputs side{.losses = {}, .sums = StepSums(cx)};
  const Value y = mixer ? mixer->forward(step, in, nullptr) : channel->forward(step, in, side);
  y.slot()->open(cx).tensor.copy_from(dy);
  for (const Value& loss : side.losses) loss.slot()->open(cx).tensor.fill(1);
  tape.backward_from_slots();

  Tensors found{{"y", y.tensor()}, {"dx", in.slot()->gradient_or_zero(cx)}};
  for (Parameter& p : store.all()) found["gradient:" + p.record.name] = p.value.slot()->gradient_or_zero(cx);
  for (const auto& [name, place] : {std::pair("aux_loss", StepSum::aux_loss), {"z_loss", StepSum::z_loss}}) {
    if (!given.contains(name)) continue;
    // The layer's figures carry their coefficients, the file's do not.
    const Tensor t = cx.empty({1}, DType::f64);
    t.data<double>()[0] = side.sums.at(place).at(0) / options.real(std::string(name) + "_coef");
    found[name] = t;
  }
  return found;
}

Tensors read_all(Context& cx, const SafetensorsFile& file) {
  Tensors all;
  for (const SafetensorsEntry& entry : file.entries()) all[entry.name] = file.read(*cx.pool, entry);
  return all;
}

// max |a - b| / max |b|; of a tensor of zeros max |a|.
double relative(const Tensor& a, const Tensor& b) {
  OG_CHECK(a.shape() == b.shape(), "golden: shapes differ");
  double largest = 0, scale = 0;
  for (int64_t i = 0; i < a.count(); ++i) {
    const double d = std::abs(a.at(i) - b.at(i));
    if (!(d <= largest)) largest = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
    scale = std::max(scale, std::abs(b.at(i)));
  }
  return scale > 0 ? largest / scale : largest;
}

class GoldenLayers : public testing::TestWithParam<Golden> {};

TEST_P(GoldenLayers, InF64EqualsThePapers) {
  Context cx;
  const SafetensorsFile file(GetParam().path);
  const Tensors truth = read_all(cx, file);
  for (const auto& [name, tensor] : run(cx, file, truth, DType::f64))
    EXPECT_LT(relative(tensor, truth.at(name)), 1e-10) << name;
}

// The bound of f32 is measured where it can be derived: change every input by one rounding of f32, at random, and see
// in f64 how far the outputs move. An output is up to 64 rounded operations away from the inputs (two projections of 12
// and up to 16 products, 11 tokens, a norm, a gate, and the same back), each of which moves it about as one change of
// the inputs does. Roundings are as random as these changes: they add up as the root of their number, 8, taken twice.
TEST_P(GoldenLayers, InF32IsAsCloseAsRoundingAllows) {
  constexpr double kRoundings = 16;
  Context cx;
  const SafetensorsFile file(GetParam().path);
  const Tensors truth = read_all(cx, file);
  std::map<std::string, double> moved;
  for (uint64_t trial = 1; trial <= 3; ++trial) {
    Tensors changed = truth;
    for (auto& [name, tensor] : changed) {
      if (name != "x" && name != "dy" && !name.starts_with("weight:")) continue;
      tensor = tensor.cast(*cx.pool, DType::f64);
      const Tensor copy = cx.empty(tensor.shape(), DType::f64);
      const RandomKey key = random_key(trial, name);
      for (int64_t i = 0; i < copy.count(); ++i)
        copy.data<double>()[i] =
            tensor.at(i) * (1 + (random_below(key, static_cast<uint64_t>(i), 2) ? kUnitRoundoff : -kUnitRoundoff));
      tensor = copy;
    }
    for (const auto& [name, tensor] : run(cx, file, changed, DType::f64))
      moved[name] = std::max(moved[name], relative(tensor, truth.at(name)));
  }
  for (const auto& [name, tensor] : run(cx, file, truth, DType::f32))
    EXPECT_LE(relative(tensor, truth.at(name)), kRoundings * (moved.at(name) + kUnitRoundoff))
        << name << ": one rounding of the inputs moves it by " << moved.at(name);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenLayers, testing::ValuesIn(golden_files()),
                         [](const auto& file) { return file.param.name; });

// A new type, choice or switch must come with its golden file.
TEST(Golden, EveryTypeAndEveryChoiceOfItHasAFile) {
  std::map<std::string, std::set<std::string>> seen;  // "mixer gla short_conv" -> its values
  for (const Golden& golden : golden_files()) {
    const auto metadata = metadata_of(SafetensorsFile(golden.path));
    const std::string type = metadata.at("kind") + " " + metadata.at("type");
    seen[type].insert("");
    for (const auto& [key, value] : metadata)
      if (key.starts_with("option.")) seen[type + " " + key.substr(7)].insert(value);
  }
  const auto expect = [&](const std::string& type, const std::vector<OptionSpec>& specs) {
    EXPECT_TRUE(seen.contains(type)) << type << " has no golden file: add it to tests/golden/make.py";
    for (const OptionSpec& spec : specs) {
      const std::set<std::string>& values = seen[type + " " + spec.name];
      std::vector<std::string> wanted = spec.choices;
      if (spec.kind == OptionSpec::Kind::boolean) wanted = {"true", "false"};
      if (spec.nullable) wanted.push_back("null");
      for (const std::string& value : wanted)
        EXPECT_TRUE(values.contains(value)) << type << ": no golden file has " << spec.name << " = " << value;
      EXPECT_TRUE(!spec.nullable || values.size() > 1) << type << ": no golden file has a value of " << spec.name;
    }
  };
  for (const MixerType& type : mixer_types()) expect("mixer " + type.name, type.options);
  for (const ChannelType& type : channel_types()) expect("channel " + type.name, type.options);
}

// E sum(f p) with p = 1/E is sum(f) = 1 for any choices (arXiv 2101.03961), whatever K and the scores are.
TEST(Golden, TheBalanceLossOfAnEvenRouterIsOne) {
  Context cx;
  for (const char* name : {"moe", "moe_micro_step", "moe_sigmoid", "moe_sigmoid_shared", "moe_capacity"}) {
    const SafetensorsFile file(std::string(OG_SOURCE_DIR "/tests/golden/") + name + ".safetensors");
    Tensors given = read_all(cx, file);
    for (auto& [key, tensor] : given)
      if (key.ends_with(".gate.weight") && key.starts_with("weight:")) tensor.fill(0);
    const Tensors found = run(cx, file, given, DType::f64);
    EXPECT_NEAR(found.at("aux_loss").at(0), 1, 1e-12) << name;
    EXPECT_NEAR(found.at("z_loss").at(0), std::pow(std::log(4.0), 2), 1e-12) << name;  // four experts
  }
}

}  // namespace
}  // namespace og

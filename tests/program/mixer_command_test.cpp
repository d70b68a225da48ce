// `onegather mixer`: every mixer, form, number of ranks and kind of documents against one token-by-token run in f64.
#include "framework/program/commands/mixer.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "framework/io/safetensors.h"
#include "framework/program/mixer_run.h"
#include "tests/tensors.h"

namespace og {
namespace {

struct Sizes {
  int64_t B = 2, T = 9, H = 4, G = 2, K = 3, V = 2;
};

NamedTensors random_inputs(Context& cx, const MixerType& type, const Sizes& n, int64_t num_states, bool initial) {
  NamedTensors x;
  uint64_t key = 1;
  for (const StreamSpec& spec : type.recurrence.streams) {
    if (!spec.required) continue;
    Shape shape;
    for (char d : spec.dims)
      shape.push_back(d == 'B'   ? n.B
                      : d == 'T' ? n.T
                      : d == 'H' ? n.H
                      : d == 'G' ? (spec.name == "q" ? n.H : n.G)
                      : d == 'K' ? n.K
                                 : n.V);
    const Tensor t = random_tensor(cx, shape, DType::f64, key++, 0.7);
    for (int64_t i = 0; i < t.count(); ++i) {
      double& e = t.data<double>()[i];
      e = spec.name == "g" ? -std::abs(e) : spec.name == "beta" ? 1 / (1 + std::exp(-e)) : e;
    }
    x[spec.name] = t;
  }
  x["do"] = random_tensor(cx, {n.B, n.T, n.H, n.V}, DType::f64, 20);
  if (type.recurrence.has_state && num_states > 0) {
    x["dfinal_state"] = random_tensor(cx, {num_states, n.H, n.K, n.V}, DType::f64, 22);
    if (initial) x["initial_state"] = random_tensor(cx, {num_states, n.H, n.K, n.V}, DType::f64, 21);
  }
  return x;
}

MixerRun run_of(const MixerType& type, MixerRun::Form form, int64_t chunk, int ranks) {
  MixerRun run{.type = &type, .form = form, .chunk = chunk, .ranks = ranks};
  run.options = options_of(type.name, type.recurrence.options, type.name);
  return run;
}

void expect_equal(const NamedTensors& a, const NamedTensors& b, double bound, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (const auto& [name, t] : b) {
    ASSERT_TRUE(a.count(name)) << what << ", " << name;
    EXPECT_LT(distance(a.at(name), t), bound) << what << ", " << name;
  }
}

TEST(MixerRun, FormsAndRanksAgree) {
  Context cx;
  for (const MixerType& type : mixer_types())
    for (bool initial : {false, true}) {
      const Sizes n;
      const NamedTensors x = random_inputs(cx, type, n, n.B, initial);
      const NamedTensors truth = run_mixer(run_of(type, MixerRun::Form::recurrent, 64, 1), x, "x");
      for (const auto& [name, t] : x) {
        if (name != "do" && name != "dfinal_state") {
          EXPECT_TRUE(truth.count("d" + name)) << type.name << " " << name;
        }
      }
      for (int ranks : {1, 3})
        for (int64_t chunk : {1, 4, 64})
          expect_equal(run_mixer(run_of(type, MixerRun::Form::chunked, chunk, ranks), x, "x"), truth, 1e-10, type.name);
      expect_equal(run_mixer(run_of(type, MixerRun::Form::decode, 64, 1), x, "x"), truth, 1e-10, type.name + " decode");
      expect_equal(run_mixer(run_of(type, MixerRun::Form::decode, 64, 2), x, "x"), truth, 1e-10, type.name + " decode");
      NamedTensors single;
      for (const auto& [name, t] : x) single[name] = t.cast(*cx.pool, DType::f32);
      NamedTensors f32 = run_mixer(run_of(type, MixerRun::Form::chunked, 64, 2), single, "x");
      for (auto& [name, t] : f32) t = t.cast(*cx.pool, DType::f64);
      expect_equal(f32, truth, 1e-5, type.name + " f32");
    }
}

// All feature maps, the learned one too: its weights' gradients are sums over tokens, ranks and documents.
TEST(MixerRun, FeatureMapsOnRanksAndDocuments) {
  Context cx;
  const MixerType& linear = *find_mixer_type("linear");
  for (const std::string map : {"identity", "elu_plus_one", "relu", "squared_relu", "softmax", "hedgehog"})
    for (bool normalize : {false, true}) {
      if (normalize && map == "identity") continue;
      const int64_t rows = map == "hedgehog" ? 8 : 4, columns = normalize ? 4 : 3;
      NamedTensors x = random_inputs(cx, linear, {.B = 1, .T = 9, .H = 2, .G = 1, .K = 4, .V = 3}, 0, false);
      if (map == "hedgehog")
        for (const char* name : {"q_map", "k_map"}) x[name] = random_tensor(cx, {2, 4, 4}, DType::f64, name[0]);
      const auto run = [&](MixerRun::Form form, int ranks) {
        MixerRun r = run_of(linear, form, 4, ranks);
        r.options.values["feature_map"] = map;
        r.options.values["normalize"] = normalize;
        return run_mixer(r, x, "x");
      };
      const NamedTensors truth = run(MixerRun::Form::recurrent, 1);
      EXPECT_EQ(truth.at("final_state").shape(), (Shape{1, 2, rows, columns}));
      EXPECT_EQ(truth.count("dq_map"), map == "hedgehog" ? 1U : 0U);
      expect_equal(run(MixerRun::Form::chunked, 3), truth, 1e-10, map);
      expect_equal(run(MixerRun::Form::decode, 1), truth, 1e-10, map);

      x["cu_seqlens"] = cx.empty({3}, DType::i32);
      for (int64_t i = 0; i < 3; ++i) x["cu_seqlens"].data<int32_t>()[i] = static_cast<int32_t>(i * (i + 7) / 2);
      const NamedTensors packed = run(MixerRun::Form::chunked, 2);
      x["dfinal_state"] = cx.zeros({2, 2, rows, columns}, DType::f64);  // asks for the documents one by one
      expect_equal(run(MixerRun::Form::recurrent, 1), packed, 1e-10, map);
    }
}

TEST(MixerRun, PackedDocumentsEqualEachAlone) {
  Context cx;
  const Sizes n{.B = 1, .T = 10};
  const Tensor borders = cx.empty({5}, DType::i64);  // lengths 3, 0, 1, 6
  const int64_t at[] = {0, 3, 3, 4, 10};
  std::copy(std::begin(at), std::end(at), borders.data<int64_t>());
  for (const MixerType& type : mixer_types())
    for (int kind : {0, 1, 2}) {  // no states, one a document, one for the first
      if (kind > 0 && !type.recurrence.has_state) continue;
      NamedTensors x = random_inputs(cx, type, n, kind == 0 ? 0 : kind == 1 ? 4 : 1, true);
      x["cu_seqlens"] = borders;
      const NamedTensors truth = run_mixer(run_of(type, MixerRun::Form::recurrent, 64, 1), x, "x");
      for (int ranks : {1, 4})
        expect_equal(run_mixer(run_of(type, MixerRun::Form::chunked, 2, ranks), x, "x"), truth, 1e-10, type.name);
      for (int64_t d = 0; d + 1 < std::ssize(at); ++d) {  // each document on its own
        NamedTensors own;
        for (const auto& [name, t] : x) {
          if (name == "cu_seqlens") continue;
          if (name == "initial_state" || name == "dfinal_state") {
            if (kind == 1) own[name] = t.slice(d, d + 1);
            if (kind == 2 && d == 0 && name == "initial_state") own[name] = t;
            if (kind == 2 && d == 3 && name == "dfinal_state") own[name] = t;
            continue;
          }
          own[name] = t.reshape({n.T, t.shape().count_from(2)}).slice(at[d], at[d + 1]);
          Shape shape = t.shape();
          shape.set(1, at[d + 1] - at[d]);
          own[name] = own[name].reshape(shape);
        }
        const NamedTensors alone = run_mixer(run_of(type, MixerRun::Form::recurrent, 64, 1), own, "x");
        for (const auto& [name, t] : alone) {
          const bool state = name == "final_state" || name == "dinitial_state";
          if (state && kind == 2 && !(d == 3 && name == "final_state") && !(d == 0 && name == "dinitial_state"))
            continue;
          const Tensor all = truth.at(name);
          const Tensor part = state ? (kind == 2 ? all : all.slice(d, d + 1))
                                    : all.reshape({n.T, all.shape().count_from(2)}).slice(at[d], at[d + 1]);
          EXPECT_LT(distance(part.reshape(t.shape()), t), 1e-12) << type.name << " " << name << " document " << d;
        }
      }
    }
}

class MixerCommand : public ::testing::Test {
 protected:
  std::string path(const std::string& name) { return ::testing::TempDir() + "mixer_command_" + name + ".safetensors"; }
  void TearDown() override {
    for (const char* n : {"in", "out"}) std::filesystem::remove(path(n));
  }
  Status failure(const std::vector<std::string>& args) {
    try {
      return static_cast<Status>(mixer_command(args));
    } catch (const Error& e) {
      message_ = e.what();
      return e.status();
    }
  }
  Tensor numbers(const Shape& shape, std::initializer_list<double> x) {
    const Tensor t = cx_.empty(shape, DType::f64);
    std::copy(x.begin(), x.end(), t.data<double>());
    return t;
  }
  Context cx_;
  std::string message_;
};

// The same four tokens worked out by hand as in tests/ops/scan_test.cpp: GLA from S_0 = I with do = 1; hgrn2, where dg
// has the path through k.
TEST_F(MixerCommand, GoldenFile) {
  const Tensor one = numbers({1}, {1});
  Tensor g = numbers({1, 4, 1, 2}, {.5, 1, .25, .5, 1, .5, .5, .25});
  for (int64_t i = 0; i < 8; ++i) g.data<double>()[i] = std::log(g.at(i));
  write_safetensors(path("in"), {{"q", numbers({1, 4, 1, 2}, {1, 0, 1, 1, 0, 2, 1, -1})},
                                 {"k", numbers({1, 4, 1, 2}, {1, 0, 0, 1, 1, 1, 1, 0})},
                                 {"v", numbers({1, 4, 1, 2}, {1, 2, 3, -1, 2, 0, -1, 4})},
                                 {"g", g},
                                 {"initial_state", numbers({1, 1, 2, 2}, {1, 0, 0, 1})},
                                 {"do", Tensor::full(*cx_.pool, {1, 4, 1, 2}, DType::f64, 1)},
                                 {"scale", one}});
  for (const char* form : {"recurrent", "chunked", "decode"})
    for (const char* ranks : {"1", "3"}) {
      ASSERT_EQ(mixer_command({"gla", "--input", path("in"), "--output", path("out"), "--form", form, "--ranks", ranks,
                               "--chunk", "2", "--backend", "ref"}),
                0);
      const SafetensorsFile out(path("out"));
      const auto expect = [&](const char* name, const Shape& shape, std::initializer_list<double> x) {
        ASSERT_NE(out.find(name), nullptr) << name;
        EXPECT_LT(distance(out.read(*cx_.pool, *out.find(name)), numbers(shape, x)), 1e-14) << name;
      };
      expect("o", {1, 4, 1, 2}, {1.5, 2, 27. / 8, 0, 7, -.5, -11. / 16, 69. / 16});
      expect("final_state", {1, 1, 2, 2}, {3. / 16, 17. / 4, 7. / 8, -1. / 16});
      expect("dg", {1, 4, 1, 2}, {.6875, .9375, 1.3125, .9375, .4375, 2.1875, 1.4375, -.8125});
      expect("dinitial_state", {1, 1, 2, 2}, {.6875, .6875, .9375, .9375});
    }
}

TEST_F(MixerCommand, RefusesWhatIsWrong) {
  const Tensor q = random_tensor(cx_, {1, 4, 2, 3}, DType::f32, 1);
  write_safetensors(path("in"), {{"q", q}, {"k", q}, {"v", q}});
  const auto with = [&](std::vector<std::string> args) {
    for (const std::string& a : {std::string("--input"), path("in"), std::string("--output"), path("out")})
      args.push_back(a);
    return failure(args);
  };
  EXPECT_EQ(with({"retention"}), Status::ok);
  EXPECT_EQ(failure({"--list"}), Status::ok);
  EXPECT_EQ(failure({"linear", "--describe"}), Status::ok);
  EXPECT_EQ(with({"gal"}), Status::usage);
  EXPECT_NE(message_.find("gla"), std::string::npos);
  EXPECT_EQ(with({"gla"}), Status::data);  // no g
  EXPECT_NE(message_.find("no tensor g"), std::string::npos);
  EXPECT_EQ(with({"linear", "--feature_map", "cube"}), Status::usage);
  EXPECT_EQ(with({"linear", "--feature-map=relu", "--normalize"}), Status::ok);
  EXPECT_EQ(with({"linear", "--window", "3"}), Status::usage);
  EXPECT_EQ(with({"linear", "--form", "fast"}), Status::usage);
  EXPECT_EQ(with({"linear", "--chunk", "0"}), Status::usage);
  EXPECT_EQ(with({"linear", "--backend", "cuda"}), Status::usage);
  EXPECT_EQ(failure({"linear"}), Status::usage);
  EXPECT_EQ(failure({"linear", "--input", path("none"), "--output", path("out")}), Status::data);
  write_safetensors(path("in"), {{"q", q}, {"k", q}, {"v", random_tensor(cx_, {1, 5, 2, 3}, DType::f32, 1)}});
  EXPECT_EQ(with({"linear"}), Status::data);
  EXPECT_NE(message_.find("v: expected [1, 4, a divisor of 2, 3]"), std::string::npos) << message_;
  const auto refused = [&](const std::vector<NamedTensor>& tensors, const std::string& mixer, const std::string& part) {
    write_safetensors(path("in"), tensors);
    EXPECT_EQ(with({mixer}), Status::data);
    EXPECT_NE(message_.find(part), std::string::npos) << message_;
  };
  const Tensor narrow = cx_.empty({1, 4, 2, 0}, DType::f32), none = cx_.empty({1, 4, 0, 3}, DType::f32);
  refused({{"q", q}, {"k", q}, {"v", narrow}}, "linear", "values without width: V = 0, expected 1 or more");
  refused({{"q", narrow}, {"k", narrow}, {"v", q}}, "linear", "keys without width: K = 0, expected 1 or more");
  refused({{"q", none}, {"k", none}, {"v", none}}, "linear", "no heads: H = 0, expected 1 or more");
  // A gate that grows.
  const Tensor g = cx_.empty({1, 4, 2, 3}, DType::f32), scalar = cx_.empty({1, 4, 2}, DType::f32);
  for (int64_t i = 0; i < g.count(); ++i) g.data<float>()[i] = i == 7 ? 0.5F : -0.5F;
  for (int64_t i = 0; i < scalar.count(); ++i) scalar.data<float>()[i] = i == 3 ? NAN : 0.0F;
  refused({{"q", q}, {"k", q}, {"v", q}, {"g", g}}, "gla",
          "g: expected numbers <= 0 (the logarithm of a gate from 0 to 1), found 0.5 at element 7");
  refused({{"q", q}, {"k", q}, {"v", q}, {"g", scalar}}, "retention", "found nan at element 3");
  scalar.data<float>()[3] = 0;  // no decay at all
  write_safetensors(path("in"), {{"q", q}, {"k", q}, {"v", q}, {"g", scalar}});
  EXPECT_EQ(with({"retention"}), Status::ok);
}

}  // namespace
}  // namespace og

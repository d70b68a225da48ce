// The config reader against layer types made up here, so that it knows no layer.
#include "framework/config/config.h"

#include "framework/config/key_names.h"
#include "framework/config/keys.h"
#include "framework/config/notes.h"
#include "framework/core/nearest.h"
#include "tests/files.h"

namespace og {
namespace {

using Kind = OptionSpec::Kind;

const std::vector<MixerType>& mixers() {
  static const std::vector<MixerType> types = [] {
    MixerType gla{.name = "gla",
                  .options = {{.name = "num_heads", .fallback = int64_t{4}, .least = 1},
                              {.name = "head_k_dim", .fallback = int64_t{64}, .least = 1, .most = 1024},
                              {.name = "gate_rank", .fallback = int64_t{16}, .least = 1},
                              {.name = "gate", .kind = Kind::choice, .fallback = "silu", .choices = {"silu", "none"}}},
                  .problem = {},
                  .build = {}};
    gla.problem = [](const Options& o, int64_t, int tensor) -> std::optional<Problem> {
      if (o.integer("num_heads") % tensor == 0) return std::nullopt;
      return Problem{fmt::format("num_heads {} does not divide by tensor {}", o.integer("num_heads"), tensor)};
    };
    MixerType attention{.name = "attention",
                        .options = {{.name = "num_attention_heads", .fallback = {}, .required = true},
                                    {.name = "rope_theta", .kind = Kind::real, .fallback = 10000.0, .least = 1},
                                    {.name = "sliding_window", .fallback = {}, .least = 1, .nullable = true},
                                    {.name = "bias", .kind = Kind::boolean, .fallback = false},
                                    {.name = "gate", .kind = Kind::choice, .fallback = "none", .choices = {"none"}}},
                        .problem = {},
                        .build = {}};
    return std::vector<MixerType>{gla, attention};
  }();
  return types;
}

const std::vector<ChannelType>& channels() {
  static const std::vector<ChannelType> types = [] {
    ChannelType mlp{.name = "mlp",
                    .options = {{.name = "intermediate_size", .fallback = int64_t{1024}}},
                    .problem = {},
                    .build = {}};
    ChannelType moe{
        .name = "moe", .options = {{.name = "num_experts", .fallback = int64_t{8}}}, .problem = {}, .build = {}};
    moe.problem = [](const Options& o, int64_t, const Degrees& d) -> std::optional<Problem> {
      if (o.integer("num_experts") % d.expert == 0) return std::nullopt;
      return Problem{fmt::format("num_experts {} does not divide by expert {}", o.integer("num_experts"), d.expert)};
    };
    return std::vector<ChannelType>{mlp, moe};
  }();
  return types;
}

ConfigRules rules(int world_size = 0, bool needs_data = false) {
  return {mixers(), channels(), world_size, needs_data};
}

const char* const kGood = R"(model:
  hidden_size: 64
  num_hidden_layers: 4
  layer_pattern: LLN
  channel_pattern: M
  mixers:
    L: {type: gla, num_heads: 8}
    N: {type: attention, num_attention_heads: 8, sliding_window: null}
  channels:
    M: {type: moe, num_experts: 4}
data: {train: [a.txt, {path: "b *.txt", weight: 0.5}], sequence_length: 128}
train:
  tokens_per_step: 1024
  optimizer: {learning_rate: 1e-3, betas: [0.8, 0.9]}
parallel: {sequence: 2, expert: 2}
)";

Config parse(const std::string& text, const std::vector<std::string>& overrides = {}, int world_size = 0) {
  return parse_config(text, "x.yaml", overrides, rules(world_size));
}

std::string problems(const std::string& text, const std::vector<std::string>& overrides = {}, int world_size = 0) {
  return message_of(Status::usage, [&] { parse(text, overrides, world_size); });
}

// kGood with one piece replaced.
std::string with(const std::string& piece, const std::string& replacement) {
  std::string text = kGood;
  const size_t at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << piece;
  return text.replace(at, piece.size(), replacement);
}

TEST(config, values_and_defaults) {
  const Config c = parse(kGood);
  EXPECT_EQ(c.model.hidden_size, 64);
  EXPECT_EQ(c.model.layer_pattern, "LLN");
  EXPECT_EQ(c.model.mixers.at('L').type, "gla");
  EXPECT_EQ(c.model.mixers.at('L').integer("num_heads"), 8);
  EXPECT_EQ(c.model.mixers.at('L').integer("head_k_dim"), 64);
  EXPECT_EQ(c.model.mixers.at('L').choice("gate"), "silu");
  EXPECT_TRUE(c.model.mixers.at('N').is_null("sliding_window"));
  EXPECT_EQ(c.model.mixers.at('N').real("rope_theta"), 10000.0);
  EXPECT_EQ(c.model.channels.at('M').integer("num_experts"), 4);
  EXPECT_EQ(c.model.vocab_size, 0);
  EXPECT_EQ(c.data.train, (std::vector<DataConfig::Source>{{"a.txt", 0}, {"b *.txt", 0.5}}));
  EXPECT_EQ(c.train.learning_rate, 1e-3);
  EXPECT_EQ(c.train.adamw.beta1, 0.8);
  EXPECT_EQ(c.train.adamw.beta2, 0.9);
  EXPECT_EQ(c.train.threads, 0);
  EXPECT_TRUE(c.parallel.data_auto);
  EXPECT_EQ(c.parallel.degrees.sequence, 2);
  EXPECT_EQ(c.run.dir, "runs/x");
  EXPECT_EQ(c.rows_per_step(), 8);
}

TEST(config, the_command_line_wins_and_origins_are_known) {
  const Config c = parse(kGood, {"train.num_steps=7", "data.train=c.txt", "train.optimizer={eps: 1.0e-6}",
                                 "model.mixers.L.num_heads=2", "model.mixers.N.sliding_window=16", "parallel.data=4",
                                 "train.threads=4", "train.num_steps=9", "model.vocab_size=300", "run.dir=runs/a=b"});
  EXPECT_EQ(c.train.num_steps, 9);
  EXPECT_EQ(c.data.train, (std::vector<DataConfig::Source>{{"c.txt", 0}}));
  EXPECT_EQ(c.train.adamw.eps, 1e-6);
  EXPECT_EQ(c.train.adamw.beta1, 0.8);
  EXPECT_EQ(c.model.mixers.at('L').integer("num_heads"), 2);
  EXPECT_EQ(c.model.mixers.at('N').integer("sliding_window"), 16);
  EXPECT_EQ(c.parallel.degrees.data, 4);
  EXPECT_FALSE(c.parallel.data_auto);
  EXPECT_EQ(c.train.threads, 4);
  EXPECT_EQ(c.model.vocab_size, 300);
  EXPECT_EQ(c.run.dir, "runs/a=b");
  EXPECT_EQ(c.origin("train.num_steps").str(), "command line");
  EXPECT_EQ(c.origin("train.tokens_per_step").str(), "x.yaml:13");
  EXPECT_EQ(c.origin("model.mixers.N.num_attention_heads").str(), "x.yaml:8");
  EXPECT_EQ(c.origin("train.seed").str(), "default");
}

// One problem: its whole message.
struct Case {
  std::string piece, replacement, message;
};

TEST(config, each_problem_names_place_key_expected_found_and_the_nearest) {
  const Case cases[] = {
      {"  hidden_size: 64", "  hiden_size: 64",
       "x.yaml:2:3: model.hiden_size: unknown key; did you mean model.hidden_size?"},
      {"train:\n  tok", "trian:\n  tok", "x.yaml:12:1: trian: unknown key; did you mean train?"},
      {"hidden_size: 64", "hidden_size: big", "x.yaml:2:16: model.hidden_size: expected a whole number from 1 to "},
      {"hidden_size: 64", "hidden_size: \"64\"", "found the text \"64\""},
      {"hidden_size: 64", "hidden_size: 64.5", "x.yaml:2:16: model.hidden_size: expected a whole number"},
      {"hidden_size: 64", "hidden_size: 0", "found 0"},
      {"hidden_size: 64", "hidden_size:", "x.yaml:2:3: model.hidden_size: expected a whole number"},
      {"hidden_size: 64", "hidden_size: 64\n  hidden_size: 65",
       "x.yaml:3:3: model.hidden_size: given twice, first on line 2"},
      {"hidden_size: 64", "hidden_size: [64]", "found a list"},
      {"hidden_size: 64", "hidden_size: 64\n  num_heads: 3", "did you mean model.mixers.<letter>.num_heads?"},
      {"sequence: 2", "sequence: 2, num_steps: 3",
       "x.yaml:15:25: parallel.num_steps: unknown key; did you mean train.num_steps?"},
      {"num_heads: 8", "num_head: 8",
       "x.yaml:7:20: model.mixers.L.num_head: type gla has no such key; did you mean model.mixers.L.num_heads?"},
      {"num_heads: 8", "gate: silo", "model.mixers.L.gate: expected one of silu, none, found silo; did you mean silu?"},
      {"num_heads: 8", "head_k_dim: 2000", "expected a whole number from 1 to 1024, found 2000"},
      {"num_attention_heads: 8", "rope_theta: 500", "model.mixers.N.num_attention_heads: required by type attention"},
      {"sliding_window: null", "bias: ture", "expected true or false, found ture; did you mean true?"},
      {"type: gla", "type: gal",
       "x.yaml:7:15: model.mixers.L.type: expected a mixer type, one of gla, attention, found gal; did you mean gla?"},
      {"type: gla", "type: rwkv7", "model.mixers.L.type: expected a mixer type, one of gla, attention, found rwkv7"},
      {"sequence_length: 128", "sequence_length: 128, format: JSONL",
       "data.format: expected one of auto, text, jsonl, found JSONL; did you mean jsonl?"},
      {"sequence_length: 128", "sequence_length: 128, format: chat",
       "data.format: chat is not built yet; built: auto, text, jsonl"},
      {"expert: 2", "zero: 4", "parallel.zero: expected a whole number from 0 to 1, found 4"},
      {"sequence: 2", "sequnce: 2", "parallel.sequnce: unknown key; did you mean parallel.sequence?"},
      {"type: gla, num", "num", "x.yaml:7:5: model.mixers.L.type: required: one of gla, attention"},
      {"type: moe", "type: mow", "expected a channel part type, one of mlp, moe, found mow"},
      {"    L: {", "    LL: {}\n    L: {", "x.yaml:7:5: model.mixers.LL: expected one letter"},
      {"layer_pattern: LLN", "layer_pattern: LXN",
       "x.yaml:4:18: model.layer_pattern: letter X is not defined in model.mixers; defined: L, N"},
      {"  channel_pattern: M\n", "", "model.channel_pattern: required"},
      {"betas: [0.8, 0.9]", "betas: [0.8]", "expected a list of two numbers"},
      {"betas: [0.8, 0.9]", "betas: [0.8, 1.0]", "x.yaml:14:43: train.optimizer.betas: expected a list of two numbers"},
      {"learning_rate: 1e-3", "learning_rate: nan", "expected a number"},
      {"learning_rate: 1e-3", "type: sgd", "expected one of adamw, found sgd"},
      {"weight: 0.5", "weight: 0", "data.train: expected a list of files"},
      {"tokens_per_step: 1024", "tokens_per_step: 1000",
       "x.yaml:13:20: train.tokens_per_step: expected a multiple of data.sequence_length = 128, found 1000; the "
       "nearest: 896 and 1024"},
      {"tokens_per_step: 1024", "tokens_per_step: 1024\n  micro_batch_size: 3", "8 rows a step"},
      {"sequence_length: 128", "sequence_length: 128, tokenizer: words",
       "expected bytes or sentencepiece:PATH, found \"words\""},
      {"hidden_size: 64", "vocab_size: 100", "model.vocab_size: the tokenizer bytes has 257 tokens, found 100"},
      {"expert: 2", "zero: 2", "parallel.zero: 2 is not built yet; built: 0, 1"},
      {"expert: 2", "expert: 2, sequence_order: zigzag, sequence_method: scan",
       "parallel.sequence_method: lasp2, found scan"},
      {"expert: 2", "sequence_method: rong", "did you mean ring?"},
      {"expert: 2", "softmax_sequence_method: ulises", "did you mean ulysses?"},
      {"expert: 2", "pipeline_schedule: interleaved", "virtual_stages: expected 2 or more"},
      {"expert: 2", "virtual_stages: 2", "expected 1 with pipeline_schedule: 1f1b, found 2"},
      {"train:\n", "train:\n  segment_length: 512\n  recompute: block\n",
       "train.recompute: expected none with train.segment_length"},
      {"train:\n", "train:\n  deterministic: layout\n", "train.deterministic: layout is not built yet; built: run"},
      {"parallel: {sequence: 2, expert: 2}", "parallel: 3",
       "x.yaml:15:11: parallel: expected a group of keys, found 3"},
      {"parallel: {", "include: base.yaml\nparallel: {", "include: unknown key"},
  };
  for (const Case& c : cases) {
    const std::string found = problems(with(c.piece, c.replacement));
    EXPECT_TRUE(contains(found, c.message)) << found << "\n  expected " << c.message;
    EXPECT_FALSE(contains(found, "problems in the configuration")) << found;
  }
}

TEST(config, all_problems_are_told_at_once_in_the_order_of_the_file) {
  std::string text = with("hidden_size: 64", "hidden_sise: 64");
  text.replace(text.find("num_heads: 8"), 12, "num_heads: 0");
  text.replace(text.find("learning_rate"), 13, "learning_rat");
  EXPECT_EQ(problems(text, {"train.num_stps=3", "nonsense", "parallel.tensor=x"}),
            "6 problems in the configuration:\n"
            "  x.yaml:2:3: model.hidden_sise: unknown key; did you mean model.hidden_size?\n"
            "  x.yaml:7:31: model.mixers.L.num_heads: expected a whole number >= 1, found 0\n"
            "  x.yaml:14:15: train.optimizer.learning_rat: unknown key; did you mean train.optimizer.learning_rate?\n"
            "  command line: train.num_stps: unknown key; did you mean train.num_steps?\n"
            "  command line: expected key=value, found \"nonsense\"\n"
            "  command line: parallel.tensor: expected a whole number from 1 to 65536, found x");
}

TEST(config, degrees_must_divide) {
  EXPECT_TRUE(contains(problems(kGood, {"model.mixers.L.num_heads=3", "parallel.tensor=2"}),
                       "x.yaml:7:15: model.mixers.L: num_heads 3 does not divide by tensor 2"));
  EXPECT_TRUE(contains(problems(kGood, {"model.channels.M.num_experts=5"}),
                       "model.channels.M: num_experts 5 does not divide by expert 2"));
  EXPECT_TRUE(contains(problems(kGood, {"model.mixers.L.num_heads=3", "parallel.tensor=3"}),
                       "command line: parallel.tensor: 3 does not divide the vocabulary's 320 rows"));
  EXPECT_TRUE(contains(problems(kGood, {}, 3), "but 3 are running; the nearest that works on 3 ranks"));
  EXPECT_TRUE(contains(problems(kGood, {"parallel.data=1", "parallel.expert=3"}),
                       "command line: parallel.expert: 3 does not divide data x sequence x tensor = 2"));
  EXPECT_TRUE(contains(problems(kGood, {"parallel.expert=1"}, 6),
                       "8 rows a step (tokens_per_step 1024 / sequence_length "
                       "128) do not divide into micro batches of 1 row on 3 "
                       "data ranks"));
  EXPECT_EQ(parse(kGood, {}, 8).parallel.degrees.data, 1) << "auto stays auto";
}

TEST(config, the_nearest_tokens_per_step_are_those_that_a_run_takes) {
  const auto nearest = [](const std::vector<std::string>& overrides, int world) {
    const std::string found = problems(kGood, overrides, world);
    return found.substr(found.rfind(": ") + 2);
  };
  // Rows of 128 tokens, 8 a step; sequence 2.
  EXPECT_EQ(nearest({"train.micro_batch_size=3"}, 2), "768 and 1152");
  EXPECT_EQ(nearest({"parallel.expert=1"}, 6), "768 and 1152");
  EXPECT_EQ(nearest({"parallel.expert=1", "train.micro_batch_size=2"}, 6), "768 and 1536");
  EXPECT_EQ(nearest({"parallel.expert=1", "train.micro_batch_size=5"}, 6), "1920");
  EXPECT_EQ(nearest({"parallel.expert=1", "train.tokens_per_step=1000"}, 6), "768 and 1152");
  EXPECT_EQ(nearest({"data.sequence_length=100"}, 2), "1000 and 1100");
  EXPECT_EQ(nearest({"train.micro_batch_size=1048576", "data.sequence_length=1073741824"}, 2), "none up to 1e15");
  const std::vector<std::string> interleaved{"parallel.pipeline=2", "parallel.sequence=1", "parallel.expert=1",
                                             "parallel.pipeline_schedule=interleaved", "parallel.virtual_stages=2"};
  std::vector<std::string> odd = interleaved;
  odd.push_back("train.tokens_per_step=896");
  EXPECT_EQ(nearest(odd, 2), "768 and 1024");
  for (const char* tokens : {"768", "1152"})
    EXPECT_EQ(parse(kGood, {"train.micro_batch_size=3", std::string("train.tokens_per_step=") + tokens}, 2)
                  .train.micro_batch_size,
              3);
}

TEST(config, what_is_legal_and_seldom_meant) {
  const auto notes = [](std::vector<std::string> overrides) {
    overrides.push_back("train.num_steps=20");
    return config_notes(parse(kGood, overrides));
  };
  const auto one = [&](const std::vector<std::string>& overrides) {
    const std::vector<std::string> found = notes(overrides);
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? "" : found[0];
  };
  EXPECT_TRUE(notes({}).empty());
  EXPECT_TRUE(notes({"train.schedule.warmup_steps=19"}).empty());
  EXPECT_EQ(
      one({"train.schedule.warmup_steps=80"}),
      "train.schedule.warmup_steps: 80, as long as the run or longer (train.num_steps 20): the learning rate rises "
      "to 2.50e-04 of 1.00e-03 and never falls; shorten the one or lengthen the other");
  EXPECT_TRUE(contains(one({"train.schedule.warmup_steps=20"}), "1.00e-03 of 1.00e-03"));
  EXPECT_EQ(one({"train.schedule.type=wsd"}),
            "train.schedule.decay_steps: 0 with type: wsd: the learning rate stays 1.00e-03 to the end; a tenth of the "
            "run: train.schedule.decay_steps=2");
  EXPECT_TRUE(notes({"train.schedule={type: wsd, decay_steps: 15, warmup_steps: 5}"}).empty());
  EXPECT_TRUE(contains(one({"train.schedule={type: wsd, decay_steps: 16, warmup_steps: 5}"}), "the decay takes 15"));
  EXPECT_TRUE(
      contains(one({"train.schedule={type: linear, decay_steps: 5}"}), "decay_steps: 5, read with type: wsd alone"));
}

TEST(config, an_unused_letter_is_no_error_but_its_keys_are_checked) {
  const std::string unused = with("    L: {", "    X: {type: gla, num_heads: 3}\n    L: {");
  EXPECT_EQ(parse(unused, {"parallel.tensor=2"}).model.mixers.size(), 3u);
  EXPECT_TRUE(contains(problems(unused, {"model.mixers.X.num_hads=1"}), "did you mean model.mixers.X.num_heads?"));
}

TEST(config, another_mixer_takes_the_keys_that_it_knows) {
  const Config c = parse(with("num_heads: 8", "num_heads: 8, gate: silu"),
                         {"model.mixers.L.type=attention", "model.mixers.L.num_attention_heads=2"});
  EXPECT_EQ(c.model.mixers.at('L').type, "attention");
  EXPECT_EQ(c.model.mixers.at('L').choice("gate"), "none");  // silu is not one of its gates
  EXPECT_FALSE(c.model.mixers.at('L').values.contains("num_heads"));
  // What the command line says about the type that it chose is checked strictly.
  EXPECT_TRUE(contains(problems(kGood, {"model.mixers.L.type=attention", "model.mixers.L.num_attention_heads=2",
                                        "model.mixers.L.num_heads=3"}),
                       "model.mixers.L.num_heads: type attention has no such key"));
  // And a misspelt key of the first type stays one.
  EXPECT_TRUE(contains(problems(with("num_heads: 8", "num_hedas: 8"),
                                {"model.mixers.L.type=attention", "model.mixers.L.num_attention_heads=2"}),
                       "num_hedas: type attention has no such key"));
}

TEST(config, what_grows_without_end_is_refused_before_it_takes_memory) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 9; ++i) {
    bomb += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 10; ++j) bomb += fmt::format("{}*a{}", j ? "," : "", i - 1);
    bomb += "]\n";
  }
  EXPECT_TRUE(contains(problems(bomb), "x.yaml:5: more than 100000 values with all aliases (*name) written out"))
      << problems(bomb);
  std::string texts = "a: &a " + std::string(1'000'000, 'x') + "\nb: [*a";
  for (int i = 0; i < 50; ++i) texts += ",*a";
  EXPECT_TRUE(contains(problems(texts + "]"), "x.yaml:2: more than 16777216 bytes of text"));
  std::string flat = "a:\n- [x";
  for (int i = 0; i < 200'000; ++i) flat += ",x";
  EXPECT_TRUE(contains(problems(flat + "]"), "x.yaml:2: more than 100000 values"));
  EXPECT_TRUE(contains(problems("a: " + std::string(100'000, '[')), "x.yaml:1: nested deeper than 50"));
  EXPECT_TRUE(contains(problems(std::string((16 << 20) + 1, '#')), "16777217 bytes, a YAML file has at most 16777216"));
  // Aliases that stay small are what they are in YAML.
  EXPECT_EQ(parse(with("betas: [0.8, 0.9]", "betas: &b [0.8, 0.9]")).train.adamw.beta1, 0.8);
}

TEST(config, includes_that_multiply_are_refused) {
  const TemporaryFolder folder;
  for (int i = 0; i < 12; ++i)
    write_file(folder / fmt::format("{}.yaml", i), fmt::format("include: [{0}.yaml, {0}.yaml]\n", i + 1));
  write_file(folder / "12.yaml", kGood);
  try {
    load_config(folder / "0.yaml", {}, rules());
    FAIL() << "4,096 files were read";
  } catch (const Error& e) {
    EXPECT_EQ(e.status(), Status::usage);
    EXPECT_TRUE(contains(e.what(), "include: more than 100 files")) << e.what();
  }
}

TEST(config, what_is_not_yaml_is_refused_with_its_place) {
  EXPECT_TRUE(contains(problems("model:\n  a: [1\nb: 2"), "x.yaml:"));
  EXPECT_TRUE(contains(problems("just text"), "x.yaml:1:1: expected groups of keys, found just text"));
  EXPECT_TRUE(contains(problems("a: &x [*x, *x]"), "nested deeper"));
  EXPECT_TRUE(contains(problems(kGood, {"train.seed=[1"}), "command line: train.seed: the value \"[1\" is not YAML"));
}

TEST(config, a_file_is_one_document_without_tabs) {
  EXPECT_EQ(problems(std::string(kGood) + "---\ntrain: {seed: 2}\n"),
            "x.yaml:17:1: a second document begins here; a file holds one");
  EXPECT_EQ(parse("---\n" + std::string(kGood) + "...\n").model.hidden_size, 64);
  EXPECT_EQ(parse(std::string(kGood) + "---\n# nothing\n").model.hidden_size, 64);
  // What comes after a list is not dropped either.
  EXPECT_TRUE(contains(problems("[a, b].txt"), "x.yaml:1:7: a second document begins here"));
  EXPECT_EQ(problems(with("  hidden_size", "\thidden_size")),
            "x.yaml:2:1: not YAML: the line is indented with a tab; YAML takes spaces only");
  EXPECT_EQ(problems(with("    L: {", "  \t  L: {")),
            "x.yaml:7:1: not YAML: the line is indented with a tab; YAML takes spaces only");
  EXPECT_EQ(parse(with("hidden_size: 64", "hidden_size:\t64")).model.hidden_size, 64);
}

TEST(config, merge_keys) {
  const Config c = parse(with("    L: {type: gla, num_heads: 8}",
                              "    L: &l {type: gla, num_heads: 8}\n"
                              "    A: {<<: *l, num_heads: 3}\n"
                              "    B: {head_k_dim: 5, <<: [{head_k_dim: 6, gate_rank: 7}, *l]}\n"
                              "    C: {<<: {<<: *l, gate: none}}"));
  EXPECT_EQ(c.model.mixers.at('A').integer("num_heads"), 3);
  EXPECT_EQ(c.model.mixers.at('A').type, "gla");
  EXPECT_EQ(c.model.mixers.at('B').integer("num_heads"), 8);
  EXPECT_EQ(c.model.mixers.at('B').integer("head_k_dim"), 5);
  EXPECT_EQ(c.model.mixers.at('B').integer("gate_rank"), 7);
  EXPECT_EQ(c.model.mixers.at('C').choice("gate"), "none");
  EXPECT_EQ(c.model.mixers.at('C').integer("num_heads"), 8);
  EXPECT_EQ(c.origin("model.mixers.A.type").str(), "x.yaml:7");
  EXPECT_EQ(problems(with("{type: gla, num_heads: 8}", "{<<: 3}")),
            "x.yaml:7:9: <<: expected an alias of a group of keys (*name), or a list of them, found 3");
  EXPECT_TRUE(
      contains(problems(with("{type: gla, num_heads: 8}", "{type: gla, <<: {num_heads: 8}, gate: none, gate: none}")),
               "model.mixers.L.gate: given twice"));
}

TEST(config, numbers_say_what_to_write_instead) {
  const std::pair<const char*, const char*> cases[] = {
      {"train.num_steps=1e2", "expected a whole number >= 0, found 1e2; write 100"},
      {"train.num_steps=100.0", "found 100.0; write 100"},
      {"train.num_steps=1_000", "found 1_000; write 1000"},
      {"train.num_steps=\"1,000\"", "found the text \"1,000\"; write 1000"},
      {"train.num_steps=1,000", "found 1,000; write 1000"},
      {"train.num_steps=16K", "found 16K; write 16384 or 16000"},
      {"train.num_steps=0x10", "found 0x10; write 16"},
      {"train.num_steps=\"10\"", "found the text \"10\"; write 10 without quotes"},
      {"train.num_steps=2e15", "expected a whole number >= 0, found 2e15; the most is 1e15"},
      {"train.num_steps=99999999999999999999", "found 99999999999999999999; the most is 1e15"},
      {"model.mixers.L.num_heads=99999999999999999999", "found 99999999999999999999; the most is 9223372036854775807"},
      {"model.vocab_size=3e9", "expected a whole number from 2 to 1073741824 or null, found 3e9"},
      {"model.hidden_size=0", "expected a whole number from 1 to 1048576, found 0"},
      {"train.seed=-1", "expected a whole number >= 0, found -1"},
      {"train.seed=1.5", "expected a whole number >= 0, found 1.5"},
      {"train.max_grad_norm=nan", "expected a number >= 0, found nan"},
      {"train.max_grad_norm=.inf", "expected a number >= 0, found .inf"},
      {"train.max_grad_norm=1e999", "expected a number >= 0, found 1e999; the most is 1.79e308"},
      {"train.max_grad_norm=1e-999", "expected a number >= 0, found 1e-999; write 0"},
      {"train.schedule.final_ratio=10%", "expected a number from 0 to 1, found 10%; write 0.1"},
      {"train.schedule.final_ratio=\"0,5\"", "found the text \"0,5\"; write 0.5"},
      {"train.schedule.final_ratio=0,5", "found 0,5; write 0.5"},
      {"train.optimizer.betas=[0.9, 1.5]", "expected a list of two numbers from 0 to 0.999999, found [0.9, 1.5]"},
      {"train.optimizer.betas=0.9", "from 0 to 0.999999, found 0.9; write [0.9, 0.95]"},
  };
  for (const auto& [override, message] : cases) {
    const std::string found = problems(kGood, {override});
    EXPECT_TRUE(found.ends_with(message) || contains(found, std::string(message) + ";"))
        << found << "\n  expected " << message;
  }
  const std::string digits(309, '9');
  EXPECT_EQ(
      problems(kGood, {"train.seed=" + digits}),
      "command line: train.seed: expected a whole number >= 0, found 999999999999999999999999... (309 characters); "
      "the most is 1e15");
}

TEST(config, names_of_other_projects) {
  const std::pair<const char*, const char*> cases[] = {
      {"lr=1", "lr: unknown key; did you mean train.optimizer.learning_rate?"},
      {"train.optimizer.lr=1", "unknown key; did you mean train.optimizer.learning_rate?"},
      {"train.batch-size=1", "did you mean train.tokens_per_step? (tokens of all ranks: "},
      {"data.seq_len=1", "did you mean data.sequence_length?"},
      {"model.n_layers=1", "did you mean model.num_hidden_layers?"},
      {"model.d_model=1", "did you mean model.hidden_size?"},
      {"model.n_head=1", "did you mean model.mixers.<letter>.num_heads?"},
      {"train.max_steps=1", "did you mean train.num_steps?"},
      {"train.epochs=1", "did you mean train.num_steps? (it counts steps: "},
      {"train.beta1=1", "did you mean train.optimizer.betas? (both in one list: [0.9, 0.95])"},
      {"betas=1", "did you mean train.optimizer.betas?"},
      {"train.bf16=true", "did you mean train.precision?"},
      {"tp=2", "did you mean parallel.tensor?"},
      {"output_dir=x", "did you mean run.dir?"},
      {"model.channels.M.n_experts=4", "type moe has no such key; did you mean model.channels.M.num_experts?"},
      {"train.learning_rat=1", "did you mean train.optimizer.learning_rate?"},
  };
  for (const auto& [override, message] : cases)
    EXPECT_TRUE(contains(problems(kGood, {override}), message))
        << problems(kGood, {override}) << "\n  expected " << message;
}

TEST(config, the_command_line_says_how_values_are_written) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"train.num_steps", "5"}, "expected key=value, found \"train.num_steps 5\"; write train.num_steps=5"},
      {{"train.num_steps", "=", "5", "train.seed=3"}, "found \"train.num_steps = 5\"; write train.num_steps=5"},
      {{"train.num_steps:", "5"}, "write train.num_steps=5"},
      {{"train.num_steps:5"}, "write train.num_steps=5"},
      {{"steps", "5"}, "expected key=value, found \"steps 5\"; write train.num_steps=5"},
      {{"other.yaml"}, "found \"other.yaml\"; there is one config file, the first word"},
      {{"data.train=[a,b].txt"}, "stands in quotes: 'data.train=\"[a,b].txt\"'"},
      {{"data.train=[a[1].txt, c]"}, "stands in quotes: 'data.train=[\"a[1].txt\", \"c\"]'"},
      {{"run.dir=a #1"}, "the value \"a #1\": what follows # is a comment; a text with any of "},
  };
  for (const auto& [words, message] : cases) {
    const std::string found = problems(kGood, words);
    EXPECT_TRUE(contains(found, message)) << found << "\n  expected " << message;
    EXPECT_FALSE(contains(found, "problems in the configuration")) << found;
  }
  const Config c = parse(kGood, {"data.train=[\"[a,b].txt\", c=d.txt, e f.txt]", "run.dir=\"a #1\""});
  EXPECT_EQ(c.data.train, (std::vector<DataConfig::Source>{{"[a,b].txt", 0}, {"c=d.txt", 0}, {"e f.txt", 0}}));
  EXPECT_EQ(c.run.dir, "a #1");
}

TEST(key_names, no_name_of_another_project_hides_a_key) {
  for (const ConfigKey& key : config_keys()) {
    EXPECT_EQ(guess_key(key.path, false).key, key.path);
    const std::string name = key.path.substr(key.path.rfind('.') + 1);
    EXPECT_TRUE(name == "data" || guess_key(name, false).key.ends_with("." + name)) << name;
  }
  for (const MixerType& type : mixer_types())
    for (const OptionSpec& option : type.options)
      EXPECT_TRUE(guess_key(option.name, false).key.empty() || find_config_key(guess_key(option.name, false).key))
          << option.name;
  EXPECT_EQ(guess_key("nothing_like_it", true).key, "");
}

TEST(config, includes) {
  TemporaryFolder folder;
  write_file(folder / "base/base.yaml", kGood);
  write_file(folder / "top.yaml",
             "include: base/base.yaml\ntrain: {num_steps: 5}\nmodel:\n  mixers: {L: {gate: none}}\n");
  const Config c = load_config(folder / "top.yaml", {"train.seed=3"}, rules());
  EXPECT_EQ(c.train.num_steps, 5);
  EXPECT_EQ(c.train.tokens_per_step, 1024);
  EXPECT_EQ(c.model.mixers.at('L').choice("gate"), "none");
  EXPECT_EQ(c.model.mixers.at('L').integer("num_heads"), 8);
  EXPECT_EQ(c.origin("train.num_steps").str(), folder / "top.yaml:2");
  EXPECT_EQ(c.origin("train.tokens_per_step").str(), "include " + (folder / "base/base.yaml:13"));
  EXPECT_EQ(c.run.dir, "runs/top");

  write_file(folder / "a.yaml", "include: b.yaml\n");
  write_file(folder / "b.yaml", "train: {num_steps: 1}\ninclude: [a.yaml]\n");
  EXPECT_TRUE(contains(message_of(Status::usage, [&] { load_config(folder / "a.yaml", {}, rules()); }),
                       "b.yaml:2:11: include: files include each other"));
  EXPECT_FALSE(contains(message_of(Status::usage, [&] { load_config(folder / "a.yaml", {}, rules()); }), "required"));
  write_file(folder / "c.yaml", "include: absent.yaml\n");
  EXPECT_TRUE(contains(message_of(Status::usage, [&] { load_config(folder / "c.yaml", {}, rules()); }),
                       "c.yaml:1:10: include: no such file"));
  // What the missing file would have said is not missed too; what is wrong here all the same is told.
  EXPECT_EQ(message_of(Status::usage, [&] { load_config(folder / "c.yaml", {"train.seed=x"}, rules()); }),
            "2 problems in the configuration:\n  " + (folder / "c.yaml") + ":1:10: include: no such file: " +
                (folder / "absent.yaml") + "\n  command line: train.seed: expected a whole number >= 0, found x");
  EXPECT_TRUE(contains(message_of(Status::usage, [&] { load_config(folder / "tip.yaml", {}, rules()); }),
                       "tip.yaml: no such config file; did you mean " + (folder / "top.yaml")));
}

TEST(config, written_out_it_loads_to_the_same) {
  Config c = parse(kGood, {"data.text_field=\"a: b\\n\\\"q\\\" # no\"", "train.schedule.type=wsd", "run.dir=\"1 2\"",
                           "train.optimizer.eps=1e-13", "train.optimizer.learning_rate=0.1234567890123456789",
                           "parallel.data=2", "data.eval=[\"null\", \"~\", \"-x\", 'it''s']"});
  for (bool with_origins : {false, true}) {
    const std::string text = to_yaml(c, with_origins);
    const Config again = parse_config(text, "x.yaml", {}, rules());
    EXPECT_EQ(to_yaml(again), to_yaml(c)) << text;
    EXPECT_EQ(again.data.text_field, "a: b\n\"q\" # no");
    EXPECT_EQ(again.data.eval, c.data.eval);
    EXPECT_EQ(again.train.learning_rate, c.train.learning_rate);
    EXPECT_EQ(again.train.schedule.type, ScheduleType::wsd);
  }
  EXPECT_TRUE(contains(to_yaml(c, true), "# x.yaml:13\n"));
  EXPECT_TRUE(contains(to_yaml(c, true), "# command line\n"));
  EXPECT_TRUE(contains(to_yaml(c, true), "# default\n"));
}

TEST(config, what_a_resumed_run_may_change) {
  const Config saved = parse(kGood);
  EXPECT_TRUE(compare(saved, saved).refused.empty() && compare(saved, saved).changed.empty());
  const ConfigDifferences may =
      compare(saved, parse(kGood, {"train.num_steps=9", "train.schedule.type=linear", "parallel.tensor=2",
                                   "checkpoint.every=3", "run.dir=x", "data.eval=e.txt"}));
  EXPECT_TRUE(may.refused.empty());
  EXPECT_EQ(may.changed.size(), 6u);
  // Where files lie and how they are read may change; what comes of it is compared by the run.
  const ConfigDifferences paths =
      compare(saved, parse(kGood, {"data.train=/elsewhere/a.txt", "data.tokenizer=sentencepiece:a", "data.format=jsonl",
                                   "data.text_field=body", "data.bad_lines=skip"}));
  EXPECT_TRUE(paths.refused.empty());
  EXPECT_EQ(paths.changed.size(), 5u);
  EXPECT_EQ(may.changed[1], "train.num_steps: 1000 in the checkpoint, 9 now (command line)");
  const ConfigDifferences not_these =
      compare(saved, parse(kGood, {"model.hidden_size=32", "model.mixers.L.gate=none", "data.sequence_length=64",
                                   "data.shuffle=false", "train.seed=2"}));
  EXPECT_EQ(not_these.refused.size(), 5u);
  EXPECT_EQ(not_these.refused[0], "model.hidden_size: 64 in the checkpoint, 32 now (command line)");
  EXPECT_TRUE(not_these.changed.empty());
  // A letter that no layer uses does not matter.
  const std::string unused = with("    L: {", "    X: {type: gla}\n    L: {");
  EXPECT_TRUE(compare(saved, parse(unused)).refused.empty());
}

TEST(config, training_data_is_required_where_it_is_needed) {
  const std::string none = with("train: [a.txt, {path: \"b *.txt\", weight: 0.5}], ", "");
  EXPECT_TRUE(parse(none).data.train.empty());
  EXPECT_TRUE(contains(message_of(Status::usage, [&] { parse_config(none, "x.yaml", {}, rules(0, true)); }),
                       "data.train: required"));
}

const std::string kConfigs = OG_SOURCE_DIR "/configs";

TEST(configs, every_file_loads_and_round_trips) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kConfigs)) {
    if (entry.path().extension() != ".yaml") continue;
    ++count;
    const Config c = load_config(entry.path().string(), {}, config_rules());
    EXPECT_EQ(to_yaml(parse_config(to_yaml(c), entry.path().string(), {}, config_rules())), to_yaml(c));
  }
  EXPECT_GE(count, 2);
}

TEST(configs, the_benchmark_takes_every_mixer) {
  const std::string path = kConfigs + "/bench_hybrid.yaml";
  for (const MixerType& type : mixer_types()) {
    const Config c = load_config(path, {"model.mixers.L.type=" + type.name}, config_rules());
    EXPECT_EQ(c.model.mixers.at('L').type, type.name);
  }
  const Config c = load_config(path, {}, config_rules());
  EXPECT_EQ(c.rows_per_step(), 4);
  EXPECT_EQ(c.model.vocab_size, 8192);
}

TEST(nearest, edits) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("trian", "train"), 1);
  EXPECT_EQ(nearest("num_stps", {"num_steps", "seed"}), "num_steps");
  EXPECT_EQ(nearest("zzz", {"num_steps", "seed"}), "");
  EXPECT_EQ(nearest("decay", {"weight_decay", "eps"}), "weight_decay");
  EXPECT_EQ(nearest("kda", {"gla", "attention"}), "");  // another mixer, not a slip
  EXPECT_EQ(nearest("lin", {"gla", "linear_attention"}), "linear_attention");
  EXPECT_EQ(nearest("JSONL", {"text", "jsonl"}), "jsonl");
}

}  // namespace
}  // namespace og

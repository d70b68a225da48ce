#include "framework/config/keys.h"

#include <set>

#include "framework/io/yaml.h"

namespace og {

namespace {

template <class Row>
std::vector<std::string> auto_or(std::span<const Row> methods) {
  std::vector<std::string> words = names_of(methods);
  words.insert(words.begin(), "auto");
  return words;
}

using Kind = ConfigKey::Kind;

// How the value is stored: `member` gives a reference to it in a Config, const or not.
template <class Member>
ConfigKey stored(ConfigKey key, Member member) {
  using T = std::remove_cvref_t<decltype(member(std::declval<Config&>()))>;
  key.get = [member](const Config& c) -> ConfigValue {
    if constexpr (std::is_same_v<T, int>)
      return static_cast<int64_t>(member(c));
    else
      return member(c);
  };
  key.set = [member](Config& c, const ConfigValue& v) {
    if constexpr (std::is_same_v<T, int>)
      member(c) = static_cast<int>(std::get<int64_t>(v));
    else
      member(c) = std::get<T>(v);
  };
  return key;
}

// A key of a feature that does not exist yet: its default is the only value that is built.
ConfigKey constant(ConfigKey key, ConfigValue value) {
  key.built = {to_text(value)};
  key.get = [value](const Config&) { return value; };
  key.set = [](Config&, const ConfigValue&) {};
  return key;
}

constexpr double kMost = 1e15;        // the largest count: a double holds it
constexpr double kMostRanks = 65536;  // the largest degree or number of threads

void add_model(std::vector<ConfigKey>& keys) {
  ConfigKey vocab{.path = "model.vocab_size", .least = 2, .most = 1 << 30, .nullable = true};
  vocab.get = [](const Config& c) -> ConfigValue {
    if (c.model.vocab_size == 0) return std::monostate{};
    return c.model.vocab_size;
  };
  vocab.set = [](Config& c, const ConfigValue& v) {
    c.model.vocab_size = std::holds_alternative<int64_t>(v) ? std::get<int64_t>(v) : 0;
  };
  keys.push_back(vocab);
  keys.push_back(stored(
      {.path = "model.hidden_size", .least = 1, .most = 1 << 20},
      [](auto& c) -> auto& { return c.model.hidden_size; }));
  keys.push_back(stored(
      {.path = "model.num_hidden_layers", .least = 1, .most = 100000},
      [](auto& c) -> auto& { return c.model.num_hidden_layers; }));
  keys.push_back(stored(
      {.path = "model.layer_pattern", .kind = Kind::text}, [](auto& c) -> auto& { return c.model.layer_pattern; }));
  keys.push_back(stored(
      {.path = "model.channel_pattern", .kind = Kind::text}, [](auto& c) -> auto& { return c.model.channel_pattern; }));
  keys.push_back(stored(
      {.path = "model.rms_norm_eps", .kind = Kind::real, .least = 0, .most = 1},
      [](auto& c) -> auto& { return c.model.rms_norm_eps; }));
  keys.push_back(stored(
      {.path = "model.initializer_range", .kind = Kind::real, .least = 0, .most = 100},
      [](auto& c) -> auto& { return c.model.initializer_range; }));
  keys.push_back(stored(
      {.path = "model.tie_word_embeddings", .kind = Kind::boolean},
      [](auto& c) -> auto& { return c.model.tie_word_embeddings; }));
}

void add_data(std::vector<ConfigKey>& keys) {
  keys.push_back(stored(
      {.path = "data.train", .kind = Kind::sources}, [](auto& c) -> auto& { return c.data.train; }));
  keys.push_back(stored(
      {.path = "data.eval", .kind = Kind::sources}, [](auto& c) -> auto& { return c.data.eval; }));
  keys.push_back(stored(
      {.path = "data.tokenizer", .kind = Kind::text}, [](auto& c) -> auto& { return c.data.tokenizer; }));
  keys.push_back(stored(
      {.path = "data.sequence_length", .least = 1, .most = 1 << 30},
      [](auto& c) -> auto& { return c.data.sequence_length; }));
  keys.push_back(stored(
      {.path = "data.pack_documents", .kind = Kind::boolean}, [](auto& c) -> auto& { return c.data.pack_documents; }));
  keys.push_back(stored(
      {.path = "data.shuffle", .kind = Kind::boolean}, [](auto& c) -> auto& { return c.data.shuffle; }));
  keys.push_back(stored(
      {.path = "data.text_field", .kind = Kind::text}, [](auto& c) -> auto& { return c.data.text_field; }));
  ConfigKey format = stored(
      {.path = "data.format", .kind = Kind::choice, .choices = {"auto", "text", "jsonl", "chat", "megatron"}},
      [](auto& c) -> auto& { return c.data.format; });
  format.built = {"auto", "text", "jsonl"};
  keys.push_back(format);
  keys.push_back(stored(
      {.path = "data.bad_lines", .kind = Kind::choice, .choices = {"refuse", "skip"}},
      [](auto& c) -> auto& { return c.data.bad_lines; }));
  // All of model and data, but where files lie and how they are read may change: the tokens that come of it are
  // compared by hash.
  const std::set<std::string> by_content{"data.eval",   "data.train",      "data.tokenizer",
                                         "data.format", "data.text_field", "data.bad_lines"};
  for (ConfigKey& key : keys)
    if (!by_content.contains(key.path)) key.resume = ConfigKey::Resume::must_match;
}

void add_schedule(std::vector<ConfigKey>& keys) {
  ConfigKey type{.path = "train.schedule.type", .kind = Kind::choice, .choices = {"cosine", "linear", "wsd"}};
  type.get = [names = type.choices](const Config& c) -> ConfigValue {
    return names[static_cast<size_t>(c.train.schedule.type)];
  };
  type.set = [names = type.choices](Config& c, const ConfigValue& v) {
    for (size_t i = 0; i < names.size(); ++i)
      if (names[i] == std::get<std::string>(v)) c.train.schedule.type = static_cast<ScheduleType>(i);
  };
  keys.push_back(type);
  keys.push_back(stored(
      {.path = "train.schedule.warmup_steps", .least = 0, .most = kMost},
      [](auto& c) -> auto& { return c.train.schedule.warmup_steps; }));
  keys.push_back(stored(
      {.path = "train.schedule.decay_steps", .least = 0, .most = kMost},
      [](auto& c) -> auto& { return c.train.schedule.decay_steps; }));
  keys.push_back(stored(
      {.path = "train.schedule.final_ratio", .kind = Kind::real, .least = 0, .most = 1},
      [](auto& c) -> auto& { return c.train.schedule.final_ratio; }));
}

void add_optimizer(std::vector<ConfigKey>& keys) {
  keys.push_back(
      constant({.path = "train.optimizer.type", .kind = Kind::choice, .choices = {"adamw"}}, std::string("adamw")));
  keys.push_back(stored(
      {.path = "train.optimizer.learning_rate", .kind = Kind::real, .least = 0, .most = 1e3},
      [](auto& c) -> auto& { return c.train.learning_rate; }));
  ConfigKey betas{.path = "train.optimizer.betas", .kind = Kind::pair, .least = 0, .most = 0.999999};
  betas.get = [](const Config& c) -> ConfigValue {
    return std::vector<double>{c.train.adamw.beta1, c.train.adamw.beta2};
  };
  betas.set = [](Config& c, const ConfigValue& v) {
    c.train.adamw.beta1 = std::get<std::vector<double>>(v)[0];
    c.train.adamw.beta2 = std::get<std::vector<double>>(v)[1];
  };
  keys.push_back(betas);
  keys.push_back(stored(
      // Below this the ratio of moments of gradients whose squares are zero in f32 is no longer bounded by the rate.
      {.path = "train.optimizer.eps", .kind = Kind::real, .least = 1e-20, .most = 1},
      [](auto& c) -> auto& { return c.train.adamw.eps; }));
  keys.push_back(stored(
      {.path = "train.optimizer.weight_decay", .kind = Kind::real, .least = 0, .most = 1e3},
      [](auto& c) -> auto& { return c.train.adamw.weight_decay; }));
}

void add_train(std::vector<ConfigKey>& keys) {
  keys.push_back(stored(
      {.path = "train.num_steps", .least = 0, .most = kMost}, [](auto& c) -> auto& { return c.train.num_steps; }));
  keys.push_back(stored(
      {.path = "train.tokens_per_step", .least = 1, .most = kMost},
      [](auto& c) -> auto& { return c.train.tokens_per_step; }));
  keys.push_back(stored(
      {.path = "train.micro_batch_size", .least = 1, .most = 1 << 20},
      [](auto& c) -> auto& { return c.train.micro_batch_size; }));
  add_optimizer(keys);
  add_schedule(keys);
  keys.push_back(stored(
      {.path = "train.max_grad_norm", .kind = Kind::real, .least = 0},
      [](auto& c) -> auto& { return c.train.max_grad_norm; }));
  keys.push_back(stored(
      {.path = "train.precision", .kind = Kind::choice, .choices = {"auto", "f32", "bf16", "f64"}},
      [](auto& c) -> auto& { return c.train.precision; }));
  keys.push_back(stored(
      {.path = "train.recompute", .kind = Kind::choice, .choices = {"none", "block"}},
      [](auto& c) -> auto& { return c.train.recompute; }));
  keys.push_back(stored(
      {.path = "train.seed", .least = 0, .most = kMost, .resume = ConfigKey::Resume::must_match},
      [](auto& c) -> auto& { return c.train.seed; }));
  ConfigKey deterministic = stored(
      {.path = "train.deterministic", .kind = Kind::choice, .choices = {"run", "layout"}},
      [](auto& c) -> auto& { return c.train.deterministic; });
  deterministic.built = {"run"};
  keys.push_back(deterministic);
  keys.push_back(stored(
      {.path = "train.eval_every", .least = 0, .most = kMost}, [](auto& c) -> auto& { return c.train.eval_every; }));
  ConfigKey eval_rows{.path = "train.eval_rows", .least = 0, .most = 1e9, .choices = {"auto"}};
  eval_rows.get = [](const Config& c) -> ConfigValue {
    if (c.train.eval_rows < 0) return std::string("auto");
    return c.train.eval_rows;
  };
  eval_rows.set = [](Config& c, const ConfigValue& v) {
    c.train.eval_rows = std::holds_alternative<int64_t>(v) ? std::get<int64_t>(v) : -1;
  };
  keys.push_back(eval_rows);
  ConfigKey segment{.path = "train.segment_length", .least = 1, .most = kMost, .nullable = true};
  segment.get = [](const Config& c) -> ConfigValue {
    if (c.train.segment_length == 0) return std::monostate{};
    return c.train.segment_length;
  };
  segment.set = [](Config& c, const ConfigValue& v) {
    c.train.segment_length = std::holds_alternative<int64_t>(v) ? std::get<int64_t>(v) : 0;
  };
  keys.push_back(segment);
  ConfigKey threads{.path = "train.threads", .least = 1, .most = kMostRanks, .choices = {"auto"}};
  threads.get = [](const Config& c) -> ConfigValue {
    if (c.train.threads == 0) return std::string("auto");
    return static_cast<int64_t>(c.train.threads);
  };
  threads.set = [](Config& c, const ConfigValue& v) {
    c.train.threads = std::holds_alternative<int64_t>(v) ? static_cast<int>(std::get<int64_t>(v)) : 0;
  };
  keys.push_back(threads);
}

void add_parallel(std::vector<ConfigKey>& keys) {
  ConfigKey data{.path = "parallel.data", .least = 1, .most = kMostRanks, .choices = {"auto"}};
  data.get = [](const Config& c) -> ConfigValue {
    if (c.parallel.data_auto) return std::string("auto");
    return static_cast<int64_t>(c.parallel.degrees.data);
  };
  data.set = [](Config& c, const ConfigValue& v) {
    c.parallel.data_auto = std::holds_alternative<std::string>(v);
    c.parallel.degrees.data = c.parallel.data_auto ? 1 : static_cast<int>(std::get<int64_t>(v));
  };
  keys.push_back(data);
  keys.push_back(stored(
      {.path = "parallel.sequence", .least = 1, .most = kMostRanks},
      [](auto& c) -> auto& { return c.parallel.degrees.sequence; }));
  keys.push_back(stored(
      {.path = "parallel.tensor", .least = 1, .most = kMostRanks},
      [](auto& c) -> auto& { return c.parallel.degrees.tensor; }));
  keys.push_back(stored(
      {.path = "parallel.expert", .least = 1, .most = kMostRanks},
      [](auto& c) -> auto& { return c.parallel.degrees.expert; }));
  keys.push_back(stored(
      {.path = "parallel.pipeline", .least = 1, .most = kMostRanks},
      [](auto& c) -> auto& { return c.parallel.degrees.pipeline; }));
  ConfigKey zero = stored(
      {.path = "parallel.zero", .least = 0, .most = 3}, [](auto& c) -> auto& { return c.parallel.zero; });
  zero.built = {"0", "1"};
  keys.push_back(zero);
  keys.push_back(stored(
      {.path = "parallel.sequence_norms", .kind = Kind::boolean},
      [](auto& c) -> auto& { return c.parallel.sequence_norms; }));
  keys.push_back(stored(
      {.path = "parallel.sequence_method", .kind = Kind::choice, .choices = auto_or(linear_methods())},
      [](auto& c) -> auto& { return c.parallel.sequence_method; }));
  keys.push_back(stored(
      {.path = "parallel.softmax_sequence_method", .kind = Kind::choice, .choices = auto_or(softmax_methods())},
      [](auto& c) -> auto& { return c.parallel.softmax_sequence_method; }));
  keys.push_back(stored(
      {.path = "parallel.sequence_order", .kind = Kind::choice, .choices = {"contiguous", "zigzag"}},
      [](auto& c) -> auto& { return c.parallel.sequence_order; }));
  keys.push_back(stored(
      {.path = "parallel.overlap", .kind = Kind::boolean}, [](auto& c) -> auto& { return c.parallel.overlap; }));
  keys.push_back(stored(
      {.path = "parallel.pipeline_schedule", .kind = Kind::choice, .choices = {"1f1b", "interleaved"}},
      [](auto& c) -> auto& { return c.parallel.pipeline_schedule; }));
  keys.push_back(stored(
      {.path = "parallel.virtual_stages", .least = 1, .most = 1024},
      [](auto& c) -> auto& { return c.parallel.virtual_stages; }));
}

void add_run(std::vector<ConfigKey>& keys) {
  keys.push_back(stored(
      {.path = "checkpoint.every", .least = 0, .most = kMost}, [](auto& c) -> auto& { return c.checkpoint.every; }));
  keys.push_back(stored(
      {.path = "checkpoint.keep", .least = 1, .most = kMost}, [](auto& c) -> auto& { return c.checkpoint.keep; }));
  keys.push_back(stored(
      {.path = "run.dir", .kind = Kind::text}, [](auto& c) -> auto& { return c.run.dir; }));
  keys.push_back(stored(
      {.path = "run.log_every", .least = 1, .most = kMost}, [](auto& c) -> auto& { return c.run.log_every; }));
  keys.push_back(stored(
      {.path = "run.timeout_seconds", .kind = Kind::real, .least = 1, .most = 1e9},
      [](auto& c) -> auto& { return c.run.timeout_seconds; }));
}

std::string real_text(double r) {
  std::string s = fmt::format("{}", r);
  // YAML readers want a point in a real: 1e-06 is a string to some.
  if (s.find('.') != std::string::npos) return s;
  const size_t exponent = s.find('e');
  return exponent == std::string::npos ? s + ".0" : s.substr(0, exponent) + ".0" + s.substr(exponent);
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> k;
    add_model(k);
    add_data(k);
    add_train(k);
    add_parallel(k);
    add_run(k);
    return k;
  }();
  return keys;
}

const ConfigKey* find_config_key(const std::string& path) {
  for (const ConfigKey& key : config_keys())
    if (key.path == path) return &key;
  return nullptr;
}

std::string to_text(const ConfigValue& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int64_t>(&value)) return fmt::format("{}", *i);
  if (const auto* r = std::get_if<double>(&value)) return real_text(*r);
  if (const auto* s = std::get_if<std::string>(&value)) return yaml_string(*s);
  std::string list;
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) {
    for (double r : *reals) list += (list.empty() ? "" : ", ") + real_text(r);
  } else if (const auto* sources = std::get_if<std::vector<DataConfig::Source>>(&value)) {
    for (const DataConfig::Source& s : *sources) {
      if (!list.empty()) list += ", ";
      list += s.weight == 0 ? yaml_string(s.path)
                            : fmt::format("{{path: {}, weight: {}}}", yaml_string(s.path), real_text(s.weight));
    }
  } else {
    return "null";
  }
  return "[" + list + "]";
}

std::string to_text(const OptionValue& value) {
  return std::visit([](const auto& v) { return to_text(ConfigValue(v)); }, value);
}

}  // namespace og

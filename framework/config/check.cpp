#include <algorithm>

#include "framework/config/problems.h"
#include "framework/core/number.h"

namespace og {

namespace {

constexpr int64_t kByteVocabulary = 257;  // 256 bytes and the end of a document

class Checker {
 public:
  Checker(const Config& config, const ConfigRules& rules, Problems& problems)
      : config_(config), rules_(rules), problems_(problems), degrees_(config.parallel.degrees) {}

  void check() {
    check_degrees_fit();
    check_pattern("model.layer_pattern", config_.model.layer_pattern, "model.mixers", config_.model.mixers);
    check_pattern("model.channel_pattern", config_.model.channel_pattern, "model.channels", config_.model.channels);
    check_letters();
    check_vocabulary();
    if (rules_.checks_steps) check_rows();
    check_segments();
    check_order();
    check_pipeline();
    if (config_.run.dir.find_first_not_of(' ') == std::string::npos && fine({"run.dir"}))
      add("run.dir",
          fmt::format("expected a folder, found \"{}\"; leave the key out for runs/ and the name of the config",
                      config_.run.dir));
    if (rules_.needs_training_data && config_.data.train.empty() && fine({"data.train"}))
      add("data.train", "required: the files to train on");
    if (rules_.needs_training_data)
      for (const DataConfig::Source& s : config_.data.eval)
        if (s.weight > 0)
          add("data.eval", fmt::format("{}: weights mix the rows of data.train; an evaluation counts every row once. "
                                       "Leave the weight out",
                                       s.path));
  }

 private:
  bool fine(std::initializer_list<const char*> keys) const {
    return std::none_of(keys.begin(), keys.end(), [&](const char* key) { return problems_.about(key); });
  }
  void add(const std::string& key, const std::string& message) { problems_.add(config_.origin(key), key, message); }

  void check_degrees_fit() {
    if (!fine({"parallel"})) return;
    const bool known = rules_.world_size > 0 || !config_.parallel.data_auto;
    if (!known) return;
    const int world = rules_.world_size > 0 ? rules_.world_size : degrees_.world();
    if (config_.parallel.data_auto)
      degrees_.data = std::max(1, world / (degrees_.sequence * degrees_.tensor * degrees_.pipeline));
    const auto wrong = check_degrees(degrees_, world);
    data_known_ = !wrong;
    if (!wrong) return;
    Origin origin;  // where the first chosen degree was written
    for (const char* key :
         {"parallel.expert", "parallel.pipeline", "parallel.tensor", "parallel.sequence", "parallel.data"})
      if (config_.origins.contains(key)) origin = config_.origin(key);
    problems_.add(origin, "", wrong->text);
  }

  void check_pattern(const char* key, const std::string& pattern, const char* group,
                     const std::map<char, Options>& letters) {
    if (!fine({key})) return;
    if (pattern.empty())
      return add(key, fmt::format("required: the letters of {} that the layers take in turn", group));
    std::string missing;
    for (char letter : pattern) {
      if (letters.contains(letter) || missing.find(letter) != std::string::npos) continue;
      if (problems_.about(fmt::format("{}.{}", group, letter))) continue;
      missing += letter;
      std::string defined;
      for (const auto& [name, options] : letters) defined += fmt::format("{}{}", defined.empty() ? "" : ", ", name);
      add(key, fmt::format("letter {} is not defined in {}; defined: {}", letter, group,
                           defined.empty() ? "none" : defined));
    }
  }

  void check_letters() {
    if (!fine({"model.hidden_size", "parallel"})) return;
    const SequenceOptions sequence = config_.parallel.sequence_options();
    for (const auto& [letter, options] : config_.model.mixers) {
      if (config_.model.layer_pattern.find(letter) == std::string::npos || problems_.about(options.where)) continue;
      for (const MixerType& type : rules_.mixers) {
        if (type.name != options.type) continue;
        std::optional<Problem> problem;
        if (type.problem) problem = type.problem(options, config_.model.hidden_size, degrees_.tensor);
        if (!problem && type.sequence_problem) problem = type.sequence_problem(options, degrees_, sequence);
        add_letter(options, problem);
      }
    }
    for (const auto& [letter, options] : config_.model.channels) {
      if (config_.model.channel_pattern.find(letter) == std::string::npos || problems_.about(options.where)) continue;
      for (const ChannelType& type : rules_.channels)
        if (type.name == options.type && type.problem)
          add_letter(options, type.problem(options, config_.model.hidden_size, degrees_));
    }
  }
  void add_letter(const Options& options, const std::optional<Problem>& problem) {
    if (problem) problems_.add(config_.origin(options.where + ".type"), options.where, problem->text);
  }

  void check_vocabulary() {
    const std::string& tokenizer = config_.data.tokenizer;
    const bool bytes = tokenizer == "bytes";
    if (fine({"data.tokenizer"}) && !bytes &&
        (!tokenizer.starts_with("sentencepiece:") || tokenizer == "sentencepiece:"))
      add("data.tokenizer", fmt::format("expected bytes or sentencepiece:PATH, found \"{}\"", tokenizer));
    if (!fine({"data.tokenizer", "model.vocab_size", "parallel.tensor"})) return;
    ModelConfig model = config_.model;
    if (bytes && model.vocab_size == 0) model.vocab_size = kByteVocabulary;
    if (bytes && model.vocab_size < kByteVocabulary)
      return add("model.vocab_size",
                 fmt::format("the tokenizer bytes has {} tokens, found {}", kByteVocabulary, model.vocab_size));
    if (model.vocab_size > 0 && model.padded_vocab_size() % degrees_.tensor != 0)
      add("parallel.tensor", fmt::format("{} does not divide the vocabulary's {} rows (rounded up to a multiple of 64)",
                                         degrees_.tensor, model.padded_vocab_size()));
  }

  bool interleaved() const { return config_.parallel.pipeline_schedule == "interleaved" && degrees_.pipeline > 1; }

  // Rows that a step must be a multiple of.
  int64_t rows_at_once() const {
    if (problems_.about("train.micro_batch_size")) return 1;
    const int64_t data = data_known_ ? degrees_.data : 1;
    return config_.train.micro_batch_size * data * (data_known_ && interleaved() ? degrees_.pipeline : 1);
  }
  // The tokens_per_step that a run takes, next to the one that was asked for.
  std::string nearest_tokens() const {
    if (static_cast<double>(config_.data.sequence_length) * static_cast<double>(rows_at_once()) > 1e15)
      return "none up to 1e15";
    const int64_t unit = config_.data.sequence_length * rows_at_once();
    const int64_t below = config_.train.tokens_per_step / unit * unit;
    return below > 0 ? fmt::format("{} and {}", below, below + unit) : fmt::format("{}", unit);
  }

  void check_rows() {
    if (!fine({"train.tokens_per_step", "data.sequence_length"})) return;
    const int64_t length = config_.data.sequence_length, tokens = config_.train.tokens_per_step;
    if (tokens % length != 0)
      return add("train.tokens_per_step",
                 fmt::format("expected a multiple of data.sequence_length = {}{}, found {}; the nearest: {}", length,
                             rows_at_once() == 1 ? "" : fmt::format(" x {} rows at once", rows_at_once()), tokens,
                             nearest_tokens()));
    if (!fine({"train.micro_batch_size"})) return;
    const int64_t rows = tokens / length, data = data_known_ ? degrees_.data : 1;
    if (rows % (config_.train.micro_batch_size * data) == 0) return;
    add(config_.train.micro_batch_size > 1 || data == 1 ? "train.micro_batch_size" : "train.tokens_per_step",
        fmt::format("{} a step (tokens_per_step {} / sequence_length {}) do not divide into micro batches of {} "
                    "on {}; the nearest train.tokens_per_step: {}",
                    counted(rows, "row"), tokens, length, counted(config_.train.micro_batch_size, "row"),
                    counted(data, "data rank"), nearest_tokens()));
  }

  void check_pipeline() {
    const int64_t stages = degrees_.pipeline, chunks = config_.parallel.virtual_stages;
    const bool interleaved = config_.parallel.pipeline_schedule == "interleaved";
    if (interleaved != (chunks > 1))
      add("parallel.virtual_stages",
          interleaved
              ? "expected 2 or more with pipeline_schedule: interleaved, found 1"
              : fmt::format("expected 1 with pipeline_schedule: 1f1b, found {}; interleaved takes more", chunks));
    if (stages == 1 || !fine({"model.num_hidden_layers"})) return;
    if (config_.model.num_hidden_layers < stages * chunks)
      add("parallel.pipeline", fmt::format("{} stages of {} chunk{} need as many layers; model.num_hidden_layers = {}",
                                           stages, chunks, chunks == 1 ? "" : "s", config_.model.num_hidden_layers));
    if (config_.train.segment_length > 0 && interleaved)
      add("parallel.pipeline_schedule",
          "expected 1f1b with train.segment_length: segments take the place of micro steps");
    if (!interleaved || !data_known_ || !rules_.checks_steps ||
        !fine({"train.tokens_per_step", "data.sequence_length", "train.micro_batch_size"}))
      return;
    const int64_t rows = config_.train.tokens_per_step / config_.data.sequence_length;
    const int64_t micro = rows / (config_.train.micro_batch_size * degrees_.data);
    if (rows % (config_.train.micro_batch_size * degrees_.data) == 0 && micro % stages != 0)
      add("train.tokens_per_step",
          fmt::format("pipeline_schedule: interleaved takes micro steps in groups of {} (parallel.pipeline); {} tokens "
                      "are {}; the nearest: {}",
                      stages, config_.train.tokens_per_step, counted(micro, "micro step"), nearest_tokens()));
  }

  void check_order() {
    if (config_.parallel.sequence_order != "zigzag" || degrees_.sequence == 1) return;
    const auto refuse = [&](const std::string& why) { add("parallel.sequence_order", "zigzag " + why); };
    const int64_t length = config_.data.sequence_length, shards = 2 * int64_t{degrees_.sequence};
    if (fine({"data.sequence_length"}) && length % shards != 0)
      refuse(
          fmt::format("cuts rows into 2 x parallel.sequence = {} equal shards; data.sequence_length = {} does not "
                      "divide by them; the nearest: {} and {}",
                      shards, length, std::max(shards, length / shards * shards), (length / shards + 1) * shards));
    const SequenceOptions methods = config_.parallel.sequence_options();
    if (const LinearRow& linear = row_of(methods.linear); linear.zigzag_problem)
      refuse(fmt::format("{}, found {}", linear.zigzag_problem, linear.name));
    if (const SoftmaxRow& softmax = row_of(methods.softmax); softmax.zigzag_problem) refuse(softmax.zigzag_problem);
    if (config_.train.segment_length > 0)
      refuse("is not built with train.segment_length: a segment would need the states of both orders");
  }

  void check_segments() {
    if (config_.train.segment_length == 0 || !fine({"train.segment_length"})) return;
    if (config_.train.recompute != "none")
      add("train.recompute",
          "expected none with train.segment_length: segments run twice as they are, and a shorter "
          "one takes less memory");
    const SoftmaxRow& softmax = row_of(config_.parallel.sequence_options().softmax);
    std::string keeping;
    for (const SoftmaxRow& row : softmax_methods())
      if (row.keeps_keys) keeping += fmt::format(" or {}", row.name);
    if (!softmax.keeps_keys)
      add("parallel.softmax_sequence_method",
          fmt::format("expected auto{} with train.segment_length, found {}: later segments read the keys and values of "
                      "earlier ones, which every rank keeps",
                      keeping, softmax.name));
  }

  const Config& config_;
  const ConfigRules& rules_;
  Problems& problems_;
  Degrees degrees_;  // with data filled in where it is known
  bool data_known_ = false;
};

}  // namespace

void check_config(const Config& config, const ConfigRules& rules, Problems& problems) {
  Checker(config, rules, problems).check();
}

void check_config(const Config& config, const ConfigRules& rules) {
  Problems problems;
  check_config(config, rules, problems);
  problems.report();
}

}  // namespace og

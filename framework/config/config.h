// Config: everything a run is told, as a plain value. Each value comes from the built-in default, a file (`include:` of
// a base file first) or the command line (`key=value`, dotted keys), the last of them wins, and the config knows which
// it was. All that is wrong is reported at once: Error(Status::usage) with one line a problem, `file:line:column: key:
// ...`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "framework/nn/registry.h"
#include "framework/optim/adamw.h"
#include "framework/optim/schedule.h"
#include "models/hybrid_lm.h"
#include "parallel/mesh/mesh.h"
#include "parallel/sequence/methods.h"

namespace og {

struct DataConfig {
  struct Source {
    std::string path;   // a file or a glob
    double weight = 0;  // 0: none given; counts as 1 beside sources that have one
    bool operator==(const Source&) const = default;
  };
  std::vector<Source> train, eval;
  std::string tokenizer = "bytes";  // or "sentencepiece:PATH"
  int64_t sequence_length = 2048;   // tokens a row
  bool pack_documents = true;
  bool shuffle = true;
  std::string text_field = "text";   // the field of a JSONL line that holds the text
  std::string format = "auto";       // auto | text | jsonl
  std::string bad_lines = "refuse";  // refuse | skip
};

struct TrainConfig {
  int64_t num_steps = 1000;
  int64_t tokens_per_step = 16384;  // global; a multiple of sequence_length
  int64_t micro_batch_size = 1;     // rows a data rank takes at once
  double learning_rate = 1e-3;
  AdamWOptions adamw;
  Schedule schedule;
  double max_grad_norm = 1.0;      // 0: no clipping
  std::string precision = "auto";  // auto | f32 | bf16 | f64
  std::string recompute = "none";  // none | block
  int64_t seed = 1;
  std::string deterministic = "run";
  int64_t eval_every = 0;      // steps; 0: never
  int64_t eval_rows = -1;      // rows that each evaluation reads; 0: all, -1: auto
  int64_t segment_length = 0;  // global tokens; 0: whole rows
  int threads = 0;             // each rank's; 0: auto
};

struct ParallelConfig {
  Degrees degrees;                       // .data is 1 while data_auto
  bool data_auto = true;                 // data takes the ranks that the other degrees leave
  int64_t zero = 0;                      // 1: the optimizer is cut over the ranks that sum gradients
  bool sequence_norms = false;           // hidden states between tensor-parallel regions cut over tensor
  std::string sequence_method = "auto";  // or a name of linear_methods()
  bool overlap = true;
  std::string softmax_sequence_method = "auto";  // or a name of softmax_methods()
  std::string pipeline_schedule = "1f1b";        // 1f1b | interleaved
  int virtual_stages = 1;                        // chunks of the layers on a stage, interleaved
  std::string sequence_order = "contiguous";     // contiguous | zigzag

  SequenceOptions sequence_options() const {  // auto: the first methods, LASP-2 and LASP-2H
    return {.linear = find_linear_method(sequence_method).value_or(LinearMethod{}),
            .softmax = find_softmax_method(softmax_sequence_method).value_or(SoftmaxMethod{}),
            .order = sequence_order == "zigzag" ? SequenceOrder::zigzag : SequenceOrder::contiguous,
            .overlap = overlap};
  }
};

struct CheckpointConfig {
  int64_t every = 100;  // steps; 0: at the end only
  int64_t keep = 2;
};

struct RunConfig {
  std::string dir = "runs/run";  // a config that was read: runs/<name of its file>
  int64_t log_every = 10;
  double timeout_seconds = 300;
};

struct Origin {
  enum class Kind : uint8_t { built_in, file, include, command_line };
  Kind kind = Kind::built_in;
  std::string file;
  int line = 0, column = 0;
  std::string str() const;    // "configs/x.yaml:12", "include base.yaml:3", "command line", "default"
  std::string place() const;  // for problems: "configs/x.yaml:12:5", "command line", "default"
};

struct Config {
  ModelConfig model;  // vocab_size 0: the tokenizer's, filled in by whoever opens it
  DataConfig data;
  TrainConfig train;
  ParallelConfig parallel;
  CheckpointConfig checkpoint;
  RunConfig run;

  std::map<std::string, Origin> origins;  // every key whose value is not built in
  Origin origin(const std::string& key) const;

  // Rows of sequence_length tokens in one optimizer step, over all ranks.
  int64_t rows_per_step() const { return train.tokens_per_step / data.sequence_length; }
  // Rows that an evaluation during the run reads at most; 0: all. auto: as many as eight steps.
  int64_t most_eval_rows() const { return train.eval_rows < 0 ? 8 * rows_per_step() : train.eval_rows; }
  OptimizerSharding optimizer_sharding() const {
    return parallel.zero == 1 ? OptimizerSharding::zero1 : OptimizerSharding::none;
  }
};

// What a config is checked against.
struct ConfigRules {
  std::span<const MixerType> mixers;  // the types that exist
  std::span<const ChannelType> channels;
  int world_size = 0;                // > 0: the degrees must fit this many ranks, and the rows divide over them
  bool needs_training_data = false;  // data.train must name something
  bool checks_steps = true;          // rows must divide into micro batches and steps
};
// The registered types.
ConfigRules config_rules(int world_size = 0, bool needs_training_data = false);

// overrides: "train.num_steps=5", "model.mixers.L={type: gla}"; values are YAML. adapt: changes what was read before it
// is checked.
Config load_config(const std::string& path, const std::vector<std::string>& overrides, const ConfigRules& rules,
                   const std::function<void(Config&)>& adapt = {});
// The same from text; `name` stands for the file in messages. `include:` is not allowed here.
Config parse_config(const std::string& text, const std::string& name, const std::vector<std::string>& overrides,
                    const ConfigRules& rules);

// A config that the program makes itself: letters with the defaults of their type for what is not given, and, when all
// is set, the checks of a config that was read.
void set_mixer(ModelConfig& model, char letter, const std::string& type,
               const std::map<std::string, OptionValue>& values);
void set_channel(ModelConfig& model, char letter, const std::string& type,
                 const std::map<std::string, OptionValue>& values);
void check_config(const Config& config, const ConfigRules& rules);

// Every key, as a file that loads to the same config. with_origins: a comment on each line says where its value is
// from.
std::string to_yaml(const Config& config, bool with_origins = false);

// Every key with its value as YAML: {"train.num_steps", "300"}, in the order of to_yaml.
std::vector<std::pair<std::string, std::string>> list_values(const Config& config);

// What differs between a checkpoint's config and the one of a run that wants to resume it, one line a key:
// "model.hidden_size: 512 in the checkpoint, 256 now (configs/x.yaml:3)".
struct ConfigDifferences {
  std::vector<std::string> refused;  // the model, what is trained on, the seed: no resume
  std::vector<std::string> changed;  // the rest: to be told
};
ConfigDifferences compare(const Config& checkpoint, const Config& now);

}  // namespace og

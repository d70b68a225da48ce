#include "framework/config/keys.h"

#include <algorithm>

#include "framework/config/fields.h"

// FIELD(train.num_steps): that member of Config.
#define FIELD(member) field_of([](auto& config) -> auto& { return config.member; })

namespace og {

namespace {

constexpr double kMostRanks = 65536;  // the largest degree or number of threads

std::vector<ConfigKey> model_keys() {
  return {
      ConfigKey{"model.vocab_size", whole_or_null(0, 2, 1 << 30), FIELD(model.vocab_size),
                "rows of the embedding; in memory rounded up to a multiple of 64, never predicted"}
          .shown_as("the tokenizer's")
          .same_when_resumed()
          .named("n_vocab vocab padded_vocab_size"),
      ConfigKey{"model.hidden_size", whole(1, 1 << 20), FIELD(model.hidden_size),
                "width of the hidden states between layers"}
          .same_when_resumed()
          .named("d_model n_embd n_embed embed_dim embedding_dim hidden_dim dim model_dim width"),
      ConfigKey{"model.num_hidden_layers", whole(1, 100000), FIELD(model.num_hidden_layers),
                "layers, each a sequence mixer and a channel part"}
          .same_when_resumed()
          .named("n_layer n_layers num_layers nlayers layers depth"),
      ConfigKey{"model.layer_pattern", any_text(), FIELD(model.layer_pattern),
                "the sequence mixer of each layer, letters of `mixers`, repeated"}
          .shown_as("required")
          .same_when_resumed(),
      ConfigKey{"model.channel_pattern", any_text(), FIELD(model.channel_pattern),
                "the channel part of each layer, letters of `channels`, repeated"}
          .shown_as("required")
          .same_when_resumed(),
      ConfigKey{"model.rms_norm_eps", real(0, 1), FIELD(model.rms_norm_eps),
                "what RMS norms add to the mean of squares"}
          .same_when_resumed()
          .named("norm_eps layer_norm_eps layer_norm_epsilon layernorm_epsilon rms_eps"),
      ConfigKey{"model.initializer_range", real(0, 100), FIELD(model.initializer_range),
                "standard deviation of fresh matrices"}
          .same_when_resumed()
          .named("init_std init_method_std initializer_std"),
      ConfigKey{"model.tie_word_embeddings", yes_or_no(), FIELD(model.tie_word_embeddings), "the head is the embedding"}
          .same_when_resumed()
          .named("tie_embeddings tie_weights weight_tying tied_embeddings"),
  };
}

// Where files lie and how they are read may change in a resumed run: the tokens that come of it are compared by hash.
std::vector<ConfigKey> data_keys() {
  return {
      ConfigKey{"data.train", mixture_of_files(), FIELD(data.train),
                "files or globs: text, JSONL (plain, .gz, .zst), token files; `{path: FILE, weight: 2}` for mixtures"}
          .named("train_data train_file train_files data_path dataset dataset_path datasets train_path"),
      ConfigKey{"data.eval", list_of_files(), FIELD(data.eval), "the same, without weights"}.named(
          "val_data val_file eval_data eval_file eval_files validation validation_file test_file val"),
      ConfigKey{"data.tokenizer", any_text(), FIELD(data.tokenizer),
                "bytes, or `sentencepiece:PATH`; a resumed run may find it, and the files of `data.train`, at other "
                "paths: their content decides"},
      ConfigKey{"data.sequence_length", whole(1, 1 << 30), FIELD(data.sequence_length), "tokens a row"}
          .same_when_resumed()
          .named("seq_len seq_length seqlen sequence_len max_seq_len max_seq_length max_length max_len block_size "
                 "context_length context_len ctx_len n_ctx ctx max_position_embeddings model_max_length"),
      ConfigKey{"data.pack_documents", yes_or_no(), FIELD(data.pack_documents),
                "rows hold documents back to back, each opened by the end-of-document token with a fresh state; one "
                "longer than a row goes on in the next with a fresh state; false: one stream, borders ignored"}
          .same_when_resumed()
          .named("packing pack pack_sequences sample_packing"),
      ConfigKey{"data.shuffle", yes_or_no(), FIELD(data.shuffle), "rows in a new order each epoch"}.same_when_resumed(),
      ConfigKey{"data.text_field", any_text(), FIELD(data.text_field), "the field of a JSONL line that holds the text"},
      ConfigKey{"data.format", with_planned(one_of({"auto", "text", "jsonl"}), {"chat", "megatron"}),
                FIELD(data.format),
                "what text files are: `text` (one document a file), `jsonl` (one a line); auto: see [Data "
                "files](#data-files). A resumed run may say it another way where the same tokens come of it, as with "
                "`text_field` and `bad_lines`"},
      ConfigKey{"data.bad_lines", one_of({"refuse", "skip"}), FIELD(data.bad_lines),
                "lines of JSONL without a string `text_field`, with a NUL or a lone surrogate, or not JSON: refused by "
                "file and line; skip: left out, counted and said at every start"},
  };
}

std::vector<ConfigKey> step_keys() {
  return {
      ConfigKey{"train.num_steps", whole(0), FIELD(train.num_steps), "steps of the whole run"}
          .named("max_steps steps total_steps training_steps train_steps num_train_steps n_steps nsteps max_iters "
                 "train_iters iters num_iterations iterations")
          .named("epochs epoch num_epochs num_train_epochs max_epochs n_epochs train_epochs",
                 "it counts steps: epochs x tokens of the data / tokens_per_step"),
      ConfigKey{"train.tokens_per_step", whole(1), FIELD(train.tokens_per_step),
                "tokens over all ranks; a multiple of `sequence_length` x `micro_batch_size` x data ranks; "
                "accumulation is derived"}
          .named("batch_size global_batch_size train_batch_size total_batch_size batch bs batch_tokens "
                 "tokens_per_batch gradient_accumulation_steps grad_accum_steps grad_accum gradient_accumulation "
                 "accumulate_grad_batches",
                 "tokens of all ranks: rows x data.sequence_length; accumulation follows from it and "
                 "micro_batch_size"),
      ConfigKey{"train.micro_batch_size", whole(1, 1 << 20), FIELD(train.micro_batch_size),
                "rows a data rank takes at once"}
          .named("per_device_train_batch_size per_device_batch_size device_batch_size local_batch_size micro_batch mbs "
                 "train_micro_batch_size_per_gpu",
                 "rows"),
  };
}

std::vector<ConfigKey> optimizer_keys() {
  return {
      ConfigKey{"train.optimizer.type", one_of({"adamw"}), constant(std::string("adamw")), "AdamW"}.named(
          "optim optimizer_type opt"),
      ConfigKey{"train.optimizer.learning_rate", real(0, 1e3), FIELD(train.learning_rate),
                "the highest of the run; `schedule` says how it moves"}
          .named("lr max_lr peak_lr base_lr learning_rate_max peak_learning_rate"),
      ConfigKey{"train.optimizer.betas",
                pair_of_reals(0, 0.999999),
                {[](const Config& c) -> ConfigValue {
                   return std::vector<double>{c.train.adamw.beta1, c.train.adamw.beta2};
                 },
                 [](Config& c, const ConfigValue& v) {
                   c.train.adamw.beta1 = std::get<std::vector<double>>(v)[0];
                   c.train.adamw.beta2 = std::get<std::vector<double>>(v)[1];
                 }},
                "decay of the two moments a step"}
          .named("beta1 beta2 adam_beta1 adam_beta2 adam_betas", "both in one list: [0.9, 0.95]"),
      // Below the least the ratio of moments of gradients whose squares are zero in f32 is not bounded by the rate.
      ConfigKey{"train.optimizer.eps", real(1e-20, 1), FIELD(train.adamw.eps),
                "what is added to the root of the second moment"}
          .named("epsilon adam_eps adam_epsilon"),
      ConfigKey{"train.optimizer.weight_decay", real(0, 1e3), FIELD(train.adamw.weight_decay),
                "of all weights but norms, biases and constants of gates"}
          .named("wd l2"),
  };
}

std::vector<ConfigKey> schedule_keys() {
  return {
      ConfigKey{"train.schedule.type", one_of({"cosine", "linear", "wsd"}), FIELD(train.schedule.type),
                "how the learning rate falls after the warm-up; wsd: it stays, then falls over `decay_steps`. What is "
                "seldom meant, such as wsd without decay, is said at the start and by `--dry-run`"}
          .named("scheduler lr_scheduler lr_scheduler_type lr_schedule lr_decay_style decay_type"),
      ConfigKey{"train.schedule.warmup_steps", whole(0), FIELD(train.schedule.warmup_steps),
                "steps in which the learning rate rises; a warm-up as long as the run is said at the start"}
          .named("warmup warmup_iters num_warmup_steps lr_warmup_iters lr_warmup_steps warmup_ratio warmup_epochs",
                 "in steps"),
      ConfigKey{"train.schedule.decay_steps", whole(0), FIELD(train.schedule.decay_steps),
                "last steps of wsd, in which the learning rate falls"}
          .named("cooldown cooldown_steps lr_decay_iters decay_iters num_decay_steps", "of wsd"),
      ConfigKey{"train.schedule.final_ratio", real(0, 1), FIELD(train.schedule.final_ratio),
                "the last learning rate, as a part of the largest"}
          .named("min_lr min_learning_rate min_lr_ratio lr_min eta_min end_lr", "a part of learning_rate"),
  };
}

std::vector<ConfigKey> training_keys() {
  return {
      ConfigKey{"train.max_grad_norm", real(0), FIELD(train.max_grad_norm),
                "gradients of a larger norm are scaled down to it; 0: no clipping"}
          .named("grad_clip clip_grad clip_grad_norm gradient_clip gradient_clip_val gradient_clipping max_norm "
                 "grad_norm_clip"),
      ConfigKey{"train.precision", one_of({"auto", "f32", "bf16", "f64"}), FIELD(train.precision),
                "auto: bf16 products where the processor has them, else f32; f64: reference kernels, for proofs"}
          .named("dtype torch_dtype fp16 bf16 mixed_precision amp param_dtype autocast", "auto, f32, bf16 or f64"),
      ConfigKey{"train.recompute", one_of({"none", "block"}), FIELD(train.recompute),
                "block: keep only each block's input for the backward pass"}
          .named("gradient_checkpointing activation_checkpointing grad_checkpoint remat recompute_granularity",
                 "none or block"),
      ConfigKey{"train.seed", whole(0), FIELD(train.seed), "weights and order of the data"}.same_when_resumed().named(
          "random_seed manual_seed rng_seed"),
      ConfigKey{"train.deterministic", with_planned(one_of({"run"}), {"layout"}), FIELD(train.deterministic),
                "the same layout, threads and build give the same bits"},
      ConfigKey{"train.eval_every", whole(0), FIELD(train.eval_every), "steps; 0: never; needs `data.eval`"}.named(
          "eval_steps eval_interval val_interval eval_freq eval_frequency val_check_interval"),
      ConfigKey{"train.eval_rows", whole_or("auto", -1, 0, 1e9), FIELD(train.eval_rows),
                "rows that each of these evaluations reads, spread evenly over all files of `data.eval`, the same rows "
                "every time and at every layout; auto: as many as eight steps train on; 0: all, which is the number "
                "`onegather eval` prints"},
      ConfigKey{"train.segment_length", whole_or_null(0, 1), FIELD(train.segment_length),
                "global tokens: rows are trained in segments of so many, exactly; memory depends on the segment, "
                "forward runs twice; not with `recompute`"},
      ConfigKey{"train.threads", whole_or("auto", 0, 1, kMostRanks), FIELD(train.threads),
                "threads of each rank; auto: `OMP_NUM_THREADS` if it is set, else the processors that the rank may run "
                "on, divided by the ranks of its host that share them"}
          .named("num_threads n_threads omp_num_threads num_workers cpus"),
  };
}

// auto and the names of a table of methods.
template <class Row>
ValueRule auto_or(std::span<const Row> methods) {
  std::vector<std::string> words = names_of(methods);
  words.insert(words.begin(), "auto");
  return one_of(std::move(words));
}

std::vector<ConfigKey> degree_keys() {
  return {
      ConfigKey{"parallel.data",
                whole_or("auto", 0, 1, kMostRanks),
                {[](const Config& c) -> ConfigValue {
                   return c.parallel.data_auto ? int64_t{0} : int64_t{c.parallel.degrees.data};
                 },
                 [](Config& c, const ConfigValue& v) {
                   const auto degree = static_cast<int>(std::get<int64_t>(v));
                   c.parallel.data_auto = degree == 0;
                   c.parallel.degrees.data = std::max(1, degree);
                 }},
                "auto: the ranks that the other degrees leave; data x sequence x tensor x pipeline = ranks"}
          .named("dp dp_size data_parallel_size data_parallel dp_degree data_parallel_degree"),
      ConfigKey{"parallel.sequence", whole(1, kMostRanks), FIELD(parallel.degrees.sequence),
                "ranks that share the rows' tokens"}
          .named("sp cp sp_size cp_size context_parallel_size sequence_parallel_size context_parallel "
                 "sequence_parallel context_parallel_degree ulysses_size"),
      ConfigKey{"parallel.tensor", whole(1, kMostRanks), FIELD(parallel.degrees.tensor),
                "ranks that share each layer's heads and widths"}
          .named("tp tp_size tensor_parallel_size tensor_model_parallel_size tensor_parallel tp_degree "
                 "tensor_parallel_degree"),
      ConfigKey{"parallel.expert", whole(1, kMostRanks), FIELD(parallel.degrees.expert),
                "ranks that share the experts; divides data x sequence x tensor"}
          .named("ep ep_size expert_parallel_size expert_model_parallel_size expert_parallel ep_degree "
                 "expert_parallel_degree"),
      ConfigKey{"parallel.pipeline", whole(1, kMostRanks), FIELD(parallel.degrees.pipeline),
                "stages, each of which holds a part of the layers"}
          .named("pp pp_size pipeline_parallel_size pipeline_model_parallel_size pipeline_parallel pp_degree"),
      ConfigKey{"parallel.zero", with_planned(whole(0, 1), {"2", "3"}), FIELD(parallel.zero),
                "1: AdamW's moments cut over the ranks that sum a gradient (ZeRO-1); checkpoints load at either"}
          .named("zero_stage zero_optimization fsdp", "0 or 1"),
  };
}

std::vector<ConfigKey> method_keys() {
  return {
      ConfigKey{"parallel.sequence_norms", yes_or_no(), FIELD(parallel.sequence_norms),
                "true: with `tensor` > 1, hidden states between blocks are cut over the tensor ranks along tokens: "
                "norms and residual sums once a token"},
      ConfigKey{"parallel.sequence_method", auto_or(linear_methods()), FIELD(parallel.sequence_method),
                "linear layers; auto: the cheapest by the cost model, said at the start, with the estimates under "
                "`--dry-run` (LASP-2 unless another costs under 80 % of it); lasp2, lasp1 (chain of states), zeco (the "
                "chain in blocks), scan (log depth), hierarchical (inside each host, then across), ring (the streams "
                "travel), ulysses (all-to-all of heads), megatron (gather the sequence)"},
      ConfigKey{"parallel.softmax_sequence_method", auto_or(softmax_methods()), FIELD(parallel.softmax_sequence_method),
                "softmax layers: all_gather_kv (LASP-2H), ring, ulysses; auto: the cheapest that is possible by the "
                "cost model (all_gather_kv unless another costs under 80 % of it)"},
      ConfigKey{"parallel.sequence_order", one_of({"contiguous", "zigzag"}), FIELD(parallel.sequence_order),
                "zigzag: a rank holds one shard from either end of a row, so that causal softmax layers have as much "
                "to do on every rank; sequence_length divides by 2 x sequence; lasp2"},
      ConfigKey{"parallel.overlap", yes_or_no(), FIELD(parallel.overlap),
                "false: what moves over the sequence is waited for where it starts, to measure what overlap buys"},
      ConfigKey{"parallel.pipeline_schedule", one_of({"1f1b", "interleaved"}), FIELD(parallel.pipeline_schedule),
                "interleaved: every stage holds `parallel.virtual_stages` chunks of the layers, a smaller bubble for "
                "more transfers; micro steps a multiple of `pipeline`"},
      ConfigKey{"parallel.virtual_stages", whole(1, 1024), FIELD(parallel.virtual_stages),
                "chunks of layers a stage; 2 or more with interleaved"},
  };
}

std::vector<ConfigKey> run_keys() {
  return {
      ConfigKey{"checkpoint.every", whole(0), FIELD(checkpoint.every), "steps; 0: at the end only"}.named(
          "save_steps save_every save_interval save_freq ckpt_interval checkpoint_interval checkpoint_every",
          "in steps"),
      ConfigKey{"checkpoint.keep", whole(1), FIELD(checkpoint.keep), "how many are kept, the one just saved always"}
          .named("save_total_limit keep_last keep_checkpoints max_checkpoints keep_latest_k"),
      ConfigKey{"run.dir", any_text(), FIELD(run.dir), "the folder of everything that a run writes"}
          .shown_as("runs/(name of the config)")
          .named("output_dir out_dir save_dir save log_dir logdir checkpoint_dir ckpt_dir run_dir experiment_dir "
                 "workdir output"),
      ConfigKey{"run.log_every", whole(1), FIELD(run.log_every), "steps"}.named(
          "log_interval logging_steps log_freq log_steps print_every"),
      ConfigKey{"run.timeout_seconds", real(1, 1e9), FIELD(run.timeout_seconds),
                "within how long a run ends with status 5 when a rank is missing: a collective waits 3 s less, at "
                "least half of it"}
          .named("timeout nccl_timeout ddp_timeout", "in seconds"),
  };
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    for (auto part : {model_keys, data_keys, step_keys, optimizer_keys, schedule_keys, training_keys, degree_keys,
                      method_keys, run_keys})
      for (ConfigKey& key : part()) all.push_back(std::move(key));
    return all;
  }();
  return keys;
}

const ConfigKey* find_config_key(const std::string& path) {
  for (const ConfigKey& key : config_keys())
    if (key.path == path) return &key;
  return nullptr;
}

}  // namespace og

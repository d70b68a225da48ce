#include "framework/config/key_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

#include "framework/config/keys.h"
#include "framework/core/nearest.h"

namespace og {

namespace {

// Names of the same things elsewhere (Hugging Face, nanoGPT, Megatron, DeepSpeed, torchtitan, ...), in lower case with
// underscores.
struct Elsewhere {
  std::string_view key;
  std::string_view names;   // with spaces around each
  std::string_view remark;  // where it is not the same thing
};

constexpr auto kElsewhere = std::to_array<Elsewhere>({
    {"model.hidden_size", " d_model n_embd n_embed embed_dim embedding_dim hidden_dim dim model_dim width ", ""},
    {"model.num_hidden_layers", " n_layer n_layers num_layers nlayers layers depth ", ""},
    {"model.vocab_size", " n_vocab vocab padded_vocab_size ", ""},
    {"model.rms_norm_eps", " norm_eps layer_norm_eps layer_norm_epsilon layernorm_epsilon rms_eps ", ""},
    {"model.initializer_range", " init_std init_method_std initializer_std ", ""},
    {"model.tie_word_embeddings", " tie_embeddings tie_weights weight_tying tied_embeddings ", ""},
    {"model.mixers.<letter>.num_heads", " n_head n_heads nhead heads num_attn_heads ",
     "num_attention_heads of type attention"},
    {"model.mixers.<letter>.num_key_value_heads", " n_kv_heads n_kv_head num_kv_heads num_query_groups ", ""},
    {"model.mixers.<letter>.sliding_window", " window window_size attention_window ", ""},
    {"model.channels.<letter>.intermediate_size", " d_ff ffn_dim mlp_dim ffn_hidden_size d_inner n_inner ", ""},
    {"model.channels.<letter>.num_experts", " n_experts n_routed_experts num_local_experts moe_num_experts ", ""},
    {"model.channels.<letter>.num_experts_per_tok", " moe_top_k moe_topk moe_router_topk num_experts_per_token ", ""},
    {"data.train", " train_data train_file train_files data_path dataset dataset_path datasets train_path ", ""},
    {"data.eval", " val_data val_file eval_data eval_file eval_files validation validation_file test_file val ", ""},
    {"data.sequence_length",
     " seq_len seq_length seqlen sequence_len max_seq_len max_seq_length max_length max_len block_size context_length "
     "context_len ctx_len n_ctx ctx max_position_embeddings model_max_length ",
     ""},
    {"data.pack_documents", " packing pack pack_sequences sample_packing ", ""},
    {"train.num_steps",
     " max_steps steps total_steps training_steps "
     " train_steps num_train_steps n_steps nsteps max_iters train_iters iters "
     "num_iterations iterations ",
     ""},
    {"train.num_steps", " epochs epoch num_epochs num_train_epochs max_epochs n_epochs train_epochs ",
     "it counts steps: epochs x tokens of the data / tokens_per_step"},
    {"train.tokens_per_step",
     " batch_size global_batch_size train_batch_size total_batch_size batch bs batch_tokens tokens_per_batch "
     "gradient_accumulation_steps grad_accum_steps grad_accum gradient_accumulation accumulate_grad_batches ",
     "tokens of all ranks: rows x data.sequence_length; accumulation follows from it and micro_batch_size"},
    {"train.micro_batch_size",
     " per_device_train_batch_size per_device_batch_size device_batch_size local_batch_size micro_batch mbs "
     "train_micro_batch_size_per_gpu ",
     "rows"},
    {"train.optimizer.type", " optim optimizer_type opt ", ""},
    {"train.optimizer.learning_rate", " lr max_lr peak_lr base_lr learning_rate_max peak_learning_rate ", ""},
    {"train.optimizer.betas", " beta1 beta2 adam_beta1 adam_beta2 adam_betas ", "both in one list: [0.9, 0.95]"},
    {"train.optimizer.eps", " epsilon adam_eps adam_epsilon ", ""},
    {"train.optimizer.weight_decay", " wd l2 ", ""},
    {"train.schedule.type", " scheduler lr_scheduler lr_scheduler_type lr_schedule lr_decay_style decay_type ", ""},
    {"train.schedule.warmup_steps",
     " warmup warmup_iters num_warmup_steps lr_warmup_iters lr_warmup_steps warmup_ratio warmup_epochs ", "in steps"},
    {"train.schedule.decay_steps", " cooldown cooldown_steps lr_decay_iters decay_iters num_decay_steps ", "of wsd"},
    {"train.schedule.final_ratio", " min_lr min_learning_rate min_lr_ratio lr_min eta_min end_lr ",
     "a part of learning_rate"},
    {"train.max_grad_norm",
     " grad_clip clip_grad clip_grad_norm gradient_clip gradient_clip_val gradient_clipping max_norm grad_norm_clip ",
     ""},
    {"train.precision", " dtype torch_dtype fp16 bf16 mixed_precision amp param_dtype autocast ",
     "auto, f32, bf16 or f64"},
    {"train.recompute", " gradient_checkpointing activation_checkpointing grad_checkpoint remat recompute_granularity ",
     "none or block"},
    {"train.seed", " random_seed manual_seed rng_seed ", ""},
    {"train.eval_every", " eval_steps eval_interval val_interval eval_freq eval_frequency val_check_interval ", ""},
    {"train.threads", " num_threads n_threads omp_num_threads num_workers cpus ", ""},
    {"parallel.data", " dp dp_size data_parallel_size data_parallel dp_degree data_parallel_degree ", ""},
    {"parallel.sequence",
     " sp cp sp_size cp_size context_parallel_size sequence_parallel_size context_parallel sequence_parallel "
     "context_parallel_degree ulysses_size ",
     ""},
    {"parallel.tensor",
     " tp tp_size tensor_parallel_size tensor_model_parallel_size tensor_parallel tp_degree tensor_parallel_degree ",
     ""},
    {"parallel.expert",
     " ep ep_size expert_parallel_size expert_model_parallel_size expert_parallel ep_degree expert_parallel_degree ",
     ""},
    {"parallel.pipeline",
     " pp pp_size pipeline_parallel_size pipeline_model_parallel_size pipeline_parallel pp_degree ", ""},
    {"parallel.zero", " zero_stage zero_optimization fsdp ", "0 or 1"},
    {"checkpoint.every",
     " save_steps save_every save_interval save_freq ckpt_interval checkpoint_interval checkpoint_every ", "in steps"},
    {"checkpoint.keep", " save_total_limit keep_last keep_checkpoints max_checkpoints keep_latest_k ", ""},
    {"run.dir",
     " output_dir out_dir save_dir save log_dir logdir checkpoint_dir ckpt_dir run_dir experiment_dir workdir output ",
     ""},
    {"run.log_every", " log_interval logging_steps log_freq log_steps print_every ", ""},
    {"run.timeout_seconds", " timeout nccl_timeout ddp_timeout ", "in seconds"},
});

std::string last_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

std::string plain(std::string name) {
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

const Elsewhere* named_elsewhere(const std::string& name) {
  const auto* found = std::find_if(kElsewhere.begin(), kElsewhere.end(), [&](const Elsewhere& e) {
    return e.names.find(" " + name + " ") != std::string_view::npos;
  });
  return found == kElsewhere.end() ? nullptr : found;
}

std::string nearest_key(const std::string& name) {
  std::vector<std::string> paths, names;
  for (const ConfigKey& key : config_keys()) paths.push_back(key.path), names.push_back(last_of(key.path));
  if (name.find('.') != std::string::npos) return nearest(name, paths);
  const std::string near = nearest(name, names);
  return near.empty() ? "" : paths[static_cast<size_t>(std::find(names.begin(), names.end(), near) - names.begin())];
}

}  // namespace

std::string KeyGuess::str() const {
  if (key.empty()) return "";
  return fmt::format("; did you mean {}?{}", key, remark.empty() ? "" : fmt::format(" ({})", remark));
}

KeyGuess guess_key(const std::string& name, bool misspelt) {
  const std::string path = plain(name), word = last_of(path);
  const bool of_layer = path.starts_with("model.mixers.") || path.starts_with("model.channels.");
  if (find_config_key(path) || of_layer) return {of_layer ? name : path, ""};
  for (const ConfigKey& key : config_keys())
    if (last_of(key.path) == word && word != "data") return {key.path, ""};  // data is a group first
  if (const Elsewhere* e = named_elsewhere(word)) return {std::string(e->key), std::string(e->remark)};
  return {misspelt ? nearest_key(path) : "", ""};
}

}  // namespace og

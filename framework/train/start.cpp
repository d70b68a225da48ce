#include "framework/train/start.h"

#include <algorithm>
#include <filesystem>

#include "framework/data/tokenizer.h"

namespace og {

namespace {

namespace fs = std::filesystem;

std::string absolute(const std::string& path) {
  std::error_code error;
  const fs::path found = fs::weakly_canonical(fs::absolute(path, error), error);
  std::string text = (error ? fs::path(path) : found).string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// What --resume or --init names, whether it is there still or not.
struct Named {
  explicit Named(const std::string& given) : path(absolute(given)) {
    std::error_code error;
    if (fs::exists(given + "/index.json", error)) {
      ids.push_back(Checkpoint(given).id());
      return;
    }
    for (const std::string& one : list_checkpoints(given)) {
      try {
        ids.push_back(Checkpoint(one).id());
      } catch (const Error&) {  // damaged: refused by find_checkpoint where it is the one that is meant
      }
    }
  }
  // Compared by content. By path only where that was a run folder, whose newest checkpoint changes, or where the path
  // is gone, since a run removes its old checkpoints.
  bool is(const SnapshotSource& source) const {
    if (std::find(ids.begin(), ids.end(), source.id) != ids.end()) return true;
    const bool below = fs::path(source.path).parent_path() == fs::path(path) / "checkpoints";
    return below || (ids.empty() && source.path == path);
  }
  std::string path;
  std::vector<std::string> ids;
};

bool descends(const SnapshotNotes& notes, const Named& named, SnapshotSource::Kind kind) {
  return std::any_of(notes.sources.begin(), notes.sources.end(),
                     [&](const SnapshotSource& s) { return s.kind == kind && named.is(s); });
}

SnapshotSource source_of(const Checkpoint& checkpoint, SnapshotSource::Kind kind) {
  const Json* step = checkpoint.metadata().find("step");
  return {kind, absolute(checkpoint.folder()), step ? step->integer() : 0, checkpoint.id()};
}

class Finder {
 public:
  Finder(const Config& config, const TrainOptions& options)
      : run_folder_(config.run.dir), options_(options), own_(list_checkpoints(config.run.dir)) {}

  Start find() {
    // The run folder itself is what `auto` takes; one without checkpoints is refused below.
    const bool by_itself = options_.resume == "auto" || options_.resume == "never" ||
                           (!own_.empty() && absolute(options_.resume) == absolute(run_folder_));
    if (options_.resume == "never" && !own_.empty())
      fail(Status::data,
           "run.dir: {} holds checkpoints and --resume never was asked for. Choose another run.dir, or remove the "
           "folder",
           run_folder_);
    if (!by_itself)
      from_path();
    else if (!own_.empty())
      from_own(own_.size() - 1);
    if (!options_.init.empty()) from_weights();
    if (start_.checkpoint) {
      start_.text = fmt::format("resumed from {} at step {}", start_.checkpoint->folder(),
                                notes_of(*start_.checkpoint).position.step);
    } else if (start_.weights) {
      start_.text = fmt::format("weights from {}", start_.weights->folder());
    }
    return std::move(start_);
  }

 private:
  void from_own(size_t i) {
    start_.checkpoint.emplace(own_[i]);
    start_.in_run_folder = true;
    start_.sources = notes_of(*start_.checkpoint).sources;
    start_.left_behind.assign(own_.begin() + static_cast<std::ptrdiff_t>(i) + 1, own_.end());
  }

  void from_path() {
    const Named named(options_.resume);
    for (size_t i = own_.size(); i-- > 0;) {
      try {
        if (!descends(notes_of(Checkpoint(own_[i])), named, SnapshotSource::Kind::resume)) continue;
      } catch (const Error& e) {
        start_.remarks.push_back(fmt::format("passed over: {}", e.what()));
        continue;
      }
      from_own(i);
      start_.remarks.push_back(
          fmt::format("--resume {}: {} descends from it, and the run goes on from there; to begin at {} again, choose "
                      "another run.dir",
                      options_.resume, own_[i], options_.resume));
      return;
    }
    Checkpoint there(found("--resume", options_.resume));
    const SnapshotSource source = source_of(there, SnapshotSource::Kind::resume);
    const auto same = [&](const std::string& path) { return absolute(path) == source.path; };
    if (const auto own = std::find_if(own_.begin(), own_.end(), same); own != own_.end()) {
      from_own(static_cast<size_t>(own - own_.begin()));
    } else {
      start_.left_behind = own_;
      start_.sources = notes_of(there).sources;
      start_.checkpoint = std::move(there);
    }
    start_.sources.push_back(source);
  }

  std::string found(const char* option, const std::string& path) const {
    std::error_code error;
    if (!fs::exists(path, error)) {
      std::string hint = did_you_mean_checkpoint(path);
      if (hint.empty() && !own_.empty()) hint = fmt::format("; the newest checkpoint of run.dir is {}", own_.back());
      fail(Status::data, "{} {}: no such folder{}", option, path, hint);
    }
    return find_checkpoint(path);
  }

  void from_weights() {
    if (!start_.checkpoint) {
      start_.weights.emplace(found("--init", options_.init));
      start_.sources = {source_of(*start_.weights, SnapshotSource::Kind::init)};
    } else if (descends(notes_of(*start_.checkpoint), Named(options_.init), SnapshotSource::Kind::init)) {
      start_.remarks.push_back(fmt::format("--init {}: the run began with these weights and goes on from {}",
                                           options_.init, start_.checkpoint->folder()));
    } else if (start_.in_run_folder) {
      start_.remarks.push_back(
          fmt::format("--init {} is not used: {} holds checkpoints of a run that goes on; choose another run.dir to "
                      "begin with those weights",
                      options_.init, run_folder_));
    } else {
      start_.remarks.push_back(
          fmt::format("--init {} is not used: the checkpoint of --resume {} brings weights of its own", options_.init,
                      options_.resume));
    }
  }

  const std::string run_folder_;
  const TrainOptions& options_;
  const std::vector<std::string> own_;
  Start start_;
};

}  // namespace

Start find_start(const Config& config, const TrainOptions& options) {
  Start start = Finder(config, options).find();
  if (start.text.empty()) start.text = fmt::format("fresh weights, seed {}", config.train.seed);
  return start;
}

std::vector<std::string> check_same_run(const Checkpoint& checkpoint, Config config,
                                        const std::string& tokenizer_identity, const std::string& data_identity) {
  const SnapshotNotes notes = notes_of(checkpoint);
  if (notes.row_rule != kRowRule && notes.position.step < config.train.num_steps)
    fail(Status::data,
         "data: the checkpoint {} was trained on rows in which the first token of a document was no target; now the "
         "end-of-document token opens every document, so the same files give other rows and the run cannot go on "
         "exactly. Start another run.dir; `--init {}` begins it with these weights",
         checkpoint.folder(), checkpoint.folder());
  if (notes.tokenizer != tokenizer_identity)
    fail(Status::data, "data.tokenizer: the checkpoint {} was trained with {}, this run uses {} ({})",
         checkpoint.folder(), notes.tokenizer, tokenizer_identity, config.data.tokenizer);
  const Config then = parse_config(notes.config, checkpoint.folder() + "/index.json", {}, config_rules());
  // The tokenizer's, which is the same: filled in when it is opened.
  if (config.model.vocab_size == 0) config.model.vocab_size = then.model.vocab_size;
  ConfigDifferences differences = compare(then, config);
  if (!differences.refused.empty()) {
    std::string list;
    for (const std::string& d : differences.refused) list += "\n  " + d;
    fail(Status::data, "{}: cannot be resumed with this config:{}\nGo back to those values, or choose another run.dir",
         checkpoint.folder(), list);
  }
  if (!data_identity.empty() && notes.data != data_identity) {
    std::string list;
    for (const std::string& d : differences.changed)
      if (d.starts_with("data.") && !d.starts_with("data.eval")) list += "\n  " + d;
    fail(Status::data,
         "data.train: what is in the files is not what the checkpoint {} was trained on, whatever their paths. Put "
         "that back, or choose another run.dir{}{}",
         checkpoint.folder(), list.empty() ? "" : ". Changed since:", list);
  }
  return std::move(differences.changed);
}

std::string describe_start(const Config& config, const TrainOptions& options) {
  const Start start = find_start(config, options);
  std::string text = fmt::format("start: {}\n", start.text);
  for (const std::string& remark : start.remarks) text += remark + "\n";
  if (start.checkpoint)
    for (const std::string& d :
         check_same_run(*start.checkpoint, config, make_tokenizer(config.data.tokenizer)->identity(), ""))
      text += fmt::format("changed since the checkpoint: {}\n", d);
  for (const std::string& path : start.left_behind) text += fmt::format("set aside when the run begins: {}\n", path);
  return text;
}

}  // namespace og

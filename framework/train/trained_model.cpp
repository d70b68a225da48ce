#include "framework/train/trained_model.h"

#include <optional>

#include "framework/core/log.h"
#include "framework/train/snapshot.h"
#include "parallel/comm/together.h"

namespace og {

TrainedModel open_trained_model(const std::string& path, const std::vector<std::string>& overrides, Comm& world) {
  TrainedModel model;
  std::optional<Checkpoint> checkpoint;
  together(world, Sites::startup, [&] {
    checkpoint.emplace(find_checkpoint(path));
    const SnapshotNotes notes = notes_of(*checkpoint);
    if (notes.row_rule != kRowRule)
      log::warning(
          "{}: trained before the end-of-document token opened documents: it never learned their first tokens, so "
          "beginnings of texts cost it more",
          checkpoint->folder());
    model.checkpoint = checkpoint->folder();
    model.step = notes.position.step;
    std::vector<std::string> all{"parallel.data=auto",       "parallel.sequence=1", "parallel.tensor=1",
                                 "parallel.expert=1",        "parallel.pipeline=1", "parallel.pipeline_schedule=1f1b",
                                 "parallel.virtual_stages=1"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    ConfigRules rules = config_rules();
    rules.checks_steps = false;  // nothing is trained
    model.config = parse_config(notes.config, checkpoint->folder() + "/index.json", all, rules);
    try {
      model.tokenizer = make_tokenizer(model.config.data.tokenizer);
    } catch (const Error& e) {
      fail(e.status(),
           "data.tokenizer: {}. Give the tokenizer of the checkpoint {} with data.tokenizer=sentencepiece:PATH",
           e.what(), checkpoint->folder());
    }
    if (model.tokenizer->identity() != notes.tokenizer)
      fail(Status::data,
           "data.tokenizer: {} is {}, but the checkpoint {} was trained with {}. Give its tokenizer with "
           "data.tokenizer=sentencepiece:PATH",
           model.config.data.tokenizer, model.tokenizer->identity(), checkpoint->folder(), notes.tokenizer);
    if (model.config.model.vocab_size == 0) model.config.model.vocab_size = model.tokenizer->vocab_size();
  });
  model.session = std::make_unique<Session>(model.config, world, resolve_degrees(model.config, world.size()));
  load_snapshot(*checkpoint, world, model.session->store(), nullptr);
  return model;
}

}  // namespace og

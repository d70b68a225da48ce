#include "framework/train/snapshot.h"

namespace og {

namespace {

// Of the ranks that hold the same box, the first of the group over which it is replicated writes it.
bool writes(const Parameter& p, Mesh& mesh) {
  if (p.record.shard == Shard::expert) return mesh.expert_data().rank() == 0;
  if (p.record.shard == Shard::tensor) return mesh.tokens().rank() == 0;
  return mesh.tokens_and_tensor().rank() == 0;
}

CheckpointTensor piece(const Parameter& p, Mesh& mesh, const std::string& prefix, const Tensor& tensor) {
  CheckpointTensor t;
  t.name = prefix + p.record.name;
  t.global_shape = p.record.global_shape;
  for (int d = 0; d < t.global_shape.rank(); ++d)
    t.begin.push_back(p.record.shard != Shard::none && d == p.record.shard_dim ? p.shard_begin : 0);
  t.tensor = tensor;
  t.this_rank_writes = writes(p, mesh);
  return t;
}

}  // namespace

Json to_json(const SnapshotNotes& notes) {
  return Json::object({{"format", "onegather training run"},
                       {"step", notes.position.step},
                       {"rows", notes.position.rows},
                       {"tokens", notes.position.tokens},
                       {"seconds", notes.position.seconds},
                       {"tokenizer", notes.tokenizer},
                       {"data", notes.data},
                       {"config", notes.config}});
}

SnapshotNotes notes_of(const Checkpoint& checkpoint) {
  const Json& m = checkpoint.metadata();
  const Json* format = m.find("format");
  if (format == nullptr || format->kind() != Json::Kind::string || format->string() != "onegather training run")
    fail(Status::data, "{}: not a checkpoint of onegather train (its index has another format)", checkpoint.folder());
  SnapshotNotes notes;
  notes.position = {m["step"].integer(), m["rows"].integer(), m["tokens"].integer(), m["seconds"].real()};
  notes.tokenizer = m["tokenizer"].string();
  notes.data = m["data"].string();
  notes.config = m["config"].string();
  return notes;
}

std::vector<CheckpointTensor> snapshot_tensors(ParameterStore& store, AdamW* optimizer) {
  std::vector<CheckpointTensor> tensors;
  for (const Parameter& p : store.all()) tensors.push_back(piece(p, store.mesh(), "", p.value.tensor()));
  if (optimizer) {
    for (const AdamW::Moments& m : optimizer->moments()) {
      tensors.push_back(piece(*m.parameter, store.mesh(), "optimizer.first.", m.first));
      tensors.push_back(piece(*m.parameter, store.mesh(), "optimizer.second.", m.second));
    }
  }
  return tensors;
}

std::string save_snapshot(const std::string& run_folder, Comm& world, ParameterStore& store, AdamW& optimizer,
                          const SnapshotNotes& notes) {
  const std::string folder = checkpoint_folder(run_folder, notes.position.step);
  save_checkpoint(folder, snapshot_tensors(store, &optimizer), to_json(notes), world);
  return folder;
}

void load_snapshot(const Checkpoint& checkpoint, Comm& world, ParameterStore& store, AdamW* optimizer) {
  LoadOptions options;
  if (!optimizer) {
    options.ignored_prefixes = {"optimizer."};
    options.convert_reals = true;
  }
  load_checkpoint(checkpoint, snapshot_tensors(store, optimizer), world, options);
  if (optimizer) optimizer->set_steps(notes_of(checkpoint).position.step);
}

}  // namespace og

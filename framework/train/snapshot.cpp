#include "framework/train/snapshot.h"

namespace og {

namespace {

// The box of `tensor` that begins at `begin` of what this rank holds of the parameter.
CheckpointTensor box(const Parameter& p, const std::string& name, Shape begin, const Tensor& tensor, bool writes) {
  if (p.record.shard != Shard::none) begin.set(p.record.shard_dim, begin[p.record.shard_dim] + p.shard_begin);
  return {name, p.record.global_shape, begin, tensor, writes};
}

Shape zeros(int rank) {
  Shape s;
  for (int d = 0; d < rank; ++d) s.push_back(0);
  return s;
}

// Cuts the moments of a range of elements into boxes of the parameter, each as large as the range allows. The whole
// parameter is one box. A range within a matrix is at most three: the end of a row, whole rows, the beginning of a row.
void add_moments(std::vector<CheckpointTensor>& out, const AdamW::Moments& m, const std::string& prefix,
                 const Tensor& flat, bool this_rank_writes) {
  const Parameter& p = *m.parameter;
  const Shape& local = p.local_shape;
  const std::string name = prefix + p.record.name;
  if (m.range.count == 0) {
    Shape none = zeros(local.rank());
    out.push_back(box(p, name, none, flat.reshape(none), false));
    return;
  }
  for (int64_t at = m.range.begin; at < m.range.begin + m.range.count;) {
    const int64_t left = m.range.begin + m.range.count - at;
    int dim = 0;  // the outermost dim at which a whole slice begins here and fits
    while (dim + 1 < local.rank() && (at % local.count_from(dim + 1) != 0 || left < local.count_from(dim + 1))) ++dim;
    const int64_t slice = local.rank() == 0 ? 1 : local.count_from(dim + 1);
    Shape begin = zeros(local.rank()), extent = local;
    int64_t rest = at;
    for (int d = 0; d < local.rank(); ++d) {
      begin.set(d, rest / local.count_from(d + 1));
      rest %= local.count_from(d + 1);
      if (d < dim) extent.set(d, 1);
    }
    if (local.rank() > 0) extent.set(dim, std::min(left / slice, local[dim] - begin[dim]));
    const int64_t from = at - m.range.begin;
    out.push_back(box(p, name, begin, flat.slice(from, from + extent.count()).reshape(extent), this_rank_writes));
    at += extent.count();
  }
}

}  // namespace

Json to_json(const SnapshotNotes& notes) {
  Json sources = Json::array();
  for (const SnapshotSource& s : notes.sources)
    sources.push(Json::object({{"kind", s.kind == SnapshotSource::Kind::resume ? "resume" : "init"},
                               {"path", escaped_bytes(s.path)},
                               {"step", s.step},
                               {"id", s.id}}));
  return Json::object({{"format", "onegather training run"},
                       {"step", notes.position.step},
                       {"rows", notes.position.rows},
                       {"tokens", notes.position.tokens},
                       {"seconds", notes.position.seconds},
                       {"tokenizer", notes.tokenizer},
                       {"data", notes.data},
                       {"row_rule", notes.row_rule},
                       {"tried", notes.tried},
                       {"sources", std::move(sources)},
                       {"config", escaped_bytes(notes.config)}});
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
  notes.config = unescaped_bytes(m["config"].string());
  const Json* row_rule = m.find("row_rule");
  notes.row_rule = row_rule == nullptr ? 1 : row_rule->integer();  // the first rule had no name
  if (const Json* tried = m.find("tried")) notes.tried = tried->boolean();
  if (const Json* sources = m.find("sources"))
    for (const Json& s : sources->items())
      notes.sources.push_back({s["kind"].string() == "init" ? SnapshotSource::Kind::init : SnapshotSource::Kind::resume,
                               unescaped_bytes(s["path"].string()), s["step"].integer(), s["id"].string()});
  return notes;
}

std::vector<CheckpointTensor> snapshot_tensors(ParameterStore& store, AdamW* optimizer) {
  std::vector<CheckpointTensor> tensors;
  // What another pipeline stage holds has no elements here.
  for (const Parameter& p : store.all())
    tensors.push_back(box(p, p.record.name, zeros(p.local_shape.rank()), p.value.tensor(),
                          p.local_shape.count() > 0 && p.replication.writes()));
  if (optimizer) {
    const bool pieces = optimizer->layout().sharding() == OptimizerSharding::zero1;
    for (const AdamW::Moments& m : optimizer->moments()) {
      const Replication& r = m.parameter->replication;
      const bool writes = pieces ? r.writes_piece() : r.writes();
      add_moments(tensors, m, "optimizer.first.", m.first, writes);
      add_moments(tensors, m, "optimizer.second.", m.second, writes);
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

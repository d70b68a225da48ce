#include "framework/nn/parameter.h"

#include "framework/core/rng.h"

namespace og {

namespace {

double initial_value(const Init& init, RandomKey key, int64_t index) {
  const auto i = static_cast<uint64_t>(index);
  switch (init.kind) {
    case Init::Kind::zeros:
      return 0;
    case Init::Kind::ones:
      return 1;
    case Init::Kind::constant:
      return init.a;
    case Init::Kind::normal:
      return init.a == 0 ? 0 : init.a * random_normal(key, i);
    case Init::Kind::uniform:
      return init.a + (init.b - init.a) * random_uniform(key, i);
    case Init::Kind::custom:
      return init.value(key, index);
  }
  return 0;
}

Replication replication_of(const ParameterRecord& record, Mesh& mesh) {
  const bool on_stages = record.on_all_stages && mesh.pipeline().size() > 1;
  OG_CHECK(!on_stages || (record.shard != Shard::expert && !record.varies_over_tensor), "{}: on all stages",
           record.name);
  OG_CHECK(!record.varies_over_tensor || record.shard == Shard::none, "{}: cut, and varies over tensor", record.name);
  if (record.shard == Shard::expert) return {.group = &mesh.expert_data()};
  if (record.varies_over_tensor) return {.group = &mesh.tokens_and_tensor()};
  Comm& group = on_stages ? mesh.tokens_and_pipeline() : mesh.tokens();
  if (record.shard == Shard::tensor) return {.group = &group};
  return {.group = &group, .groups = mesh.tensor().size(), .index = mesh.tensor().rank()};
}

// As a value on the tape; over tensor it is invariant where its gradient is the same on all tensor ranks.
Placement place_of(const ParameterRecord& record) {
  const Place tokens = record.shard == Shard::expert ? Place::varying : Place::replicated;
  Placement place{{Axis::data, tokens}, {Axis::sequence, tokens}};
  if (record.shard != Shard::none) place.set(Axis::tensor, Place::varying);
  if (record.varies_over_tensor) place.set(Axis::tensor, Place::replicated);
  return place;
}

}  // namespace

void for_each_run(const Parameter& p, const std::function<void(int64_t, int64_t, int64_t)>& f) {
  const Shape& global = p.record.global_shape;
  const int dim = p.record.shard_dim;
  if (p.record.shard == Shard::none || global.rank() == 0) return f(0, 0, global.count());
  int64_t outer = 1;
  for (int i = 0; i < dim; ++i) outer *= global[i];
  const int64_t inner = global.count_from(dim + 1);
  const int64_t run = p.local_shape[dim] * inner;
  for (int64_t o = 0; o < outer; ++o) f((o * global[dim] + p.shard_begin) * inner, o * run, run);
}

Parameter& ParameterStore::add(ParameterRecord record) {
  OG_CHECK(find(record.name) == nullptr, "parameter {} exists already", record.name);
  Parameter p;
  p.local_shape = record.global_shape;
  if (record.shard != Shard::none) {
    Comm& cut = record.shard == Shard::expert ? mesh_.expert() : mesh_.tensor();
    const int64_t extent = record.global_shape[record.shard_dim];
    OG_CHECK(extent % cut.size() == 0, "{}: dim {} of {} is not cut evenly by {}", record.name, record.shard_dim,
             record.global_shape.str(), cut.size());
    p.local_shape.set(record.shard_dim, extent / cut.size());
    p.shard_begin = cut.rank() * p.local_shape[record.shard_dim];
  }
  p.replication = replication_of(record, mesh_);
  const Placement place = place_of(record);
  const bool absent = elsewhere && !record.on_all_stages;
  if (absent) {
    p.local_shape.set(0, 0);
    p.shard_begin = 0;
  }
  const bool zeros =
      record.init.kind == Init::Kind::zeros || (record.init.kind == Init::Kind::normal && record.init.a == 0);
  const bool untouched = weights_ == Weights::reserved && zeros;
  const Tensor data = weights_ == Weights::shapes ? Tensor::shape_only(p.local_shape, dtype_)
                      : untouched                 ? Tensor::reserved_zeros(*cx_.pool, p.local_shape, dtype_)
                                                  : cx_.empty(p.local_shape, dtype_);
  p.record = std::move(record);
  const RandomKey key = random_key(seed_, p.record.name);
  if (!absent && !untouched && weights_ != Weights::shapes)
    visit_real(dtype_, [&](auto zero) {
      using T = decltype(zero);
      T* out = data.data<T>();
      for_each_run(p, [&](int64_t global, int64_t local, int64_t length) {
        parallel_for(cx_.stream.num_threads, length, 4096, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i)
            out[local + i] = static_cast<T>(initial_value(p.record.init, key, global + i));
        });
      });
    });
  p.value = Value::leaf(data, place, p.record.name);
  parameters_.push_back(std::move(p));
  return parameters_.back();
}

Parameter* ParameterStore::find(const std::string& name) {
  for (Parameter& p : parameters_)
    if (p.record.name == name) return &p;
  return nullptr;
}

int64_t ParameterStore::global_count() const {
  int64_t n = 0;
  for (const Parameter& p : parameters_) n += p.record.global_shape.count();
  return n;
}

}  // namespace og

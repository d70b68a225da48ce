// Parameters. Each carries one record, from which initialisation, gradient reduction, the optimizer's groups,
// checkpoints, resharding and conversion follow. Names and shapes are global: they never depend on ranks or degrees.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "framework/autograd/value.h"
#include "parallel/mesh/mesh.h"
#include "parallel/step/replication.h"

namespace og {

struct Init {
  enum class Kind : uint8_t { zeros, ones, constant, normal, uniform, custom };
  Kind kind = Kind::normal;
  double a = 0;  // constant: the value; normal: the standard deviation; uniform: the lower bound
  double b = 0;  // uniform: the upper bound
  // custom: the value of the element with this global flat index, from key (random_uniform(key, index), ...).
  std::function<double(uint64_t key, int64_t index)> value;

  static Init zeros() { return {Kind::zeros, 0, 0, {}}; }
  static Init ones() { return {Kind::ones, 0, 0, {}}; }
  static Init constant(double v) { return {Kind::constant, v, 0, {}}; }
  static Init normal(double std) { return {Kind::normal, std, 0, {}}; }
  static Init uniform(double low, double high) { return {Kind::uniform, low, high, {}}; }
  static Init custom(std::function<double(uint64_t, int64_t)> f) { return {Kind::custom, 0, 0, std::move(f)}; }
};

// How one dim of a parameter is cut over ranks.
enum class Shard : uint8_t {
  none,
  tensor,  // dim cut evenly over the tensor axis
  expert   // dim 0 (experts) cut evenly over the expert groups; never over tensor
};

// What a token does with it: what FLOPs are counted from.
enum class ParameterRole : uint8_t {
  product,  // a matrix that every token is multiplied with: 2 operations an element
  other     // added, scaled, looked up; or counted elsewhere: experts by their layer, the head by itself
};

struct ParameterRecord {
  std::string name;  // "model.layers.0.mixer.q_proj.weight"
  Shape global_shape;
  Shard shard = Shard::none;
  int shard_dim = 0;  // the dim that is cut
  Init init;
  bool decay = true;  // weight decay; false for norms, biases, gate constants
  ParameterRole role = ParameterRole::other;
  // Only for Shard::none: on the tensor axis the ranks use it on different data (a router on its slice of the tokens, a
  // key projection whose heads are replicated), so its gradient is a partial sum there too and is reduced over it.
  bool varies_over_tensor = false;
  // Used by layers of several pipeline stages: every stage holds it, and its gradient is summed over them too.
  bool on_all_stages = false;
};

struct Parameter {
  ParameterRecord record;
  Shape local_shape;
  int64_t shard_begin = 0;  // this rank holds [shard_begin, shard_begin + local_shape[shard_dim]) of that dim
  Value value;              // the leaf. f32 or f64
  Replication replication;
};

// What a store keeps of its parameters.
enum class Weights : uint8_t {
  values,    // memory, initialised
  reserved,  // counted as values are, but matrices that begin as zeros are address space alone: for probes
  shapes     // records and shapes alone: for plans
};

// All parameters of a model on this rank, in the order of creation, which is the same on every rank.
class ParameterStore {
 public:
  // While true, what is added belongs to another pipeline stage: it is recorded, and this rank holds none of its
  // elements (dim 0 of the local shape is 0), so that names, counts and checkpoints are those of the whole model.
  bool elsewhere = false;

  ParameterStore(Context& cx, Mesh& mesh, DType dtype, uint64_t seed, Weights weights = Weights::values)
      : cx_(cx), mesh_(mesh), dtype_(dtype), seed_(seed), weights_(weights) {}

  // Creates and initialises it from (seed, name, global index). References stay valid.
  Parameter& add(ParameterRecord record);

  std::deque<Parameter>& all() { return parameters_; }
  const std::deque<Parameter>& all() const { return parameters_; }
  Parameter* find(const std::string& name);
  Context& context() { return cx_; }
  Mesh& mesh() { return mesh_; }
  DType dtype() const { return dtype_; }

  int64_t global_count() const;  // elements of all parameters, each counted once

 private:
  Context& cx_;
  Mesh& mesh_;
  DType dtype_;
  uint64_t seed_;
  Weights weights_;
  std::deque<Parameter> parameters_;
};

// Calls f(global flat index, local flat index, run length) for the contiguous runs of the local piece.
void for_each_run(const Parameter& p, const std::function<void(int64_t, int64_t, int64_t)>& f);

}  // namespace og

// Session: what every command that runs a model needs, built from the config: how to compute, the mesh, parameters,
// model.
#pragma once

#include <memory>

#include "framework/config/config.h"
#include "framework/train/step.h"
#include "models/hybrid_lm.h"

namespace og {

// What `train.precision` means on this machine: the element type, the back end and how products are computed.
struct Precision {
  DType dtype = DType::f32;
  Backend backend = Backend::cpu;
  Products products = Products::exact;
  std::string name;  // "f32", "bf16", "f64"
};
// auto: bf16 where the processor multiplies it natively, else f32.
Precision resolve_precision(const std::string& precision);

// Threads for each rank: the config's number, or the cores of this host divided by the ranks on it.
int resolve_threads(const Config& config, Comm& world);

// parallel.* with `data: auto` filled in for this many ranks. Wrong degrees: Error(Status::usage) naming the nearest
// that work.
Degrees resolve_degrees(const Config& config, int world_size);

StepOptions step_options(const Config& config);

class Session {
 public:
  // Collective. Prints nothing. config.model.vocab_size is known by now.
  // weights: values for what runs; reserved for what counts, without products; shapes for what only looks at the model,
  // which then takes no memory.
  Session(const Config& config, Comm& world, const Degrees& degrees, Weights weights = Weights::values);
  ~Session() { world_.profile = nullptr; }  // it records into this session's context
  // Gives the parameters of a session of shapes memory and their first values. store() and model() are new ones then.
  void fill(const Config& config);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Comm& world() { return world_; }
  Context& context() { return cx_; }
  Mesh& mesh() { return *mesh_; }
  ParameterStore& store() { return *store_; }
  HybridLM& model() { return *model_; }
  const Precision& precision() const { return precision_; }
  // What `auto` chose for the sequence and why; empty: nothing was chosen.
  const std::string& sequence_reason() const { return sequence_reason_; }

 private:
  void build(const Config& config, Weights weights);

  Comm& world_;
  Precision precision_;
  std::string sequence_reason_;
  Context cx_;
  std::unique_ptr<Mesh> mesh_;
  std::unique_ptr<ParameterStore> store_;
  std::unique_ptr<HybridLM> model_;
};

}  // namespace og

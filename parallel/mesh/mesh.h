// Mesh: the ranks of the world as a grid pipeline x data x sequence x tensor (tensor fastest), and the expert groups,
// which regroup the same ranks: the flat index of data x sequence x tensor is cut into blocks of `expert` neighbours.
// Expert e of E lives on the rank e / (E / expert) of each block; ranks with the same place in their blocks hold the
// same experts and reduce their gradients over the group expert_data().
#pragma once

#include <memory>
#include <string>

#include "framework/core/problem.h"
#include "parallel/comm/comm.h"
#include "parallel/mesh/sequence_options.h"

namespace og {

struct Degrees {
  int data = 1, sequence = 1, tensor = 1, expert = 1, pipeline = 1;
  int world() const { return data * sequence * tensor * pipeline; }
  // The sizes of the groups that Mesh calls so.
  int tokens() const { return data * sequence; }
  int tokens_and_tensor() const { return data * sequence * tensor; }
  int expert_data() const { return tokens_and_tensor() / expert; }
};

// With the nearest degrees that work.
std::optional<Problem> check_degrees(const Degrees& degrees, int world_size);

class Mesh {
 public:
  // Collective over the world. Keeps a reference to `world`.
  Mesh(Comm& world, const Degrees& degrees);

  const Degrees& degrees() const { return degrees_; }
  Comm& world() { return world_; }
  Comm& data() { return *data_; }
  Comm& sequence() { return *sequence_; }
  Comm& tensor() { return *tensor_; }
  Comm& pipeline() { return *pipeline_; }
  Comm& expert() { return *expert_; }
  Comm& expert_data() { return *expert_data_; }              // ranks holding the same experts
  Comm& tokens() { return *tokens_; }                        // data x sequence: ranks holding different tokens
  Comm& tokens_and_tensor() { return *tokens_and_tensor_; }  // data x sequence x tensor
  // sequence x tensor: ranks holding parts of the same rows, in the order of their tokens if tensor cuts them further
  Comm& sequence_and_tensor() { return *sequence_and_tensor_; }
  // The same ranks' gradients of hidden states, apart from pipeline(): between two stages both directions may be under
  // way.
  Comm& pipeline_gradients() { return *pipeline_gradients_; }
  // tokens() of all stages: ranks that share what several stages use (tied embeddings).
  Comm& tokens_and_pipeline() { return *tokens_and_pipeline_; }

  // Hidden states between tensor-parallel regions are cut over tensor along their tokens. Set before a model is built.
  bool sequence_norms = false;
  int virtual_stages = 1;  // chunks of the layers that a pipeline stage holds; likewise
  SequenceOptions sequence_options{};

  // "2 data x 2 sequence x 1 tensor, experts over 2; rank 3: data 1, sequence 1, sequence group {2, 3}, ..."
  std::string describe() const;

 private:
  Comm& world_;
  Degrees degrees_;
  std::unique_ptr<Comm> data_, sequence_, tensor_, pipeline_, expert_, expert_data_, tokens_, tokens_and_tensor_,
      sequence_and_tensor_, pipeline_gradients_, tokens_and_pipeline_;
};

}  // namespace og

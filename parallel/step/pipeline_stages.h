// PipelineStages: what the stages of a pipeline send each other. Hidden states go on from a chunk of the layers to the
// stage of the next chunk (site pipeline.forward). Their gradients go back (pipeline.backward) on a communicator of
// their own: between two stages both directions may be under way. Refers to a mesh; as cheap as a pointer.
#pragma once

#include "parallel/mesh/mesh.h"
#include "parallel/step/pipeline_schedule.h"

namespace og {

class PipelineStages {
 public:
  explicit PipelineStages(Mesh& mesh) : mesh_(mesh) {}

  int count() const { return mesh_.pipeline().size(); }
  int chunks() const { return pipeline_chunks(count(), mesh_.virtual_stages); }
  int owner(int chunk) const { return stage_of_chunk(chunk, count()); }
  bool owns(int chunk) const { return owner(chunk) == mesh_.pipeline().rank(); }
  bool is_last(int chunk) const { return chunk + 1 == chunks(); }

  // x: hidden states before a chunk that is not the first; y: behind one that is not the last. Receiving blocks.
  void receive(int chunk, const Tensor& x) const;
  [[nodiscard]] Pending send(int chunk, const Tensor& y) const;
  void receive_gradient(int chunk, const Tensor& dy) const;
  [[nodiscard]] Pending send_gradient(int chunk, const Tensor& dx) const;

 private:
  Mesh& mesh_;
};

}  // namespace og

#include "parallel/step/pipeline_stages.h"

namespace og {

void PipelineStages::receive(int chunk, const Tensor& x) const {
  mesh_.pipeline().send_recv({}, {{owner(chunk - 1), x}}, Sites::pipeline_forward).wait();
}

Pending PipelineStages::send(int chunk, const Tensor& y) const {
  return mesh_.pipeline().send_recv({{owner(chunk + 1), y}}, {}, Sites::pipeline_forward);
}

void PipelineStages::receive_gradient(int chunk, const Tensor& dy) const {
  mesh_.pipeline_gradients().send_recv({}, {{owner(chunk + 1), dy}}, Sites::pipeline_backward).wait();
}

Pending PipelineStages::send_gradient(int chunk, const Tensor& dx) const {
  return mesh_.pipeline_gradients().send_recv({{owner(chunk - 1), dx}}, {}, Sites::pipeline_backward);
}

}  // namespace og

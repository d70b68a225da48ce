#include "framework/train/pipeline.h"

#include <algorithm>
#include <deque>
#include <map>

#include "parallel/pipeline_schedule.h"

namespace og {

namespace {

constexpr Site kForward{"pipeline.forward"}, kBackward{"pipeline.backward"};

// A micro step in one chunk, between its forward and its backward pass.
struct InFlight {
  InFlight(Context& cx, BatchPiece p) : piece(std::move(p)), tape(cx) {}
  BatchPiece piece;
  Tape tape;
  SideOutputs side;
  Value x, y;  // before and behind the chunk; behind the last one the loss
  Pending sent;
  bool sends = false;
};

class Pipeline {
 public:
  Pipeline(Context& cx, Mesh& mesh, HybridLM& model, const std::vector<Batch>& batches, const RowsOptions& options,
           double weight)
      : cx_(cx), mesh_(mesh), model_(model), batches_(batches), options_(options), weight_(weight) {}

  double run(SideOutputs& side, const std::function<void(Slot&)>& on_leaf_ready) {
    const std::vector<PipelineAction> actions =
        pipeline_actions(mesh_.pipeline().rank(), stages(), mesh_.virtual_stages, std::ssize(batches_));
    for (size_t i = 0; i < actions.size(); ++i) {
      if (actions[i].forward)
        forward(actions[i], side);
      else
        backward(actions[i], i + 1 == actions.size() ? on_leaf_ready : std::function<void(Slot&)>());
    }
    for (Pending& p : gradients_sent_) p.wait();
    return loss_;
  }

 private:
  int stages() const { return mesh_.pipeline().size(); }
  int owner(int chunk) const { return chunk % stages(); }

  void forward(const PipelineAction& a, SideOutputs& side) {
    InFlight& f =
        in_flight_.try_emplace({a.micro, a.chunk}, cx_, whole_rows(cx_, mesh_, batches_[static_cast<size_t>(a.micro)]))
            .first->second;
    StepContext step{f.tape, mesh_, f.piece.seq, options_.rows_in_step, true};
    if (a.chunk > 0) {
      f.x = model_.received(step, true);
      mesh_.pipeline().send_recv({}, {{owner(a.chunk - 1), f.x.tensor()}}, kForward).wait();
    }
    f.y = model_.run_chunk(step, a.chunk, f.x, f.piece.tokens_BT, nullptr, f.side, options_.recompute);
    if (model_.is_last(a.chunk)) {
      f.y = model_.loss_of(step, f.y, f.piece.targets_BT);
      loss_ += f.y.tensor().at(0);
    } else {
      f.sent = mesh_.pipeline().send_recv({{owner(a.chunk + 1), f.y.tensor()}}, {}, kForward);
      f.sends = true;
    }
    const auto append = [](std::vector<double>& to, const std::vector<double>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(side.aux_loss, f.side.aux_loss);
    append(side.z_loss, f.side.z_loss);
    append(side.load_max_over_mean, f.side.load_max_over_mean);
    side.tokens_dropped += f.side.tokens_dropped;
  }

  void backward(const PipelineAction& a, const std::function<void(Slot&)>& on_leaf_ready) {
    const auto found = in_flight_.find({a.micro, a.chunk});
    InFlight& f = found->second;
    const Tensor dy = f.y.slot()->open(cx_).tensor;
    if (model_.is_last(a.chunk))
      dy.fill(weight_);
    else
      mesh_.pipeline_gradients().send_recv({}, {{owner(a.chunk + 1), dy}}, kBackward).wait();
    if (f.sends) f.sent.wait();  // long since: its gradient is back
    for (const Value& extra : f.side.losses)
      if (extra.wants_gradient()) extra.slot()->open(cx_).tensor.fill(1);
    f.tape.on_leaf_ready = on_leaf_ready;
    f.tape.backward_from_slots();
    if (a.chunk > 0) {
      const Tensor dx = f.x.slot()->gradient_or_zero(cx_);
      gradients_sent_.push_back(mesh_.pipeline_gradients().send_recv({{owner(a.chunk - 1), dx}}, {}, kBackward));
      // The stage before is never further behind than what it has in flight.
      if (std::ssize(gradients_sent_) > 4 * stages() * mesh_.virtual_stages) {
        gradients_sent_.front().wait();
        gradients_sent_.pop_front();
      }
    }
    in_flight_.erase(found);
  }

  Context& cx_;
  Mesh& mesh_;
  HybridLM& model_;
  const std::vector<Batch>& batches_;
  const RowsOptions options_;
  double weight_, loss_ = 0;
  std::map<std::pair<int64_t, int>, InFlight> in_flight_;
  std::deque<Pending> gradients_sent_;
};

}  // namespace

double train_pipeline(Context& cx, Mesh& mesh, HybridLM& model, const std::vector<Batch>& batches,
                      const RowsOptions& options, double weight, SideOutputs& side,
                      const std::function<void(Slot&)>& on_leaf_ready) {
  return Pipeline(cx, mesh, model, batches, options, weight).run(side, on_leaf_ready);
}

}  // namespace og

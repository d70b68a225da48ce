#include "framework/train/pipeline.h"

#include <compare>
#include <deque>
#include <map>

#include "parallel/step/pipeline_schedule.h"

namespace og {

namespace {

// A segment of a micro step (whole rows are one segment) in one chunk, between its forward and its backward pass.
struct InFlight {
  explicit InFlight(SegmentRun r) : run(std::move(r)) {}
  SegmentRun run;
  Value x, y;    // before and behind the chunk; behind the last one the loss
  Pending sent;  // y, of all chunks but the last
};

class Pipeline {
 public:
  Pipeline(HybridLM& model, const std::vector<Batch>& batches, const RowsOptions& options, double weight,
           const StepSums& sums)
      : model_(model), stages_(model.stages()), weight_(weight), sums_(sums) {
    for (const Batch& batch : batches) rows_.emplace_back(model, batch, options);
  }

  void run(const std::function<void(Slot&)>& on_leaf_ready) {
    const Mesh& mesh = model_.mesh();
    const int stage = model_.mesh().pipeline().rank();
    const int64_t micro_steps = std::ssize(rows_), segments = rows_[0].count();
    if (segments == 1) {
      const auto unit_of = [](const PipelineAction& a) { return Unit{a.micro, 0}; };
      walk(pipeline_actions(stage, stages_.count(), mesh.virtual_stages, micro_steps), unit_of, on_leaf_ready);
    } else {
      // Each micro step's segments: from the left to learn the states, then from the right by the schedule.
      for (int64_t m = 0; m < micro_steps; ++m) {
        rows_[static_cast<size_t>(m)].learn_states(sums_);
        const auto unit_of = [&](const PipelineAction& a) { return Unit{m, segments - 1 - a.micro}; };
        walk(pipeline_actions(stage, stages_.count(), 1, segments), unit_of,
             m + 1 == micro_steps ? on_leaf_ready : std::function<void(Slot&)>());
      }
    }
    for (Pending& p : gradients_sent_) p.wait();
  }

 private:
  struct Unit {
    int64_t micro, segment;
    auto operator<=>(const Unit&) const = default;
  };

  SegmentedRows& rows(const Unit& u) { return rows_[static_cast<size_t>(u.micro)]; }

  // The last backward pass of a chunk reports the leaves whose gradients are complete. Their sums over ranks then
  // travel while earlier chunks still walk back. A parameter that several chunks use (tied embeddings) still has uses
  // on the tapes of the others, so it is reported by the last of them.
  template <class UnitOf>
  void walk(const std::vector<PipelineAction>& actions, UnitOf&& unit_of,
            const std::function<void(Slot&)>& on_leaf_ready) {
    const int64_t last = actions.back().micro;
    for (const PipelineAction& a : actions) {
      if (a.forward)
        forward(unit_of(a), a.chunk);
      else
        backward(unit_of(a), a.chunk, a.micro == last ? on_leaf_ready : std::function<void(Slot&)>());
    }
  }

  void forward(const Unit& unit, int chunk) {
    SegmentedRows& all = rows(unit);
    InFlight& f =
        in_flight_.try_emplace({unit, chunk}, InFlight(all.begin_recorded(unit.segment, sums_))).first->second;
    StepContext step = all.context(*f.run.tape, f.run.piece, true);
    f.x = model_.receive(step, chunk, true);
    States* states = all.count() > 1 ? &f.run.states : nullptr;
    f.y = model_.run_chunk(step, chunk, f.x, f.run.piece.tokens_BT, states, f.run.side);
    if (stages_.is_last(chunk)) {
      f.y = model_.loss_of(step, f.y, f.run.piece.targets_BT);
      sums_.add(model_.context(), StepSum::loss, f.y.tensor());
    } else {
      f.sent = stages_.send(chunk, f.y.tensor());
    }
    all.end_forward(f.run);
  }

  void backward(const Unit& unit, int chunk, const std::function<void(Slot&)>& on_leaf_ready) {
    const auto found = in_flight_.find({unit, chunk});
    InFlight& f = found->second;
    const Tensor dy = f.y.slot()->open(model_.context()).tensor;
    if (stages_.is_last(chunk)) {
      dy.fill(weight_);
    } else {
      stages_.receive_gradient(chunk, dy);
      f.sent.wait();  // long since there: its gradient is back
    }
    rows(unit).walk_back(f.run, on_leaf_ready);
    if (chunk > 0) {
      gradients_sent_.push_back(stages_.send_gradient(chunk, f.x.slot()->gradient_or_zero(model_.context())));
      // The stage before is never further behind than what it has in flight.
      if (std::ssize(gradients_sent_) > 4 * stages_.chunks()) {
        gradients_sent_.front().wait();
        gradients_sent_.pop_front();
      }
    }
    in_flight_.erase(found);
  }

  HybridLM& model_;
  const PipelineStages stages_;
  double weight_;
  const StepSums& sums_;
  std::deque<SegmentedRows> rows_;  // by micro step
  std::map<std::pair<Unit, int>, InFlight> in_flight_;
  std::deque<Pending> gradients_sent_;
};

}  // namespace

void train_pipeline(HybridLM& model, const std::vector<Batch>& batches, const RowsOptions& options, double weight,
                    const StepSums& sums, const std::function<void(Slot&)>& on_leaf_ready) {
  Pipeline(model, batches, options, weight, sums).run(on_leaf_ready);
}

}  // namespace og

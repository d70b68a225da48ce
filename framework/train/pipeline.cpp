#include "framework/train/pipeline.h"

#include <compare>
#include <deque>
#include <map>

#include "parallel/step/pipeline_schedule.h"

namespace og {

namespace {

constexpr Site kForward = Sites::pipeline_forward, kBackward = Sites::pipeline_backward;

// A segment of a micro step (whole rows are one segment) in one chunk, between its forward and its backward pass.
struct InFlight {
  explicit InFlight(SegmentRun r) : run(std::move(r)) {}
  SegmentRun run;
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
    for (const Batch& batch : batches_) rows_.emplace_back(cx_, mesh_, model_, batch, options_);
    if (rows_[0].count() == 1) {
      walk(
          pipeline_actions(mesh_.pipeline().rank(), stages(), mesh_.virtual_stages, std::ssize(batches_)),
          [](const PipelineAction& a) {
            return Unit{a.micro, 0};
          },
          side, on_leaf_ready);
    } else {
      // Each micro step's segments: from the left to learn the states, then from the right by the schedule.
      for (int64_t m = 0; m < std::ssize(batches_); ++m) {
        const int64_t last = rows_[static_cast<size_t>(m)].count() - 1;
        for (int64_t s = 0; s < last; ++s) pass_quietly(m, s, side);
        walk(
            pipeline_actions(mesh_.pipeline().rank(), stages(), 1, last + 1),
            [&](const PipelineAction& a) {
              return Unit{m, last - a.micro};
            },
            side, m + 1 == std::ssize(batches_) ? on_leaf_ready : std::function<void(Slot&)>());
      }
    }
    for (Pending& p : gradients_sent_) p.wait();
    return loss_;
  }

 private:
  struct Unit {
    int64_t micro, segment;
    auto operator<=>(const Unit&) const = default;
  };

  int stages() const { return mesh_.pipeline().size(); }
  int owner(int chunk) const { return chunk % stages(); }
  SegmentedRows& rows(const Unit& u) { return rows_[static_cast<size_t>(u.micro)]; }

  // The last backward pass of a chunk reports the leaves whose gradients are complete. Their sums over ranks then
  // travel while earlier chunks still walk back. A parameter that several chunks use (tied embeddings) still has uses
  // on the tapes of the others, so it is reported by the last of them.
  template <class UnitOf>
  void walk(const std::vector<PipelineAction>& actions, UnitOf&& unit_of, SideOutputs& side,
            const std::function<void(Slot&)>& on_leaf_ready) {
    const int64_t last = actions.back().micro;
    for (const PipelineAction& a : actions) {
      if (a.forward)
        forward(unit_of(a), a.chunk, side);
      else
        backward(unit_of(a), a.chunk, a.micro == last ? on_leaf_ready : std::function<void(Slot&)>());
    }
  }

  // The hidden states before a chunk.
  Value receive(StepContext& step, int chunk, bool leaf) {
    if (chunk == 0) return {};
    const Value x = model_.received(step, leaf);
    mesh_.pipeline().send_recv({}, {{owner(chunk - 1), x.tensor()}}, kForward).wait();
    return x;
  }

  void pass_quietly(int64_t micro, int64_t s, SideOutputs& side) {
    SegmentedRows& all = rows({micro, s});
    SegmentRun run = all.begin_quiet(s);
    StepContext step = all.context(*run.tape, run.piece, true);
    const int chunk = mesh_.pipeline().rank();
    const Value x = receive(step, chunk, false);
    const Value y = model_.run_chunk(step, chunk, x, run.piece.tokens_BT, &run.states, run.side, false);
    if (!model_.is_last(chunk)) mesh_.pipeline().send_recv({{owner(chunk + 1), y.tensor()}}, {}, kForward).wait();
    side.tokens_dropped += run.side.tokens_dropped;
    all.end_quiet(run);
  }

  void forward(const Unit& unit, int chunk, SideOutputs& side) {
    SegmentedRows& all = rows(unit);
    InFlight& f = in_flight_.try_emplace({unit, chunk}, InFlight(all.begin_recorded(unit.segment))).first->second;
    StepContext step = all.context(*f.run.tape, f.run.piece, true);
    f.x = receive(step, chunk, true);
    States* states = all.count() > 1 ? &f.run.states : nullptr;
    f.y = model_.run_chunk(step, chunk, f.x, f.run.piece.tokens_BT, states, f.run.side, options_.recompute);
    if (model_.is_last(chunk)) {
      f.y = model_.loss_of(step, f.y, f.run.piece.targets_BT);
      loss_ += f.y.tensor().at(0);
    } else {
      f.sent = mesh_.pipeline().send_recv({{owner(chunk + 1), f.y.tensor()}}, {}, kForward);
      f.sends = true;
    }
    all.end_forward(f.run, side);
  }

  void backward(const Unit& unit, int chunk, const std::function<void(Slot&)>& on_leaf_ready) {
    const auto found = in_flight_.find({unit, chunk});
    InFlight& f = found->second;
    const Tensor dy = f.y.slot()->open(cx_).tensor;
    if (model_.is_last(chunk))
      dy.fill(weight_);
    else
      mesh_.pipeline_gradients().send_recv({}, {{owner(chunk + 1), dy}}, kBackward).wait();
    if (f.sends) f.sent.wait();  // long since: its gradient is back
    rows(unit).walk_back(f.run, on_leaf_ready);
    if (chunk > 0) {
      const Tensor dx = f.x.slot()->gradient_or_zero(cx_);
      gradients_sent_.push_back(mesh_.pipeline_gradients().send_recv({{owner(chunk - 1), dx}}, {}, kBackward));
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
  std::deque<SegmentedRows> rows_;  // by micro step
  std::map<std::pair<Unit, int>, InFlight> in_flight_;
  std::deque<Pending> gradients_sent_;
};

}  // namespace

double train_pipeline(Context& cx, Mesh& mesh, HybridLM& model, const std::vector<Batch>& batches,
                      const RowsOptions& options, double weight, SideOutputs& side,
                      const std::function<void(Slot&)>& on_leaf_ready) {
  return Pipeline(cx, mesh, model, batches, options, weight).run(side, on_leaf_ready);
}

}  // namespace og

#include "framework/autograd/recompute.h"

namespace og {

namespace {

struct Recompute final : Function {
  Region region;
  Tensor input_tensor;
  Placement input_place;
  std::shared_ptr<Pins> pins;
  std::function<void(Slot&)> on_leaf_ready;
  size_t num_outputs = 0;

  const char* name() const override { return "recompute"; }

  void backward(Context& cx) override {
    Tape inner(cx);
    inner.on_leaf_ready = on_leaf_ready;
    inner.pins = pins.get();
    inner.runs_again = true;
    pins->rewind();
    const Value x = Value::leaf(input_tensor, input_place);
    const std::vector<Value> outputs = region(inner, x);
    OG_CHECK(outputs.size() == num_outputs, "recompute: {} outputs, then {}", num_outputs, outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i].wants_gradient()) outputs[i].slot()->open(cx).tensor.copy_from(gradient(cx, i));
    inner.runs_again = false;  // the backward's own collectives are the first of their kind
    inner.backward_from_slots();
    if (Slot* slot = input(0)) {
      auto [target, put] = slot->open(cx);
      OG_CHECK(put == Put::write, "recompute: its input is used elsewhere too; pass it through the region");
      target.copy_from(x.slot()->gradient_or_zero(cx));
    }
  }
};

}  // namespace

std::vector<Value> recompute(Tape& tape, const Region& region, const Value& input, std::span<const Value> parameters) {
  if (!tape.recording()) return region(tape, input);
  auto function = std::make_unique<Recompute>();
  function->region = region;
  function->input_tensor = input.tensor();
  function->input_place = input.place();
  function->pins = std::make_shared<Pins>();
  function->on_leaf_ready = tape.on_leaf_ready;

  Tape quiet(tape.context(), Tape::Mode::no_gradient);
  quiet.pins = function->pins.get();
  std::vector<Value> outputs = region(quiet, Value(input.tensor(), input.place()));
  function->num_outputs = outputs.size();

  std::vector<Value> inputs{input};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  std::vector<Value> taped;
  for (const Value& o : outputs) {
    Value t = tape.output_of(o.tensor(), o.place(), {input});
    taped.push_back(t);
  }
  tape.record(std::move(function), inputs, taped);
  return taped;
}

}  // namespace og

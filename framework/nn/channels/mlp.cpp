#include "framework/nn/channels/mlp.h"

#include "framework/nn/tensor_region.h"
#include "framework/ops/linear.h"
#include "framework/ops/pointwise.h"

namespace og {

Mlp::Mlp(const LayerContext& context, int64_t intermediate_size) {
  const Shape wide{intermediate_size, context.hidden_size};
  gate_ = &context.add_product("gate_proj.weight", wide, 0);
  up_ = &context.add_product("up_proj.weight", wide, 0);
  down_ = &context.add_product("down_proj.weight", {context.hidden_size, intermediate_size}, 1);
}

Value Mlp::forward(StepContext& step, const Value& x, SideOutputs&) {
  Tape& tape = step.tape;
  const Value in = enter_tensor(step, x);
  const Value h = silu_multiply(tape, linear(tape, in, gate_->value), linear(tape, in, up_->value));
  return leave_tensor(step, linear_split(tape, h, down_->value, Axis::tensor));
}

ChannelType mlp_type() {
  using Kind = OptionSpec::Kind;
  return {.name = "mlp",
          .options = {{.name = "intermediate_size",
                       .kind = Kind::integer,
                       .fallback = {},
                       .least = 1,
                       .required = true,
                       .help = "width of the hidden layer"}},
          .problem = [](const Options& options, int64_t, const Degrees& degrees) -> std::optional<Problem> {
            const int64_t width = options.integer("intermediate_size");
            if (width % degrees.tensor == 0) return std::nullopt;
            return Problem{
                fmt::format("intermediate_size: {} is not a multiple of parallel.tensor = {}", width, degrees.tensor)};
          },
          .build = [](const LayerContext& context, const Options& options) -> std::unique_ptr<ChannelPart> {
            return std::make_unique<Mlp>(context, options.integer("intermediate_size"));
          }};
}

}  // namespace og

#include "framework/nn/mixers/scan_mixer.h"

#include <cmath>

#include "parallel/sequence/scan.h"

namespace og {

namespace {

class ScanMixer final : public SequenceMixer {
 public:
  ScanMixer(const LayerContext& context, const Options& options, const ScanMixerSpec& spec)
      : recurrence_(spec.recurrence.recurrence),
        scale_(scan_scale(spec.recurrence, options, options.integer("head_k_dim"))),
        qkv_(context, options, options.boolean("short_conv"), spec.activation) {
    const auto add_output = [&] {
      out_ = MixerOutput(context, options.integer("num_heads"), options.integer("head_v_dim"), norm_of(options),
                         gate_of(options), 1e-5);
    };
    if (spec.output_first) add_output();
    core_ = spec.core(context, options);
    if (!spec.output_first) add_output();
  }

  Value forward(StepContext& step, const Value& x_BTD, MixerState* state) override {
    const Value x = enter_tensor(step, x_BTD);
    const Heads h = qkv_(step, x, state);
    ScanStreams s{{.q = h.q, .k = h.k, .v = h.v}, scale_};
    core_.streams(step, x, s);
    const Value o = scan_with_state(step.tape, recurrence_, s, step.seq, state, "scan");
    return out_(step, core_.read_out ? core_.read_out(step.tape, o) : o, x);
  }

 private:
  Recurrence recurrence_;
  double scale_;
  QkvProjection qkv_;
  ScanCore core_;
  MixerOutput out_;
};

}  // namespace

MixerType scan_mixer(ScanMixerSpec spec) {
  MixerType type;
  type.name = spec.name;
  type.options = spec.heads;
  type.options.insert(type.options.end(), spec.options.begin(), spec.options.end());
  type.options.push_back(conv_option(false));
  type.options.push_back(norm_option(spec.output_norm));
  type.options.push_back(gate_option(spec.output_gate));
  type.problem = heads_problem;
  type.recurrence = spec.recurrence;
  type.scan_shape = scan_of_heads(type.recurrence);
  type.build = [spec = std::move(spec)](const LayerContext& c, const Options& o) -> std::unique_ptr<SequenceMixer> {
    return std::make_unique<ScanMixer>(c, o, spec);
  };
  return type;
}

}  // namespace og

#include <algorithm>
#include <cmath>

#include "framework/bench/sequence/methods.h"
#include "framework/bench/sequence/step_subject.h"
#include "framework/bench/sequence/subject.h"
#include "framework/config/config.h"
#include "framework/core/error.h"
#include "framework/core/rng.h"
#include "framework/core/threads.h"
#include "framework/measure/compare.h"
#include "framework/nn/registry.h"
#include "framework/ops/norm.h"
#include "framework/ops/ranges.h"
#include "parallel/sequence/attention.h"
#include "parallel/sequence/attention_methods.h"
#include "parallel/sequence/methods.h"
#include "parallel/sequence/scan.h"

namespace og {

namespace {

// Random numbers are made once for this many tokens and repeated with another size each time: making them is cheap, and
// no two shards are alike, so that a state taken from the wrong one is seen. A prime: shards begin at different places.
constexpr int64_t kPeriod = 4099;

class LayerSubject final : public SequenceSubject {
 public:
  LayerSubject(const SubjectOptions& o, Comm& comm, const Extent& extent)
      : softmax_(!subject_mixer(o.mixer).scan_shape),
        recurrence_(subject_mixer(o.mixer).recurrence.recurrence),
        scale_(1 / std::sqrt(static_cast<double>(o.head_dim))),
        comm_(comm) {
    cx_.stream.num_threads = o.threads;
    seq_ = make_seq_context(*cx_.pool, comm, extent.rows, extent.length, {});
    const int64_t h = o.heads, d = o.head_dim;
    for (int i = 0; i < 3; ++i) leaves_.push_back(Value::leaf(stream("qkv", i, {h, d}, 0, 1)));
    // Slow decay: states still matter after thousands of tokens, so a wrong carry is seen.
    if (recurrence_.gate == Gate::scalar) leaves_.push_back(Value::leaf(stream("gate", 0, {h}, -2e-3, 4e-4)));
    if (recurrence_.gate == Gate::diagonal) leaves_.push_back(Value::leaf(stream("gate", 0, {h, d}, -2e-3, 4e-4)));
    if (recurrence_.delta) leaves_.push_back(Value::leaf(stream("beta", 0, {h}, 0.5, 0.1)));
    seed_ = stream("seed", 0, {h, d}, 0, 1);
  }

  void use(const SequenceMethod& method) override { seq_.options = method.on({}); }
  Pool& pool() override { return *cx_.pool; }
  bool repeats() const override { return true; }
  double allowed_difference() const override { return 1e-4; }

  void run() override { pass(nullptr); }
  SequenceResult run_and_keep() override {
    SequenceResult kept;
    pass(&kept);
    for (const Tensor& part : kept.parts) kept.largest.push_back(comm_.max(largest_magnitude(part), Sites::bench));
    return kept;
  }

  SequenceResult part_of(const SequenceResult& whole) const override {
    SequenceResult mine{{}, whole.largest};
    const int64_t local = seq_.local_length();
    for (const Tensor& all : whole.parts) {
      const int64_t width = all.count() / (seq_.num_rows * seq_.length);
      mine.parts.push_back(Tensor::empty(*kept_, {seq_.num_rows, local, width}, DType::f32));
      move_range({}, 1, mine.parts.back(), 0, Put::write, all.reshape({seq_.num_rows, seq_.length, width}),
                 seq_.begin(), local);
    }
    return mine;
  }

 private:
  void pass(SequenceResult* kept) {
    Tape tape(cx_);
    const Value o = forward(tape);
    if (kept != nullptr) kept->parts.push_back(o.tensor().clone(*kept_));
    tape.backward(o, seed_);
    for (const Value& leaf : leaves_) {
      if (kept != nullptr) kept->parts.push_back(leaf.slot()->gradient_or_zero(cx_).clone(*kept_));
      leaf.slot()->clear();
    }
  }

  Value forward(Tape& tape) {
    if (softmax_)
      return sequence_attention(tape, leaves_[0], leaves_[1], leaves_[2], {.attention = {.scale = scale_}}, seq_,
                                nullptr);
    if (seq_.options.left_products)
      return left_product_attention(tape, leaves_[0], leaves_[1], leaves_[2], scale_, seq_);
    ScanStreams s{{.q = leaves_[0], .k = leaves_[1], .v = leaves_[2]}, scale_};
    size_t next = 3;
    if (recurrence_.gate != Gate::none) s.g = leaves_[next++];
    if (recurrence_.delta) {
      s.k = l2_norm(tape, s.k, 1e-6);
      s.beta = leaves_[next++];
    }
    return scan(tape, recurrence_, s, seq_, {}, false).o;
  }

  // [B, local length, ...inner]: element e of token t of the sequence is a function of (row, t, e).
  Tensor stream(const char* name, int which, const Shape& inner, double shift, double scale) {
    int64_t width = inner.count();
    Shape shape{seq_.num_rows, seq_.local_length(), inner[0]};
    if (inner.rank() == 2) shape = {seq_.num_rows, seq_.local_length(), inner[0], inner[1]};
    const Tensor t = cx_.empty(shape, DType::f32);
    const int64_t period = std::min(kPeriod, seq_.length);
    std::vector<float> table(static_cast<size_t>(period * width));
    const RandomKey key = random_key(static_cast<uint64_t>(which) + 1, name);
    const bool gate = shift < 0;
    for (size_t i = 0; i < table.size(); ++i) {
      const double x = shift + scale * random_normal(key, i);
      table[i] = static_cast<float>(gate ? std::min(x, -1e-6) : x);
    }
    const RandomKey sizes = random_key(static_cast<uint64_t>(which) + 1, "size");
    for (int64_t b = 0; b < seq_.num_rows; ++b)
      for (int64_t i = 0; i < seq_.local_length(); ++i) {
        const int64_t at = seq_.begin() + i + 17 * b;
        const auto size = static_cast<float>(0.8 + 0.4 * random_uniform(sizes, static_cast<uint64_t>(at / period)));
        const float* from = table.data() + at % period * width;
        float* to = t.data<float>() + (b * seq_.local_length() + i) * width;
        for (int64_t e = 0; e < width; ++e) to[e] = size * from[e];
      }
    return t;
  }

  Context cx_;
  bool softmax_;
  Recurrence recurrence_;
  double scale_;
  Comm& comm_;
  SeqContext seq_;
  std::vector<Value> leaves_;
  Tensor seed_;
  // Apart from the subject's own, whose peak is measured.
  std::shared_ptr<Pool> kept_ = Pool::create();
};

}  // namespace

const MixerType& subject_mixer(const std::string& name) {
  const MixerType* type = find_mixer_type(name);
  OG_CHECK(type != nullptr, "bench sequence: no mixer type {}", name);
  return *type;
}

double difference(const SequenceResult& found, const SequenceResult& reference) {
  double worst = 0;
  for (size_t i = 0; i < found.parts.size(); ++i)
    worst =
        std::max(worst, largest_difference(found.parts[i], reference.parts[i]) / std::max(reference.largest[i], 1e-30));
  return worst;
}

std::unique_ptr<SequenceSubject> make_subject(const SubjectOptions& options, const SequenceMethod* method, Comm& comm,
                                              const Extent& extent) {
  set_thread_count(options.threads);
  if (!options.config.empty()) return make_step_subject(options, method, comm, extent);
  auto subject = std::make_unique<LayerSubject>(options, comm, extent);
  if (method != nullptr) subject->use(*method);
  return subject;
}

PassEstimates subject_estimates(const SubjectOptions& options, const SequenceMethod* method) {
  const LayerKinds kinds = layer_kinds(options);
  const bool left = method != nullptr && method->left_products;
  if (options.config.empty()) return PassEstimates(kinds.softmax || left ? Growth::quadratic : Growth::linear);
  return PassEstimates(kinds.softmax ? Growth::mixed : Growth::linear,
                       load_config(options.config, options.overrides, config_rules()).train.segment_length);
}

std::optional<Problem> subject_problem(const SubjectOptions& options, const SequenceMethod& method, int ranks,
                                       const Extent& extent) {
  if (!options.config.empty()) return step_problem(options, method, ranks, extent);
  const bool whole_heads = method.softmax && row_of(*method.softmax).whole_heads;  // linear layers cut heads any way
  if (whole_heads && options.heads % ranks != 0)
    return Problem{fmt::format("{} heads do not divide by {} ranks", options.heads, ranks)};
  return std::nullopt;
}

}  // namespace og

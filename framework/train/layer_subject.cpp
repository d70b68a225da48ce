#include <algorithm>
#include <cmath>
#include <cstring>

#include "framework/core/rng.h"
#include "framework/core/threads.h"
#include "framework/ops/norm.h"
#include "framework/train/sequence_subject.h"
#include "framework/train/step_subject.h"
#include "parallel/attention.h"
#include "parallel/sequence.h"

namespace og {

namespace {

// Random numbers are made once for this many tokens and repeated; checks are not longer.
constexpr int64_t kPeriod = 4096;

struct Layer {
  const char* name;
  Gate gate = Gate::none;
  bool delta = false;
  bool softmax = false;
};
constexpr Layer kLayers[] = {{"linear"},
                             {"simple_gla", Gate::scalar},
                             {"gla", Gate::diagonal},
                             {"delta_net", Gate::none, true},
                             {"gated_delta_net", Gate::scalar, true},
                             {"attention", Gate::none, false, true}};

class LayerSubject final : public SequenceSubject {
 public:
  LayerSubject(const SubjectOptions& o, Comm& comm, int64_t rows, int64_t length)
      : layer_(
            *std::find_if(std::begin(kLayers), std::end(kLayers), [&](const Layer& l) { return o.mixer == l.name; })),
        scale_(1 / std::sqrt(static_cast<double>(o.head_dim))) {
    cx_.stream.num_threads = o.threads;
    seq_ = make_seq_context(*cx_.pool, comm, rows, length, {});
    const int64_t h = o.heads, d = o.head_dim;
    for (int i = 0; i < 3; ++i) leaves_.push_back(Value::leaf(stream("qkv", i, {h, d}, 0, 1)));
    // Slow decay: states still matter after thousands of tokens, so a wrong carry is seen.
    if (layer_.gate == Gate::scalar) leaves_.push_back(Value::leaf(stream("gate", 0, {h}, -2e-3, 4e-4)));
    if (layer_.gate == Gate::diagonal) leaves_.push_back(Value::leaf(stream("gate", 0, {h, d}, -2e-3, 4e-4)));
    if (layer_.delta) leaves_.push_back(Value::leaf(stream("beta", 0, {h}, 0.5, 0.1)));
    seed_ = stream("seed", 0, {h, d}, 0, 1);
  }

  void use(const SequenceOptions& options) override { seq_.options = options; }
  Pool& pool() override { return *cx_.pool; }
  void keep_results(bool keep) override { keep_ = keep; }
  double allowed_difference() const override { return 1e-4; }

  void run() override {
    Tape tape(cx_);
    const Value o = forward(tape);
    if (keep_) results_ = {o.tensor().clone(*cx_.pool)};
    tape.backward(o, seed_);
    for (const Value& leaf : leaves_) {
      if (keep_) results_.push_back(leaf.slot()->gradient_or_zero(cx_).clone(*cx_.pool));
      leaf.slot()->clear();
    }
  }

  double difference_from(const SequenceSubject& other) const override {
    const auto& one = static_cast<const LayerSubject&>(other);
    const int64_t length = seq_.length, local = seq_.local_length(), begin = seq_.begin();
    double worst = 0;
    for (size_t i = 0; i < results_.size(); ++i) {
      const Tensor& mine = results_[i];
      const Tensor& whole = one.results_[i];
      const int64_t width = whole.count() / (seq_.num_rows * length);
      double scale = 1e-30, difference = 0;
      for (int64_t j = 0; j < whole.count(); ++j) scale = std::max(scale, std::abs(whole.at(j)));
      for (int64_t j = 0; j < mine.count(); ++j) {
        const int64_t row = j / (local * width), at = j % (local * width);
        const double d = std::abs(mine.at(j) - whole.at((row * length + begin) * width + at));
        if (!(d <= difference)) difference = std::isnan(d) ? HUGE_VAL : d;
      }
      worst = std::max(worst, difference / scale);
    }
    return worst;
  }

 private:
  Value forward(Tape& tape) {
    if (layer_.softmax)
      return sequence_attention(tape, leaves_[0], leaves_[1], leaves_[2], {.attention = {.scale = scale_}}, seq_,
                                nullptr);
    if (seq_.options.left_products) {
      SeqContext ring = seq_;
      ring.options.softmax = SoftmaxMethod::ring;
      return sequence_attention(tape, leaves_[0], leaves_[1], leaves_[2],
                                {.attention = {.scale = scale_, .softmax = false}}, ring, nullptr);
    }
    ScanStreams s{.q = leaves_[0], .k = leaves_[1], .v = leaves_[2], .scale = scale_};
    size_t next = 3;
    if (layer_.gate != Gate::none) s.g = leaves_[next++];
    if (layer_.delta) {
      s.k = l2_norm(tape, s.k, 1e-6);
      s.beta = leaves_[next++];
    }
    return scan(tape, {.gate = layer_.gate, .delta = layer_.delta}, s, seq_, {}, false).o;
  }

  // [B, local length, ...inner]: element e of token t of the sequence is a function of (row, t mod kPeriod, e).
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
    for (int64_t b = 0; b < seq_.num_rows; ++b)
      for (int64_t i = 0; i < seq_.local_length(); ++i)
        std::memcpy(t.data<float>() + (b * seq_.local_length() + i) * width,
                    table.data() + (seq_.begin() + i + 17 * b) % period * width,
                    static_cast<size_t>(width) * sizeof(float));
    return t;
  }

  Context cx_;
  Layer layer_;
  double scale_;
  SeqContext seq_;
  std::vector<Value> leaves_;
  Tensor seed_;
  bool keep_ = false;
  std::vector<Tensor> results_;
};

}  // namespace

const std::vector<std::string>& subject_mixers() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Layer& l : kLayers) all.emplace_back(l.name);
    return all;
  }();
  return names;
}

std::unique_ptr<SequenceSubject> make_subject(const SubjectOptions& options, Comm& comm, int64_t rows, int64_t length) {
  set_thread_count(options.threads);
  if (!options.config.empty()) return make_step_subject(options, comm, rows, length);
  return std::make_unique<LayerSubject>(options, comm, rows, length);
}

}  // namespace og

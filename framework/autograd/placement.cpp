#include "framework/autograd/placement.h"

#include "framework/core/error.h"

namespace og {

const char* name_of(Axis axis) {
  constexpr const char* kNames[] = {"data", "sequence", "tensor", "pipeline"};
  return kNames[static_cast<size_t>(axis)];
}

const char* name_of(Place place) {
  constexpr const char* kNames[] = {"invariant", "replicated", "varying", "partial"};
  return kNames[static_cast<size_t>(place)];
}

Place gradient_of(Place place) {
  if (place == Place::replicated) return Place::partial;
  if (place == Place::partial) return Place::replicated;
  return place;
}

Placement Placement::gradient() const {
  Placement p;
  for (int a = 0; a < kNumAxes; ++a) p.places_[static_cast<size_t>(a)] = gradient_of(places_[static_cast<size_t>(a)]);
  return p;
}

std::string Placement::str() const {
  std::string s;
  for (int a = 0; a < kNumAxes; ++a)
    s += fmt::format("{}{}={}", a ? " " : "", name_of(static_cast<Axis>(a)), name_of(places_[static_cast<size_t>(a)]));
  return s;
}

namespace {

Place mix(const char* op, Axis axis, Place a, Place b, bool sums) {
  if (a == Place::partial || b == Place::partial) {
    OG_CHECK(sums && a == b, "{}: {} and {} on the {} axis: a partial sum must be reduced first", op, name_of(a),
             name_of(b), name_of(axis));
    return Place::partial;
  }
  if (a == b) return a;
  OG_CHECK(a != Place::invariant && b != Place::invariant,
           "{}: {} and {} on the {} axis: an invariant value must enter (invariant to replicated) first", op,
           name_of(a), name_of(b), name_of(axis));
  return Place::varying;  // replicated with varying
}

Placement mix_all(const char* op, std::initializer_list<Placement> inputs, bool sums) {
  OG_CHECK(inputs.size() > 0, "{}: no inputs", op);
  Placement out = *inputs.begin();
  for (int i = 0; i < kNumAxes; ++i) {
    const auto axis = static_cast<Axis>(i);
    for (const Placement& p : inputs) out.set(axis, mix(op, axis, out[axis], p[axis], sums));
  }
  return out;
}

}  // namespace

Placement place_elementwise(const char* op, std::initializer_list<Placement> inputs) {
  return mix_all(op, inputs, false);
}

Placement place_sum(const char* op, std::initializer_list<Placement> inputs) { return mix_all(op, inputs, true); }

}  // namespace og

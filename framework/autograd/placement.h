// Placement: what a value is on each axis of the mesh. The forward type fixes the type of the gradient, so that no
// collective can be forgotten or done twice. (After the types of spmd_types; the table of collectives is in
// parallel/mesh/collectives.h.)
//
//   type          the value on the ranks of that axis          its gradient
//   invariant     the same, and so is everything done with it   invariant
//   replicated    the same, but each rank uses its own copy     partial
//   varying       each rank has its own piece                   varying
//   partial       the true value is the sum over the ranks      replicated
//
// The expert axis is a regrouping of data, sequence and tensor; it has no placement of its own.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

namespace og {

enum class Axis : uint8_t { data, sequence, tensor, pipeline };
constexpr int kNumAxes = 4;
const char* name_of(Axis axis);

enum class Place : uint8_t { invariant, replicated, varying, partial };
const char* name_of(Place place);
Place gradient_of(Place place);  // invariant and varying stay, replicated and partial swap

class Placement {
 public:
  Placement() = default;  // invariant everywhere: the only possible type on a mesh of one rank
  Placement(std::initializer_list<std::pair<Axis, Place>> places) {
    for (auto [axis, place] : places) set(axis, place);
  }
  Place operator[](Axis axis) const { return places_[static_cast<size_t>(axis)]; }
  void set(Axis axis, Place place) { places_[static_cast<size_t>(axis)] = place; }
  Placement with(Axis axis, Place place) const {
    Placement p = *this;
    p.set(axis, place);
    return p;
  }
  Placement gradient() const;
  bool operator==(const Placement&) const = default;
  std::string str() const;  // "data=varying sequence=varying tensor=invariant pipeline=invariant"

 private:
  std::array<Place, kNumAxes> places_{};
};

// Rules of local ops, axis by axis. An impossible mixture is a programmer's error that names op, axis and both types.
//   elementwise (also norms, attention, scans, products of matrices without a split inner extent): replicated and
//   varying
//     mix to varying; invariant mixes with nothing else; partial is refused.
//   linear in all its inputs together (sums): partial + partial = partial, besides the above.
//   linear in one input (scaling by a constant, reshape, copy): any type passes.
Placement place_elementwise(const char* op, std::initializer_list<Placement> inputs);
Placement place_sum(const char* op, std::initializer_list<Placement> inputs);

}  // namespace og

#include "parallel/mesh/mesh.h"

#include <array>
#include <cmath>
#include <tuple>
#include <vector>

#include "framework/core/number.h"

namespace og {

namespace {

// The coordinates of a rank: tensor fastest, then sequence, data, pipeline.
struct Place4 {
  int data, sequence, tensor, pipeline;
};

Place4 place_of(const Degrees& d, int rank) {
  return {rank / (d.tensor * d.sequence) % d.data, rank / d.tensor % d.sequence, rank % d.tensor,
          rank / (d.tensor * d.sequence * d.data)};
}

// Ranks with the same color form a group.
enum class Kind {
  data,
  sequence,
  tensor,
  pipeline,
  expert,
  expert_data,
  tokens,
  tokens_and_tensor,
  sequence_and_tensor,
  tokens_and_pipeline
};

int color_of(const Degrees& d, Kind kind, int rank) {
  const Place4 p = place_of(d, rank);
  const int block = d.tokens_and_tensor();
  const int flat = rank % block;
  switch (kind) {
    case Kind::data:
      return (p.pipeline * d.sequence + p.sequence) * d.tensor + p.tensor;
    case Kind::sequence:
      return (p.pipeline * d.data + p.data) * d.tensor + p.tensor;
    case Kind::tensor:
      return rank / d.tensor;
    case Kind::pipeline:
      return flat;
    case Kind::expert:
      return rank / d.expert;
    case Kind::expert_data:
      return p.pipeline * d.expert + flat % d.expert;
    case Kind::tokens:
      return p.pipeline * d.tensor + p.tensor;
    case Kind::tokens_and_tensor:
      return p.pipeline;
    case Kind::sequence_and_tensor:
      return rank / (d.sequence * d.tensor);
    case Kind::tokens_and_pipeline:
      return p.tensor;
  }
  return 0;
}

std::vector<int> group_of(const Degrees& d, Kind kind, int rank) {
  std::vector<int> members;
  const int color = color_of(d, kind, rank);
  for (int r = 0; r < d.world(); ++r)
    if (color_of(d, kind, r) == color) members.push_back(r);
  return members;
}

// Ranks with the same experts differ in some of data, sequence and tensor: the group is named by those axes.
std::string axes_of(const Degrees& d, const std::vector<int>& members) {
  const Place4 a = place_of(d, members.front());
  bool data = false, sequence = false, tensor = false;
  for (int r : members) {
    const Place4 b = place_of(d, r);
    data |= a.data != b.data;
    sequence |= a.sequence != b.sequence;
    tensor |= a.tensor != b.tensor;
  }
  std::string name;
  for (const auto& [differs, axis] : {std::pair{data, "data"}, {sequence, "sequence"}, {tensor, "tensor"}})
    if (differs) name += fmt::format("{}{}", name.empty() ? "" : "+", axis);
  return name.empty() ? "data" : name;
}

std::string str(const std::vector<int>& ranks) {
  std::string s;
  for (int r : ranks) s += fmt::format("{}{}", s.empty() ? "{" : ", ", r);
  return s + "}";
}

std::string str(const Degrees& d) {
  return fmt::format("data {}, sequence {}, tensor {}, expert {}, pipeline {}", d.data, d.sequence, d.tensor, d.expert,
                     d.pipeline);
}

double apart(int a, int b) { return std::abs(std::log2(static_cast<double>(a) / std::max(1, b))); }

// The working degrees that differ least from those asked for; of these the ones that change data rather than others.
Degrees nearest(const Degrees& asked, int world) {
  Degrees best{.data = world};
  double least = -1;
  Degrees d;
  for (d.pipeline = 1; d.pipeline <= world; ++d.pipeline)
    for (d.tensor = 1; d.pipeline * d.tensor <= world; ++d.tensor)
      for (d.sequence = 1; d.pipeline * d.tensor * d.sequence <= world; ++d.sequence) {
        const int rest = d.pipeline * d.tensor * d.sequence;
        if (world % rest != 0) continue;
        d.data = world / rest;
        const int block = d.tokens_and_tensor();
        for (d.expert = 1; d.expert <= block; ++d.expert) {
          if (block % d.expert != 0) continue;
          const double distance = 0.5 * apart(d.data, asked.data) + apart(d.sequence, asked.sequence) +
                                  apart(d.tensor, asked.tensor) + apart(d.pipeline, asked.pipeline) +
                                  0.75 * apart(d.expert, asked.expert);
          if (least < 0 || distance < least - 1e-9) {
            least = distance;
            best = d;
          }
        }
      }
  return best;
}

}  // namespace

std::optional<Problem> check_degrees(const Degrees& degrees, int world_size) {
  std::string wrong;
  for (const auto& [degree, name] : {std::pair{degrees.data, "data"},
                                     {degrees.sequence, "sequence"},
                                     {degrees.tensor, "tensor"},
                                     {degrees.expert, "expert"},
                                     {degrees.pipeline, "pipeline"}})
    if (degree < 1) wrong = fmt::format("parallel.{}: expected a degree >= 1, found {}", name, degree);
  if (wrong.empty() && degrees.world() != world_size)
    wrong = fmt::format("parallel: data {} x sequence {} x tensor {} x pipeline {} = {} ranks, but {} {} running",
                        degrees.data, degrees.sequence, degrees.tensor, degrees.pipeline, degrees.world(), world_size,
                        world_size == 1 ? "is" : "are");
  if (wrong.empty() && degrees.tokens_and_tensor() % degrees.expert != 0)
    wrong = fmt::format("parallel.expert: {} does not divide data x sequence x tensor = {}", degrees.expert,
                        degrees.tokens_and_tensor());
  if (wrong.empty()) return std::nullopt;
  return Problem{fmt::format("{}; the nearest that works on {}: {}", wrong, counted(world_size, "rank"),
                             str(nearest(degrees, world_size)))};
}

Mesh::Mesh(Comm& world, const Degrees& degrees) : world_(world), degrees_(degrees) {
  if (const auto problem = check_degrees(degrees, world.size())) fail(Status::usage, "{}", problem->text);
  const int rank = world.rank();
  const auto make = [&](Kind kind, const std::string& axis) {
    return world.split(color_of(degrees_, kind, rank), rank, axis);
  };
  data_ = make(Kind::data, "data");
  sequence_ = make(Kind::sequence, "sequence");
  tensor_ = make(Kind::tensor, "tensor");
  pipeline_ = make(Kind::pipeline, "pipeline");
  expert_ = make(Kind::expert, "expert");
  expert_data_ = make(Kind::expert_data, axes_of(degrees_, group_of(degrees_, Kind::expert_data, rank)));
  tokens_ = make(Kind::tokens, "data+sequence");
  tokens_and_tensor_ = make(Kind::tokens_and_tensor, "data+sequence+tensor");
  sequence_and_tensor_ = make(Kind::sequence_and_tensor, "sequence+tensor");
  pipeline_gradients_ = make(Kind::pipeline, "pipeline");
  tokens_and_pipeline_ = make(Kind::tokens_and_pipeline, "data+sequence+pipeline");
}

std::string Mesh::describe() const {
  const int rank = world_.rank();
  const Place4 p = place_of(degrees_, rank);
  if (world_.size() == 1) return "one rank: nothing is divided";
  // Groups of one rank say nothing.
  std::string degrees, groups;
  const auto add = [](std::string& list, const char* between, const std::string& item) {
    list += (list.empty() ? "" : between) + item;
  };
  for (const auto& [degree, place, name, kind] : {std::tuple{degrees_.data, p.data, "data", Kind::data},
                                                  {degrees_.sequence, p.sequence, "sequence", Kind::sequence},
                                                  {degrees_.tensor, p.tensor, "tensor", Kind::tensor},
                                                  {degrees_.pipeline, p.pipeline, "pipeline", Kind::pipeline}}) {
    if (degree == 1) continue;
    add(degrees, " x ", fmt::format("{} {}", degree, name));
    add(groups, ", ", fmt::format("{} {} of group {}", name, place, str(group_of(degrees_, kind, rank))));
  }
  if (degrees_.expert > 1) {
    degrees += fmt::format(", experts over {}", degrees_.expert);
    add(groups, ", ", "experts shared with " + str(group_of(degrees_, Kind::expert, rank)));
  }
  const std::vector<int> same = group_of(degrees_, Kind::expert_data, rank);
  if (degrees_.expert > 1 && same.size() > 1) add(groups, ", ", "the same experts on " + str(same));
  return fmt::format("{}; rank {}: {}", degrees, rank, groups);
}

}  // namespace og

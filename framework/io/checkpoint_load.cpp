#include <algorithm>
#include <cstring>
#include <set>

#include "framework/core/finite.h"
#include "framework/io/checkpoint.h"
#include "framework/io/shard_reader.h"
#include "parallel/comm/together.h"

namespace og {

namespace {

constexpr Site kSite = Sites::checkpoint;

bool ignored(const std::string& name, const LoadOptions& options) {
  return std::any_of(options.ignored_prefixes.begin(), options.ignored_prefixes.end(),
                     [&](const std::string& prefix) { return name.starts_with(prefix); });
}

// Names, shapes and types; the first that differs is named.
void check_alike(const Checkpoint& checkpoint, std::span<const CheckpointTensor> tensors, const LoadOptions& options) {
  const std::string where = fmt::format("{}: checkpoint of another model", checkpoint.folder());
  std::set<std::string> wanted;
  for (const CheckpointTensor& t : tensors) {
    wanted.insert(t.name);
    const CheckpointEntry* entry = checkpoint.find(t.name);
    if (!entry) fail(Status::data, "{}: it has no tensor {} {}", where, t.name, t.global_shape.str());
    if (!(entry->shape == t.global_shape))
      fail(Status::data, "{}: tensor {} is {} there and {} here", where, t.name, entry->shape.str(),
           t.global_shape.str());
    const DType here = t.tensor.dtype();
    const bool convertible = options.convert_reals && is_real(here) && is_real(entry->dtype);
    if (entry->dtype != here && !convertible)
      fail(Status::data, "{}: tensor {} is {} there and {} here (train.precision)", checkpoint.folder(), t.name,
           name_of(entry->dtype), name_of(here));
  }
  for (const CheckpointEntry& entry : checkpoint.entries())
    if (!wanted.contains(entry.name) && !ignored(entry.name, options))
      fail(Status::data, "{}: its tensor {} {} is not in this one", where, entry.name, entry.shape.str());
}

template <class To, class From>
void copy_run(std::byte* to, const std::byte* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    From x;
    std::memcpy(&x, from + i * size_of(DTypeOf<From>::value), sizeof x);
    const auto y = static_cast<To>(x);
    std::memcpy(to + i * size_of(DTypeOf<To>::value), &y, sizeof y);
  }
}

// Copies the part of the box that this rank holds, run by run along the last dim.
void copy_overlap(const CheckpointTensor& t, const CheckpointEntry& entry, const CheckpointBox& box,
                  std::span<const std::byte> bytes) {
  const int rank = t.global_shape.rank();
  Shape low, extent;
  for (int i = 0; i < rank; ++i) {
    const int64_t begin = std::max(t.begin[i], box.begin[i]);
    const int64_t end = std::min(t.begin[i] + t.tensor.size(i), box.begin[i] + box.extent[i]);
    if (begin >= end) return;
    low.push_back(begin);
    extent.push_back(end - begin);
  }
  const int64_t run = rank == 0 ? 1 : extent[-1];
  const int64_t num_runs = extent.count() / run;
  Shape at = low;
  for (int64_t r = 0; r < num_runs; ++r) {
    int64_t from = 0, to = 0;
    for (int i = 0; i < rank; ++i) {
      from = from * box.extent[i] + at[i] - box.begin[i];
      to = to * t.tensor.size(i) + at[i] - t.begin[i];
    }
    std::byte* out = t.tensor.raw() + to * size_of(t.tensor.dtype());
    const std::byte* in = bytes.data() + from * size_of(entry.dtype);
    if (entry.dtype == t.tensor.dtype())
      std::memcpy(out, in, static_cast<size_t>(run * size_of(entry.dtype)));
    else if (entry.dtype == DType::f32)
      copy_run<double, float>(out, in, run);
    else
      copy_run<float, double>(out, in, run);
    for (int i = rank - 2; i >= 0; --i) {
      at.set(i, at[i] + 1);
      if (at[i] < low[i] + extent[i]) break;
      at.set(i, low[i]);
    }
  }
}

}  // namespace

void load_checkpoint(const Checkpoint& checkpoint, std::span<const CheckpointTensor> tensors, Comm& world,
                     const LoadOptions& options) {
  together(world, kSite, [&] { check_alike(checkpoint, tensors, options); });
  together(world, kSite, [&] {
    ShardReader shards(checkpoint);
    // Every box is hashed by one rank.
    int64_t box_index = 0;
    for (const CheckpointEntry& entry : checkpoint.entries()) {
      if (ignored(entry.name, options)) continue;
      for (const CheckpointBox& box : entry.boxes)
        if (box_index++ % world.size() == world.rank()) {
          shards.verify(entry, box);
          if (first_not_finite(entry.dtype, shards.bytes(entry, box)) >= 0)
            fail(Status::numbers,
                 "{}: tensor {} holds NaN or infinity: it was saved after the numbers had gone bad. "
                 "Take an earlier checkpoint",
                 checkpoint.folder(), entry.name);
        }
    }
    for (const CheckpointTensor& t : tensors) {
      const CheckpointEntry& entry = *checkpoint.find(t.name);
      int64_t covered = 0;
      for (const CheckpointBox& box : entry.boxes) {
        covered += box.extent.count();
        copy_overlap(t, entry, box, shards.bytes(entry, box));
      }
      if (covered != entry.shape.count())
        fail(Status::data, "{}/index.json: tensor {}: boxes with {} of {} elements", checkpoint.folder(), t.name,
             covered, entry.shape.count());
    }
  });
}

}  // namespace og

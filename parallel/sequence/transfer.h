// A started transfer of a layer's streams: waited for once, where its result is first needed, or, with
// SeqContext::options.overlap off, where it starts.
#pragma once

#include <optional>
#include <utility>

#include "parallel/sequence/context.h"

namespace og {

class Transfer {
 public:
  Transfer() = default;
  Transfer(Pending pending, const SeqContext& seq) : pending_(std::move(pending)) {
    if (!seq.options.overlap) wait();
  }
  void wait() {
    if (pending_) pending_->wait();
    pending_.reset();
  }

 private:
  std::optional<Pending> pending_;  // none: waited for, or nothing was started
};

}  // namespace og

#include "parallel/state_exchange.h"

namespace og {

namespace {

class StateGather final : public StateExchange {
 public:
  explicit StateGather(const StateCall& call)
      : StateExchange(call),
        rows_(static_cast<size_t>(call.comm.size()), call.own.flat.count()),
        all_(call.cx.empty({call.own.flat.count() * call.comm.size()}, call.own.flat.dtype())),
        pending_(call.comm.all_gather(all_, call.own.flat, rows_, call.site)) {}

  Result wait() override {
    pending_.wait();
    Result result;
    Tensor state = call_.outside;
    for (int step = 0; step < call_.comm.size(); ++step) {
      if (step == place()) {
        result.entry = state;
        if (!call_.wants_total) return result;
      }
      state = pass(of(rank_at(step)), state);
    }
    result.total = state;
    return result;
  }

 private:
  Summary of(int rank) const {
    const int64_t n = call_.own.flat.count();
    return Summary::of(all_.slice(rank * n, (rank + 1) * n), call_.own.b.shape(), call_.own.a.size(2));
  }

  std::vector<int64_t> rows_;
  Tensor all_;
  Pending pending_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_gather(const StateCall& call) { return std::make_unique<StateGather>(call); }

}  // namespace og

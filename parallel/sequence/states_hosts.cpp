// The states in two levels. Inside a host: one all_gather of its ranks' summaries. Across hosts: the first rank of each
// composes its host's summary, the first ranks gather those, fold what comes before their host and hand it to its
// ranks. A link between hosts carries one summary a host, where lasp2 carries one a rank to every rank.
#include <optional>

#include "parallel/comm/hosts.h"
#include "parallel/sequence/states.h"

namespace og {

namespace {

// The summaries of a group's ranks, on their way.
class Gathered {
 public:
  Gathered(Context& cx, Comm& comm, const Summary& own, Site site)
      : shape_(own.b.shape()),
        n_(own.a.size(2)),
        count_(own.flat.count()),
        rows_(static_cast<size_t>(comm.size()), 1),
        all_(cx.empty({comm.size(), count_}, own.flat.dtype())),
        pending_(comm.all_gather(all_, own.flat.reshape({1, count_}), rows_, site)) {}
  bool done() const { return pending_.done(); }
  void wait() { pending_.wait(); }
  Summary of(int rank) const { return Summary::of(all_.slice(rank, rank + 1).reshape({count_}), shape_, n_); }
  const Tensor& all() const { return all_; }  // a row each

 private:
  Shape shape_;
  int64_t n_, count_;
  std::vector<int64_t> rows_;
  Tensor all_;
  Pending pending_;
};

class StateHosts final : public StateExchange {
 public:
  explicit StateHosts(const StateCall& call)
      : StateExchange(call), hosts_(call.comm().hosts()), inside_(call.cx, hosts_.inside(), call.own, call.site) {
    if (hosts_.count() == 1) return;
    both_ = call.cx.empty({call.wants_total ? 2 : 1, call.own.b.count()}, call.own.b.dtype());
    if (!leads()) handed_round_ = hosts_.inside().broadcast(both_, 0, call.site);
  }

  // The first rank of a host: its host's summaries are composed and set out, the hosts' folded and handed round.
  bool progress() override {
    if (!leads() || hosts_.count() == 1) return false;
    if (!across_ && inside_.done()) set_out();
    if (across_ && !handed_on_ && across_->done()) hand_on();
    return !handed_on_;
  }

  Result wait() override {
    Comm& inside = hosts_.inside();
    Result result;
    Tensor state = call_.outside;  // before this host's first piece
    if (hosts_.count() > 1) {
      if (leads() && !across_) set_out();
      if (leads() && !handed_on_) hand_on();
      if (!leads()) inside_.wait();
      handed_round_.wait();
      const auto part = [&](int i) { return both_.slice(i, i + 1).reshape(call_.own.b.shape()); };
      state = part(0);
      if (call_.wants_total) result.total = part(1);
    } else {
      inside_.wait();
    }
    const int own = at(inside.rank(), inside.size());
    result.entry = fold(call_.own.b.shape(), inside_.all(), 0, own, state);
    if (hosts_.count() == 1 && call_.wants_total)
      result.total = fold(call_.own.b.shape(), inside_.all(), own, inside.size(), result.entry);
    return result;
  }

 private:
  bool leads() const { return hosts_.inside().rank() == 0; }
  // The rank that the direction meets at a step, and the step at which it meets a rank.
  int at(int step, int size) const { return call_.direction == Direction::forward ? step : size - 1 - step; }

  void set_out() {
    inside_.wait();
    Summary host = inside_.of(at(0, hosts_.inside().size()));
    for (int step = 1; step < hosts_.inside().size(); ++step)
      host = compose(host, inside_.of(at(step, hosts_.inside().size())));
    across_.emplace(call_.cx, hosts_.across(), host, call_.site);
  }

  // The state before the host, and the total if it is wanted.
  void hand_on() {
    across_->wait();
    Tensor state = call_.outside.defined() ? call_.outside : call_.cx.zeros(call_.own.b.shape(), call_.own.b.dtype());
    const int hosts = hosts_.count(), own = at(hosts_.across().rank(), hosts);
    state = fold(state.shape(), across_->all(), 0, own, state);
    both_.slice(0, 1).reshape(state.shape()).copy_from(state);
    if (call_.wants_total)
      both_.slice(1, 2).reshape(state.shape()).copy_from(fold(state.shape(), across_->all(), own, hosts, state));
    handed_round_ = hosts_.inside().broadcast(both_, 0, call_.site);
    handed_on_ = true;
  }

  Hosts& hosts_;
  Gathered inside_;
  std::optional<Gathered> across_;  // on the first rank of a host, once its summaries were there
  Tensor both_;                     // the state before this host, the total
  Pending handed_round_;
  bool handed_on_ = false;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_hosts(const StateCall& call) { return std::make_unique<StateHosts>(call); }

}  // namespace og

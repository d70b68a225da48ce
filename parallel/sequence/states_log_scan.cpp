#include "parallel/sequence/states.h"

namespace og {

namespace {

class StateScan final : public StateExchange {
 public:
  explicit StateScan(const StateCall& call) : StateExchange(call), inclusive_(call.own) { exchange(1); }

  // A round that is through is composed, and the next starts.
  bool progress() override {
    while (!shifted_ && arrived()) next_round();
    return !shifted_;
  }

  Result wait() override {
    while (!shifted_) next_round();
    Result result;
    result.entry = arrive() ? pass(arrived_, call_.outside) : call_.outside;
    if (call_.wants_total) result.total = from_last(last() ? pass(inclusive_, call_.outside) : Tensor());
    return result;
  }

 private:
  // After the round over distance d, inclusive_ is the map of the 2 d pieces that end with this rank's; behind the last
  // round each rank takes its predecessor's: exclusive from inclusive.
  void next_round() {
    if (arrive()) inclusive_ = compose(arrived_, inclusive_);
    distance_ *= 2;
    shifted_ = distance_ >= call_.comm().size();
    exchange(shifted_ ? 1 : distance_);
  }

  // A rank may have no partner in a round, on one side or on both.
  void exchange(int distance) {
    std::vector<Message> sends, receives;
    if (place() + distance < call_.comm().size()) sends.push_back({rank_at(place() + distance), inclusive_.flat});
    receives_ = place() >= distance;
    if (receives_) {
      arrived_ = Summary::empty(call_.cx, inclusive_.b.shape(), inclusive_.a.size(2), inclusive_.b.dtype());
      receives.push_back({rank_at(place() - distance), arrived_.flat});
    }
    started_ = !sends.empty() || receives_;
    if (started_) pending_ = call_.comm().send_recv(std::move(sends), std::move(receives), call_.site);
  }
  bool arrived() const { return !started_ || pending_.done(); }
  // Whether something came.
  bool arrive() {
    if (started_) pending_.wait();
    return receives_;
  }

  Summary inclusive_, arrived_;
  int distance_ = 1;
  bool receives_ = false, started_ = false;
  bool shifted_ = false;  // the shift is under way
  Pending pending_;
};

}  // namespace

std::unique_ptr<StateExchange> start_state_scan(const StateCall& call) { return std::make_unique<StateScan>(call); }

}  // namespace og

#include "parallel/comm/together.h"

#include <chrono>
#include <exception>
#include <future>

namespace og {

void together(Comm& world, Site site, const std::function<void()>& work) {
  std::string mine;  // status, a blank, the message
  try {
    work();
  } catch (const Error& e) {
    if (e.status() == Status::rank) throw;  // the ranks cannot be reached any more
    mine = fmt::format("{} {}", static_cast<int>(e.status()), e.what());
  } catch (const std::exception& e) {
    mine = fmt::format("{} {}", static_cast<int>(Status::internal), e.what());
  }
  const std::vector<std::string> all = world.gather_text(mine, site);
  for (size_t r = 0; r < all.size(); ++r) {
    if (all[r].empty()) continue;
    const auto status = static_cast<Status>(std::stoi(all[r]));
    const std::string message = all[r].substr(all[r].find(' ') + 1);
    throw_error(status, world.size() > 1 ? fmt::format("rank {}: {}", r, message) : message);
  }
}

void together_at_length(Comm& world, Site site, const std::function<void()>& work) {
  together(world, site, [&] {
    std::future<void> result = std::async(std::launch::async, work);
    const auto is_done = [&] { return result.wait_for(std::chrono::milliseconds(200)) == std::future_status::ready; };
    try {
      while (world.max(is_done() ? 0 : 1, site) > 0) {
      }
    } catch (const std::exception& e) {
      world.abort(e.what());  // now: the future's destructor waits for the work
      throw;
    }
    result.get();
  });
}

}  // namespace og

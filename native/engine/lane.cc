// See lane.h.
#include "lane.h"

#include <sys/eventfd.h>
#include <time.h>

namespace fabric::engine {

namespace {
// 0: the real one.
std::atomic<uint64_t> manual_us{0};
}  // namespace

void set_manual_clock(uint64_t now) { manual_us = now; }

uint64_t now_us() {
  const uint64_t manual = manual_us.load(std::memory_order_relaxed);
  if (manual != 0) return manual;
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

Lane::Lane() : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Lane::post(std::function<void()> command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  pending_.store(true, std::memory_order_release);
  nudge();
}

void Lane::nudge() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

bool Lane::turn() {
  if (pending_.load(std::memory_order_acquire)) run_commands();
  return serve();
}

void Lane::watch(pollfd* descriptors) const {
  descriptors[0] = source();
  descriptors[1] = {wake_.get(), POLLIN, 0};
}

void Lane::woken(const pollfd* descriptors) {
  if ((descriptors[0].revents & (POLLERR | POLLNVAL)) != 0) source_failed();
  if (descriptors[1].revents == 0) return;
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t bytes = read(wake_.get(), &count, sizeof count);
}

void Lane::run_commands() {
  std::vector<std::function<void()>> commands;
  pending_.store(false, std::memory_order_release);
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (const auto& command : commands) command();
}

}  // namespace fabric::engine

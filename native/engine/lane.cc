// See lane.h.
#include "lane.h"

#include <poll.h>
#include <pthread.h>
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

void Lane::start(const char* name) {
  thread_ = std::thread([this, name] {
    pthread_setname_np(pthread_self(), name);
    run();
  });
}

void Lane::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  post([] {});
  thread_.join();
}

void Lane::post(std::function<void()> command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  pending_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Lane::run() {
  while (!stopping_) {
    pollfd descriptors[2] = {{source(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    const int ready = poll(descriptors, 2, idle_ms());
    if (pending_.load(std::memory_order_acquire)) run_commands();
    if (ready == 0) idle();
    if ((descriptors[0].revents & (POLLERR | POLLNVAL)) != 0) source_failed();
    if ((descriptors[0].revents & POLLIN) != 0) serve();
  }
}

void Lane::run_commands() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t bytes = read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> commands;
  pending_.store(false, std::memory_order_release);
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (const auto& command : commands) command();
}

}  // namespace fabric::engine

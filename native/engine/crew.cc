// See crew.h.
#include "crew.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#include <chrono>

namespace fabric::engine {
namespace {

// Our tuning: when the leader is too busy to look after both lanes, and when the helper is not worth having.
constexpr int64_t kSaturatedUs = 200;
constexpr int kHelperPatienceMs = 10;
constexpr unsigned kHelperCpus = 4;

int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void name_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace

size_t Crew::threads_here() { return std::thread::hardware_concurrency() >= kHelperCpus ? 2 : 1; }

Crew::Crew(Lane& send, Lane& receive, size_t threads, std::function<void()> moved)
    : send_(send),
      receive_(receive),
      moved_(std::move(moved)),
      has_helper_(threads > 1),
      call_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Crew::start() {
  leader_ = std::thread([this] { lead(); });
  if (has_helper_) helper_ = std::thread([this] { help(); });
}

void Crew::stop() {
  if (!leader_.joinable()) return;
  stopping_ = true;
  send_.nudge();
  receive_.nudge();
  call_helper();
  leader_.join();
  if (has_helper_) helper_.join();
}

void Crew::lead() {
  name_thread("engine-lead");
  // Since when there was work each time; 0: it rests.
  int64_t busy_since_us = 0;
  while (!stopping_) {
    const bool both = !helping_.load(std::memory_order_acquire);
    const bool sent = send_.turn();
    const bool received = both && receive_.turn();
    if (!sent && !received) {
      if (busy_since_us != 0) moved_();
      busy_since_us = 0;
      sleep(both);
      continue;
    }
    const int64_t now = monotonic_us();
    if (busy_since_us == 0) busy_since_us = now;
    if (now - busy_since_us < kSaturatedUs) continue;
    moved_();
    if (!both || !has_helper_) continue;
    helping_.store(true, std::memory_order_release);
    call_helper();
  }
}

void Crew::sleep(bool with_receive) {
  pollfd descriptors[4];
  send_.watch(descriptors);
  int timeout_ms = send_.idle_ms();
  if (with_receive) {
    receive_.watch(descriptors + 2);
    const int other_ms = receive_.idle_ms();
    if (timeout_ms < 0 || (other_ms >= 0 && other_ms < timeout_ms)) timeout_ms = other_ms;
  }
  if (poll(descriptors, with_receive ? 4 : 2, timeout_ms) <= 0) return;
  send_.woken(descriptors);
  if (with_receive) receive_.woken(descriptors + 2);
}

void Crew::call_helper() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(call_.get(), &one, sizeof one);
}

void Crew::help() {
  name_thread("engine-help");
  while (!stopping_) {
    wait_for_call();
    while (!stopping_ && helping_.load(std::memory_order_acquire)) {
      const bool received = receive_.turn();
      moved_();
      if (received) continue;
      pollfd descriptors[2];
      receive_.watch(descriptors);
      const int ready = poll(descriptors, 2, kHelperPatienceMs);
      if (ready > 0) receive_.woken(descriptors);
      if (ready != 0) continue;
      helping_.store(false, std::memory_order_release);
      // The leader may be asleep without an eye on the receive lane.
      send_.nudge();
    }
  }
}

void Crew::wait_for_call() {
  pollfd called{call_.get(), POLLIN, 0};
  poll(&called, 1, -1);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t bytes = read(call_.get(), &count, sizeof count);
}

}  // namespace fabric::engine

// See crew.h.
#include "crew.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>

#include <chrono>

namespace fabric::engine {
namespace {

// Our tuning: how long the leader looks again before it sleeps. A sleep and a wake-up cost more than the answer of a peer
// takes on a fast link.
constexpr int64_t kSpinUs = 50;
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

Crew::Crew(Lane& send, Lane& receive, size_t threads)
    : send_(send), receive_(receive), has_helper_(threads > 1), call_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

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
  int64_t last_work_us = 0;
  while (!stopping_) {
    const bool both = !helping_.load(std::memory_order_acquire);
    bool worked = send_.turn();
    if (both) worked = receive_.turn() || worked;
    const int64_t now = monotonic_us();
    if (worked) {
      last_work_us = now;
      if (busy_since_us == 0) busy_since_us = now;
      if (both && has_helper_ && now - busy_since_us >= kSaturatedUs) {
        helping_.store(true, std::memory_order_release);
        call_helper();
      }
      continue;
    }
    busy_since_us = 0;
    if (both && now - last_work_us < kSpinUs) {
      sched_yield();
      continue;
    }
    sleep(both);
    last_work_us = monotonic_us();
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
      if (receive_.turn()) continue;
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

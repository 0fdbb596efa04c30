// The threads that serve the lanes. The first leads: it serves the send lane, and the receive lane too, because a packet and its
// answer then cost one wake-up of a thread each way instead of two. Where there are CPUs for it, a second takes the receive lane
// over when the first never gets to rest, until no datagram comes any more. Invariant: at any time one thread serves a lane, so
// lanes need no lock and a flow keeps its order.
//
//   leader: send + receive ── busy for kSaturatedUs ──▶ leader: send, helper: receive
//          ▲                                                            │
//          └──────────── no datagram for kHelperPatienceMs ─────────────┘
#pragma once

#include <functional>
#include <thread>

#include "lane.h"

namespace fabric::engine {

class Crew {
 public:
  // What this machine has CPUs for: 2 from four on. With fewer, a second thread takes from containers what it gains, and each
  // frame has a longer way between caches.
  static size_t threads_here();

  // The lanes outlive it. `threads` is 1 or 2. `moved` is called by the thread that moved something, before it sleeps and now and
  // then while it does not.
  Crew(Lane& send, Lane& receive, size_t threads, std::function<void()> moved);

  // By the thread that serves the receive lane: the send lane has work. Whoever serves both comes to it before it rests.
  void received_for_send() {
    if (helping_.load(std::memory_order_relaxed)) send_.nudge();
  }

  // False when the kernel gave no descriptor.
  bool usable() const { return call_.open(); }
  void start();
  // Ends and joins the threads; commands that did not run are dropped. Idempotent.
  void stop();

 private:
  void lead();
  void sleep(bool with_receive);
  void call_helper();
  void help();
  void wait_for_call();

  Lane& send_;
  Lane& receive_;
  const std::function<void()> moved_;
  const bool has_helper_;
  // Readable when the helper is called.
  Descriptor call_;
  // The receive lane is the helper's.
  std::atomic<bool> helping_{false};
  std::atomic<bool> stopping_{false};
  std::thread leader_;
  std::thread helper_;
};

}  // namespace fabric::engine

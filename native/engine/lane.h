// A lane moves frames in one direction. It owns all that it looks up (tables, sessions, peers), so the hot path takes no lock;
// the control thread changes a lane only by commands, which run in order between two batches. crew.h says which thread serves
// it; never two at once.
#pragma once

#include <poll.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "descriptor.h"

namespace fabric::engine {

// CLOCK_BOOTTIME: never steps back, also counts while the machine sleeps; the daemon's clock is the same.
uint64_t now_us();
// From now on time stands still at `now` until it is set again: for tests of what takes minutes.
void set_manual_clock(uint64_t now);

class Lane {
 public:
  Lane();
  virtual ~Lane() = default;
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // False when the kernel gave no descriptor.
  bool usable() const { return wake_.open(); }
  // From any thread.
  void post(std::function<void()> command);
  // From any thread: whoever sleeps on `watch` wakes up.
  void nudge();

  // The rest is for the thread that serves the lane.
  // Runs the commands and moves one batch; false when there was nothing to move.
  bool turn();
  // The two descriptors to sleep on.
  void watch(pollfd* descriptors) const;
  // What poll said of them.
  void woken(const pollfd* descriptors);
  // Longest sleep; -1 for ever.
  virtual int idle_ms() const { return -1; }

 protected:
  // One batch; false when there was nothing.
  virtual bool serve() = 0;
  // The descriptor, and the event of it that means work.
  virtual pollfd source() const = 0;
  // The descriptor is in error.
  virtual void source_failed() = 0;

 private:
  void run_commands();

  Descriptor wake_;
  std::atomic<bool> pending_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> commands_;
};

}  // namespace fabric::engine

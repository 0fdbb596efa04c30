// A lane is one thread that moves frames in one direction. It owns all that it looks up (tables, sessions, peers), so the hot
// path takes no lock; the control thread changes a lane only by commands, which run in order between two batches.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
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
  void start(const char* name);
  // Ends and joins the thread; commands that did not run are dropped. Idempotent.
  void stop();
  // From any thread.
  void post(std::function<void()> command);

 protected:
  // One batch; returns when there is nothing to do at once.
  virtual void serve() = 0;
  // The descriptor whose readability means work.
  virtual int source() const = 0;
  // The descriptor is in error.
  virtual void source_failed() = 0;
  // Longest sleep; -1 for ever.
  virtual int idle_ms() const { return -1; }
  // After a sleep of idle_ms.
  virtual void idle() {}

 private:
  void run();
  void run_commands();

  Descriptor wake_;
  std::thread thread_;
  std::atomic<bool> pending_{false};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> commands_;
};

}  // namespace fabric::engine

// Success or errno: how the addon's own code reports failures. Exceptions of the standard library are caught by `guarded`
// on the thread where they arise, so that none reaches Node.
#pragma once

#include <cerrno>
#include <new>
#include <system_error>
#include <utility>
#include <variant>

namespace fabric {

struct SystemError {
  int code;
  /** The failed call, for the message; a string literal. */
  const char* call;
};

/** Call it at once behind the failed call, before anything else can change errno. */
inline SystemError lastError(const char* call) { return {errno, call}; }

template <typename T>
class Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(SystemError error) : state_(error) {}

  bool ok() const { return std::holds_alternative<T>(state_); }
  T& value() { return std::get<T>(state_); }
  const SystemError& error() const { return std::get<SystemError>(state_); }

 private:
  std::variant<T, SystemError> state_;
};

/** The value of a Result that has none. */
struct Done {};

/** Runs `work` and turns what the standard library throws for lack of memory or threads into a SystemError. */
template <typename Work>
auto guarded(Work&& work) noexcept -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return SystemError{ENOMEM, "malloc"};
  } catch (const std::system_error& error) {
    return SystemError{error.code().value(), "pthread_create"};
  }
}

}  // namespace fabric

#include "monitor.h"

#include <uv.h>

#include <array>
#include <memory>

#include "napi_result.h"
#include "netlink.h"

namespace fabric {
namespace {

/** Datagrams per wake-up, so that a flood leaves the loop its other work. */
constexpr int kBurstMax = 64;

/**
 * Lives until libuv has closed its poll handle: by `close`, or by the cleanup hook when the environment ends. It holds
 * itself until then, because libuv knows only a plain pointer.
 */
class Monitor {
 public:
  static std::shared_ptr<Monitor> start(Napi::Env env, UniqueFd socket, Napi::Function listener) {
    auto monitor = std::make_shared<Monitor>(env, std::move(socket), listener);
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env, &loop);
    if (uv_poll_init(loop, &monitor->poll_, monitor->socket_.get()) != 0) return nullptr;
    monitor->poll_.data = monitor.get();
    monitor->self_ = monitor;
    napi_add_async_cleanup_hook(
        env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Monitor*>(data)->close(); }, monitor.get(),
        &monitor->cleanup_);
    uv_poll_start(&monitor->poll_, UV_READABLE, [](uv_poll_t* poll, int, int) {
      // A reference of our own: the listener may close us.
      const auto held = static_cast<Monitor*>(poll->data)->self_;
      held->receive();
    });
    return monitor;
  }

  Monitor(Napi::Env env, UniqueFd socket, Napi::Function listener)
      : env_(env), context_(env, "fabric-netlink"), listener_(Napi::Persistent(listener)), socket_(std::move(socket)) {}

  /** Idempotent. */
  void close() {
    if (closing_) return;
    closing_ = true;
    listener_.Reset();
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
      auto* monitor = static_cast<Monitor*>(handle->data);
      napi_remove_async_cleanup_hook(monitor->cleanup_);
      // Now, and not when the JavaScript object, which shares us, is collected.
      monitor->socket_ = UniqueFd();
      const auto last = std::move(monitor->self_);
    });
  }

 private:
  void receive() {
    for (int i = 0; i < kBurstMax && !closing_; i++) {
      auto received = guarded([this] { return receiveNetlink(socket_.get(), buffer_); });
      Napi::HandleScope scope(env_);
      if (received.ok()) {
        const auto& datagram = received.value();
        if (!datagram.has_value()) return;
        tell(Napi::Buffer<std::uint8_t>::Copy(env_, datagram->data(), datagram->size()), env_.Null());
      } else if (received.error().code == ENOBUFS || received.error().code == EMSGSIZE) {
        tell(env_.Null(), env_.Null());
      } else {
        uv_poll_stop(&poll_);
        tell(env_.Null(), toError(env_, received.error()).Value());
        return;
      }
    }
  }

  void tell(Napi::Value bytes, Napi::Value error) {
    listener_.MakeCallback(env_.Global(), {bytes, error}, context_);
    napi_value thrown = nullptr;
    if (env_.IsExceptionPending() && napi_get_and_clear_last_exception(env_, &thrown) == napi_ok) {
      napi_fatal_exception(env_, thrown);
    }
  }

  Napi::Env env_;
  Napi::AsyncContext context_;
  Napi::FunctionReference listener_;
  UniqueFd socket_;
  uv_poll_t poll_{};
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  std::shared_ptr<Monitor> self_;
  std::array<std::uint8_t, kDatagramBytesMax> buffer_;
  bool closing_ = false;
};

}  // namespace

Napi::Value startMonitor(Napi::Env env, UniqueFd socket, Napi::Function listener) {
  const auto monitor = Monitor::start(env, std::move(socket), listener);
  if (monitor == nullptr) return raise(env, {ENOMEM, "uv_poll_init"});
  Napi::Object object = Napi::Object::New(env);
  object.Set("close", Napi::Function::New(
                          env, [monitor](const Napi::CallbackInfo&) { monitor->close(); }, "close"));
  return object;
}

}  // namespace fabric

// Results across the N-API border: a SystemError becomes a JavaScript Error with `code`, `errno` and `syscall` as Node's own
// have; blocking work runs on libuv's pool and settles a promise.
#pragma once

#include <napi.h>

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "result.h"

namespace fabric {

inline Napi::Error toError(Napi::Env env, const SystemError& error) {
  const char* name = strerrorname_np(error.code);
  const std::string code = name == nullptr ? "errno " + std::to_string(error.code) : name;
  const char* words = strerrordesc_np(error.code);
  Napi::Error made = Napi::Error::New(env, code + ": " + (words == nullptr ? "" : words) + ", " + error.call);
  Napi::Object object = made.Value();
  object.Set("code", code);
  object.Set("errno", -error.code);
  object.Set("syscall", error.call);
  return made;
}

/** Throws in JavaScript. */
inline Napi::Value raise(Napi::Env env, const SystemError& error) {
  toError(env, error).ThrowAsJavaScriptException();
  return env.Undefined();
}

template <typename T>
class PromiseWork : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result<T>()>;
  using Convert = Napi::Value (*)(Napi::Env, const T&);

  /** `work` runs on a pool thread and must not touch JavaScript; `convert` makes its value a JavaScript one. */
  static Napi::Value start(Napi::Env env, Work work, Convert convert) {
    auto* worker = new PromiseWork(env, std::move(work), convert);
    Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    result_.emplace(guarded([this] { return work_(); }));
    // What the work holds (a socket, a namespace) is let go here and not when JavaScript gets to it.
    work_ = nullptr;
  }

  void OnOK() override {
    if (result_->ok()) {
      deferred_.Resolve(convert_(Env(), result_->value()));
    } else {
      deferred_.Reject(toError(Env(), result_->error()).Value());
    }
  }

 private:
  PromiseWork(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(convert) {}

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::optional<Result<T>> result_;
};

}  // namespace fabric

// The addon's exports: arguments out of JavaScript, one call of the code beside, its result back. src/host/native.ts is the
// only caller, gives every argument in its declared type, and documents each function.
#include <napi.h>

#include <memory>

#include "echo.h"
#include "monitor.h"
#include "namespace.h"
#include "napi_result.h"
#include "netlink.h"
#include "system.h"

namespace fabric {
namespace {

int intAt(const Napi::CallbackInfo& info, std::size_t index) { return info[index].As<Napi::Number>().Int32Value(); }

std::string textAt(const Napi::CallbackInfo& info, std::size_t index) {
  return info[index].As<Napi::String>().Utf8Value();
}

Napi::Value undefined(Napi::Env env, const Done&) { return env.Undefined(); }

Napi::Object identity(Napi::Env env, const NamespaceId& id) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("dev", Napi::BigInt::New(env, static_cast<std::uint64_t>(id.dev)));
  object.Set("ino", Napi::BigInt::New(env, static_cast<std::uint64_t>(id.ino)));
  return object;
}

/**
 * A netlink socket, or what is needed to open one. Into another namespace the first exchange goes, on the pool: it takes a thread,
 * for which JavaScript shall not wait. One exchange is under way at a time.
 */
struct NetlinkDoor {
  int protocol;
  UniqueFd space;
  UniqueFd socket;
};

/** Shared by the JavaScript object and exchanges under way: the last of them closes it. */
using SharedDoor = std::shared_ptr<NetlinkDoor>;

Result<Bytes> exchangeThrough(NetlinkDoor& door, std::span<const ExchangeStep> steps,
                              std::chrono::milliseconds timeout) {
  if (!door.socket) {
    auto opened = openNetlink(door.protocol, door.space.get(), {});
    if (!opened.ok()) return opened.error();
    door.socket = std::move(opened.value());
  }
  return exchangeInTurn(door.socket.get(), door.space.get(), steps, timeout);
}

SysctlSettings settingsOf(const Napi::Array& list) {
  SysctlSettings settings;
  for (std::uint32_t i = 0; i < list.Length(); i++) {
    const auto entry = list.Get(i).As<Napi::Object>();
    settings.push_back(
        {entry.Get("path").As<Napi::String>().Utf8Value(), entry.Get("value").As<Napi::String>().Utf8Value()});
  }
  return settings;
}

Napi::Value startExchange(const Napi::CallbackInfo& info, const SharedDoor& door) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<ExchangeStep> steps;
  for (std::uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Value step = list.Get(i);
    if (step.IsArray()) {
      steps.emplace_back(settingsOf(step.As<Napi::Array>()));
    } else {
      const auto request = step.As<Napi::Uint8Array>();
      steps.emplace_back(Bytes(request.Data(), request.Data() + request.ByteLength()));
    }
  }
  return PromiseWork<Bytes>::start(
      info.Env(),
      [door, steps = std::move(steps), timeout = std::chrono::milliseconds(intAt(info, 1))] {
        return exchangeThrough(*door, steps, timeout);
      },
      [](Napi::Env env, const Bytes& replies) -> Napi::Value {
        return Napi::Buffer<std::uint8_t>::Copy(env, replies.data(), replies.size());
      });
}

Napi::Value openNetlinkSocket(const Napi::CallbackInfo& info) {
  const int protocol = intAt(info, 0);
  const int namespaceFd = intAt(info, 1);
  auto opened = namespaceFd < 0 ? openNetlink(protocol, namespaceFd, {}) : duplicate(namespaceFd);
  if (!opened.ok()) return raise(info.Env(), opened.error());
  auto door = std::make_shared<NetlinkDoor>();
  door->protocol = protocol;
  (namespaceFd < 0 ? door->socket : door->space) = std::move(opened.value());
  // The JavaScript functions share `owner`; `close` empties it, so that only exchanges under way keep the socket.
  auto owner = std::make_shared<SharedDoor>(std::move(door));
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("exchange", Napi::Function::New(info.Env(), [owner](const Napi::CallbackInfo& call) -> Napi::Value {
               if (*owner == nullptr) return raise(call.Env(), {EBADF, "sendto"});
               return startExchange(call, *owner);
             }));
  object.Set("close", Napi::Function::New(info.Env(), [owner](const Napi::CallbackInfo&) { owner->reset(); }));
  return object;
}

Napi::Value openNetlinkMonitor(const Napi::CallbackInfo& info) {
  const auto numbers = info[1].As<Napi::Array>();
  std::vector<int> groups;
  for (std::uint32_t i = 0; i < numbers.Length(); i++) {
    groups.push_back(numbers.Get(i).As<Napi::Number>().Int32Value());
  }
  auto opened = openNetlink(intAt(info, 0), intAt(info, 2), groups);
  if (!opened.ok()) return raise(info.Env(), opened.error());
  return startMonitor(info.Env(), std::move(opened.value()), info[3].As<Napi::Function>());
}

Napi::Value openNamespaceAt(const Napi::CallbackInfo& info) {
  auto opened = openNamespace(textAt(info, 0));
  if (!opened.ok()) return raise(info.Env(), opened.error());
  Napi::Object object = identity(info.Env(), opened.value().id);
  object.Set("fd", opened.value().fd.release());
  return object;
}

Napi::Value ownNamespace(const Napi::CallbackInfo& info) {
  auto id = currentNamespace();
  return id.ok() ? identity(info.Env(), id.value()) : raise(info.Env(), id.error());
}

void closeFd(const Napi::CallbackInfo& info) { UniqueFd closed(intAt(info, 0)); }

Napi::Value readSysctlIn(const Napi::CallbackInfo& info) {
  auto copy = duplicate(intAt(info, 1));
  if (!copy.ok()) return raise(info.Env(), copy.error());
  return PromiseWork<std::string>::start(
      info.Env(),
      [path = textAt(info, 0), space = std::make_shared<UniqueFd>(std::move(copy.value()))] {
        return readSysctl(path, space->get());
      },
      [](Napi::Env env, const std::string& text) -> Napi::Value { return Napi::String::New(env, text); });
}

Napi::Value writeSysctlIn(const Napi::CallbackInfo& info) {
  auto copy = duplicate(intAt(info, 2));
  if (!copy.ok()) return raise(info.Env(), copy.error());
  return PromiseWork<Done>::start(
      info.Env(),
      [path = textAt(info, 0), value = textAt(info, 1), space = std::make_shared<UniqueFd>(std::move(copy.value()))] {
        return writeSysctl(path, value, space->get());
      },
      undefined);
}

Napi::Value ethtoolValuesIn(const Napi::CallbackInfo& info) {
  auto copy = duplicate(intAt(info, 2));
  if (!copy.ok()) return raise(info.Env(), copy.error());
  const auto list = info[1].As<Napi::Array>();
  std::vector<EthtoolValue> commands;
  for (std::uint32_t i = 0; i < list.Length(); i++) {
    const auto entry = list.Get(i).As<Napi::Object>();
    commands.push_back(
        {entry.Get("command").As<Napi::Number>().Uint32Value(), entry.Get("value").As<Napi::Number>().Uint32Value()});
  }
  return PromiseWork<std::vector<EthtoolValue>>::start(
      info.Env(),
      [ifname = textAt(info, 0), commands, space = std::make_shared<UniqueFd>(std::move(copy.value()))] {
        return ethtoolValues(ifname, commands, space->get());
      },
      [](Napi::Env env, const std::vector<EthtoolValue>& answers) -> Napi::Value {
        Napi::Array values = Napi::Array::New(env, answers.size());
        for (std::uint32_t i = 0; i < answers.size(); i++) values.Set(i, answers[i].value);
        return values;
      });
}

const char* nameOf(EchoOutcome outcome) {
  switch (outcome) {
    case EchoOutcome::Reply:
      return "reply";
    case EchoOutcome::TooBig:
      return "too-big";
    case EchoOutcome::Unreachable:
      return "unreachable";
    case EchoOutcome::Silent:
      return "silent";
  }
  return "silent";
}

Napi::Value echoTo(const Napi::CallbackInfo& info) {
  return PromiseWork<EchoResult>::start(
      info.Env(),
      [address = textAt(info, 0), bytes = static_cast<std::uint32_t>(intAt(info, 1)),
       timeout = std::chrono::milliseconds(intAt(info, 2))] { return echo(address, bytes, timeout); },
      [](Napi::Env env, const EchoResult& result) -> Napi::Value {
        Napi::Object object = Napi::Object::New(env);
        object.Set("outcome", nameOf(result.outcome));
        object.Set("rttMs", result.rtt_ms);
        object.Set("mtu", result.mtu);
        return object;
      });
}

Napi::Value peerCredentialsOf(const Napi::CallbackInfo& info) {
  auto credentials = peerCredentials(intAt(info, 0));
  if (!credentials.ok()) return raise(info.Env(), credentials.error());
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("pid", credentials.value().pid);
  object.Set("uid", credentials.value().uid);
  object.Set("gid", credentials.value().gid);
  return object;
}

Napi::Value limitTcpSegmentsOf(const Napi::CallbackInfo& info) {
  auto done = limitTcpSegments(intAt(info, 0), intAt(info, 1));
  return done.ok() ? info.Env().Undefined() : raise(info.Env(), done.error());
}

Napi::Value tryLockFileOf(const Napi::CallbackInfo& info) {
  auto locked = tryLockFile(intAt(info, 0));
  return locked.ok() ? Napi::Boolean::New(info.Env(), locked.value()) : raise(info.Env(), locked.error());
}

Napi::Value forbidCoreDumpsHere(const Napi::CallbackInfo& info) {
  auto done = forbidCoreDumps();
  return done.ok() ? info.Env().Undefined() : raise(info.Env(), done.error());
}

Napi::Value sendUnixDatagramTo(const Napi::CallbackInfo& info) {
  return PromiseWork<Done>::start(
      info.Env(),
      [address = textAt(info, 0), payload = textAt(info, 1), timeout = std::chrono::milliseconds(intAt(info, 2))] {
        return sendUnixDatagram(address, payload, timeout);
      },
      undefined);
}

Napi::Value boottimeNow(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), boottimeMs()); }

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  exports.Set("openNetlinkSocket", Napi::Function::New<openNetlinkSocket>(env));
  exports.Set("openNetlinkMonitor", Napi::Function::New<openNetlinkMonitor>(env));
  exports.Set("openNamespace", Napi::Function::New<openNamespaceAt>(env));
  exports.Set("currentNamespace", Napi::Function::New<ownNamespace>(env));
  exports.Set("closeFd", Napi::Function::New<closeFd>(env));
  exports.Set("readSysctl", Napi::Function::New<readSysctlIn>(env));
  exports.Set("writeSysctl", Napi::Function::New<writeSysctlIn>(env));
  exports.Set("ethtoolValues", Napi::Function::New<ethtoolValuesIn>(env));
  exports.Set("echo", Napi::Function::New<echoTo>(env));
  exports.Set("peerCredentials", Napi::Function::New<peerCredentialsOf>(env));
  exports.Set("limitTcpSegments", Napi::Function::New<limitTcpSegmentsOf>(env));
  exports.Set("tryLockFile", Napi::Function::New<tryLockFileOf>(env));
  exports.Set("forbidCoreDumps", Napi::Function::New<forbidCoreDumpsHere>(env));
  exports.Set("sendUnixDatagram", Napi::Function::New<sendUnixDatagramTo>(env));
  exports.Set("boottimeMs", Napi::Function::New<boottimeNow>(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(fabric_addon, initialise)

}  // namespace fabric

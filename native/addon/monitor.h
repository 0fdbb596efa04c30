// A netlink socket that listens to multicast groups from libuv's loop and hands each datagram to JavaScript.
#pragma once

#include <napi.h>

#include "unique_fd.h"

namespace fabric {

/**
 * An object with `close()`. `listener(bytes, error)` is called with a datagram, with (null, null) when the kernel dropped
 * messages, or with (null, error) once when the socket is broken; then no more comes.
 */
Napi::Value startMonitor(Napi::Env env, UniqueFd socket, Napi::Function listener);

}  // namespace fabric

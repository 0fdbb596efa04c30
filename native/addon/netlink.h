// Netlink sockets: opening them in a namespace, one request-and-replies exchange, and receiving multicast messages.
// Nothing here knows what the messages mean beyond their header (RFC 3549 §2.3.2).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "result.h"
#include "system.h"
#include "unique_fd.h"

namespace fabric {

using Bytes = std::vector<std::uint8_t>;

/** With extended and capped acks and strict checks of dump requests. `groups` are RTNLGRP_* numbers to listen to. */
Result<UniqueFd> openNetlink(int protocol, int namespaceFd, std::span<const int> groups);

/**
 * Sends whole messages in one call and gathers the replies to their sequence numbers until every message with NLM_F_ACK or
 * NLM_F_DUMP has ended (NLMSG_ERROR or NLMSG_DONE), or one without them fails, which ends an nfnetlink batch. Blocks.
 */
Result<Bytes> exchangeNetlink(int fd, std::span<const std::uint8_t> request, std::chrono::milliseconds timeout);

/** Messages for the kernel, or what is written beside them in the namespace of their socket. */
using ExchangeStep = std::variant<Bytes, SysctlSettings>;

/**
 * One step after the other, up to the first that fails; all replies one behind the other, each message 4-byte aligned.
 * `namespaceFd`: of the socket, or -1 for the own one.
 */
Result<Bytes> exchangeInTurn(int fd, int namespaceFd, std::span<const ExchangeStep> steps,
                             std::chrono::milliseconds timeout);

/** The next datagram from the kernel without waiting; nothing when there is none. ENOBUFS: messages were lost. */
Result<std::optional<Bytes>> receiveNetlink(int fd, std::span<std::uint8_t> buffer);

/** The kernel builds dumps in pieces of at most 32 KiB; single messages are smaller still. */
inline constexpr std::size_t kDatagramBytesMax = 64 * 1024;

}  // namespace fabric

// Why a frame or datagram went no further: the names and order of src/router/frame-drops.ts (a test keeps them equal), as
// counters that one thread adds to and any thread reads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fabric::engine {

#define FABRIC_DROP_REASONS(reason)                                                                          \
  reason(kDatagramMalformed, "datagram-malformed") reason(kDatagramVersion, "datagram-version")              \
  reason(kDatagramType, "datagram-type") reason(kSessionUnknown, "session-unknown")                          \
  reason(kReceiveFailed, "receive-failed") reason(kAuthenticationFailed, "authentication-failed")            \
  reason(kReplayed, "replayed") reason(kTooOld, "too-old") reason(kInnerMalformed, "inner-malformed")        \
  reason(kKindUnsupported, "kind-unsupported") reason(kNetworkUnknown, "network-unknown")                    \
  reason(kHopLimitReached, "hop-limit") reason(kFragmentMalformed, "fragment-malformed")                     \
  reason(kFragmentIncomplete, "fragment-incomplete") reason(kFragmentMemory, "fragment-memory")              \
  reason(kChecksumImpossible, "checksum-impossible") reason(kProbeLimit, "probe-limit")                      \
  reason(kFrameShort, "frame-short")                                                                         \
  reason(kFrameTruncated, "frame-truncated") reason(kFrameTooLarge, "frame-too-large")                       \
  reason(kSourceInvalid, "source-invalid") reason(kSourceElsewhere, "source-elsewhere")                      \
  reason(kDestinationElsewhere, "destination-elsewhere") reason(kReservedGroup, "reserved-group")            \
  reason(kGatewayMac, "gateway-mac") reason(kGatewayNeighbour, "gateway-neighbour")                          \
  reason(kNeighbourSpoof, "neighbour-spoof") reason(kRouterAdvertisement, "router-advertisement")            \
  reason(kRedirect, "redirect") reason(kNeighbourAnswered, "neighbour-answered")                             \
  reason(kNeighbourLocal, "neighbour-local") reason(kDestinationLocal, "destination-local")                  \
  reason(kNoMembers, "no-members") reason(kUnknownUnicastLimit, "unknown-unicast-limit")                     \
  reason(kNoEndpoint, "no-endpoint") reason(kWaitingOverflow, "waiting-overflow")                            \
  reason(kPeerRemoved, "peer-removed") reason(kPiecesLimit, "pieces-limit")                                  \
  reason(kSendQueueFull, "send-queue-full") reason(kSendFailed, "send-failed")                               \
  reason(kInjectFailed, "inject-failed") reason(kOverload, "overload")                                       \
  reason(kCaptureOverrun, "capture-overrun") reason(kTableFull, "table-full")                                \
  reason(kDaemonAbsent, "daemon-absent") reason(kRelaySource, "relay-source")                                \
  reason(kRelayNested, "relay-nested") reason(kRelayUnreachable, "relay-unreachable")                        \
  reason(kRelayTooLarge, "relay-too-large") reason(kRelayOverflow, "relay-overflow")

enum class Drop : uint8_t {
#define FABRIC_DROP_ENUM(name, text) name,
  FABRIC_DROP_REASONS(FABRIC_DROP_ENUM)
#undef FABRIC_DROP_ENUM
      kNone,
};

constexpr size_t kDropReasons = static_cast<size_t>(Drop::kNone);

inline constexpr const char* kDropNames[kDropReasons] = {
#define FABRIC_DROP_NAME(name, text) text,
    FABRIC_DROP_REASONS(FABRIC_DROP_NAME)
#undef FABRIC_DROP_NAME
};

// Added to by one thread: an add costs no locked instruction.
class Counter {
 public:
  void add(uint64_t by = 1) { value_.store(value_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed); }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct DropCounts {
  Counter counts[kDropReasons];
  // Of all reasons.
  Counter total;

  void count(Drop reason, uint64_t by = 1) {
    counts[static_cast<size_t>(reason)].add(by);
    total.add(by);
  }
};

}  // namespace fabric::engine

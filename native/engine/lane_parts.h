// What both lanes are given at their start.
#pragma once

#include "counters.h"
#include "events.h"
#include "networks.h"
#include "relay_ring.h"
#include "udp_socket.h"

namespace fabric::engine {

struct LaneFacts {
  NetworkFacts network;
  // This host.
  PeerId self{};
};

// They outlive the lanes.
struct LaneParts {
  Port& port;
  UdpSocket& socket;
  Events& events;
  EngineCounters& counters;
  // What the receive lane hands over to the send lane, to be passed on.
  RelayRing& relay_ring;
};

}  // namespace fabric::engine

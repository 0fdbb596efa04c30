// Counters since the engine's start, by peer and of the engine: each is added to by one lane and read by the control thread.
#pragma once

#include "drops.h"

namespace fabric::engine {

struct PeerCounters {
  // Of the send lane.
  Counter tx_frames, tx_bytes;
  DropCounts send_drops;
  // CLOCK_BOOTTIME in microseconds; 0 is never.
  Counter last_data_sent_us;
  // Of the receive lane.
  Counter rx_frames, rx_bytes;
  DropCounts receive_drops;
  Counter last_data_received_us, last_received_us;
};

struct EngineCounters {
  Counter frames_in, frames_out;
  // Drops that belong to no peer.
  DropCounts send_drops, receive_drops, control_drops;
};

}  // namespace fabric::engine

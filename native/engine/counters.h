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

  // None of them ever falls: as long as the sum stays, all do.
  uint64_t sum() const {
    return tx_frames.get() + tx_bytes.get() + send_drops.total.get() + last_data_sent_us.get() + rx_frames.get() +
           rx_bytes.get() + receive_drops.total.get() + last_data_received_us.get() + last_received_us.get();
  }
};

// Datagrams inside of relayed ones; bytes are theirs, without what the relay adds.
struct RelayCounters {
  // Of the send lane: of other hosts, passed on by this one; of this host, by a relay.
  Counter forwarded_datagrams, forwarded_bytes;
  Counter sent_datagrams, sent_bytes;
  // Of the receive lane.
  Counter received_datagrams, received_bytes;
};

struct EngineCounters {
  Counter frames_in, frames_out;
  RelayCounters relayed;
  // Drops that belong to no peer.
  DropCounts send_drops, receive_drops, control_drops;
};

}  // namespace fabric::engine

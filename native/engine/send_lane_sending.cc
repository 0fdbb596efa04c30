// The send lane's way out to the peers: cuts, numbers, seals, and keeps what has no session yet.
#include "pieces.h"
#include "send_lane.h"

namespace fabric::engine {
namespace {

// As src/router/pcap/waiting-frames.ts.
constexpr size_t kWaitingFramesMax = 64;
constexpr size_t kWaitingBytesMax = 64 * 1024;
// A superframe has fewer bytes than this: sending stops so far before the limit that no frame meets it half sent.
constexpr uint64_t kCountersPerFrameMax = 1 << 17;

}  // namespace

void SendLane::send(Peer& peer, const Outgoing& outgoing) {
  retire_used_up(peer);
  if (peer.sending == nullptr) {
    wait(peer, outgoing);
    return;
  }
  Peer* const first = next_hop_of(peer);
  if (first == nullptr) {
    peer.counters->send_drops.count(peer.relay ? Drop::kRelayUnreachable : Drop::kNoEndpoint, outgoing.frames());
    return;
  }
  Peer& next_hop = *first;
  const auto& superframe = outgoing.superframe;
  const uint32_t network = outgoing.network->id();
  if (!superframe) return send_frame(peer, next_hop, network, outgoing.bytes, outgoing.partial);
  const auto smaller = superframe->frame_bytes() > peer.body_max ? superframe->cut_to(peer.body_max) : std::nullopt;
  const Superframe& fitting = smaller ? *smaller : *superframe;
  if (fitting.header_bytes > kHeaderMax || fitting.frame_bytes() > peer.body_max) {
    return send_cut(peer, next_hop, network, *superframe);
  }
  send_segments(peer, next_hop, network, fitting);
  // What the path made shorter counts as what it became, at the port and in the tunnel.
  counters_.frames_in.add(fitting.count - superframe->count);
  count_sent(peer, fitting.count, fitting.bytes());
}

void SendLane::send_frame(Peer& peer, Peer& next_hop, uint32_t network, Bytes frame, bool partial) {
  if (frame.size() > peer.body_max) {
    send_pieces(peer, next_hop, network, frame, partial);
    return;
  }
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kFrame);
  inner.network = network;
  inner.flags = partial ? kFlagPartialChecksum : 0;
  uint8_t prefix[kInnerBytes];
  write_inner(prefix, inner);
  seal(peer, next_hop, reserve(peer, 1), prefix, frame);
  count_sent(peer, 1, frame.size());
}

void SendLane::send_pieces(Peer& peer, Peer& next_hop, uint32_t network, Bytes frame, bool partial) {
  const size_t count = piece_count(frame.size(), peer.body_max);
  if (count == 0) {
    peer.counters->send_drops.count(Drop::kPiecesLimit);
    return;
  }
  const uint64_t first = reserve(peer, count);
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kFragment);
  inner.network = network;
  inner.flags = partial ? kFlagPartialChecksum : 0;
  inner.count = static_cast<uint8_t>(count);
  // Pieces of equal length rather than full ones and a rest: none is tiny.
  const size_t piece_bytes = (frame.size() + count - 1) / count;
  for (size_t index = 0; index < count; index++) {
    inner.index = static_cast<uint8_t>(index);
    uint8_t prefix[kInnerBytes];
    write_inner(prefix, inner);
    const size_t start = index * piece_bytes;
    seal(peer, next_hop, first + index, prefix, frame.subspan(start, std::min(piece_bytes, frame.size() - start)));
  }
  count_sent(peer, 1, frame.size());
}

void SendLane::send_segments(Peer& peer, Peer& next_hop, uint32_t network, const Superframe& superframe) {
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kSegment);
  inner.network = network;
  inner.flags = kFlagPartialChecksum;
  inner.header_length = static_cast<uint8_t>(superframe.header_bytes);
  uint8_t prefix[kInnerBytes + kHeaderMax];
  const Bytes used(prefix, kInnerBytes + superframe.header_bytes);
  for (size_t start = 0; start < superframe.count; start += kPiecesMax) {
    const size_t count = std::min(superframe.count - start, kPiecesMax);
    const uint64_t first = reserve(peer, count);
    inner.count = static_cast<uint8_t>(count);
    for (size_t index = 0; index < count; index++) {
      inner.index = static_cast<uint8_t>(index);
      write_inner(prefix, inner);
      superframe.write_header(prefix + kInnerBytes, start + index);
      seal(peer, next_hop, first + index, used, superframe.payload(start + index));
    }
  }
}

// Segments that are too large for the path and can't be smaller: each goes in pieces.
void SendLane::send_cut(Peer& peer, Peer& next_hop, uint32_t network, const Superframe& superframe) {
  for (size_t index = 0; index < superframe.count; index++) {
    superframe.write_header(cut_.get(), index);
    const Bytes payload = superframe.payload(index);
    memcpy(cut_.get() + superframe.header_bytes, payload.data(), payload.size());
    send_frame(peer, next_hop, network, Bytes(cut_.get(), superframe.header_bytes + payload.size()), true);
  }
}

void SendLane::seal(Peer& peer, Peer& next_hop, uint64_t counter, Bytes prefix, Bytes body) {
  const size_t bytes = kOuterBytes + prefix.size() + body.size() + kTagBytes;
  DropCounts* drops = &peer.counters->send_drops;
  const bool direct = &peer == &next_hop;
  uint8_t* datagram = direct ? outbox_.reserve(bytes, *peer.address, drops) : sealed_.get();
  const Session& session = *peer.sending;
  write_outer(datagram, session.remote_index, counter);
  session.sealer->seal(counter, Bytes(datagram, kOuterBytes), prefix, body, datagram + kOuterBytes);
  if (!direct) send_by_relay(next_hop, peer.id, MutableBytes(datagram, bytes), drops);
}

uint64_t SendLane::reserve(Peer& peer, size_t count) {
  const uint64_t first = peer.sending->next_counter;
  peer.sending->next_counter += count;
  return first;
}

void SendLane::retire_used_up(Peer& peer) {
  Session* session = peer.sending;
  if (session == nullptr || session->next_counter + kCountersPerFrameMax <= kSendCounterMax) return;
  session->exhausted = true;
  peer.sending = nullptr;
  events_.session_exhausted(session->local_index);
}

void SendLane::wait(Peer& peer, const Outgoing& outgoing) {
  const Bytes bytes = outgoing.bytes;
  if (bytes.size() > kWaitingBytesMax) {
    peer.counters->send_drops.count(Drop::kWaitingOverflow, outgoing.frames());
  } else {
    peer.waiting.push_back(
        {outgoing.network->id(), outgoing.vnet, std::vector<uint8_t>(bytes.begin(), bytes.end()), outgoing.frames()});
    peer.waiting_bytes += bytes.size();
  }
  while (peer.waiting.size() > kWaitingFramesMax || peer.waiting_bytes > kWaitingBytesMax) {
    peer.counters->send_drops.count(Drop::kWaitingOverflow, peer.waiting.front().frames);
    peer.waiting_bytes -= peer.waiting.front().bytes.size();
    peer.waiting.pop_front();
  }
  want(peer);
}

void SendLane::count_sent(Peer& peer, size_t frames, size_t bytes) {
  peer.counters->tx_frames.add(frames);
  peer.counters->tx_bytes.add(bytes);
  peer.counters->last_data_sent_us.set(now_us_);
}

}  // namespace fabric::engine

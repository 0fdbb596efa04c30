// Superframes: what a TAP with a virtio-net header gives and takes instead of single frames (TCP or UDP segmentation offload).
// The sender cuts one into segments that are complete valid frames of their own, so that losing a datagram loses one segment;
// the receiver appends contiguous segments again. Neither computes a checksum over payload.
#pragma once

#include <sys/uio.h>

#include "checksum.h"
#include "vnet.h"
#include "wire.h"

namespace fabric::engine {

// Of a frame with its headers: a segmented frame's L4 header ends here at most (one byte in the inner header).
constexpr size_t kHeaderMax = 255;

// A frame of the port with gso_type set, as measured by `read`.
struct Superframe {
  Frame frame;
  UpperLayer upper;
  // Up to the end of the L4 header.
  size_t header_bytes = 0;
  // Payload of each segment but the last.
  size_t segment_bytes = 0;
  size_t count = 0;

  // Nothing when the kernel's description contradicts the frame.
  static std::optional<Superframe> read(const Frame& frame, const VnetHeader& vnet);
  // The same in frames of at most `frame_bytes`: a TCP stream may be cut anywhere. Nothing for datagrams, which have ends, and for
  // what may be fragmented on its way: its identifications were counted for the kernel's segments.
  std::optional<Superframe> cut_to(size_t frame_bytes) const;

  // Of each frame but the last, and of all.
  size_t frame_bytes() const { return header_bytes + segment_bytes; }
  size_t bytes() const { return count * header_bytes + upper.end - header_bytes; }
  Bytes payload(size_t index) const;
  // The headers of one segment, `header_bytes` of them, with its own lengths, sequence, flags and pseudo-header sum.
  void write_header(uint8_t* to, size_t index) const;

 private:
  void cut(size_t payload_bytes);
};

// Checksum offload as the inner flag says it: true when only the outer L4 checksum is left to do. Any other unfinished
// checksum is completed in `frame` (`vnet` says where it starts). Nothing when it can't be.
std::optional<bool> settle_checksum(MutableBytes frame, const VnetHeader& vnet);

// The most that a superframe has where the length field of IPv4 or UDP says it.
constexpr size_t kSuperframeBytes = 65535;

// Frames on the way to the port that go as one superframe: segments of one on the sender's side, superframes of one TCP flow
// that arrive together, or datagrams of one UDP flow that do (as generic receive offload joins them, for UDP
// rx-udp-gro-forwarding). Holds pointers into the datagrams: write it before they are reused.
class SegmentRun {
 public:
  // Superframes of TCP over IPv4 are joined up to `tcp4_bytes_max`; not at all with kSuperframeBytes. Beyond that a packet's
  // total length is 0, which Linux from 6.3 on reads as "that of the superframe" (BIG TCP).
  explicit SegmentRun(size_t tcp4_bytes_max = kSuperframeBytes) : tcp4_bytes_max_(tcp4_bytes_max) {}

  bool empty() const { return count_ == 0; }
  size_t count() const { return count_; }

  // Starts with a segment whose frame the forwarding rules have passed; false when it is no segment to be appended to.
  // `whole` names the superframe: equal for all its segments and for no other.
  bool start(const Frame& frame, const Inner& inner, uint64_t whole, bool allow_udp);
  // False when it does not continue the run, which then has to be written first. What continues it: the next segment of its
  // superframe, or the first of the flow's next superframe when the run ends with a complete one. A push (PSH) ends a
  // superframe, but not the run: what follows it is here already, and nothing waits.
  bool append(Bytes frame, const Inner& inner, uint64_t whole);

  // The same for a whole frame whose L4 checksum is partial, UDP without IP options. A run takes datagrams of equal length, the
  // last one may be shorter, whose headers the kernel makes again when it cuts the superframe: all but lengths, checksums and
  // the IPv4 identification are the same. That counts up, or means nothing, because the datagrams may not be fragmented
  // (RFC 6864).
  bool start_datagrams(const Frame& frame);
  bool append_datagram(Bytes frame);

  // The superframe: header and payloads. Valid until the next start.
  struct Output {
    VnetHeader vnet;
    std::span<iovec> parts;
  };
  // `parts[0]` is left for the virtio-net header.
  Output finish();
  void clear() { count_ = 0; }

 private:
  // UDP_MAX_SEGMENTS of Linux before 6.10: the kernel refuses a superframe of more.
  static constexpr size_t kDatagramsMax = 64;

  bool begins_next(const Inner& inner, uint8_t flags) const;
  size_t bytes_max() const;
  void begin(const Frame& frame, const UpperLayer& upper, size_t header_bytes);
  void add(const uint8_t* payload, size_t bytes);
  bool same_flow(const uint8_t* header) const;
  bool same_identification(const uint8_t* ip) const;

  const size_t tcp4_bytes_max_;
  bool datagrams_ = false;
  // Of segments only.
  uint64_t whole_ = 0;
  uint8_t next_index_ = 0;
  uint8_t pieces_ = 0;
  size_t count_ = 0;
  size_t header_bytes_ = 0;
  size_t l3_ = 0;
  UpperLayer upper_;
  size_t segment_bytes_ = 0;
  size_t payload_bytes_ = 0;
  // A short segment or FIN was the last: nothing follows.
  bool closed_ = false;
  // A push was the last of its superframe.
  bool pushed_ = false;
  uint8_t header_[kHeaderMax];
  iovec parts_[2 + kPiecesMax];
};

}  // namespace fabric::engine

// See segments.h.
#include "segments.h"

#include <algorithm>

namespace fabric::engine {
namespace {

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr uint8_t kIpDontFragment = 0x40;
constexpr uint8_t kTcpFin = 0x01;
constexpr uint8_t kTcpPush = 0x08;
constexpr uint8_t kTcpCwr = 0x80;
constexpr size_t kTcpChecksumOffset = 16;
constexpr size_t kUdpChecksumOffset = 6;

// 0 when the header is cut short or says nonsense.
size_t l4_header_bytes(const uint8_t* frame, const UpperLayer& upper) {
  if (upper.protocol == kProtocolUdp) return upper.size() >= kUdpBytes ? kUdpBytes : 0;
  if (upper.protocol != kProtocolTcp || upper.size() < 20) return 0;
  const size_t bytes = (frame[upper.offset + 12] >> 4) * 4u;
  return bytes >= 20 && bytes <= upper.size() ? bytes : 0;
}

// Lengths and checksums of the IP header for a packet of `l3_bytes`; the L4 checksum becomes the pseudo-header's sum.
void write_lengths(uint8_t* header, size_t l3, const UpperLayer& upper, size_t l3_bytes) {
  uint8_t* ip = header + l3;
  const size_t upper_bytes = l3_bytes - (upper.offset - l3);
  if (upper.family == 4) {
    store_u16(ip + 2, l3_bytes > kSuperframeBytes ? 0 : l3_bytes);
    store_u16(ip + 10, 0);
    store_u16(ip + 10, checksum16(Bytes(ip, (ip[0] & 0x0f) * 4u)));
  } else {
    store_u16(ip + 4, l3_bytes - kIpv6Bytes);
  }
  uint8_t* l4 = header + upper.offset;
  if (upper.protocol == kProtocolUdp) store_u16(l4 + 4, upper_bytes);
  const size_t field = upper.protocol == kProtocolTcp ? kTcpChecksumOffset : kUdpChecksumOffset;
  store_u16(l4 + field, pseudo_sum(ip, upper.family, upper.protocol, upper_bytes));
}

}  // namespace

std::optional<Superframe> Superframe::read(const Frame& frame, const VnetHeader& vnet) {
  const auto upper = find_upper_layer(frame);
  if (!upper || upper->fragment || vnet.gso_size == 0) return std::nullopt;
  const uint8_t type = vnet.gso_type & ~kGsoEcn;
  const bool tcp = type == kGsoTcp4 || type == kGsoTcp6;
  if (upper->protocol != (tcp ? kProtocolTcp : kProtocolUdp) || (!tcp && type != kGsoUdp)) return std::nullopt;
  const size_t l4_bytes = l4_header_bytes(frame.data, *upper);
  if (l4_bytes == 0 || vnet.csum_start != upper->offset) return std::nullopt;
  Superframe superframe;
  superframe.frame = frame;
  superframe.upper = *upper;
  superframe.header_bytes = upper->offset + l4_bytes;
  superframe.cut(vnet.gso_size);
  return superframe;
}

std::optional<Superframe> Superframe::cut_to(size_t frame_bytes) const {
  const bool may_be_fragmented = upper.family == 4 && (frame.data[frame.l3 + 6] & kIpDontFragment) == 0;
  if (upper.protocol != kProtocolTcp || may_be_fragmented || frame_bytes <= header_bytes) return std::nullopt;
  Superframe smaller = *this;
  smaller.cut(frame_bytes - header_bytes);
  return smaller;
}

void Superframe::cut(size_t payload_bytes) {
  segment_bytes = payload_bytes;
  count = std::max<size_t>(1, (upper.end - header_bytes + payload_bytes - 1) / payload_bytes);
}

Bytes Superframe::payload(size_t index) const {
  const size_t start = header_bytes + index * segment_bytes;
  return Bytes(frame.data + start, std::min(segment_bytes, upper.end - start));
}

void Superframe::write_header(uint8_t* to, size_t index) const {
  memcpy(to, frame.data, header_bytes);
  uint8_t* ip = to + frame.l3;
  if (upper.family == 4) store_u16(ip + 4, static_cast<uint16_t>(load_u16(ip + 4) + index));
  if (upper.protocol == kProtocolTcp) {
    uint8_t* tcp = to + upper.offset;
    store_u32(tcp + 4, load_u32(tcp + 4) + static_cast<uint32_t>(index * segment_bytes));
    if (index + 1 < count) tcp[13] &= static_cast<uint8_t>(~(kTcpFin | kTcpPush));
    if (index > 0) tcp[13] &= static_cast<uint8_t>(~kTcpCwr);
  }
  write_lengths(to, frame.l3, upper, header_bytes - frame.l3 + payload(index).size());
}

std::optional<bool> settle_checksum(MutableBytes bytes, const VnetHeader& vnet) {
  if ((vnet.flags & kVnetNeedsChecksum) == 0) return false;
  const auto frame = Frame::read(bytes);
  const auto upper = frame ? find_upper_layer(*frame) : std::nullopt;
  if (upper && !upper->fragment && vnet.csum_start == upper->offset) {
    const size_t field = checksum_field(*upper);
    if (field != 0 && field == upper->offset + vnet.csum_offset) return true;
  }
  const size_t field = size_t{vnet.csum_start} + vnet.csum_offset;
  if (vnet.csum_start >= bytes.size() || field + 2 > bytes.size()) return std::nullopt;
  // The field holds the pseudo-header's sum already, which the sum over the bytes takes in.
  const uint16_t value = checksum16(bytes.subspan(vnet.csum_start));
  store_u16(bytes.data() + field, value == 0 ? 0xffff : value);
  return false;
}

bool SegmentRun::start(const Frame& frame, const Inner& inner, uint64_t whole, bool allow_udp) {
  count_ = 0;
  const auto upper = find_upper_layer(frame);
  if (!upper || upper->fragment || upper->end != frame.size) return false;
  if (upper->protocol == kProtocolUdp && !allow_udp) return false;
  const size_t l4_bytes = l4_header_bytes(frame.data, *upper);
  if (l4_bytes == 0 || upper->offset + l4_bytes != inner.header_length) return false;
  if (frame.size == inner.header_length) return false;
  begin(frame, *upper, inner.header_length);
  datagrams_ = false;
  whole_ = whole;
  next_index_ = static_cast<uint8_t>(inner.index + 1);
  pieces_ = inner.count;
  const uint8_t flags = upper_.protocol == kProtocolTcp ? header_[upper_.offset + 13] : 0;
  closed_ = (flags & kTcpFin) != 0;
  pushed_ = (flags & kTcpPush) != 0;
  return true;
}

bool SegmentRun::append(Bytes frame, const Inner& inner, uint64_t whole) {
  if (count_ == 0 || count_ == kPiecesMax || datagrams_ || closed_) return false;
  if (inner.header_length != header_bytes_ || frame.size() <= header_bytes_) return false;
  const uint8_t flags = upper_.protocol == kProtocolTcp ? frame[upper_.offset + 13] : 0;
  const bool continues = !pushed_ && whole == whole_ && inner.index == next_index_ && inner.count == pieces_;
  if (!continues && !begins_next(inner, flags)) return false;
  const size_t bytes = frame.size() - header_bytes_;
  if (bytes > segment_bytes_ || header_bytes_ + payload_bytes_ + bytes > bytes_max() || !same_flow(frame.data())) {
    return false;
  }
  add(frame.data() + header_bytes_, bytes);
  whole_ = whole;
  pieces_ = inner.count;
  next_index_ = static_cast<uint8_t>(inner.index + 1);
  if (flags != 0) header_[upper_.offset + 13] |= flags & (kTcpPush | kTcpFin);
  closed_ = closed_ || (flags & kTcpFin) != 0;
  pushed_ = (flags & kTcpPush) != 0;
  return true;
}

// CWR stands in the first segment only when a superframe is cut (RFC 3168, 6.1.2), so what bears it begins a run.
bool SegmentRun::begins_next(const Inner& inner, uint8_t flags) const {
  return bytes_max() > kSuperframeBytes && next_index_ == pieces_ && inner.index == 0 && (flags & kTcpCwr) == 0;
}

size_t SegmentRun::bytes_max() const {
  return upper_.family == 4 && upper_.protocol == kProtocolTcp ? tcp4_bytes_max_ : kSuperframeBytes;
}

bool SegmentRun::start_datagrams(const Frame& frame) {
  count_ = 0;
  const auto upper = find_upper_layer(frame);
  if (!upper || upper->protocol != kProtocolUdp || upper->fragment || upper->end != frame.size) return false;
  if (upper->offset - frame.l3 != (upper->family == 4 ? kIpv4Bytes : kIpv6Bytes)) return false;
  if (upper->size() <= kUdpBytes || load_u16(frame.data + upper->offset + 4) != upper->size()) return false;
  begin(frame, *upper, upper->offset + kUdpBytes);
  datagrams_ = true;
  closed_ = false;
  return true;
}

bool SegmentRun::append_datagram(Bytes frame) {
  if (count_ == 0 || !datagrams_ || closed_ || count_ == kDatagramsMax || frame.size() <= header_bytes_) return false;
  const size_t bytes = frame.size() - header_bytes_;
  if (bytes > segment_bytes_ || header_bytes_ + payload_bytes_ + bytes > kSuperframeBytes) return false;
  const uint8_t* ip = frame.data() + l3_;
  const size_t l3_bytes = upper_.family == 4 ? load_u16(ip + 2) : kIpv6Bytes + load_u16(ip + 4);
  if (l3_ + l3_bytes != frame.size() || load_u16(frame.data() + upper_.offset + 4) != kUdpBytes + bytes) return false;
  if (!same_flow(frame.data())) return false;
  add(frame.data() + header_bytes_, bytes);
  return true;
}

void SegmentRun::begin(const Frame& frame, const UpperLayer& upper, size_t header_bytes) {
  l3_ = frame.l3;
  upper_ = upper;
  header_bytes_ = header_bytes;
  segment_bytes_ = frame.size - header_bytes;
  payload_bytes_ = 0;
  memcpy(header_, frame.data, header_bytes);
  parts_[1] = {header_, header_bytes};
  add(frame.data + header_bytes, segment_bytes_);
}

// A short one is the last.
void SegmentRun::add(const uint8_t* payload, size_t bytes) {
  parts_[2 + count_] = {const_cast<uint8_t*>(payload), bytes};
  count_++;
  payload_bytes_ += bytes;
  closed_ = bytes < segment_bytes_;
}

SegmentRun::Output SegmentRun::finish() {
  VnetHeader vnet{};
  const bool tcp = upper_.protocol == kProtocolTcp;
  vnet.flags = kVnetNeedsChecksum;
  vnet.csum_start = static_cast<uint16_t>(upper_.offset);
  vnet.csum_offset = tcp ? kTcpChecksumOffset : kUdpChecksumOffset;
  if (count_ > 1) {
    vnet.gso_type = !tcp ? kGsoUdp : upper_.family == 4 ? kGsoTcp4 : kGsoTcp6;
    vnet.gso_size = static_cast<uint16_t>(segment_bytes_);
    vnet.hdr_len = static_cast<uint16_t>(header_bytes_);
  }
  write_lengths(header_, l3_, upper_, header_bytes_ - l3_ + payload_bytes_);
  return {vnet, std::span(parts_, 2 + count_)};
}

// True when the kernel, cutting the superframe again, would make this very header of the first one: all but lengths,
// checksums, and TCP's FIN, PSH and CWR is compared; the sequence counts up.
bool SegmentRun::same_flow(const uint8_t* header) const {
  if (memcmp(header, header_, l3_) != 0) return false;
  const uint8_t* ip = header + l3_;
  const uint8_t* first_ip = header_ + l3_;
  const bool same_ip = upper_.family == 4 ? load_u16(ip) == load_u16(first_ip) && same_identification(ip) &&
                                                load_u32(ip + 6) == load_u32(first_ip + 6) &&
                                                memcmp(ip + 12, first_ip + 12, upper_.offset - l3_ - 12) == 0
                                          : load_u32(ip) == load_u32(first_ip) &&
                                                memcmp(ip + 6, first_ip + 6, upper_.offset - l3_ - 6) == 0;
  const uint8_t* l4 = header + upper_.offset;
  const uint8_t* first_l4 = header_ + upper_.offset;
  if (!same_ip || load_u32(l4) != load_u32(first_l4)) return false;
  if (upper_.protocol == kProtocolUdp) return true;
  constexpr uint8_t kMayDiffer = kTcpFin | kTcpPush | kTcpCwr;
  const auto expected = static_cast<uint32_t>(load_u32(first_l4 + 4) + payload_bytes_);
  return load_u32(l4 + 4) == expected && load_u32(l4 + 8) == load_u32(first_l4 + 8) && l4[12] == first_l4[12] &&
         (l4[13] & ~kMayDiffer) == (first_l4[13] & ~kMayDiffer) && load_u16(l4 + 14) == load_u16(first_l4 + 14) &&
         memcmp(l4 + 18, first_l4 + 18, header_bytes_ - upper_.offset - 18) == 0;
}

bool SegmentRun::same_identification(const uint8_t* ip) const {
  const uint16_t first = load_u16(header_ + l3_ + 4);
  const uint16_t own = load_u16(ip + 4);
  if (own == static_cast<uint16_t>(first + count_)) return true;
  return datagrams_ && (ip[6] & kIpDontFragment) != 0 && own == first;
}

}  // namespace fabric::engine

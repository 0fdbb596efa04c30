// The headers of netlink messages (RFC 3549 §2.3.2): walking a datagram of them, and which answers an exchange still waits
// for. Apart from the socket, so that a fuzz target feeds it bytes. Invariant: nothing is read beyond the span.
#pragma once

#include <linux/netlink.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace fabric {

inline constexpr std::size_t netlinkAlign(std::size_t length) { return (length + 3) & ~std::size_t{3}; }

/** Calls `visit(header, message)` for each whole message; stops at the first malformed one or when `visit` says false. */
template <typename Visit>
void eachMessage(std::span<const std::uint8_t> bytes, Visit&& visit) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) return;
    if (!visit(header, bytes.first(header.nlmsg_len))) return;
    bytes = bytes.subspan(std::min(netlinkAlign(header.nlmsg_len), bytes.size()));
  }
}

/** Which sequence numbers were sent and which of them still owe an answer. */
class Outstanding {
 public:
  explicit Outstanding(std::span<const std::uint8_t> request) {
    eachMessage(request, [&](const nlmsghdr& header, auto) {
      sent_.push_back(header.nlmsg_seq);
      const bool answers = (header.nlmsg_flags & NLM_F_ACK) != 0 || (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
      if (answers) waiting_.push_back(header.nlmsg_seq);
      return true;
    });
  }

  bool finished() const { return waiting_.empty(); }
  bool sent(std::uint32_t sequence) const { return std::ranges::find(sent_, sequence) != sent_.end(); }

  void note(const nlmsghdr& header, std::span<const std::uint8_t> message) {
    if (header.nlmsg_type != NLMSG_ERROR && header.nlmsg_type != NLMSG_DONE) return;
    if (std::erase(waiting_, header.nlmsg_seq) > 0) return;
    int error = 0;
    if (message.size() >= sizeof header + sizeof error)
      std::memcpy(&error, message.data() + sizeof header, sizeof error);
    if (header.nlmsg_type == NLMSG_ERROR && error != 0) waiting_.clear();
  }

 private:
  std::vector<std::uint32_t> sent_;
  std::vector<std::uint32_t> waiting_;
};

}  // namespace fabric

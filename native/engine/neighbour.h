// ARP (RFC 826, 5227) and IPv6 neighbour discovery (RFC 4861): reads who asks for whom and which binding a message claims,
// and builds the answers and announcements that a host says for remote containers into its own bridge. The rules are those
// of src/router/neighbour-message.ts and neighbour-answer.ts.
#pragma once

#include "frame.h"

namespace fabric::engine {

struct NeighbourMessage {
  enum class Kind { kQuestion, kStatement, kRouter, kRedirect };
  Kind kind = Kind::kQuestion;
  // Address asked for or stated; family 0 for kRouter.
  Ip target;
  // Nothing when the sender has no address yet (ARP probe, NS from `::`).
  std::optional<Ip> sender;
  // The binding that receivers would believe.
  struct Claim {
    Ip ip;
    Mac mac = 0;
  };
  std::optional<Claim> claim;
};

// Nothing when it is none, or malformed.
std::optional<NeighbourMessage> read_neighbour_message(const Frame& frame);

// "`mac` has the address that `question` asks for", to the asker, with its VLAN tags.
std::vector<uint8_t> answer_question(const Frame& question, const NeighbourMessage& message, Mac mac);

// An ARP announcement or unsolicited advertisement.
std::vector<uint8_t> announce_neighbour(const Ip& ip, Mac mac);

}  // namespace fabric::engine

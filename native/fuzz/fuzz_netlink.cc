// The headers of netlink messages: a request and an answer of any bytes. What must hold: only whole messages within the
// datagram are visited, one behind the other.
#include "../addon/netlink_messages.h"

#include "input.h"

namespace {

using fabric::fuzz::require;

void check(std::span<const uint8_t> bytes) {
  const uint8_t* end = bytes.data();
  fabric::eachMessage(bytes, [&](const nlmsghdr& header, std::span<const uint8_t> message) {
    require(message.size() == header.nlmsg_len && message.data() >= end);
    require(message.data() + message.size() <= bytes.data() + bytes.size());
    end = message.data() + message.size();
    return true;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fabric::fuzz::Input input(data, size);
  const auto request = input.blob();
  const auto answer = input.all();
  check(request);
  check(answer);
  fabric::Outstanding outstanding(request);
  fabric::eachMessage(answer, [&](const nlmsghdr& header, std::span<const uint8_t> message) {
    if (outstanding.sent(header.nlmsg_seq)) outstanding.note(header, message);
    return !outstanding.finished();
  });
  return 0;
}

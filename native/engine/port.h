// The port to the local bridge: a persistent TAP with a virtio-net header, so that one read moves a superframe of up to 64 KiB
// and no checksum over payload is computed. What the kernel lacks is found out at the start and done without.
#pragma once

#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include <sys/uio.h>

#include "bytes.h"
#include "descriptor.h"
#include "vnet.h"

namespace fabric::engine {

constexpr size_t kPortBufferBytes = sizeof(VnetHeader) + 65535 + 32;

class Port {
 public:
  struct Features {
    bool vnet = false;
    bool checksum = false;
    bool tso = false;
    // UDP segmentation, Linux 6.2. As all offloads, only together with `vnet`.
    bool uso = false;
    // The longest superframe of TCP over IPv4 that everything behind the port takes.
    size_t tcp4_bytes_max = 65535;
  };

  // Attaches to the TAP `name`, which exists. `use_vnet` false: as on a kernel without virtio-net headers.
  // `tcp4_bytes_max` as in Features.
  static std::variant<Port, Fault> open(const std::string& name, bool use_vnet, size_t tcp4_bytes_max);
  // Over a descriptor whose reads and writes are whole frames, as a TAP's are: fuzz targets hold the end of a socket pair.
  static Port adopt(Descriptor frames, const Features& features);

  const Features& features() const { return features_; }
  int fd() const { return tap_.get(); }

  // The TAP is there, and this descriptor is its reader.
  bool attached() const;

  enum class Read { kFrame, kEmpty, kGone };
  struct Input {
    Read result = Read::kEmpty;
    VnetHeader vnet;
    MutableBytes frame;
  };
  // Into `buffer` of kPortBufferBytes.
  Input read(uint8_t* buffer);

  // parts[0] is overwritten with the virtio-net header. False when the kernel refused the frame. From any thread.
  bool write(VnetHeader vnet, std::span<iovec> parts) const;
  // One whole frame with its checksum done.
  bool write(Bytes frame) const;

 private:
  friend class SparePorts;
  // Attaches an unattached descriptor of /dev/net/tun.
  static std::variant<Port, Fault> attach(Descriptor&& tun, const std::string& name, bool use_vnet, size_t tcp4_bytes_max);

  Descriptor tap_;
  Features features_;
};

// Descriptors of /dev/net/tun, opened while that is allowed: in the sandbox each further port takes one of them. One that was
// given back serves again: its TAP, which it holds as long as that is there, or any once that is deleted. Used by any thread.
class SparePorts {
 public:
  // What Port::open takes. Fewer descriptors when the kernel gives no more.
  SparePorts(size_t count, bool use_vnet, size_t tcp4_bytes_max);

  // Attaches to the TAP `name`, which exists.
  std::variant<Port, Fault> open(const std::string& name);
  void give_back(Port&& port, const std::string& name);

 private:
  struct Spare {
    Port port;
    // Of its last TAP; empty: it never served.
    std::string name;
  };

  bool use_vnet_;
  size_t tcp4_bytes_max_;
  std::mutex mutex_;
  std::vector<Spare> free_;
};

}  // namespace fabric::engine

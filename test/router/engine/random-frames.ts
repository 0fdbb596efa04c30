// Seeded frames that meet the forwarding rules often: few MACs and addresses, every kind of message, and damaged copies.

import type { Mac } from '../../../src/base/ids.ts';
import type { SeededRandom } from '../../fakes/seeded-random.ts';
import { arp, BROADCAST, discovery, ethernet, ipv4, type Link, udp4, udp6 } from '../frames.ts';

export const GATEWAY_MAC = '02:fa:b1:1c:00:01' as Mac;
export const GATEWAY_IPS = ['10.0.0.254', 'fd00::1'];
export const MACS = [1, 2, 3, 4, 5, 6].map((last) => `02:00:00:00:00:0${last}` as Mac);
export const IPS4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
export const IPS6 = ['fd00::a', 'fd00::b', 'fd00::c'];

const ODD_MACS = [BROADCAST, GATEWAY_MAC, '33:33:ff:00:00:0b', '01:80:c2:00:00:03', '00:00:00:00:00:00'] as Mac[];

export function pick<T>(random: SeededRandom, from: readonly T[]): T {
  return from[random.below(from.length)]!;
}

function link(random: SeededRandom): Link {
  const mac = (): Mac => pick(random, random.below(3) === 0 ? ODD_MACS : MACS);
  const tags = Array.from({ length: random.below(8) === 0 ? 1 + random.below(3) : 0 }, () => random.below(4096));
  return { from: random.below(12) === 0 ? mac() : pick(random, MACS), to: mac(), tags };
}

export function randomFrame(random: SeededRandom): Uint8Array {
  const frame = wellFormed(random);
  if (random.below(3) > 0) return frame;
  const damaged = frame.slice(0, random.below(4) === 0 ? random.below(frame.length + 1) : frame.length);
  for (let i = random.below(4); i > 0 && damaged.length > 0; i--)
    damaged[random.below(damaged.length)] = random.below(256);
  return damaged;
}

/** As a container asks for another: most get an answer once the table knows the target. */
function honestQuestion(random: SeededRandom): Uint8Array {
  const mac = pick(random, MACS);
  if (random.below(2) === 0) {
    const message = { operation: 1, senderMac: mac, senderIp: '10.0.0.99', targetIp: pick(random, IPS4) } as const;
    return arp({ from: mac, to: BROADCAST }, message);
  }
  return discovery(
    { from: mac, to: '33:33:ff:00:00:0b' as Mac },
    { type: 135, from: 'fd00::99', to: 'ff02::1:ff00:b', target: pick(random, IPS6), option: { type: 1, mac } },
  );
}

function wellFormed(random: SeededRandom): Uint8Array {
  const ip4 = (): string => pick(random, [...IPS4, '10.0.0.254', '0.0.0.0']);
  const ip6 = (): string => pick(random, [...IPS6, 'fd00::1', '::', 'fe80::1']);
  if (random.below(5) === 0) return honestQuestion(random);
  const at = link(random);
  switch (random.below(7)) {
    case 0:
      return udp4(at, ip4(), ip4(), random.bytes(random.below(3) === 0 ? 1380 + random.below(40) : random.below(80)));
    case 1:
      return udp6(at, ip6(), ip6(), 'x'.repeat(random.below(60)));
    case 2:
    case 3: {
      const operation = random.below(2) === 0 ? 1 : 2;
      return arp(at, { operation, senderMac: pick(random, [at.from, ...MACS]), senderIp: ip4(), targetIp: ip4() });
    }
    case 4:
    case 5: {
      const mac = pick(random, [at.from, ...MACS]);
      const option = random.below(3) === 0 ? {} : { option: { type: random.below(2) === 0 ? 1 : 2, mac } as const };
      const type = pick(random, [128, 134, 135, 135, 135, 136, 136, 137]);
      return discovery(at, {
        type,
        from: ip6(),
        to: ip6(),
        target: ip6(),
        extension: random.below(4) === 0,
        ...option,
      });
    }
    default: {
      const header = { from: ip4(), to: ip4(), protocol: pick(random, [1, 6, 17, 50]), fragment: random.below(65536) };
      return random.below(2) === 0
        ? ethernet(at, 0x0800, ipv4(header, random.bytes(random.below(60))))
        : ethernet(at, random.below(65536), random.bytes(random.below(60)));
    }
  }
}

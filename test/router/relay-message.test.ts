// What stands in a relayed datagram and where it goes: round trip, golden bytes, arbitrary bytes, and that no walk over hosts that
// point at each other goes on for ever.

import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/base/ids.ts';
import {
  decideRelayed,
  passOn,
  RELAY_OVERHEAD_BYTES,
  readRelayed,
  relayPlain,
} from '../../src/router/relay-message.ts';
import { HOP_LIMIT, INNER_BYTES } from '../../src/router/wire-format.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const [A, B, C] = ['a', 'b', 'c'].map((digit) => digit.repeat(32) as PeerId) as [PeerId, PeerId, PeerId];
const datagram = Uint8Array.of(0x14, 0, 0, 0, 1, 2, 3, 4);

describe('a relayed datagram', () => {
  it('is written as the format says, and read again', () => {
    const relayed = { destination: C, source: A, hopLimit: 7, datagram };
    const plain = relayPlain(relayed);
    expect(toHex(plain)).toBe(`47000000000001${'00'}${C}${A}${toHex(datagram)}`);
    expect(readRelayed(plain.subarray(INNER_BYTES), 7)).toEqual(relayed);
    expect(plain.length + 16 + 16).toBe(datagram.length + RELAY_OVERHEAD_BYTES);
  });

  it('is null or has a datagram of ours, whatever the bytes', () => {
    const random = new SeededRandom(4711);
    let read = 0;
    for (let i = 0; i < 5_000; i++) {
      const body = random.bytes(Math.floor(random.fraction() * 60));
      if (i % 2 === 0 && body.length > 32) body[32] = 0x10 | (i % 8);
      const relayed = readRelayed(body, i % 16);
      if (relayed === null) continue;
      read++;
      expect(relayed.hopLimit).toBeLessThanOrEqual(HOP_LIMIT);
      expect([0x11, 0x12, 0x13, 0x14]).toContain(relayed.datagram[0]);
    }
    expect(read).toBeGreaterThan(100);
  });
});

describe('what a host does with one', () => {
  const relayed = { destination: C, source: A, hopLimit: HOP_LIMIT, datagram };
  const rows = [
    ['the sender hands it to us', relayed, { self: B, from: A, nested: false }, 'forward'],
    ['it is for us', relayed, { self: C, from: A, nested: false }, 'deliver'],
    ['the last relay brings it', { ...relayed, hopLimit: 0 }, { self: C, from: B, nested: false }, 'deliver'],
    [
      'it has been passed on eight times',
      { ...relayed, hopLimit: 0 },
      { self: B, from: A, nested: false },
      'hop-limit',
    ],
    ['another than the sender begins it', relayed, { self: B, from: C, nested: false }, 'relay-source'],
    ['our own comes back', { ...relayed, hopLimit: 3 }, { self: A, from: B, nested: false }, 'relay-source'],
    ['it would go back', { ...relayed, hopLimit: 3 }, { self: B, from: C, nested: false }, 'relay-unreachable'],
    ['it came by a relay', relayed, { self: C, from: A, nested: true }, 'relay-nested'],
  ] as const;
  for (const [name, message, arrival, verdict] of rows) {
    it(name, () => expect(decideRelayed(message, arrival)).toBe(verdict));
  }

  it('goes on to its destination, or to the relay by which that is reached, and not back', () => {
    const passed = { ...relayed, hopLimit: HOP_LIMIT - 1 };
    const direct = { ip: '192.0.2.3', port: 6783 };
    expect(passOn(relayed, { from: A, path: direct })).toEqual({ to: C, relayed: passed });
    expect(passOn(relayed, { from: A, path: null })).toEqual({ to: C, relayed: passed });
    expect(passOn(relayed, { from: A, path: { relay: B, peer: C } })).toEqual({ to: B, relayed: passed });
    expect(passOn(relayed, { from: A, path: { relay: A, peer: C } })).toBeNull();
  });

  it('ends for every assignment of paths, also where hosts point at each other', () => {
    const random = new SeededRandom(8);
    const peers = Array.from({ length: 6 }, (_, i) => `${i}`.repeat(32) as PeerId);
    const pick = (): PeerId => peers[Math.floor(random.fraction() * peers.length)]!;
    let passedOnMost = 0;
    for (let round = 0; round < 2_000; round++) {
      const [source, destination] = [pick(), pick()];
      // Of each host: whom it hands what is for the destination; the destination itself, or any relay.
      const next = new Map(peers.map((peer) => [peer, pick()]));
      let [at, from, hopLimit, hops] = [next.get(source)!, source, HOP_LIMIT, 0];
      while (
        decideRelayed({ ...relayed, source, destination, hopLimit }, { self: at, from, nested: false }) === 'forward'
      ) {
        const onward = passOn({ destination, hopLimit }, { from, path: { relay: next.get(at)!, peer: destination } });
        if (onward === null) break;
        [from, at, hopLimit, hops] = [at, onward.to, onward.relayed.hopLimit, hops + 1];
        expect(hops).toBeLessThanOrEqual(HOP_LIMIT);
      }
      passedOnMost = Math.max(passedOnMost, hops);
    }
    expect(passedOnMost).toBe(HOP_LIMIT);
  });
});

// Answers of a real kernel, read into our values; and any damage to them, which must never throw.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../../src/base/address.ts';
import { concatBytes } from '../../../src/base/bytes.ts';
import { parseAddress } from '../../../src/host/netlink/addresses.ts';
import { errnoNameOf } from '../../../src/host/netlink/errors.ts';
import { parseBridgePort, parseLink } from '../../../src/host/netlink/links.ts';
import { type Message, parseMessages, parseOutcome } from '../../../src/host/netlink/message.ts';
import { parseEvents } from '../../../src/host/netlink/monitor.ts';
import { parseFdbEntry, parseNeighbour } from '../../../src/host/netlink/neighbours.ts';
import { parseRoute } from '../../../src/host/netlink/routes.ts';
import { ADDRESS, BRIDGE_LINK, FDB_ENTRY, NEIGHBOUR, PORT_LINK, REFUSED, ROUTE } from './captured.ts';

const ip = (text: string) => parseIp(text)!;

test('a bridge', () => {
  expect(parseLink(BRIDGE_LINK)).toMatchObject({
    index: 2,
    name: 'br0',
    mac: '02:fa:b0:00:00:01',
    mtu: 1418,
    up: false,
    carrier: false,
    kind: 'bridge',
    master: null,
    alias: '',
    port: null,
    portForwards: null,
    bridge: {
      ageingMs: 300_000,
      forwardDelayMs: 0,
      stp: false,
      vlanFiltering: false,
      multicastSnooping: false,
      groupForwardMask: 0,
    },
  });
});

test('a veth that is a port of the bridge', () => {
  expect(parseLink(PORT_LINK)).toEqual({
    index: 4,
    name: 'p0',
    mac: '02:00:00:00:00:01',
    mtu: 1418,
    up: true,
    carrier: true,
    loopback: false,
    arp: true,
    kind: 'veth',
    master: 2,
    alias: 'hello',
    peerIndex: 3,
    peerNamespaceId: null,
    addressGeneration: true,
    txQueues: 2,
    rxQueues: 2,
    gsoIpv4BytesMax: 65_536,
    portForwards: false,
    port: {
      learning: false,
      unicastFlood: true,
      multicastFlood: true,
      broadcastFlood: true,
      isolated: false,
      locked: true,
      hairpin: false,
      neighSuppress: false,
    },
    bridge: null,
    vxlan: null,
  });
});

test('an address, a route, a neighbour, a forwarding entry', () => {
  expect(parseAddress(ADDRESS)).toMatchObject({
    index: 3,
    ip: ip('10.0.0.2'),
    prefix: 24,
    scope: 'global',
    noPrefixRoute: true,
    permanent: true,
    tentative: false,
  });
  expect(parseRoute(ROUTE)).toEqual({
    dst: parseCidr('0.0.0.0/0'),
    gateway: ip('10.0.9.1'),
    index: 3,
    preferredSource: null,
    scope: 'global',
    table: 254,
    metric: 7,
    onlink: false,
    mtu: 1400,
    protocol: 102,
    type: 'unicast',
    nextHops: [],
  });
  expect(parseNeighbour(NEIGHBOUR)).toEqual({
    index: 3,
    ip: ip('10.0.0.5'),
    mac: '02:00:00:00:00:05',
    permanent: true,
    state: 0x80,
  });
  expect(parseFdbEntry(FDB_ENTRY)).toEqual({
    index: 4,
    mac: '02:00:00:00:00:77',
    master: 2,
    vlan: null,
    remote: null,
    state: 'static',
  });
});

test("a refusal with the kernel's words", () => {
  const { errno, words } = parseOutcome(REFUSED);
  expect([errnoNameOf(errno), words]).toEqual(['EINVAL', 'mtu greater than device maximum']);
  expect(errnoNameOf(95)).toBe('EOPNOTSUPP');
  expect(errnoNameOf(11)).toBe('EAGAIN');
  expect(errnoNameOf(4711)).toBe('errno 4711');
});

test('each parser refuses what is of another family', () => {
  expect(parseLink({ ...PORT_LINK, payload: new Uint8Array([7, ...PORT_LINK.payload.subarray(1)]) })).toBeNull();
  expect(parseBridgePort(PORT_LINK)).toBeNull();
  expect(parseNeighbour(FDB_ENTRY)).toBeNull();
  expect(parseFdbEntry(NEIGHBOUR)).toBeNull();
  expect(parseRoute({ ...ROUTE, payload: new Uint8Array([5, ...ROUTE.payload.subarray(1)]) })).toBeNull();
});

describe('damaged answers never throw', () => {
  const captured = [BRIDGE_LINK, PORT_LINK, ADDRESS, ROUTE, NEIGHBOUR, FDB_ENTRY, REFUSED];
  const parseAll = (message: Message) => {
    parseOutcome(message);
    for (const parse of [parseLink, parseBridgePort, parseAddress, parseRoute, parseNeighbour, parseFdbEntry]) {
      parse(message);
    }
  };

  test('truncated at every byte', () => {
    for (const message of captured) {
      for (let length = 0; length < message.payload.length; length++) {
        parseAll({ ...message, payload: message.payload.subarray(0, length) });
      }
    }
  });

  test('with any bytes changed', () => {
    const change = fc.tuple(fc.nat(2000), fc.nat(255));
    fc.assert(
      fc.property(
        fc.constantFrom(...captured),
        fc.array(change, { minLength: 1, maxLength: 20 }),
        (message, changes) => {
          const payload = message.payload.slice();
          for (const [at, value] of changes) payload[at % payload.length] = value;
          parseAll({ ...message, payload });
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('of any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(0xffff), fc.nat(40), (payload, flags, type) => {
        parseAll({ type, flags, sequence: 1, portId: 1, payload });
        parseEvents(payload);
        parseMessages(payload);
      }),
      { numRuns: 2000 },
    );
  });

  test('as events', () => {
    const header = (type: number, length: number) =>
      new Uint8Array([...new Uint8Array(new Uint32Array([16 + length]).buffer), type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    fc.assert(
      fc.property(fc.constantFrom(...captured), fc.nat(40), fc.nat(100), (message, type, cut) => {
        const payload = message.payload.subarray(0, message.payload.length - (cut % message.payload.length));
        for (const event of parseEvents(concatBytes(header(type, payload.length), payload))) expect(event).toBeTruthy();
      }),
    );
  });
});

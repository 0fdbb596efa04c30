// Requests byte for byte as iproute2 sends them for the same purpose, and the shape of what has no such counterpart.

import { describe, expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../../src/base/address.ts';
import { toHex, utf8 } from '../../../src/base/bytes.ts';
import { macToBytes, parseMac } from '../../../src/base/ids.ts';
import { addAddressRequest } from '../../../src/host/netlink/addresses.ts';
import {
  deleteLinkGroupRequest,
  deleteLinkRequest,
  setBridgePortRequest,
  setLinkRequests,
} from '../../../src/host/netlink/links.ts';
import { parseMessages, type Request } from '../../../src/host/netlink/message.ts';
import { setFdbEntryRequest, setNeighbourRequest } from '../../../src/host/netlink/neighbours.ts';
import { changeMessages, concatKey, ifnameKey } from '../../../src/host/netlink/nfnetlink.ts';
import { addRouteRequest } from '../../../src/host/netlink/routes.ts';
import { SENT } from './captured.ts';

const ip = (text: string) => parseIp(text)!;
const cidr = (text: string) => parseCidr(text)!;
const mac = (text: string) => parseMac(text)!;

const SAME: Readonly<Record<keyof typeof SENT, Request>> = {
  'ip address add 10.32.0.5/12 dev p0 noprefixroute': addAddressRequest(
    { index: 4, ip: ip('10.32.0.5'), prefix: 12, noPrefixRoute: true },
    'refuse',
  ),
  'ip address add fd00::5/64 dev p0 nodad noprefixroute': addAddressRequest(
    { index: 4, ip: ip('fd00::5'), prefix: 64, noDad: true, noPrefixRoute: true },
    'refuse',
  ),
  'ip route add 10.32.0.7/32 dev q0 proto 102 metric 5': addRouteRequest(
    { dst: cidr('10.32.0.7/32'), index: 3, metric: 5 },
    'refuse',
  ),
  'ip route add default via 10.0.0.1 proto 102 table 1000': addRouteRequest(
    { dst: cidr('0.0.0.0/0'), gateway: ip('10.0.0.1'), table: 1000 },
    'refuse',
  ),
  'ip neigh replace 10.32.0.5 lladdr 02:00:00:00:00:05 dev q0 nud permanent': setNeighbourRequest({
    index: 3,
    ip: ip('10.32.0.5'),
    mac: mac('02:00:00:00:00:05'),
  }),
  'bridge fdb replace 02:00:00:00:00:77 dev p0 master static': setFdbEntryRequest({
    index: 4,
    mac: mac('02:00:00:00:00:77'),
  }),
  'bridge link set dev p0 learning off flood off': setBridgePortRequest(4, { learning: false, unicastFlood: false }),
  'ip link del dev p0': deleteLinkRequest(4),
};

test.each(Object.entries(SAME))('the same bytes as %s', (command, request) => {
  expect(toHex(request.bytes)).toBe(SENT[command as keyof typeof SENT]);
});

test('a deletion of a group names no link', () => {
  const [message] = parseMessages(deleteLinkGroupRequest(0x66616272).bytes);
  // ifinfomsg with index 0, then IFLA_GROUP (27) of 8 bytes.
  expect(toHex(message!.payload)).toBe(`${'00'.repeat(16)}08001b0072626166`);
});

describe('settings of a link', () => {
  test('go in one message', () => {
    expect(setLinkRequests('p0', { name: 'p1', mtu: 1400, up: true })).toHaveLength(1);
  });

  test('take two when a link must not generate an address before it comes up', () => {
    const [first, second] = setLinkRequests('p0', { addressGeneration: false, mtu: 1400, up: true });
    const flagsOf = (request: Request | undefined) => parseMessages(request!.bytes)[0]!.payload[8];
    expect([flagsOf(first), flagsOf(second)]).toEqual([0, 1]);
  });

  test('name the link and what is set in the error', () => {
    expect(setLinkRequests('p0', { mtu: 1400, master: 3 })[0]?.operation).toBe('set mtu, master of the link p0');
  });

  test('longer than the first buffer are whole', () => {
    const [request] = setLinkRequests(1, { alias: 'x'.repeat(255), mtu: 1400 });
    expect(parseMessages(request!.bytes)[0]?.payload).toHaveLength(16 + 260 + 8);
  });
});

describe('elements of nftables sets', () => {
  const key = concatKey(ifnameKey('a'), macToBytes(mac('02:00:00:00:00:05')), new Uint8Array([10, 32, 0, 5]));
  const change = { family: 'bridge', table: 't', set: 's', operation: 'add', elements: [key] } as const;

  test('as nft sends them for { "a" . 02:00:00:00:00:05 . 10.32.0.5 }', () => {
    // Without nft's set id, which names a set of the same transaction.
    const expected = [
      '500000000c0a05040000000000000000',
      '0700000006000100740000000600020073000000',
      '2c00038028000180240001802000010061000000000000000000000000000000020000000005000' + '00a200005',
    ].join('');
    expect(toHex(changeMessages(change)[0]!)).toBe(expected);
  });

  test('are spread over messages', () => {
    const messages = changeMessages({ ...change, elements: Array.from({ length: 1001 }, () => key) });
    expect(messages.map(({ length }) => length < 65_536)).toEqual([true, true, true]);
    expect(changeMessages({ ...change, elements: [] })).toEqual([]);
  });

  test('have keys of at most 64 bytes and names of at most 15', () => {
    expect(() => changeMessages({ ...change, elements: [new Uint8Array(65)] })).toThrow(/invariant/);
    expect(() => changeMessages({ ...change, elements: [new Uint8Array(0)] })).toThrow(/invariant/);
    expect(() => ifnameKey('sixteen-bytes-xx')).toThrow(/invariant/);
    expect(ifnameKey('eth0')).toEqual(new Uint8Array([...utf8('eth0'), ...new Uint8Array(12)]));
  });
});

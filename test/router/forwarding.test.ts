import { describe, expect, it } from 'vitest';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../../src/base/ids.ts';
import type { TableChange } from '../../src/router/datapath.ts';
import { addressOfStranger, decideFromPeer, decideFromPort } from '../../src/router/forwarding.ts';
import { ForwardingRate } from '../../src/router/forwarding-rate.ts';
import { ForwardingStrangers } from '../../src/router/forwarding-strangers.ts';
import { ForwardingTable, type Verdict } from '../../src/router/forwarding-table.ts';
import { FrameView, macHalves } from '../../src/router/frame.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { arp, BROADCAST, discovery, ethernet, udp4, udp6 } from './frames.ts';

const P = '1'.repeat(32) as PeerId;
const Q = '2'.repeat(32) as PeerId;
const LOCAL = '02:00:00:00:00:01' as Mac;
const AT_P = '02:00:00:00:00:02' as Mac;
const AT_Q = '02:00:00:00:00:03' as Mac;
const STRANGER = '02:00:00:00:00:99' as Mac;
const GATEWAY = '02:fa:00:00:00:01' as Mac;
const MTU = 1400;
const network = DEFAULT_VNI;

function table(...extra: readonly TableChange[]): ForwardingTable {
  const tables = new ForwardingTable({ network, gatewayMac: GATEWAY, gatewayIps: ['10.0.0.254', 'fd00::1'] });
  const changes: readonly TableChange[] = [
    { kind: 'mac', network, mac: LOCAL, to: 'local' },
    { kind: 'mac', network, mac: AT_P, to: P },
    { kind: 'mac', network, mac: AT_Q, to: Q },
    { kind: 'neighbour', network, ip: '10.0.0.1', mac: LOCAL },
    { kind: 'neighbour', network, ip: '10.0.0.2', mac: AT_P },
    { kind: 'neighbour', network, ip: 'fd00::2', mac: AT_P },
    { kind: 'neighbour', network, ip: '10.0.0.9', mac: '02:00:00:00:00:09' as Mac },
    { kind: 'flood', network, peers: [P, Q] },
    ...extra,
  ];
  for (const change of changes) tables.apply(change);
  return tables;
}

function view(bytes: Uint8Array): FrameView {
  const frame = new FrameView();
  frame.set(bytes);
  return frame;
}

/** The verdict in one word. */
function said(verdict: Verdict): string {
  if (verdict.kind === 'drop') return verdict.reason;
  if (verdict.kind === 'peer') return verdict.peer === P ? 'to P' : 'to Q';
  if (verdict.kind === 'flood') return verdict.unknownUnicast ? 'flood unknown' : 'flood';
  return verdict.kind;
}

function fromPort(bytes: Uint8Array, tables = table()): string {
  const frame = view(bytes);
  return said(decideFromPort(frame, tables.lookup(frame.sourceHigh, frame.sourceLow), tables, MTU));
}

function ask(from: Mac, senderIp: string, targetIp: string, to: Mac = BROADCAST): Uint8Array {
  return arp({ from, to }, { operation: 1, senderMac: from, senderIp, targetIp });
}

function data(from: Mac, to: Mac, size = 10): Uint8Array {
  return ethernet({ from, to }, 0x0800, new Uint8Array(size));
}

describe('from the port', () => {
  const mdns = '01:00:5e:00:00:fb' as Mac;
  const allNodes = '33:33:00:00:00:01' as Mac;
  const solicited = { from: LOCAL, to: '33:33:ff:00:00:02' as Mac };
  const rows: readonly { name: string; frame: Uint8Array; verdict: string }[] = [
    { name: 'unicast goes to the one owner', frame: data(LOCAL, AT_P), verdict: 'to P' },
    {
      name: 'unicast to a local MAC stays',
      frame: data(LOCAL, '02:00:00:00:00:01' as Mac),
      verdict: 'destination-local',
    },
    { name: 'unknown unicast floods', frame: data(LOCAL, STRANGER), verdict: 'flood unknown' },
    { name: 'broadcast floods', frame: data(LOCAL, BROADCAST), verdict: 'flood' },
    {
      name: 'multicast floods',
      frame: udp4({ from: LOCAL, to: mdns }, '10.0.0.1', '224.0.0.251', 'x'),
      verdict: 'flood',
    },
    { name: 'a foreign device may speak', frame: data(STRANGER, AT_P), verdict: 'to P' },
    { name: 'STP never crosses', frame: data(LOCAL, '01:80:c2:00:00:00' as Mac), verdict: 'reserved-group' },
    {
      name: 'a remote MAC on the local bridge is a loop or a spoof',
      frame: data(AT_P, AT_Q),
      verdict: 'source-elsewhere',
    },
    { name: 'a group source is invalid', frame: data(BROADCAST, AT_P), verdict: 'source-invalid' },
    { name: 'frames of the gateway stay', frame: data(GATEWAY, AT_P), verdict: 'gateway-mac' },
    { name: 'frames to the gateway stay', frame: data(LOCAL, GATEWAY), verdict: 'gateway-mac' },
    { name: 'exactly the MTU passes', frame: data(LOCAL, AT_P, MTU), verdict: 'to P' },
    { name: 'one more is too large', frame: data(LOCAL, AT_P, MTU + 1), verdict: 'too-large' },
    {
      name: 'a tagged frame of the MTU passes',
      frame: ethernet({ from: LOCAL, to: AT_P, tags: [7] }, 0x0800, new Uint8Array(MTU)),
      verdict: 'to P',
    },
    { name: 'ARP for a remote address is answered', frame: ask(LOCAL, '10.0.0.1', '10.0.0.2'), verdict: 'answer' },
    {
      name: 'ARP for a local address reaches its owner without us',
      frame: ask(LOCAL, '10.0.0.7', '10.0.0.1'),
      verdict: 'neighbour-local',
    },
    { name: 'ARP for an unknown address floods', frame: ask(LOCAL, '10.0.0.1', '10.0.0.77'), verdict: 'flood' },
    {
      name: 'ARP for an address whose MAC is gone floods',
      frame: ask(LOCAL, '10.0.0.1', '10.0.0.9'),
      verdict: 'flood',
    },
    { name: 'an ARP probe is never answered', frame: ask(LOCAL, '0.0.0.0', '10.0.0.2'), verdict: 'flood' },
    { name: 'gratuitous ARP floods', frame: ask(LOCAL, '10.0.0.1', '10.0.0.1'), verdict: 'flood' },
    {
      name: 'a unicast question asks whether its target lives',
      frame: ask(LOCAL, '10.0.0.1', '10.0.0.2', AT_P),
      verdict: 'to P',
    },
    { name: 'ARP for the gateway stays', frame: ask(LOCAL, '10.0.0.1', '10.0.0.254'), verdict: 'gateway-neighbour' },
    { name: 'ARP of the gateway stays', frame: ask(LOCAL, '10.0.0.254', '10.0.0.2'), verdict: 'gateway-neighbour' },
    {
      name: 'ARP that claims a remote address is a spoof',
      frame: ask(LOCAL, '10.0.0.2', '10.0.0.77'),
      verdict: 'neighbour-spoof',
    },
    {
      name: 'so is a reply in a priority tag',
      frame: arp(
        { from: LOCAL, to: BROADCAST, tags: [0] },
        { operation: 2, senderMac: LOCAL, senderIp: '10.0.0.2', targetIp: '10.0.0.2' },
      ),
      verdict: 'neighbour-spoof',
    },
    {
      name: 'NS for a remote address is answered',
      frame: discovery(solicited, { type: 135, from: 'fd00::7', to: 'ff02::1:ff00:2', target: 'fd00::2' }),
      verdict: 'answer',
    },
    {
      name: 'NS from :: is never answered',
      frame: discovery(solicited, { type: 135, from: '::', to: 'ff02::1:ff00:2', target: 'fd00::2' }),
      verdict: 'flood',
    },
    {
      name: 'NS for the gateway stays',
      frame: discovery(solicited, { type: 135, from: 'fd00::7', to: 'ff02::1:ff00:1', target: 'fd00::1' }),
      verdict: 'gateway-neighbour',
    },
    {
      name: 'NA that claims a remote address is a spoof',
      frame: discovery(
        { from: LOCAL, to: allNodes },
        { type: 136, from: 'fd00::7', to: 'ff02::1', target: 'fd00::2', option: { type: 2, mac: LOCAL } },
      ),
      verdict: 'neighbour-spoof',
    },
    {
      name: 'router advertisements never cross',
      frame: discovery(
        { from: LOCAL, to: allNodes },
        { type: 134, from: 'fe80::7', to: 'ff02::1', target: '::', extension: true },
      ),
      verdict: 'router-advertisement',
    },
    {
      name: 'redirects never cross',
      frame: discovery({ from: LOCAL, to: AT_P }, { type: 137, from: 'fe80::7', to: 'fd00::2', target: 'fd00::9' }),
      verdict: 'redirect',
    },
    { name: 'IPv6 data passes', frame: udp6({ from: LOCAL, to: AT_P }, 'fd00::7', 'fd00::2', 'x'), verdict: 'to P' },
  ];
  for (const { name, frame, verdict } of rows) {
    it(name, () => {
      expect(fromPort(frame)).toBe(verdict);
    });
  }

  it('has nowhere to flood without members', () => {
    const alone = table({ kind: 'flood', network, peers: [] });
    expect(fromPort(data(LOCAL, BROADCAST), alone)).toBe('no-members');
    expect(fromPort(data(LOCAL, STRANGER), alone)).toBe('no-members');
  });

  it('sees the address that a stranger claims for itself', () => {
    expect(addressOfStranger(view(ask(STRANGER, '10.0.0.50', '10.0.0.2')))).toBe('10.0.0.50');
    expect(addressOfStranger(view(data(STRANGER, AT_P)))).toBeNull();
    const proxied = arp(
      { from: STRANGER, to: BROADCAST },
      { operation: 1, senderMac: LOCAL, senderIp: '10.0.0.50', targetIp: '10.0.0.2' },
    );
    expect(addressOfStranger(view(proxied))).toBeNull();
  });
});

describe('from a peer', () => {
  const rows: readonly { name: string; frame: Uint8Array; verdict: string }[] = [
    { name: 'to a local MAC', frame: data(AT_P, LOCAL), verdict: 'port' },
    { name: 'broadcast goes to the port only', frame: data(AT_P, BROADCAST), verdict: 'port' },
    { name: 'an unknown destination may be a foreign device', frame: data(AT_P, STRANGER), verdict: 'port' },
    { name: 'an unknown source may be new', frame: data(STRANGER, LOCAL), verdict: 'port' },
    { name: "another peer's MAC as source", frame: data(AT_Q, LOCAL), verdict: 'source-elsewhere' },
    { name: 'a local MAC as source', frame: data(LOCAL, LOCAL), verdict: 'source-elsewhere' },
    { name: 'to a MAC of another peer: split horizon', frame: data(AT_P, AT_Q), verdict: 'destination-elsewhere' },
    { name: 'the gateway as source', frame: data(GATEWAY, LOCAL), verdict: 'gateway-mac' },
    { name: 'the gateway as destination', frame: data(AT_P, GATEWAY), verdict: 'gateway-mac' },
    { name: 'ARP questions are the business of the sender', frame: ask(AT_P, '10.0.0.2', '10.0.0.1'), verdict: 'port' },
    { name: 'ARP for the gateway', frame: ask(AT_P, '10.0.0.2', '10.0.0.254'), verdict: 'gateway-neighbour' },
    { name: 'ARP that claims a local address', frame: ask(AT_P, '10.0.0.1', '10.0.0.77'), verdict: 'neighbour-spoof' },
    {
      name: 'a router advertisement',
      frame: discovery({ from: AT_P, to: LOCAL }, { type: 134, from: 'fe80::2', to: 'ff02::1', target: '::' }),
      verdict: 'router-advertisement',
    },
    { name: 'larger than the MTU', frame: data(AT_P, LOCAL, MTU + 1), verdict: 'frame-too-large' },
    { name: 'LLDP', frame: data(AT_P, '01:80:c2:00:00:0e' as Mac), verdict: 'reserved-group' },
  ];
  for (const { name, frame, verdict } of rows) {
    it(name, () => {
      expect(said(decideFromPeer(view(frame), P, table(), MTU))).toBe(verdict);
    });
  }
});

describe('tables', () => {
  it('agree with a plain map under random changes', () => {
    const random = new SeededRandom(5);
    const tables = new ForwardingTable({ network, gatewayMac: GATEWAY, gatewayIps: [], macsMax: 40 });
    const naive = new Map<Mac, PeerId | 'local'>();
    const mac = (): Mac => `02:00:0${random.below(3)}:00:00:${(16 + random.below(20)).toString(16)}` as Mac;
    for (let step = 0; step < 5000; step++) {
      const subject = mac();
      const action = random.below(10);
      if (action < 6) {
        const to = [P, Q, 'local' as const][random.below(3)]!;
        const applied = tables.apply({ kind: 'mac', network, mac: subject, to });
        if (naive.has(subject) || naive.size < 40) naive.set(subject, to);
        else expect(applied).toBe('table-full');
      } else if (action < 9) {
        tables.apply({ kind: 'mac-gone', network, mac: subject });
        naive.delete(subject);
      } else if (random.below(20) === 0) {
        tables.removePeer(P);
        for (const [known, owner] of naive) if (owner === P) naive.delete(known);
      }
      const { high, low } = macHalves(subject);
      expect(tables.lookup(high, low)?.owner).toBe(naive.get(subject));
      expect(tables.macCount).toBe(naive.size);
    }
  });

  it('ignore other networks', () => {
    const tables = table();
    expect(tables.apply({ kind: 'mac', network: 7 as Vni, mac: STRANGER, to: P })).toBe('done');
    expect(tables.lookupMac(STRANGER)).toBeUndefined();
  });

  it('ask to announce an address that has another MAC now, also after it was gone', () => {
    const tables = table();
    const moved = { announce: { ip: '10.0.0.2', mac: AT_Q } };
    expect(tables.apply({ kind: 'neighbour', network, ip: '10.0.0.2', mac: AT_P })).toBe('done');
    expect(tables.apply({ kind: 'neighbour', network, ip: '10.0.0.2', mac: AT_Q })).toEqual(moved);
    tables.apply({ kind: 'neighbour-gone', network, ip: '10.0.0.2' });
    expect(tables.apply({ kind: 'neighbour', network, ip: '10.0.0.2', mac: AT_Q })).toBe('done');
    tables.apply({ kind: 'neighbour-gone', network, ip: '10.0.0.2' });
    expect(tables.apply({ kind: 'neighbour', network, ip: '10.0.0.2', mac: AT_P })).not.toBe('done');
  });

  it('lose MACs and flood membership with a peer', () => {
    const tables = table();
    tables.removePeer(P);
    expect(tables.lookupMac(AT_P)).toBeUndefined();
    expect(tables.flood).toMatchObject({ peers: [Q] });
  });
});

describe('limits', () => {
  it('a token bucket gives its burst and then its rate', () => {
    const rate = new ForwardingRate({ perSecond: 10, burst: 3 });
    const taken = (nowMs: number): number => [1, 2, 3, 4, 5].filter(() => rate.take(nowMs)).length;
    expect([taken(0), taken(0), taken(100), taken(10_000)]).toEqual([3, 0, 1, 3]);
  });

  it('strangers are reported ten times a second, each once in a while', () => {
    const strangers = new ForwardingStrangers();
    const mac = (i: number): Mac => `02:00:00:00:01:${i.toString(16).padStart(2, '0')}` as Mac;
    const notice = (i: number, nowMs: number, { ip = null as string | null, elsewhere = false } = {}): boolean =>
      strangers.notice({ network, mac: mac(i), ip, elsewhere }, nowMs);
    const reported = Array.from({ length: 100 }, (_, i) => notice(i, 0)).filter(Boolean);
    expect(reported.length).toBe(10);
    expect(notice(0, 5000)).toBe(false);
    expect(notice(0, 5000, { ip: '10.0.0.1' })).toBe(true);
    expect(notice(0, 5000, { elsewhere: true })).toBe(true);
    expect(notice(0, 9000, { elsewhere: true })).toBe(false);
    expect(notice(0, 20_000)).toBe(true);
  });
});

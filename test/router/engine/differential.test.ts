// The engine's rules against their oracle: seeded frames and table changes go through TypeScript and C++ (engine-check.ts), and
// every verdict, answer and drop reason must be the same. The wire format is compared with the golden bytes that pcap has.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Mac, PeerId, Vni } from '../../../src/base/ids.ts';
import { completeChecksum } from '../../../src/router/checksum.ts';
import type { TableChange } from '../../../src/router/datapath.ts';
import { encodeApplyTables, LENGTH_BYTES } from '../../../src/router/engine/control-messages.ts';
import { decideFromPeer, decideFromPort } from '../../../src/router/forwarding.ts';
import { ForwardingTable, type Verdict } from '../../../src/router/forwarding-table.ts';
import { FrameView } from '../../../src/router/frame.ts';
import { DROP_REASONS } from '../../../src/router/frame-drops.ts';
import { answerTooBig } from '../../../src/router/frame-too-big.ts';
import { decideRelayed, readRelayed } from '../../../src/router/relay-message.ts';
import { ReplayWindow } from '../../../src/router/replay-window.ts';
import { type innerHeader, writeInnerHeader } from '../../../src/router/wire-format.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { ethernet, ipBytes, ipv4, referenceChecksum, udp4 } from '../frames.ts';
import { askEngine, hex } from './engine-check.ts';
import { GATEWAY_IPS, GATEWAY_MAC, IPS4, IPS6, MACS, pick, randomFrame } from './random-frames.ts';

const NETWORK = 0 as Vni;
const MTU = 1400;
const PEERS = ['11', '22', '33'].map((octet) => octet.repeat(16) as PeerId);
const STEPS = 6000;

function randomChange(random: SeededRandom): TableChange {
  const network = (random.below(20) === 0 ? 5 : NETWORK) as Vni;
  const mac = pick(random, MACS);
  const ip = pick(random, [...IPS4, ...IPS6]);
  switch (random.below(8)) {
    case 0:
      return { kind: 'mac-gone', network, mac };
    case 1:
      return { kind: 'neighbour-gone', network, ip };
    case 2:
    case 3:
      return { kind: 'neighbour', network, ip, mac };
    case 4:
      return { kind: 'flood', network, peers: PEERS.slice(random.below(4)) };
    default:
      return { kind: 'mac', network, mac, to: random.below(3) === 0 ? 'local' : pick(random, PEERS) };
  }
}

function describeVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'drop':
      return `drop ${verdict.reason}`;
    case 'peer':
      return `peer ${verdict.peer}`;
    case 'flood':
      return [verdict.unknownUnicast ? 'unknown' : 'flood', ...verdict.peers].join(' ');
    case 'answer':
      return `answer ${hex(verdict.frame)}`;
    default:
      return verdict.kind;
  }
}

/** A question to the engine and the oracle's answer. */
interface Exchange {
  readonly question: string;
  readonly answer: string;
}

function compare(exchanges: readonly Exchange[]): void {
  const answers = askEngine(exchanges.map(({ question }) => question));
  for (const [i, { question, answer }] of exchanges.entries()) expect(answers[i], question).toBe(answer);
}

function gatewayFacts(): string {
  const ips = GATEWAY_IPS.map((ip) => hex(Buffer.concat([Buffer.of(ip.includes(':') ? 6 : 4), ipBytes(ip)])));
  return `network ${GATEWAY_MAC.replaceAll(':', '')} ${MTU} ${ips.join(' ')}`;
}

describe('forwarding', () => {
  it.each([1, 2, 3])('decides as the oracle, seed %i', (seed) => {
    const random = new SeededRandom(seed);
    const table = new ForwardingTable({ network: NETWORK, gatewayMac: GATEWAY_MAC, gatewayIps: GATEWAY_IPS });
    const view = new FrameView();
    const exchanges: Exchange[] = [{ question: gatewayFacts(), answer: 'done' }];
    const kinds = new Set<string>();
    for (let step = 0; step < STEPS; step++) {
      if (random.below(6) === 0) {
        // The engine compares networks before its tables.
        const change = { ...randomChange(random), network: NETWORK };
        const applied = table.apply(change);
        const answer = applied === 'done' ? '.' : applied === 'table-full' ? 'F' : 'A';
        exchanges.push({ question: `apply ${hex(encodeApplyTables([change])[0]!.subarray(LENGTH_BYTES))}`, answer });
        continue;
      }
      const frame = randomFrame(random);
      const readable = view.set(frame);
      const fromPort = random.below(2) === 0;
      const peer = pick(random, PEERS);
      const verdict = (): Verdict =>
        fromPort
          ? decideFromPort(view, table.lookup(view.sourceHigh, view.sourceLow), table, MTU)
          : decideFromPeer(view, peer, table, MTU);
      const answer = readable ? describeVerdict(verdict()) : 'drop frame-short';
      exchanges.push({ question: fromPort ? `port ${hex(frame)}` : `peer ${peer} ${hex(frame)}`, answer });
      kinds.add(answer.startsWith('drop') ? answer : answer.split(' ')[0]!);
    }
    compare(exchanges);
    // The frames were worth it: every kind of verdict and many reasons occurred.
    expect([...kinds].filter((kind) => !kind.startsWith('drop')).sort()).toEqual([
      'answer',
      'flood',
      'peer',
      'port',
      'too-large',
      'unknown',
    ]);
    expect(kinds.size).toBeGreaterThan(16);
  });

  it('answers what is too large as the oracle, and completes checksums as it', () => {
    const random = new SeededRandom(4);
    const view = new FrameView();
    const exchanges: Exchange[] = [];
    for (let step = 0; step < STEPS; step++) {
      const frame = randomFrame(random);
      const readable = view.set(frame);
      const mtu = 68 + random.below(3000);
      const answer = readable ? answerTooBig(view, mtu) : null;
      exchanges.push({ question: `too-big ${mtu} ${hex(frame)}`, answer: answer === null ? 'none' : hex(answer) });
      const question = `checksum ${hex(frame)}`;
      exchanges.push({ question, answer: readable && completeChecksum(view) ? hex(frame) : 'impossible' });
    }
    compare(exchanges);
  });

  it('names its drop reasons alike', () => {
    expect(askEngine(['drops'])[0]!.split(' ')).toEqual([...DROP_REASONS]);
  });
});

describe('relayed datagrams', () => {
  it('go where the oracle has them go', () => {
    const random = new SeededRandom(9);
    const fates = new Set<string>();
    const exchanges = Array.from({ length: STEPS }, (): Exchange => {
      const [self, from] = [pick(random, PEERS), pick(random, PEERS)];
      const nested = random.below(8) === 0;
      const hopLimit = random.below(11);
      const addresses = Buffer.from(pick(random, PEERS) + pick(random, PEERS), 'hex');
      const datagram = Buffer.concat([Buffer.of(0x10 + random.below(7)), random.bytes(random.below(4))]);
      const body = Buffer.concat([addresses, datagram]).subarray(0, random.below(10) === 0 ? random.below(36) : 36);
      const relayed = readRelayed(body, hopLimit);
      const fate = relayed === null ? 'malformed' : decideRelayed(relayed, { self, from, nested });
      const goes = relayed !== null && (fate === 'deliver' || fate === 'forward');
      const view = goes ? ` ${relayed.destination} ${relayed.source} ${hex(relayed.datagram)}` : '';
      fates.add(fate);
      return {
        question: `relayed ${self} ${from} ${nested ? 'nested' : 'straight'} ${hopLimit} ${hex(body)}`,
        answer: `${fate}${view}`,
      };
    });
    compare(exchanges);
    expect([...fates].sort()).toEqual([
      'deliver',
      'forward',
      'hop-limit',
      'malformed',
      'relay-nested',
      'relay-source',
      'relay-unreachable',
    ]);
  });
});

describe('replay window', () => {
  it('judges as the oracle', () => {
    const exchanges = [5, 6, 7, 8].map((seed): Exchange => {
      const random = new SeededRandom(seed);
      const window = new ReplayWindow();
      let newest = 0;
      let answer = '';
      const counters = Array.from({ length: 5000 }, () => {
        const jump = random.below(40) === 0 ? random.below(20_000) : random.below(3);
        newest += random.below(2) === 0 ? jump : 0;
        const counter = Math.max(0, newest - (random.below(3) === 0 ? random.below(9000) : random.below(70)));
        const verdict = window.check(counter);
        if (verdict === 'fresh') window.mark(counter);
        answer += verdict.charAt(0);
        return counter;
      });
      return { question: `replay ${counters.join(' ')}`, answer };
    });
    compare(exchanges);
  });
});

interface GoldenDatagram {
  readonly cipher: 'aes-256-gcm' | 'chacha20-poly1305';
  readonly key: string;
  readonly receiverIndex: number;
  readonly counter: number;
  readonly inner: ReturnType<typeof innerHeader>;
  readonly body: string;
  readonly datagram: string;
}

describe('golden datagrams', () => {
  const { datagrams } = JSON.parse(readFileSync(new URL('../wire-golden.json', import.meta.url), 'utf8')) as {
    readonly datagrams: readonly GoldenDatagram[];
  };

  it.each(['openssl', 'best'])('TM3 are written, read and refused when forged, by the %s library', (library) => {
    const exchanges = datagrams.flatMap(
      ({ cipher, key, receiverIndex, counter, inner, body, datagram }): Exchange[] => {
        const header = new Uint8Array(8);
        writeInnerHeader(header, 0, inner);
        const plain = `${hex(header)}${body}`;
        const with_ = `${library} ${cipher === 'aes-256-gcm' ? 1 : 2} ${key}`;
        const forged = Array.from({ length: datagram.length / 2 }, (_, at) => {
          const bytes = Buffer.from(datagram, 'hex');
          bytes[at]! ^= 1 << (at % 8);
          return { question: `open ${with_} ${hex(bytes)}`, answer: 'forged' };
        });
        return [
          { question: `seal ${with_} ${receiverIndex} ${counter} ${plain}`, answer: datagram },
          { question: `open ${with_} ${datagram}`, answer: plain },
          ...forged,
        ];
      },
    );
    compare(exchanges);
  });
});

describe('superframes', () => {
  const payload = Uint8Array.from({ length: 5000 }, (_, i) => i * 7);
  const link = { from: MACS[0]!, to: MACS[1]! as Mac };
  const tcp = Uint8Array.of(0x1f, 0x90, 0, 80, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 9, 0x50, 0x99, 0, 64, 0, 0, 0, 0);
  const addresses = { from: '10.0.0.1', to: '10.0.0.2', protocol: 6 };
  const frame = ethernet(link, 0x0800, ipv4(addresses, Buffer.concat([tcp, payload])));

  it.each([
    ['into complete frames', '', [1348, 1348, 1348, 956]],
    ['smaller, for a path that carries less', ' 1306', [1252, 1252, 1252, 1244]],
    ['into many', ' 254', Array.from({ length: 25 }, () => 200)],
  ])('are cut %s, and put together to the same again', (_, frameBytes, payloads) => {
    const [answer] = askEngine([`cut 1 1348 ${hex(frame)}${frameBytes}`]);
    const parts = answer!.split(' ').map((text) => Buffer.from(text, 'hex'));
    const segments = parts.slice(0, -1);
    expect(segments.map(({ length }) => length - 54)).toEqual(payloads);
    expect(Buffer.concat(segments.map((segment) => segment.subarray(54)))).toEqual(Buffer.from(payload));
    for (const [i, segment] of segments.entries()) {
      expect(segment.readUInt16BE(16)).toBe(segment.length - 14);
      expect(referenceChecksum(segment.subarray(14, 34))).toBe(0);
      expect(segment.readUInt16BE(18)).toBe(0x1234 + i);
      expect(segment.readUInt32BE(38)).toBe((0xffffff00 + i * payloads[0]!) % 2 ** 32);
      // FIN and PSH (0x09) only on the last, CWR (0x80) only on the first.
      expect(segment[47]).toBe(0x10 | (i === 0 ? 0x80 : 0) | (i === payloads.length - 1 ? 0x09 : 0));
      const view = new FrameView();
      view.set(segment);
      expect(completeChecksum(view)).toBe(true);
      const pseudo = Buffer.concat([segment.subarray(26, 34), Buffer.of(0, 6, 0, 0)]);
      pseudo.writeUInt16BE(segment.length - 34, 10);
      expect(referenceChecksum(Buffer.concat([pseudo, segment.subarray(34)]))).toBe(0);
    }
    const whole = parts.at(-1)!;
    expect(whole.subarray(0, 24)).toEqual(Buffer.from(frame.subarray(0, 24)));
    expect(whole.subarray(26, 50)).toEqual(Buffer.from(frame.subarray(26, 50)));
    expect(whole.subarray(54)).toEqual(Buffer.from(payload));
  });

  it('are not cut smaller where datagrams have ends, or a fragment could be taken for that of another', () => {
    const udp = udp4(link, addresses.from, addresses.to, 'x'.repeat(3000));
    const fragmentable = ethernet(link, 0x0800, ipv4({ ...addresses, fragment: 0 }, Buffer.concat([tcp, payload])));
    for (const superframe of [`cut 5 1348 ${hex(udp)}`, `cut 1 1348 ${hex(fragmentable)}`]) {
      const [whole, smaller] = askEngine([superframe, `${superframe} 1306`]);
      expect(whole!.split(' ').length).toBeGreaterThan(3);
      expect(smaller).toBe('no superframe');
    }
  });

  it('are refused when the description contradicts the frame', () => {
    expect(
      askEngine([`cut 5 1348 ${hex(frame)}`, `cut 1 0 ${hex(frame)}`, `cut 4 9 ${hex(frame.subarray(0, 40))}`]),
    ).toEqual(['no superframe', 'no superframe', 'no superframe']);
  });
});

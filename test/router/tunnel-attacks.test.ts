import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { concatBytes, utf8 } from '../../src/base/bytes.ts';
import type { Endpoint } from '../../src/base/endpoint.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { COOKIE_REPLY_BYTES } from '../../src/router/cookie.ts';
import { INITIATION_BYTES_MIN, RESPONSE_BYTES_MIN } from '../../src/router/handshake-message.ts';
import { toyCrypto } from '../fakes/quick-crypto.ts';
import { SECRET, SimHost, twoHosts } from './tunnel-harness.ts';
import { SimNetwork } from './tunnel-network.ts';

const STRANGER: Endpoint = { ip: '198.51.100.66', port: 4242 };
const source = (number: number): Endpoint => ({ ip: `198.18.${number >> 8}.${number & 255}`, port: 1000 });

/** Valid initiations for `b` that it has not seen: the datagrams of fresh hosts that know it. */
function initiationsFor(network: SimNetwork, b: SimHost, count: number): Uint8Array[] {
  const fate = network.fate;
  network.fate = () => 'drop';
  const initiations: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const host = new SimHost(network, 100 + (i % 100));
    host.knows(b);
    host.sendFrame(b);
    initiations.push(network.handshakes.pop()!.bytes);
    host.stop();
  }
  network.fate = fate;
  return initiations;
}

describe('strangers get silence', () => {
  test.each([
    ['another token', { secrets: [{ ...SECRET, psk: new Uint8Array(32), mac1Key: new Uint8Array(32) }] }, 'mac1'],
    ['no membership', { change: { membership: () => utf8('forged') } }, 'membership'],
    ["another's membership", { change: { membership: () => utf8(`member ${'0'.repeat(32)} 00`) } }, 'static-key'],
  ] as const)('%s', (_, setup, drop) => {
    const { network, a, b } = twoHosts(1, { a: setup });
    a.sendFrame(b);
    network.run(60_000);
    expect(network.handshakes.every(({ from }) => from === a.endpoint)).toBe(true);
    expect(b.tunnels.drops()[drop]).toBe(network.handshakes.length);
    expect(a.status(b)!.state).toBe('handshaking');
    expect(b.sessions.size).toBe(0);
  });

  test('another psk under the same mac1 key: an answer that nobody can use', () => {
    const { network, a, b } = twoHosts(2, { a: { secrets: [{ ...SECRET, psk: new Uint8Array(32) }] } });
    a.sendFrame(b);
    network.run(100);
    expect(a.tunnels.drops().decrypt).toBe(1);
    expect(a.hasSession(b)).toBe(false);
    expect(b.hasSession(a)).toBe(false);
    expect(a.status(b)!.reason).toContain('token');
  });

  test('TM9 a datagram for another host is silence, also when it is reflected to its sender', () => {
    const { network, a, b } = twoHosts(3);
    a.sendFrame(b);
    network.run(100);
    const sent = network.handshakes.length;
    for (const { bytes } of network.handshakes.slice()) {
      a.receive(bytes, STRANGER);
      b.receive(bytes, STRANGER);
    }
    network.run(100);
    expect(network.handshakes.length).toBe(sent);
    expect(a.tunnels.drops().mac1).toBe(1);
  });

  test('TM3 every flipped bit of an initiation is a counted drop', () => {
    const network = new SimNetwork(4);
    const b = new SimHost(network, 2);
    const [initiation] = initiationsFor(network, b, 1);
    for (let byte = 0; byte < initiation!.length - 16; byte++) {
      const forged = initiation!.slice();
      forged[byte]! ^= 1 << (byte % 8);
      b.receive(forged, STRANGER);
    }
    const { mac1, malformed } = b.tunnels.drops();
    expect(mac1 + malformed).toBe(initiation!.length - 16);
    expect(network.handshakes).toEqual([]);
  });
});

describe('replays', () => {
  test('a replayed initiation gets no answer and moves nothing, also out of order', () => {
    const { network, a, b } = twoHosts(5);
    a.sendFrame(b);
    network.run(200_000);
    a.sendFrame(b);
    network.run(1_000);
    const sent = network.handshakes.length;
    const initiations = network.handshakes.filter(({ from }) => from === a.endpoint);
    for (const { bytes } of [...initiations, ...initiations.reverse()]) b.receive(bytes, STRANGER);
    network.run(1_000);
    expect(network.handshakes.length).toBe(sent);
    expect(b.tunnels.drops().timestamp).toBe(initiations.length * 2);
    expect(b.status(a)!.endpoint).toEqual(a.endpoint);
  });

  test('replayed to a host that restarted: answered once, but the endpoint stays and the true peer gets through', () => {
    const { network, a, b } = twoHosts(6);
    a.sendFrame(b);
    network.run(1_000);
    const initiation = network.handshakes[0]!.bytes;
    network.fate = (_, from) => (from === b ? 'drop' : 'deliver');
    b.start();
    b.knows(a);
    b.receive(initiation, STRANGER);
    network.run(1_000);
    expect(b.hasSession(a)).toBe(false);
    expect(b.paths.get(a.id)).toBeUndefined();
    network.fate = () => 'deliver';
    network.run(30_000);
    expect(b.hasSession(a)).toBe(true);
    expect(b.status(a)!.endpoint).toEqual(a.endpoint);
  });

  test('a replayed response and cookie reply are unexpected', () => {
    const { network, a, b } = twoHosts(7, { b: { change: { overloaded: () => true } } });
    a.sendFrame(b);
    network.run(3_000);
    expect(a.hasSession(b)).toBe(true);
    for (const { bytes, from } of network.handshakes) if (from === b.endpoint) a.receive(bytes, from);
    expect(a.tunnels.drops()['unexpected-response']).toBe(1);
    expect(a.tunnels.drops()['unexpected-cookie']).toBe(1);
  });
});

describe('floods', () => {
  test('TM11 under load: a cookie, smaller than any initiation; with it the handshake succeeds', () => {
    const { network, a, b } = twoHosts(8, { b: { change: { overloaded: () => true } }, crypto: nodeCrypto });
    a.sendFrame(b);
    network.run(50);
    expect(network.handshakes[1]!.bytes.length).toBe(COOKIE_REPLY_BYTES);
    expect(COOKIE_REPLY_BYTES).toBeLessThan(Math.min(INITIATION_BYTES_MIN, RESPONSE_BYTES_MIN));
    expect(a.status(b)!.reason).toContain('busy');
    network.run(1_500);
    expect(a.hasSession(b) && b.hasSession(a)).toBe(true);
    expect(b.tunnels.drops()['cookie-required']).toBe(1);
  });

  test('a cookie of another address, and one older than 120 s, is worth nothing', () => {
    const { network, a, b } = twoHosts(9, { b: { change: { overloaded: () => true } } });
    a.sendFrame(b);
    network.run(50);
    a.moveTo({ ip: '203.0.113.7', port: 6783 });
    network.run(1_500);
    expect(b.tunnels.drops()['cookie-required']).toBe(2);
    network.run(1_500);
    expect(a.hasSession(b)).toBe(true);
    network.run(300_000);
    a.sendFrame(b);
    network.run(50);
    expect(b.tunnels.drops()['cookie-required']).toBe(3);
  });

  test('a cookie reply that was tampered with, or made for another initiation, is dropped', () => {
    const { network, a, b } = twoHosts(10, { b: { change: { overloaded: () => true } } });
    network.fate = (_, from) => (from === b ? 'drop' : 'deliver');
    a.sendFrame(b);
    network.run(50);
    const reply = network.handshakes[1]!.bytes;
    for (let byte = 8; byte < reply.length; byte++) {
      const forged = reply.slice();
      forged[byte]! ^= 1;
      a.receive(forged, b.endpoint);
    }
    expect(a.tunnels.drops()['cookie-invalid']).toBe(reply.length - 8);
    network.run(2_000);
    a.receive(reply, b.endpoint);
    expect(a.tunnels.drops()['unexpected-cookie']).toBe(1);
  });

  test('TM10 10,000 replays a second from as many sources: bounded work, answers and memory; tunnels live, members get in', () => {
    let diffieHellman = 0;
    const counting = {
      ...toyCrypto,
      x25519Key: (raw: Uint8Array) => {
        const key = toyCrypto.x25519Key(raw);
        return { ...key, agree: (point: Uint8Array) => count(key.agree(point)) };
      },
    };
    const count = <T>(result: T): T => {
      diffieHellman++;
      return result;
    };
    const { network, a, b } = twoHosts(11, { crypto: counting });
    const c = new SimHost(network, 3);
    c.knows(b);
    a.sendFrame(b);
    network.run(1_000);
    const initiations = initiationsFor(network, b, 100);
    const sent = network.handshakes.length;
    diffieHellman = 0;
    for (let second = 0; second < 5; second++) {
      for (let i = 0; i < 10_000; i++) b.tunnels.handleDatagram(initiations[i % 100]!, source(i));
      expect(b.sendFrame(a)).toBe(true);
      c.sendFrame(b);
      network.run(1_000);
    }
    const answers = network.handshakes.slice(sent).filter(({ from }) => from === b.endpoint);
    expect(answers.length).toBeLessThanOrEqual(5 * (1_000 + 60));
    expect(diffieHellman).toBeLessThanOrEqual(5 * 60 * 4);
    const { peers, indexes } = b.tunnels.sizes();
    expect(peers).toBeLessThanOrEqual(103);
    expect(indexes).toBeLessThanOrEqual(110);
    expect(a.delivered).toBe(5);
    network.run(5_000);
    expect(c.hasSession(b)).toBe(true);
  });

  test('a member with many identities cannot fill the memory', () => {
    const { network, a, b } = twoHosts(12, { b: { change: { limits: { peersMax: 10, unprovenPerSecondMax: 1e9 } } } });
    a.sendFrame(b);
    network.run(1_000);
    for (const initiation of initiationsFor(network, b, 50)) b.receive(initiation, STRANGER);
    expect(b.tunnels.sizes().peers).toBe(10);
    expect(b.tunnels.drops()['peer-limit']).toBe(41);
    network.run(400_000);
    const late = new SimHost(network, 90);
    late.knows(b);
    late.sendFrame(b);
    network.run(100);
    expect(late.hasSession(b)).toBe(true);
  });

  test('a thousand peers wanted at once are spread over seconds', () => {
    const network = new SimNetwork(13);
    const a = new SimHost(network, 1);
    const key = new SimHost(network, 2).staticPublic;
    for (let i = 0; i < 1_000; i++) {
      const id = (i + 1000).toString(16).padStart(32, '0') as typeof a.id;
      a.tunnels.setPeer(id, { staticKey: key, endpoints: [source(i)] });
      a.tunnels.sessionWanted(id);
    }
    expect(network.handshakes.length).toBe(200);
    network.run(990);
    expect(network.handshakes.length).toBe(200);
    network.run(1_000);
    expect(network.handshakes.length).toBeLessThanOrEqual(600);
  });
});

describe('fuzz', () => {
  const endpoint = fc.constant(STRANGER);

  test('anything at all is a counted drop and never throws', () => {
    const { network, a, b } = twoHosts(14);
    a.sendFrame(b);
    const templates = [...initiationsFor(network, b, 2), new Uint8Array(COOKIE_REPLY_BYTES), new Uint8Array(140)];
    let received = 0;
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 1400 }),
      fc
        .record({ type: fc.integer({ min: 0x10, max: 0x15 }), rest: fc.uint8Array({ maxLength: 300 }) })
        .map(({ type, rest }) => concatBytes(Uint8Array.of(type, 0, 0, 0), rest)),
      fc
        .record({
          which: fc.nat(3),
          at: fc.nat(139),
          value: fc.nat(255),
          cut: fc.nat(40),
          type: fc.integer({ min: 0x10, max: 0x14 }),
        })
        .map(({ which, at, value, cut, type }) => {
          const bytes = templates[which]!.slice(0, templates[which]!.length - cut);
          if (at < bytes.length) bytes[at] = value;
          if (which >= 2) bytes[0] = type;
          return bytes;
        }),
    );
    const sessions = b.sessions.size;
    fc.assert(
      fc.property(hostile, endpoint, (bytes, from) => {
        received += 2;
        a.tunnels.handleDatagram(bytes, from);
        b.tunnels.handleDatagram(bytes, from);
      }),
      { numRuns: 2_000, seed: 14 },
    );
    const drops = [a, b].flatMap((host) => Object.values(host.tunnels.drops())).reduce((sum, count) => sum + count, 0);
    expect(drops + b.sessions.size - sessions).toBe(received);
    expect(a.hasSession(b)).toBe(false);
  });
});

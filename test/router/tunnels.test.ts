import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { SimHost, twoHosts } from './tunnel-harness.ts';
import { SimNetwork } from './tunnel-network.ts';

describe('a tunnel on demand', () => {
  test('one side wants it, with the real cryptography: both send within two round trips', () => {
    const { network, a, b } = twoHosts(1, { crypto: nodeCrypto });
    expect(a.sendFrame(b)).toBe(false);
    network.run(100);
    expect(a.sendFrame(b)).toBe(true);
    expect(b.sendFrame(a)).toBe(true);
    network.run(100);
    expect([a.delivered, b.delivered]).toEqual([1, 1]);
    const status = a.status(b)!;
    expect(status).toMatchObject({ state: 'established', reason: null, cipher: 'aes-256-gcm', pathMtu: 1500 });
    expect(status.endpoint).toEqual(b.endpoint);
    expect(status.handshakeRttMs).toBeGreaterThanOrEqual(10);
    expect(b.status(a)).toMatchObject({ state: 'established', endpoint: a.endpoint, handshakeRttMs: null });
  });

  test('nothing is sent before somebody wants something', () => {
    const { network } = twoHosts(2);
    network.run(600_000);
    expect(network.handshakes).toEqual([]);
  });

  test('sizes: an initiation fits 1,200 bytes, a cookie reply is smaller than any initiation', () => {
    const long = new Uint8Array(1000).fill(65);
    const { network, a, b } = twoHosts(3, { a: { change: { membership: () => long } } });
    a.sendFrame(b);
    expect(network.handshakes[0]!.bytes.length).toBeLessThanOrEqual(1200);
    expect(network.handshakes[0]!.bytes.length).toBeGreaterThan(1000);
  });

  test('the responder sends nothing on a session before its first valid data', () => {
    const { network, a, b } = twoHosts(4);
    network.fate = (datagram) => (datagram instanceof Uint8Array ? 'deliver' : 'drop');
    a.sendFrame(b);
    network.run(500);
    expect(a.hasSession(b)).toBe(true);
    expect(b.hasSession(a)).toBe(false);
    expect(b.status(a)).toMatchObject({ state: 'handshaking', endpoint: null });
  });

  test('a responder with frames waiting initiates itself when the confirmation is lost', () => {
    const { network, a, b } = twoHosts(5);
    network.fate = (datagram) => (datagram instanceof Uint8Array ? 'deliver' : 'drop');
    a.sendFrame(b);
    network.run(50);
    b.sendFrame(a);
    network.fate = () => 'deliver';
    network.run(2_000);
    expect(b.hasSession(a)).toBe(true);
  });

  test('the cipher is the first of the initiator, but ChaCha where either has slow AES', () => {
    const slow = { change: { ciphers: ['chacha20-poly1305', 'aes-256-gcm'] as const } };
    for (const setup of [{ a: slow }, { b: slow }, { a: slow, b: slow }]) {
      const { network, a, b } = twoHosts(6, setup);
      a.sendFrame(b);
      network.run(100);
      expect(a.status(b)!.cipher).toBe('chacha20-poly1305');
      expect(b.status(a)!.cipher).toBe('chacha20-poly1305');
    }
  });

  test('no common cipher: refused, counted, said in words', () => {
    const { network, a, b } = twoHosts(7, {
      a: { change: { ciphers: ['aes-256-gcm'] } },
      b: { change: { ciphers: ['chacha20-poly1305'] } },
    });
    a.sendFrame(b);
    network.run(500);
    expect(b.tunnels.drops()['no-common-cipher']).toBe(1);
    expect(b.status(a)!.reason).toContain('chacha20-poly1305');
  });

  test('the path MTU is the smaller one', () => {
    const { network, a, b } = twoHosts(8, { b: { change: { mtu: 1400 } } });
    a.sendFrame(b);
    network.run(100);
    expect([a.pathMtus.get(b.id), b.pathMtus.get(a.id)]).toEqual([1400, 1400]);
  });

  test('a datapath made anew hears of the path MTU again', () => {
    const { network, a, b } = twoHosts(8, { b: { change: { mtu: 1400 } } });
    a.sendFrame(b);
    network.run(100);
    a.tunnels.close();
    a.pathMtus.clear();
    a.sendFrame(b);
    network.run(6_000);
    expect([a.hasSession(b), a.pathMtus.get(b.id)]).toEqual([true, 1400]);
  });

  test('an initiator that gossip has not named is accepted and reported', () => {
    const network = new SimNetwork(9);
    const a = new SimHost(network, 1);
    const b = new SimHost(network, 2);
    a.knows(b);
    a.sendFrame(b);
    network.run(100);
    expect(b.seen).toEqual([{ peer: a.id, endpoint: a.endpoint }]);
    expect(b.sendFrame(a)).toBe(true);
  });
});

describe('simultaneous initiation', () => {
  test('1,000 seeds over a bad network: both can send and are heard', () => {
    for (let seed = 0; seed < 1_000; seed++) {
      const { network, a, b } = twoHosts(seed);
      network.keepHandshakes = false;
      network.minLatencyMs = 1;
      network.maxLatencyMs = seed % 2 === 0 ? 5 : 300;
      const loss = (seed % 5) * 0.08;
      network.fate = () => {
        const dice = network.random.fraction();
        return dice < loss ? 'drop' : dice < loss + 0.1 ? 'twice' : 'deliver';
      };
      const offsetMs = seed % 3 === 0 ? 0 : network.random.fraction() * 20;
      a.sendFrame(b);
      network.after(offsetMs, () => b.sendFrame(a));
      for (let second = 0; second < 40 && !(a.hasSession(b) && b.hasSession(a)); second++) {
        network.run(1_000);
        a.sendFrame(b);
        b.sendFrame(a);
      }
      network.fate = () => 'deliver';
      network.run(1_000);
      const [heardByA, heardByB] = [a.delivered, b.delivered];
      expect(a.sendFrame(b) && b.sendFrame(a), `seed ${seed}`).toBe(true);
      network.run(1_000);
      expect([a.delivered, b.delivered], `seed ${seed}`).toEqual([heardByA + 1, heardByB + 1]);
      expect(Math.max(a.tunnels.sizes().indexes, b.tunnels.sizes().indexes), `seed ${seed}`).toBeLessThanOrEqual(6);
    }
  });
});

test('a handshake of our own ends when the other side was faster', () => {
  const { network, a, b } = twoHosts(10);
  network.fate = (datagram, from) =>
    from === a && datagram instanceof Uint8Array && datagram[0] === 0x11 ? 'drop' : 'deliver';
  a.sendFrame(b);
  b.sendFrame(a);
  network.run(10_000);
  expect(a.hasSession(b) && b.hasSession(a)).toBe(true);
  expect(network.handshakes.filter(({ bytes, from }) => from === a.endpoint && bytes[0] === 0x11).length).toBe(1);
});

describe('loss of any one handshake message', () => {
  test.each([
    ['initiation', 0],
    ['response', 1],
    ['confirmation', 2],
  ])('%s', (_, lost) => {
    const { network, a, b } = twoHosts(11);
    let sent = 0;
    network.fate = () => (sent++ === lost ? 'drop' : 'deliver');
    a.sendFrame(b);
    network.run(1_500);
    expect(a.sendFrame(b)).toBe(true);
    network.run(50);
    expect(b.sendFrame(a)).toBe(true);
    network.run(50);
    expect([a.delivered, b.delivered]).toEqual([1, 1]);
  });
});

describe('24 hours', () => {
  test.each([
    ['both send', true, true, 0],
    ['one sends', true, false, 0],
    ['the responder alone sends', false, true, 0],
    ['both send, 2 % of all datagrams are lost', true, true, 0.02],
  ])('TM4 TM6 %s: no gap, no unreadable datagram, no nonce twice, keys replaced in time', (_, aSends, bSends, loss) => {
    const { network, a, b } = twoHosts(12);
    a.sendFrame(b);
    network.run(1_000);
    network.keepHandshakes = false;
    network.fate = () => (network.random.fraction() < loss ? 'drop' : 'deliver');
    const unsent = a.unsent + b.unsent;
    let oldestMs = 0;
    const stepMs = 1_700;
    for (let passedMs = 0; passedMs < 86_400_000; passedMs += stepMs) {
      if (aSends) a.sendFrame(b);
      if (bSends) b.sendFrame(a);
      network.run(stepMs);
      oldestMs = Math.max(oldestMs, a.status(b)!.sessionAgeMs!, b.status(a)!.sessionAgeMs!);
    }
    expect(a.unsent + b.unsent).toBe(unsent);
    expect(a.unreadable + b.unreadable).toBe(0);
    expect(oldestMs).toBeLessThanOrEqual(loss === 0 ? 121_000 : 180_000);
    expect(a.sessions.size).toBeLessThanOrEqual(5);
  });

  test('both sides initiated: the crossing sessions are replaced without a gap', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { network, a, b } = twoHosts(seed);
      network.minLatencyMs = network.maxLatencyMs = 50;
      a.sendFrame(b);
      b.sendFrame(a);
      network.run(1_000);
      expect([a.sessions.size, b.sessions.size]).toEqual([2, 2]);
      const unsent = a.unsent + b.unsent;
      for (let step = 0; step < 2_000; step++) {
        a.sendFrame(b);
        b.sendFrame(a);
        network.run(step === 0 ? 105_000 : 10);
      }
      expect(a.unsent + b.unsent).toBe(unsent);
      expect(a.unreadable + b.unreadable, `seed ${seed}`).toBe(0);
    }
  });
});

describe('time', () => {
  test('TM6 an unused session ends after 180 s and its keys leave the datapath', () => {
    const { network, a, b } = twoHosts(14);
    a.sendFrame(b);
    network.run(179_000);
    expect(a.sessions.size).toBe(1);
    network.run(2_000);
    expect(a.sessions.size + b.sessions.size).toBe(0);
    expect(a.status(b)).toMatchObject({ state: 'idle', reason: null });
    expect(a.tunnels.sizes()).toMatchObject({ indexes: 0, active: 0 });
  });

  test('a peer that lost its sessions is found out within 3 s of its last datagram', () => {
    const { network, a, b } = twoHosts(16);
    const stream = (seconds: number) => {
      for (let tenth = 0; tenth < seconds * 10; tenth++) {
        a.sendFrame(b);
        network.run(100);
      }
    };
    stream(5);
    b.start({ store: new MemoryStore() });
    stream(3);
    const again = network.handshakes.filter(({ from }) => from === a.endpoint);
    expect(again.length).toBe(2);
    expect(b.hasSession(a)).toBe(true);
    expect(a.status(b)).toMatchObject({ state: 'established', reason: null });
  });

  test('a path that dies under traffic is told, with the time, and so is its return', () => {
    const { network, a, b } = twoHosts(15);
    a.sendFrame(b);
    network.run(1_000);
    network.fate = () => 'drop';
    for (let tenth = 0; tenth < 40; tenth++) {
      a.sendFrame(b);
      network.run(100);
    }
    expect(a.turns).toEqual(['established', 'silent']);
    expect(a.status(b)!.reason).toMatch(/^it has answered nothing for [34] s; no answer from 192\.0\.2\.2:6783$/);
    network.fate = () => 'deliver';
    network.run(6_000);
    expect(a.turns).toEqual(['established', 'silent', 'answering']);
    expect(a.status(b)!.reason).toBeNull();
  });

  test('persistent keepalives keep a quiet tunnel up', () => {
    const { network, a, b } = twoHosts(17, { a: { change: { persistentKeepaliveMs: 25_000 } } });
    a.sendFrame(b);
    network.run(1_000_000);
    expect(a.hasSession(b) && b.hasSession(a)).toBe(true);
  });

  test('nobody answers: 1 s, 1 s, then every 5 s, for 90 s; then failed, with the reason', () => {
    const { network, a, b } = twoHosts(18);
    b.stop();
    a.sendFrame(b);
    expect(a.status(b)).toMatchObject({ state: 'handshaking', reason: 'no answer from 192.0.2.2:6783 yet' });
    network.run(200_000);
    expect(network.handshakes.length).toBeGreaterThan(15);
    expect(network.handshakes.length).toBeLessThan(22);
    expect(a.status(b)!.state).toBe('failed');
    expect(a.status(b)!.reason).toContain('no answer for 90 s from 192.0.2.2:6783');
    expect(a.tunnels.sizes()).toMatchObject({ indexes: 0, active: 0 });
    b.start();
    a.sendFrame(b);
    expect(a.status(b)!.reason).toContain('trying again');
    network.run(100);
    expect(a.status(b)).toMatchObject({ state: 'established', reason: null });
  });

  test('TM5 an exhausted session is replaced at once', () => {
    const { network, a, b } = twoHosts(19);
    a.sendFrame(b);
    network.run(100);
    const [before] = a.sessions.keys();
    a.tunnels.sessionExhausted(before!);
    network.run(100);
    expect(a.sessions.size).toBe(2);
    a.sendFrame(b);
    expect(a.status(b)!.sessionAgeMs).toBeLessThan(100);
  });
});

describe('endpoints', () => {
  test('candidates are tried in turn, and the one that answers is kept', () => {
    const network = new SimNetwork(20);
    const a = new SimHost(network, 1);
    const b = new SimHost(network, 2);
    const dead = [
      { ip: '198.51.100.1', port: 6783 },
      { ip: '2001:db8::1', port: 6783 },
    ];
    a.knows(b, [...dead, b.endpoint]);
    a.sendFrame(b);
    network.run(3_000);
    expect(network.handshakes.slice(0, 3).map(({ to }) => to.ip)).toEqual(['198.51.100.1', '2001:db8::1', '192.0.2.2']);
    expect(a.status(b)!.endpoint).toEqual(b.endpoint);
    network.run(200_000);
    a.sendFrame(b);
    expect(network.handshakes.at(-1)!.to).toEqual(b.endpoint);
  });

  test('a peer that moves is followed when its data comes from elsewhere', () => {
    const { network, a, b } = twoHosts(21);
    a.sendFrame(b);
    network.run(100);
    b.moveTo({ ip: '203.0.113.9', port: 40_000 });
    b.sendFrame(a);
    network.run(100);
    expect(a.status(b)!.endpoint).toEqual(b.endpoint);
    a.sendFrame(b);
    network.run(100);
    expect(b.delivered).toBe(1);
  });

  test('a record without endpoints: failed with the reason, and tried as soon as gossip tells', () => {
    const network = new SimNetwork(22);
    const a = new SimHost(network, 1);
    const b = new SimHost(network, 2);
    a.knows(b, []);
    a.sendFrame(b);
    expect(a.status(b)!.state).toBe('failed');
    expect(a.status(b)!.reason).toContain('no address');
    network.run(5_000);
    a.knows(b);
    network.run(100);
    expect(a.hasSession(b)).toBe(true);
  });
});

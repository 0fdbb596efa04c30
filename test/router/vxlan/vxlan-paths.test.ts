import { describe, expect, test } from 'vitest';
import { type Cidr, parseCidr } from '../../../src/base/address.ts';
import type { PeerId } from '../../../src/base/ids.ts';
import { nodeCrypto } from '../../../src/host/node-crypto.ts';
import { PROBE_BYTES_MIN } from '../../../src/router/vxlan/probe-message.ts';
import { VXLAN_PEERS_MAX, VxlanPaths } from '../../../src/router/vxlan/vxlan-paths.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const EVERYBODY = [parseCidr('192.0.2.0/24')!];
const PSK = new Uint8Array(32).fill(9);

/** Hosts on one wire, which drops what its receiver has not let in, as the packet filter does, and what `cut` names. */
class Wire {
  readonly clock = new ManualClock();
  readonly hosts: Host[] = [];
  readonly cut = new Set<string>();

  host(number: number, trusted: readonly Cidr[] = EVERYBODY): Host {
    const host = new Host(this, number, trusted);
    this.hosts.push(host);
    return host;
  }

  /** Each learns of the other what gossip and a tunnel tell. */
  meet(a: Host, b: Host, pathMtu = 1500): void {
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      one.paths.learn(other.id, { staticKey: other.publicKey });
      one.paths.learn(other.id, { endpoint: other.ip, pathMtu });
    }
  }

  carry(from: Host, frame: Uint8Array, to: string): void {
    const host = this.hosts.find(({ ip }) => ip === to);
    if (host === undefined || this.cut.has(`${from.ip} ${to}`)) return;
    if ([...host.paths.allowed().values()].includes(from.ip)) host.inbox.push(frame);
  }

  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 10) {
      for (const host of this.hosts) {
        for (const frame of host.inbox.splice(0)) host.paths.receive(frame);
        host.paths.tick();
      }
      this.clock.advance(10);
    }
  }
}

class Host {
  readonly id: PeerId;
  readonly ip: string;
  readonly publicKey: Uint8Array;
  readonly paths: VxlanPaths;
  readonly inbox: Uint8Array[] = [];
  readonly sent: Uint8Array[] = [];
  changes = 0;
  proven = 0;

  constructor(wire: Wire, number: number, trusted: readonly Cidr[]) {
    this.id = `${number}`.padStart(32, '0') as PeerId;
    this.ip = `192.0.2.${number}`;
    const staticPrivate = new Uint8Array(32).fill(number);
    this.publicKey = nodeCrypto.x25519Key(staticPrivate).publicKey;
    this.paths = new VxlanPaths({
      self: this.id,
      staticPrivate,
      psk: PSK,
      trusted,
      mtu: 1418,
      clock: wire.clock,
      random: new SeededRandom(number),
      crypto: nodeCrypto,
      events: {
        send: (frame, to) => {
          this.sent.push(frame);
          wire.carry(this, frame, to);
        },
        proven: () => void this.proven++,
        changed: () => void this.changes++,
        wake: () => {},
      },
    });
  }

  stateOf(peer: Host): string | undefined {
    return this.paths.view(peer.id)?.state;
  }
}

function pair(trustedByB?: readonly Cidr[]): { wire: Wire; a: Host; b: Host } {
  const wire = new Wire();
  const a = wire.host(1);
  const b = wire.host(2, trustedByB);
  wire.meet(a, b);
  return { wire, a, b };
}

describe('who gets plain frames', () => {
  test('two hosts that trust each other, both ways, within a second', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    expect(a.paths.remotes()).toEqual(new Map([[b.id, b.ip]]));
    expect(b.paths.remotes()).toEqual(new Map([[a.id, a.ip]]));
  });

  test('not where only one side trusts: the other neither asks nor answers', () => {
    const { wire, a, b } = pair([parseCidr('198.51.100.0/24')!]);
    wire.run(60_000);
    expect([a.stateOf(b), b.stateOf(a)]).toEqual(['trying', 'barred']);
    expect(b.paths.view(a.id)?.reason).toBe('192.0.2.1 lies in none of --trusted-subnets');
    expect([b.sent, b.paths.allowed().size]).toEqual([[], 0]);
  });

  test.each<[string, (a: Host, b: Host) => void, RegExp]>([
    ['dead', (a, b) => a.paths.learn(b.id, { alive: false }), /does not answer/],
    ['without a proven endpoint', (a, b) => a.paths.learn(b.id, { endpoint: null }), /has not shown yet/],
    ['that moved out of trust', (a, b) => a.paths.learn(b.id, { endpoint: '198.51.100.1' }), /198\.51\.100\.1 lies in/],
    ['behind a small path', (a, b) => a.paths.learn(b.id, { pathMtu: 1467 }), /takes 1467 bytes, VXLAN needs 1468/],
    ['when this host itself fails', (a) => a.paths.setFault('no module'), /no module/],
  ])('not a peer %s; the peer hears of it at once', (_name, change, reason) => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    change(a, b);
    expect(a.paths.remotes().size).toBe(0);
    expect(a.paths.allowed().size).toBe(0);
    expect(a.paths.view(b.id)?.reason).toMatch(reason);
    wire.run(10);
    expect(b.paths.remotes().size).toBe(0);
    expect(b.paths.view(a.id)?.reason).toMatch(/does not take plain VXLAN/);
  });

  test('a path of exactly the size that VXLAN needs is enough', () => {
    const wire = new Wire();
    const [a, b] = [wire.host(1), wire.host(2)];
    wire.meet(a, b, 1468);
    wire.run(1_000);
    expect(a.stateOf(b)).toBe('up');
  });

  test('a host that stops takes all consent back', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    a.paths.close();
    wire.run(10);
    expect([a.paths.allowed().size, b.paths.remotes().size]).toEqual([0, 0]);
  });

  test('a peer that is forgotten, and one too many, have no view', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    a.paths.forget(b.id);
    expect([a.paths.view(b.id), a.paths.allowed().size]).toEqual([null, 0]);
    for (let n = 0; n <= VXLAN_PEERS_MAX; n++) a.paths.learn(`f${n}`.padStart(32, '0') as PeerId, { alive: true });
    expect(a.paths.view(`f${VXLAN_PEERS_MAX}`.padStart(32, '0') as PeerId)).toBeNull();
  });
});

describe('the path', () => {
  test('blocked in one direction ends both, and both come back', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    wire.cut.add(`${a.ip} ${b.ip}`);
    wire.run(4_000);
    expect([a.stateOf(b), b.stateOf(a)]).toEqual(['trying', 'trying']);
    wire.cut.clear();
    wire.run(12_000);
    expect([a.stateOf(b), b.stateOf(a)]).toEqual(['up', 'up']);
  });

  test('to a peer that restarted is proven anew, at once', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    a.paths.restarted(b.id);
    expect(a.paths.view(b.id)).toEqual({ state: 'trying', reason: expect.stringContaining('has restarted') });
    wire.run(400);
    expect(a.stateOf(b)).toBe('up');
    a.paths.restarted('99'.repeat(16) as PeerId); // nobody
  });

  test('from an address that the peer has left ends at once: what comes from there would be dropped', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    b.paths.learn(a.id, { endpoint: '192.0.2.77' });
    expect(b.paths.allowed()).toEqual(new Map([[a.id, '192.0.2.77']]));
    wire.run(10);
    expect(a.paths.remotes().size).toBe(0);
    expect(a.paths.view(b.id)?.reason).toMatch(/does not take plain VXLAN from this host any more/);
    wire.run(10_000);
    b.paths.learn(a.id, { endpoint: a.ip });
    wire.run(10_000);
    expect([a.stateOf(b), b.stateOf(a)]).toEqual(['up', 'up']);
  });

  test('tells of each answer, for which the encrypted way is kept ready', () => {
    const { wire, a } = pair();
    wire.run(1_000);
    const before = a.proven;
    wire.run(20_000);
    expect(a.proven - before).toBeGreaterThanOrEqual(9);
  });

  test('is told of each change once', () => {
    const { wire, a } = pair();
    wire.run(30_000);
    expect(a.changes).toBe(2); // let in, and up
  });

  test('many peers are asked more seldom: the sum stays below 25 asks a second', () => {
    const wire = new Wire();
    const a = wire.host(1);
    for (let n = 2; n < 122; n++) wire.meet(a, wire.host(n));
    wire.run(10_000);
    expect(a.paths.remotes().size).toBe(120);
    const asks = () => a.sent.filter((frame) => frame[15] === 1).length;
    const before = asks();
    wire.run(10_000);
    expect((asks() - before) / 10).toBeLessThan(25);
  });
});

describe('what nobody of the cluster has sent', () => {
  test('is dropped and counted', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    const answer = b.sent.find((frame) => frame[15] === 2)!;
    for (const frame of [new Uint8Array(3), answer.with(60, 1), answer.with(20, 1), answer.with(14, 9), answer]) {
      a.paths.receive(frame);
    }
    expect(a.paths.drops()).toEqual({
      'probe-malformed': 1,
      'probe-forged': 1,
      'probe-stranger': 1,
      'probe-version': 1,
      'probe-stale': 1,
    });
    expect(a.stateOf(b)).toBe('up');
  });

  test('probes fill the largest frame, so that a path too small shows', () => {
    const { wire, a } = pair();
    wire.run(1_000);
    expect(new Set(a.sent.map(({ length }) => length))).toEqual(new Set([1432]));
    expect(PROBE_BYTES_MIN).toBeLessThan(1280);
  });

  test('a peer whose static key changed is a stranger with the old one', () => {
    const { wire, a, b } = pair();
    wire.run(1_000);
    a.paths.learn(b.id, { staticKey: nodeCrypto.x25519Key(new Uint8Array(32).fill(77)).publicKey });
    wire.run(10_000);
    expect(a.stateOf(b)).toBe('trying');
    expect(a.paths.drops()['probe-forged']).toBeGreaterThan(0);
  });
});

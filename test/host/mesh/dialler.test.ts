import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../../src/base/ids.ts';
import { DIAL_TIMES } from '../../../src/host/mesh/dial-times.ts';
import { type Dial, Dialler } from '../../../src/host/mesh/dialler.ts';
import { unreachable } from '../../../src/host/mesh/refusal.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const SELF = '5'.repeat(32) as PeerId;
const SMALLER = '1'.repeat(32) as PeerId;
const LARGER = '9'.repeat(32) as PeerId;
const refusal = unreachable({ name: 'x', dialled: true }, 'ECONNREFUSED');
const SEED_HOST = { host: 'seed.example', port: 6783 };

function peerNumber(n: number): PeerId {
  return n.toString(16).padStart(32, '0') as PeerId;
}

function endpoint(n: number): { ip: string; port: number } {
  return { ip: `192.0.2.${n}`, port: 6783 };
}

/** Drives a Dialler in steps of 50 ms; `answer` says what becomes of each dial at once. */
function run(
  dialler: Dialler,
  forMs: number,
  answer: (dial: Dial, nowMs: number) => void,
  startMs = 0,
): { at: number; dial: Dial }[] {
  const dials: { at: number; dial: Dial }[] = [];
  for (let nowMs = startMs; nowMs < startMs + forMs; nowMs += 50) {
    for (const dial of dialler.tick(nowMs)) {
      dials.push({ at: nowMs, dial });
      answer(dial, nowMs);
    }
  }
  return dials;
}

function fresh(seed = 1): Dialler {
  return new Dialler({ self: SELF, random: new SeededRandom(seed) });
}

describe('targets', () => {
  test('a lonely joiner tries with growing pauses of at most 3 s, for ever', () => {
    const dialler = fresh();
    dialler.addTarget(SEED_HOST, 0);
    const dials = run(dialler, 60_000, ({ id }, now) => dialler.dialFailed(id, refusal, now));
    const pauses = dials.slice(1).map(({ at }, n) => at - dials[n]!.at);
    expect(pauses[0]).toBeLessThanOrEqual(550);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(3_050);
    expect(Math.max(...pauses.slice(-5))).toBeGreaterThan(1_400);
    expect(dialler.targets()).toMatchObject([
      { state: 'waiting', peer: null, lastError: { code: 'peer-unreachable' } },
    ]);
    expect(dialler.targets()[0]!.attempts).toBe(dials.length);
  });

  test('pauses reach 30 s once there is a link to somebody else', () => {
    const dialler = fresh();
    dialler.addTarget(SEED_HOST, 0);
    dialler.setKnownPeers([{ peer: LARGER, endpoints: [endpoint(1)] }], 0);
    dialler.linkUp(LARGER);
    const dials = run(dialler, 300_000, ({ id }, now) => dialler.dialFailed(id, refusal, now));
    const pauses = dials.slice(1).map(({ at }, n) => at - dials[n]!.at);
    expect(Math.max(...pauses)).toBeGreaterThan(15_000);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_050);
  });

  test('one dial at a time, none once linked, again when the link is lost', () => {
    const dialler = fresh();
    dialler.addTarget(SEED_HOST, 0);
    const [first] = dialler.tick(0);
    expect(dialler.tick(10_000)).toEqual([]);
    dialler.dialReached(first!.id, LARGER, 10_000);
    dialler.linkUp(LARGER);
    expect(dialler.targets()).toMatchObject([{ state: 'linked', peer: LARGER, attempts: 0 }]);
    expect(run(dialler, 100_000, () => {}, 10_000)).toEqual([]);
    dialler.linkDown(LARGER, 110_000);
    expect(run(dialler, 1_000, () => {}, 110_000)).toHaveLength(1);
  });

  test('a target becomes an address of its peer and keeps its own status', () => {
    const dialler = fresh();
    dialler.addTarget(SEED_HOST, 0);
    dialler.dialReached(dialler.tick(0)[0]!.id, LARGER, 0);
    dialler.linkUp(LARGER);
    dialler.setKnownPeers([{ peer: LARGER, endpoints: [endpoint(1)] }], 0);
    dialler.linkDown(LARGER, 1_000);
    const dials = run(dialler, 2_000, ({ id }, now) => dialler.dialFailed(id, refusal, now), 1_000);
    expect(new Set(dials.map(({ dial }) => dial.host))).toEqual(new Set(['192.0.2.1', 'seed.example']));
    expect(dialler.targets()).toMatchObject([{ state: 'waiting', peer: LARGER }]);
  });

  test('ourselves are never dialled again, under any name', () => {
    const dialler = fresh();
    dialler.addTarget(SEED_HOST, 0);
    dialler.dialReachedSelf(dialler.tick(0)[0]!.id, 0);
    dialler.setKnownPeers([{ peer: LARGER, endpoints: [{ ip: '172.17.0.1', port: 6783 }] }], 0);
    const dials = run(dialler, 20_000, ({ id }, now) => dialler.dialReachedSelf(id, now));
    expect(dials).toHaveLength(1);
    expect(dialler.targets()).toMatchObject([{ state: 'self', nextDialMs: null, lastError: null }]);
  });

  test('a forgotten target is not dialled, also when its dial was under way', () => {
    const dialler = fresh();
    dialler.addTarget(SEED_HOST, 0);
    const [dial] = dialler.tick(0);
    expect(dialler.removeTarget(SEED_HOST)).toBe(true);
    expect(dialler.removeTarget(SEED_HOST)).toBe(false);
    dialler.dialFailed(dial!.id, refusal, 10);
    expect(run(dialler, 10_000, () => {})).toEqual([]);
  });

  test('their number is bounded', () => {
    const dialler = fresh();
    const added = Array.from({ length: 300 }, (_, n) => dialler.addTarget({ host: `h${n}`, port: 1 }, 0));
    expect(added.filter(Boolean)).toHaveLength(256);
    expect(dialler.tick(0)).toHaveLength(8);
  });
});

describe('known peers', () => {
  test.each([
    ['at once by the smaller id', LARGER, 0, 150],
    ['after a head start by the larger id', SMALLER, 400, 550],
  ])('are dialled %s', (_, peer, fromMs, toMs) => {
    const dialler = fresh();
    dialler.setKnownPeers([{ peer, endpoints: [endpoint(1)] }], 0);
    const [first] = run(dialler, 2_000, () => {});
    expect(first!.at).toBeGreaterThanOrEqual(fromMs);
    expect(first!.at).toBeLessThanOrEqual(toMs);
  });

  test('for whom something waits are dialled at once by either id, also when they had a head start', () => {
    const dialler = fresh();
    const known = { peer: SMALLER, endpoints: [endpoint(1)] };
    dialler.setKnownPeers([known], 0);
    expect(dialler.tick(100)).toEqual([]);
    dialler.setKnownPeers([{ ...known, isAwaited: true }], 100);
    expect(dialler.tick(100)).toHaveLength(1);
    const other = fresh();
    other.setKnownPeers([{ ...known, isAwaited: true }], 0);
    expect(other.tick(0)).toHaveLength(1);
  });

  test('all addresses of a round come quickly, the next round later', () => {
    const dialler = fresh();
    dialler.setKnownPeers([{ peer: LARGER, endpoints: [endpoint(1), endpoint(2)] }], 0);
    dialler.observe(LARGER, endpoint(3));
    const dials = run(dialler, 450, ({ id }, now) => dialler.dialFailed(id, refusal, now));
    expect(dials.map(({ dial }) => dial.host).slice(0, 3)).toEqual(['192.0.2.1', '192.0.2.2', '192.0.2.3']);
  });

  test('an address where another host answers is passed over', () => {
    const dialler = fresh();
    dialler.setKnownPeers(
      [
        { peer: LARGER, endpoints: [endpoint(1), endpoint(2)] },
        { peer: SMALLER, endpoints: [endpoint(1)] },
      ],
      0,
    );
    dialler.linkUp(SMALLER);
    const dials = run(dialler, 300, ({ id, host }, now) => {
      if (host === '192.0.2.1') dialler.dialReached(id, SMALLER, now);
    });
    expect(dials.map(({ dial }) => dial.host)).toEqual(['192.0.2.1', '192.0.2.2']);
  });

  test('two hosts: a lost peer is dialled every 3 s at the latest', () => {
    const dialler = fresh();
    dialler.setKnownPeers([{ peer: LARGER, endpoints: [endpoint(1)] }], 0);
    const dials = run(dialler, 600_000, ({ id }, now) => dialler.dialFailed(id, refusal, now));
    const pauses = dials.slice(1).map(({ at }, n) => at - dials[n]!.at);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(3_050);
  });

  test('many that are gone for good cost one dial per 30 s, and each gets its turn', () => {
    const dialler = fresh();
    const known = Array.from({ length: 20 }, (_, n) => ({ peer: peerNumber(n + 1), endpoints: [endpoint(n + 1)] }));
    dialler.setKnownPeers(known, 0);
    run(dialler, 60_000, ({ id }, now) => dialler.dialFailed(id, refusal, now));
    const rare = run(dialler, 3_600_000, ({ id }, now) => dialler.dialFailed(id, refusal, now), 60_000);
    expect(rare.length).toBeGreaterThanOrEqual(118);
    expect(rare.length).toBeLessThanOrEqual(121);
    expect(new Set(rare.map(({ dial }) => dial.host)).size).toBeGreaterThanOrEqual(19);
  });

  test('one that comes back starts over', () => {
    const dialler = fresh();
    const known = [1, 2].map((n) => ({ peer: peerNumber(n), endpoints: [endpoint(n)] }));
    dialler.setKnownPeers(known, 0);
    run(dialler, 120_000, ({ id }, now) => dialler.dialFailed(id, refusal, now));
    dialler.linkUp(peerNumber(1));
    dialler.linkDown(peerNumber(1), 200_000);
    const dials = run(dialler, 2_000, ({ id }, now) => dialler.dialFailed(id, refusal, now), 200_000);
    expect(dials.filter(({ dial }) => dial.host === '192.0.2.1').length).toBeGreaterThanOrEqual(2);
  });

  test('ourselves and the forgotten are not dialled', () => {
    const dialler = fresh();
    dialler.setKnownPeers([{ peer: SELF, endpoints: [endpoint(1)] }], 0);
    expect(run(dialler, 5_000, () => {})).toEqual([]);
    dialler.setKnownPeers([{ peer: LARGER, endpoints: [endpoint(2)] }], 5_000);
    dialler.setKnownPeers([], 5_000);
    expect(run(dialler, 5_000, () => {}, 5_000)).toEqual([]);
  });
});

describe('seeded random', () => {
  test('never two dials to one destination at once, never a linked one, never more than eight in all', () => {
    for (let seed = 0; seed < 30; seed++) {
      const random = new SeededRandom(seed);
      const dialler = new Dialler({ self: SELF, random: random.split(), times: DIAL_TIMES });
      const linked = new Set<PeerId>();
      const open = new Map<number, Dial>();
      for (let nowMs = 0; nowMs < 60_000; nowMs += 100) {
        for (const dial of dialler.tick(nowMs)) {
          expect([...open.values()].map(({ host }) => host)).not.toContain(dial.host);
          for (const peer of linked) expect(dial.host).not.toBe(`192.0.2.${Number.parseInt(peer, 16)}`);
          open.set(dial.id, dial);
        }
        expect(open.size).toBeLessThanOrEqual(8);
        const n = 1 + random.below(12);
        const peer = peerNumber(n);
        const action = random.below(4);
        const [dial] = open.values();
        if (action === 0 && dial !== undefined) {
          open.delete(dial.id);
          const reached = peerNumber(Number(dial.host.split('.')[3]));
          if (random.below(2) === 0) dialler.dialFailed(dial.id, refusal, nowMs);
          else {
            dialler.dialReached(dial.id, reached, nowMs);
            linked.add(reached);
            dialler.linkUp(reached);
          }
        } else if (action === 1 && linked.delete(peer)) {
          dialler.linkDown(peer, nowMs);
        } else if (action === 2) {
          const count = random.below(13);
          const known = Array.from({ length: count }, (_, k) => ({
            peer: peerNumber(k + 1),
            endpoints: [endpoint(k + 1)],
          }));
          dialler.setKnownPeers(known, nowMs);
        }
      }
    }
  });
});

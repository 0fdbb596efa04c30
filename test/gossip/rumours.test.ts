import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { PeerLiveness } from '../../src/gossip/peer-liveness.ts';
import { decodeRumours, encodeRumours, type Rumour, VERDICTS } from '../../src/gossip/rumour-message.ts';
import { Rumours } from '../../src/gossip/rumours.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const peerOf = (digit: string): PeerId => digit.repeat(32) as PeerId;
const [SELF, A, B, C, D] = ['0', 'a', 'b', 'c', 'd'].map(peerOf) as [PeerId, PeerId, PeerId, PeerId, PeerId];

/** One host; what it sends stands in `sent` as `to: peer verdict@version`, `.` for complete. */
function setUp() {
  const clock = new ManualClock();
  const versions = new Map<PeerId, number>([SELF, A, B, C, D].map((peer) => [peer, 5]));
  const states: string[] = [];
  const sent: string[] = [];
  const blocked = new Set<PeerId>();
  let refuted = 0;
  const liveness = new PeerLiveness({ clock, changed: (peer, { state }) => states.push(`${peer[0]} ${state}`) });
  const rumours = new Rumours({
    self: SELF,
    clock,
    liveness,
    versionOf: (peer) => versions.get(peer) ?? 0,
    refute: () => refuted++,
  });
  const link = (peer: PeerId) => {
    rumours.linkUp(peer, {
      send: (bytes) => {
        const { complete, rumours: said } = decodeRumours(bytes)!;
        const words = said.map(({ peer: about, verdict, version }) => `${about[0]} ${verdict}@${version}`);
        sent.push(`${peer[0]}: ${words.join(', ')}${complete ? '.' : ''}`);
        return !blocked.has(peer);
      },
    });
  };
  const hear = (from: PeerId, said: readonly Rumour[], complete = false) =>
    rumours.receive(from, encodeRumours({ complete, rumours: said }));
  const wait = (ms: number) => {
    clock.advance(ms);
    liveness.tick();
    rumours.tick();
  };
  const take = () => sent.splice(0);
  const write = (peer: PeerId) => {
    versions.set(peer, (versions.get(peer) ?? 0) + 1);
    rumours.newer(peer);
  };
  return { rumours, liveness, versions, states, blocked, link, hear, wait, take, write, refuted: () => refuted };
}

const suspect = (peer: PeerId, version = 5): Rumour => ({ peer, version, verdict: 'suspect' });

test('a host that restarts and knows nothing of a suspect does not keep its newer records from clearing it', () => {
  const { link, hear, write, states } = setUp();
  link(A);
  hear(A, [], true);
  hear(A, [suspect(C)]);
  hear(B, [{ peer: C, version: 6, verdict: 'unknown' }], true);
  write(C);
  expect(states.filter((state) => state.startsWith('c'))).toEqual(['c suspect', 'c alive']);
});

describe('a lost link', () => {
  test('is not told while its peer is heard without one', () => {
    const { rumours, liveness, link, wait, take } = setUp();
    for (const peer of [A, B, C]) link(peer);
    take();
    rumours.linkDown(C, 'lost');
    rumours.linkDown(B, 'lost');
    wait(1_500);
    liveness.heard(C);
    wait(500);
    expect(take()).toEqual([]);
    wait(20);
    expect(take()).toEqual(['a: b suspect@5']);
    expect(rumours.dueMs()).toBe(1_480);
    wait(1_480);
    wait(20);
    expect(take()).toEqual(['a: c suspect@5']);
  });

  test('is told when it is not back in 2 s, to all neighbours, once', () => {
    const { rumours, link, wait, take } = setUp();
    for (const peer of [A, B, C]) link(peer);
    take();
    rumours.linkDown(C, 'lost');
    wait(1_999);
    expect(take()).toEqual([]);
    wait(1);
    wait(20);
    expect(take()).toEqual(['a: c suspect@5', 'b: c suspect@5']);
    wait(10_000);
    expect(take()).toEqual([]);
  });

  test('that comes back in time is nobody else’s business', () => {
    const { rumours, link, wait, take, states } = setUp();
    for (const peer of [A, C]) link(peer);
    rumours.linkDown(C, 'lost');
    wait(1_900);
    link(C);
    take();
    wait(10_000);
    expect(take()).toEqual([]);
    expect(states.at(-1)).toBe('c alive');
  });

  test('of a peer that said goodbye is told at once', () => {
    const { rumours, link, wait, take } = setUp();
    for (const peer of [A, C]) link(peer);
    take();
    rumours.linkDown(C, 'left');
    wait(20);
    expect(take()).toEqual(['a: c left@5']);
  });

  test('that was given up says nothing of the peer, but what others know counts from then on', () => {
    const { rumours, link, hear, wait, take, states, liveness } = setUp();
    for (const peer of [A, C, D]) link(peer);
    take();
    rumours.linkDown(D, 'released');
    hear(A, [suspect(C)]);
    wait(20);
    expect(take()).toEqual(['c: c suspect@5']);
    expect(states).not.toContain('c suspect');
    rumours.linkDown(C, 'released');
    expect(liveness.view(C)?.state).toBe('suspect');
    expect(liveness.view(D)).toBeNull();
  });
});

describe('a rumour', () => {
  test('is believed, passed on to all but its teller, and becomes death by itself', () => {
    const { link, hear, wait, take, states } = setUp();
    for (const peer of [A, B]) link(peer);
    take();
    hear(A, [suspect(C)]);
    hear(B, [suspect(C)]);
    wait(20);
    expect(take()).toEqual(['b: c suspect@5']);
    wait(3_000);
    expect(states.slice(-2)).toEqual(['c suspect', 'c dead']);
  });

  test('is cleared by a newer version of the peer’s records, and old ones don’t come back', () => {
    const { link, hear, wait, take, states, write } = setUp();
    link(A);
    hear(A, [suspect(C)]);
    write(C);
    expect(states.slice(-2)).toEqual(['c suspect', 'c alive']);
    hear(A, [suspect(C)]);
    wait(10_000);
    expect(states.at(-1)).toBe('c alive');
    expect(take().filter((line) => line.includes('suspect'))).toEqual([]);
  });

  test('of a version that has not arrived waits for it', () => {
    const { link, hear, states, write } = setUp();
    link(A);
    hear(A, [suspect(C, 6)]);
    expect(states).toEqual(['a alive']);
    write(C);
    expect(states).toEqual(['a alive', 'c suspect']);
  });

  test('of us is answered by a newer version of ours, at most once per second', () => {
    const { link, hear, wait, refuted, versions } = setUp();
    link(A);
    hear(A, [suspect(SELF)]);
    wait(0);
    expect(refuted()).toBe(1);
    versions.set(SELF, 6);
    hear(A, [suspect(SELF), suspect(SELF, 6), suspect(SELF, 7)]);
    wait(999);
    expect(refuted()).toBe(1);
    wait(1);
    expect(refuted()).toBe(2);
  });

  test('of a stranger is nothing', () => {
    const { link, hear, wait, take } = setUp();
    for (const peer of [A, B]) link(peer);
    take();
    hear(A, [suspect(peerOf('e'))]);
    wait(20);
    expect(take()).toEqual([]);
  });
});

describe('after a start', () => {
  test('who is remembered is suspect until a neighbour has named those that it doubts', () => {
    const { rumours, link, hear, states } = setUp();
    for (const peer of [A, B, C]) rumours.met(peer);
    link(A);
    hear(A, [{ peer: C, version: 5, verdict: 'dead' }], true);
    expect(states).toEqual(['a suspect', 'b suspect', 'c suspect', 'a alive', 'c dead', 'b alive']);
  });

  test('what neither side can say stays open, and the peer dies by itself or writes', () => {
    const { rumours, link, hear, wait, states, write } = setUp();
    for (const peer of [B, C]) rumours.met(peer);
    link(A);
    hear(
      A,
      [
        { peer: B, version: 5, verdict: 'unknown' },
        { peer: C, version: 7, verdict: 'unknown' },
      ],
      true,
    );
    wait(5_000);
    expect(states).toEqual(['b suspect', 'c suspect', 'a alive', 'b dead', 'c dead']);
    write(C);
    write(C);
    expect(states).toHaveLength(5); // the neighbour knew that version, and was not sure all the same
    write(C);
    write(B);
    expect(states.slice(5)).toEqual(['c alive', 'b alive']);
  });

  test('a joiner believes what its neighbour doubts also of peers that it has yet to meet', () => {
    const { rumours, link, hear, states, versions, write } = setUp();
    versions.clear();
    versions.set(SELF, 1);
    link(A);
    hear(
      A,
      [
        { peer: B, version: 1, verdict: 'unknown' },
        { peer: C, version: 1, verdict: 'dead' },
      ],
      true,
    );
    for (const peer of [B, C, D]) {
      versions.set(peer, 1);
      rumours.met(peer);
      rumours.newer(peer);
    }
    expect(states).toEqual(['a alive', 'b suspect', 'c dead']);
    write(B);
    expect(states.at(-1)).toBe('b alive');
  });

  test('a new neighbour hears everything that stands, what we don’t know included', () => {
    const { rumours, link, hear, wait, take } = setUp();
    rumours.met(D);
    link(A);
    hear(A, [suspect(C)]);
    wait(3_000);
    take();
    link(B);
    expect(take()).toEqual(['b: c dead@5, d unknown@5.']);
  });
});

test('a peer that takes no dial is doubted once, and only by who has other links', () => {
  const { rumours, link, wait, take, write } = setUp();
  rumours.unreached(C);
  link(A);
  take();
  rumours.unreached(C);
  wait(20);
  expect(take()).toEqual(['a: c suspect@5']);
  write(C);
  rumours.unreached(C);
  wait(20);
  expect(take()).toEqual([]);
});

test('a link that is full gets what stands when it takes messages again', () => {
  const { rumours, link, hear, wait, take, write, blocked } = setUp();
  for (const peer of [A, B]) link(peer);
  blocked.add(B);
  hear(A, [suspect(D)]);
  wait(20);
  take();
  hear(A, [suspect(C)]);
  wait(20);
  expect(take()).toEqual([]);
  write(C);
  hear(A, [suspect(C, 6)]);
  blocked.clear();
  rumours.writable(B);
  expect(take()).toEqual(['b: c suspect@6']);
});

describe('messages', () => {
  test('come back as they went', () => {
    const rumours = VERDICTS.map((verdict, index) => ({ peer: peerOf('f'), version: 2 ** 52 + index, verdict }));
    const message = { complete: true, rumours };
    expect(decodeRumours(encodeRumours(message))).toEqual(message);
  });

  test('golden bytes', () => {
    const bytes = encodeRumours({ complete: true, rumours: [{ peer: A, version: 7, verdict: 'dead' }] });
    expect(Buffer.from(bytes).toString('hex')).toBe(`0101${'a'.repeat(32)}000000000000000702`);
  });

  test('nothing from outside throws, and what is malformed is counted', () => {
    const random = new SeededRandom(3);
    const { rumours, link } = setUp();
    link(A);
    const good = encodeRumours({ complete: false, rumours: [suspect(C), suspect(D)] });
    for (let i = 0; i < 2_000; i++) {
      const bytes = good.slice(0, random.below(good.length + 1));
      if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
      rumours.receive(A, bytes);
    }
    expect(rumours.stats().drops['rumour-malformed']).toBeGreaterThan(100);
  });
});

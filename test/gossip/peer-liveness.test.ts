import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { PeerLiveness } from '../../src/gossip/peer-liveness.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

const A = 'a' as PeerId;

function setUp() {
  const clock = new ManualClock();
  const log: string[] = [];
  const liveness = new PeerLiveness({
    clock,
    peersMax: 3,
    changed: (peer, { state, reason }) => log.push(`${peer} ${state} ${reason}`),
  });
  const wait = (ms: number) => {
    clock.advance(ms);
    return liveness.tick();
  };
  return { liveness, log, wait };
}

type Step = (liveness: PeerLiveness, wait: (ms: number) => number) => void;

describe('PeerLiveness', () => {
  test.each<[string, readonly Step[], readonly string[]]>([
    ['a link makes alive', [(l) => l.linkUp(A)], ['a alive link-up']],
    [
      'a lost link makes suspect at once and dead after 5 s',
      [(l) => l.linkUp(A), (l) => l.linkDown(A), (_, wait) => wait(4_999), (_, wait) => wait(1)],
      ['a alive link-up', 'a suspect link-lost', 'a dead silent'],
    ],
    [
      'a link that returns in time clears the suspicion',
      [
        (l) => l.linkUp(A),
        (l) => l.linkDown(A),
        (_, wait) => wait(4_000),
        (l) => l.linkUp(A),
        (_, wait) => wait(9_000),
      ],
      ['a alive link-up', 'a suspect link-lost', 'a alive link-up'],
    ],
    [
      'of two links one may go',
      [(l) => l.linkUp(A), (l) => l.linkUp(A), (l) => l.linkDown(A), (_, wait) => wait(9_000)],
      ['a alive link-up'],
    ],
    [
      'a goodbye needs no suspicion, and the end of the link adds nothing',
      [(l) => l.linkUp(A), (l) => l.goodbye(A), (l) => l.linkDown(A), (l) => l.goodbye(A), (_, wait) => wait(9_000)],
      ['a alive link-up', 'a dead goodbye'],
    ],
    [
      'after a goodbye a link brings a peer back, or fresh word of it',
      [(l) => l.goodbye(A), (l) => l.vouchedFor(A), (l) => l.goodbye(A), (l) => l.linkUp(A)],
      ['a dead goodbye', 'a alive vouched', 'a dead goodbye', 'a alive link-up'],
    ],
    [
      'who gives up its link in good order lives on',
      [(l) => l.linkUp(A), (l) => l.released(A), (_, wait) => wait(9_000)],
      ['a alive link-up'],
    ],
    [
      'what others know is believed where there is no link',
      [(l) => l.declaredDead(A, 'silent'), (l) => l.linkUp(A), (l) => l.declaredDead(A, 'silent')],
      ['a dead silent', 'a alive link-up'],
    ],
    [
      'who was heard here within the suspicion time is no more than suspect to what others know',
      [
        (l) => l.doubted(A),
        (_, wait) => wait(2_000),
        (l) => l.heard(A),
        (_, wait) => wait(4_000),
        (l) => l.declaredDead(A, 'silent'),
        (_, wait) => wait(999),
        (_, wait) => wait(1),
      ],
      ['a suspect link-lost', 'a dead silent'],
    ],
    [
      'but not when it said goodbye',
      [(l) => l.doubted(A), (l) => l.heard(A), (l) => l.declaredDead(A, 'goodbye')],
      ['a suspect link-lost', 'a dead goodbye'],
    ],
    ['a peer that left is dead without suspicion', [(l) => l.declaredDead(A, 'goodbye')], ['a dead goodbye']],
    [
      'another peer may vouch for a suspect',
      [(l) => l.linkUp(A), (l) => l.linkDown(A), (l) => l.vouchedFor(A), (_, wait) => wait(9_000)],
      ['a alive link-up', 'a suspect link-lost', 'a alive vouched'],
    ],
    [
      'others have waited for the link before they tell: 3 s are left of the suspicion',
      [(l) => l.doubted(A), (_, wait) => wait(2_999), (_, wait) => wait(1)],
      ['a suspect link-lost', 'a dead silent'],
    ],
    ['doubt does not count against our own link', [(l) => l.linkUp(A), (l) => l.doubted(A)], ['a alive link-up']],
    [
      'a peer known from records only is suspect, then dead',
      [(l) => l.known(A), (_, wait) => wait(5_000)],
      ['a suspect known-only', 'a dead silent'],
    ],
    ['a link down without a link is nothing', [(l) => l.linkDown(A), (l) => l.heard(A)], []],
    ['a forgotten peer is gone without an event', [(l) => l.linkUp(A), (l) => l.forget(A)], ['a alive link-up']],
  ])('%s', (_name, steps, expected) => {
    const { liveness, log, wait } = setUp();
    for (const step of steps) step(liveness, wait);
    expect(log).toEqual(expected);
  });

  test('lastSeenMs is the age of the last evidence', () => {
    const { liveness, wait } = setUp();
    liveness.known(A);
    expect(liveness.lastSeenMs(A)).toBeNull();
    liveness.linkUp(A);
    wait(700);
    expect(liveness.lastSeenMs(A)).toBe(700);
    liveness.heard(A);
    expect(liveness.lastSeenMs(A)).toBe(0);
  });

  test('who is alive and not linked takes no memory', () => {
    const { liveness } = setUp();
    liveness.known(A);
    liveness.vouchedFor(A);
    liveness.linkUp('b' as PeerId);
    liveness.released('b' as PeerId);
    expect([...liveness.peers()]).toEqual([]);
    expect(liveness.view(A)).toBeNull();
  });

  test('tick says when the next suspect is due', () => {
    const { liveness, wait } = setUp();
    expect(wait(0)).toBe(Number.POSITIVE_INFINITY);
    liveness.known(A);
    expect(wait(1_000)).toBe(4_000);
  });

  test('peers beyond the limit are not remembered', () => {
    const { liveness } = setUp();
    for (let i = 0; i < 10; i++) liveness.linkUp(`${i}` as PeerId);
    expect([...liveness.peers()]).toHaveLength(3);
  });
});

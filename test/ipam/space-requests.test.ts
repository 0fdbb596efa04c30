import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import type { GiftId, PeerId } from '../../src/base/ids.ts';
import { type Need, REPLY_TIMEOUT_MS, SpaceRequests } from '../../src/ipam/space-requests.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const OWNER = 'b'.repeat(32) as PeerId;
const OTHER = 'e'.repeat(32) as PeerId;
const ANY: Need = { key: 'IPv4', family: 4, wish: 'any', exact: null };
const EXACT: Need = { key: '10.32.5.5', family: 4, wish: 'exact', exact: parseCidr('10.32.5.5/32') };

function setUp({ alive, donors = [OWNER] }: { readonly alive: boolean; readonly donors?: readonly PeerId[] }) {
  const clock = new ManualClock();
  const sent: PeerId[] = [];
  const world = { linked: false, ended: 0, gifts: 0 };
  const requests = new SpaceRequests({
    clock,
    random: new SeededRandom(1),
    giftId: () => String(world.gifts++).padStart(32, '0') as GiftId,
    donorsFor: () => donors,
    send: (donor) => {
      if (world.linked) sent.push(donor);
      return world.linked;
    },
    awaitsLink: () => alive,
    ended: () => void world.ended++,
  });
  return { clock, sent, world, requests };
}

describe('an address that only a host without a link can give', () => {
  test('is asked for as soon as there is a link', () => {
    const { requests, sent, world } = setUp({ alive: true });
    requests.want(EXACT, { now: true });
    expect([requests.state(EXACT.key).state, sent]).toEqual(['asking', []]);
    world.linked = true;
    requests.linked('d'.repeat(32) as PeerId);
    expect(sent).toEqual([]);
    requests.linked(OWNER);
    requests.linked(OWNER);
    expect(sent).toEqual([OWNER]);
  });

  test('is given up after three waits when no link comes', () => {
    const { requests, clock, world } = setUp({ alive: true });
    requests.want(EXACT, { now: true });
    for (let wait = 0; wait < 3; wait++) {
      expect(world.ended).toBe(0);
      clock.advance(REPLY_TIMEOUT_MS);
      requests.tick();
    }
    expect(world.ended).toBe(1);
    expect(requests.state(EXACT.key)).toMatchObject({ failures: [{ donor: OWNER, reason: 'not-linked' }] });
  });

  test('is not waited for when the host is dead', () => {
    const { requests } = setUp({ alive: false });
    requests.want(EXACT, { now: true });
    expect(requests.state(EXACT.key)).toMatchObject({ failures: [{ donor: OWNER, reason: 'not-linked' }] });
  });
});

describe('a donor that gives nothing at the moment', () => {
  /** The gift that was asked for last. */
  const lastGift = (gifts: number) => String(gifts - 1).padStart(32, '0') as GiftId;
  const setUpRound = () => {
    const scene = setUp({ alive: true, donors: [OWNER, OTHER] });
    scene.world.linked = true;
    scene.requests.want(ANY, { now: true });
    const refuse = (donor: PeerId, reason: 'paused' | 'none-free'): void => {
      expect(scene.requests.refused(donor, lastGift(scene.world.gifts), reason)).toBe(true);
    };
    refuse(OWNER, 'paused');
    refuse(OTHER, 'none-free');
    return { ...scene, refuse };
  };

  test('is asked again a second after all others have refused', () => {
    const { requests, clock, sent, world } = setUpRound();
    expect([requests.state(ANY.key).state, sent]).toEqual(['asking', [OWNER, OTHER]]);
    clock.advance(REPLY_TIMEOUT_MS - 1);
    expect(requests.tick()).toBe(1);
    expect(sent).toEqual([OWNER, OTHER]);
    clock.advance(1);
    requests.tick();
    expect(sent).toEqual([OWNER, OTHER, OWNER]);
    requests.granted(lastGift(world.gifts));
    expect(requests.state(ANY.key).state).toBe('idle');
    expect(world.ended).toBe(0);
  });

  test('ends the round when it has said so four times', () => {
    const { requests, clock, sent, world, refuse } = setUpRound();
    for (let again = 0; again < 3; again++) {
      expect(world.ended).toBe(0);
      clock.advance(REPLY_TIMEOUT_MS);
      requests.tick();
      refuse(OWNER, 'paused');
    }
    expect(world.ended).toBe(1);
    expect(sent).toEqual([OWNER, OTHER, OWNER, OWNER, OWNER]);
    const failures = [
      { donor: OTHER, reason: 'none-free' },
      { donor: OWNER, reason: 'paused' },
    ];
    expect(requests.state(ANY.key)).toMatchObject({ state: 'failed', failures });
  });
});

test('who needs space asks everybody in the end, however many there are that have more and give none', () => {
  const donors = Array.from({ length: 19 }, (_, i) => String(i).padStart(32, '0') as PeerId);
  const { requests, sent, world } = setUp({ alive: true, donors });
  world.linked = true;
  for (let round = 0; round < 4; round++) {
    requests.want(ANY, { now: true });
    for (let asked = sent.length; requests.state(ANY.key).state === 'asking'; asked = sent.length) {
      requests.refused(sent[asked - 1]!, String(world.gifts - 1).padStart(32, '0') as GiftId, 'none-free');
    }
  }
  expect(sent.slice(0, 8)).toEqual(donors.slice(0, 8));
  expect(new Set(sent)).toEqual(new Set(donors));
  expect(sent.slice(24)).toEqual(donors.slice(0, 8)); // and begins anew
});

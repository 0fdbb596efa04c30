import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import type { GiftId, PeerId } from '../../src/base/ids.ts';
import { type Need, REPLY_TIMEOUT_MS, SpaceRequests } from '../../src/ipam/space-requests.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const OWNER = 'b'.repeat(32) as PeerId;
const EXACT: Need = { key: '10.32.5.5', family: 4, wish: 'exact', exact: parseCidr('10.32.5.5/32') };

function setUp({ alive }: { readonly alive: boolean }) {
  const clock = new ManualClock();
  const sent: PeerId[] = [];
  const world = { linked: false, ended: 0 };
  const requests = new SpaceRequests({
    clock,
    random: new SeededRandom(1),
    giftId: () => 'c'.repeat(32) as GiftId,
    donorsFor: () => [OWNER],
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

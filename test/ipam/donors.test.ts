import { expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { donorsFor, isWorthALink } from '../../src/ipam/donors.ts';
import { LeaseView } from '../../src/ipam/lease-view.ts';
import type { Need } from '../../src/ipam/space-requests.ts';
import { quickSignatures } from '../fakes/quick-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { make, signed } from './scenario.ts';

const ANY: Need = { key: 'IPv4', family: 4, wish: 'any', exact: null };
const EXACT: Need = { key: '10.32.2.1', family: 4, wish: 'exact', exact: parseCidr('10.32.2.1/32') };

/** Hosts 1 to 4 own a block each, the later the smaller; host 0 owns the rest, and 5 nothing. */
function setUp({ linked, dead = [] }: { readonly linked: readonly number[]; readonly dead?: readonly number[] }) {
  const cluster = make({ hosts: 6, range: '10.32.0.0/20' });
  const { hosts, plan } = cluster;
  const view = new LeaseView(plan, quickSignatures, (peer) => hosts.find(({ id }) => id === peer)?.key ?? null);
  const blocks = ['10.32.2.0/23', '10.32.4.0/24', '10.32.5.0/25', '10.32.5.128/26'];
  for (const [index, cidr] of ['10.32.0.0/20', ...blocks].entries()) {
    const terms = { donor: 0, owner: hosts[index]!.id, cidr, epoch: index === 0 ? 1 : 2 };
    expect(view.observe(hosts[0]!.id, signed(cluster, terms))).toHaveProperty('claim');
  }
  const facts = {
    self: hosts[5]!.id,
    view,
    candidates: () => linked.map((index) => hosts[index]!.id),
    isAlive: (peer: PeerId) => !dead.includes(cluster.indexOf(peer)),
    random: new SeededRandom(1),
  };
  const donors = (need: Need) => donorsFor(need, facts).map((peer) => cluster.indexOf(peer));
  return { donors, isWorth: (index: number, need: Need) => isWorthALink(hosts[index]!.id, need, facts) };
}

test('linked hosts are asked first, then owners to which there is no link, each with the most space first', () => {
  expect(setUp({ linked: [4, 2] }).donors(ANY)).toEqual([2, 4, 0, 1, 3]);
});

test('nobody asks the dead', () => {
  expect(setUp({ linked: [3], dead: [0, 1, 2] }).donors(ANY)).toEqual([3, 4]);
});

test('one address is asked of its owner alone', () => {
  expect(setUp({ linked: [2] }).donors(EXACT)).toEqual([1]);
});

test.each([
  ['a linked host that takes no message now, when others may give space', 2, ANY, false],
  ['a host without a link', 1, ANY, true],
  ['a dead one', 3, ANY, false],
  ['the only owner of an address, linked or not', 2, EXACT, true],
] as const)('a link is waited for: %s', (_name, host, need, expected) => {
  expect(setUp({ linked: [2], dead: [3] }).isWorth(host, need)).toBe(expected);
});

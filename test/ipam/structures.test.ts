import { describe, expect, test } from 'vitest';
import { type Cidr, cidrHasIp, cidrOf, cidrSize, compareCidrs, formatCidr, parseCidr } from '../../src/base/address.ts';
import { DEFAULT_VNI, type PeerId } from '../../src/base/ids.ts';
import { AddressPool, REST_MS } from '../../src/ipam/address-pool.ts';
import { intersectBlocks, mergeSiblings, subtractBlocks, totalSize } from '../../src/ipam/blocks.ts';
import { ClaimTrie } from '../../src/ipam/claim-trie.ts';
import { chooseBlock, chooseFragment, chooseShare } from '../../src/ipam/giving.ts';
import { gatewayOf, isAllocatable, leasePrefixFor, makeAddressPlan, usableSize } from '../../src/ipam/plan.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const creator = '00'.repeat(16) as PeerId;
const cidr = (text: string): Cidr => parseCidr(text)!;

function planOf(range: string, leasePrefix: number) {
  return makeAddressPlan(DEFAULT_VNI, { creator, range, range6: null, leasePrefix, leasePrefix6: 64 })!.families[0]!;
}

/** Random blocks inside 10.0.0.0/24. */
function randomBlocks(random: SeededRandom, count: number): Cidr[] {
  return Array.from({ length: count }, () =>
    cidrOf({ family: 4, value: (10n << 24n) + BigInt(random.below(256)) }, 24 + random.below(9)),
  );
}

describe('plan', () => {
  test.each([
    ['10.32.0.0/12', 24, 24],
    ['10.32.0.0/20', 24, 24],
    ['10.32.0.0/24', 24, 28],
    ['10.32.0.0/29', 24, 30],
    ['fd00:1::/48', 64, 64],
    ['fd00:1::/64', 64, 68],
    ['fd00:1::/126', 64, 126],
  ])('range %s with wanted blocks of /%i has blocks of /%i', (range, wanted, prefix) => {
    expect(leasePrefixFor(cidr(range), wanted)).toBe(prefix);
  });

  test.each([
    ['10.32.0.0/30', null, 24],
    ['10.32.0.1/24', null, 24],
    ['nonsense', null, 24],
    ['fd00::/48', null, 24],
    ['10.32.0.0/12', '10.0.0.0/8', 24],
    ['10.32.0.0/12', 'fd00::/127', 24],
    ['10.32.0.0/12', null, 33],
  ])('%s with %s and /%i is refused', (range, range6, leasePrefix) => {
    expect(makeAddressPlan(DEFAULT_VNI, { creator, range, range6, leasePrefix, leasePrefix6: 64 })).toBeNull();
  });

  test('network, gateway and broadcast address are never handed out', () => {
    const plan = planOf('10.32.0.0/29', 30);
    const free = Array.from({ length: 8 }, (_, i) => i).filter((i) => isAllocatable(plan, plan.range.base + BigInt(i)));
    expect(free).toEqual([2, 3, 4, 5, 6]);
    expect(usableSize(plan, plan.range)).toBe(5n);
    expect(gatewayOf(plan).value).toBe(plan.range.base + 1n);
  });
});

describe('claim trie', () => {
  test('answers like a list, in random adds and removes', () => {
    const random = new SeededRandom(7);
    const range = cidr('10.0.0.0/24');
    const trie = new ClaimTrie<Cidr>(range);
    let list: Cidr[] = [];
    for (let round = 0; round < 400; round++) {
      const [block] = randomBlocks(random, 1);
      if (random.fraction() < 0.6) {
        trie.add(block!, block!);
        list.push(block!);
      } else if (list.length > 0) {
        const gone = list[random.below(list.length)]!;
        expect(trie.remove(gone, gone)).toBe(true);
        expect(trie.remove(gone, gone)).toBe(false);
        list = list.filter((other) => other !== gone);
      }
      const value = range.base + BigInt(random.below(256));
      const covering = (at: bigint) => list.filter((other) => cidrHasIp(other, { family: 4, value: at }));
      expect(new Set(trie.covering(value))).toEqual(new Set(covering(value)));
      const within = randomBlocks(random, 1)[0]!;
      let next = within.base;
      trie.regions(within, (region, items) => {
        expect(region.base).toBe(next);
        next += cidrSize(region);
        for (const at of [region.base, next - 1n]) expect(new Set(items)).toEqual(new Set(covering(at)));
      });
      expect(next).toBe(within.base + cidrSize(within));
    }
  });
});

describe('block lists', () => {
  test('subtract, intersect, merge and total like sets of addresses', () => {
    const random = new SeededRandom(11);
    const addresses = (blocks: readonly Cidr[]) =>
      new Set(blocks.flatMap((b) => Array.from({ length: Number(cidrSize(b)) }, (_, i) => b.base + BigInt(i))));
    const minus = (a: Set<bigint>, b: Set<bigint>) => new Set([...a].filter((value) => !b.has(value)));
    for (let round = 0; round < 200; round++) {
      const holes = randomBlocks(random, random.below(5));
      const whole = subtractBlocks([cidr('10.0.0.0/24')], randomBlocks(random, 2));
      const rest = subtractBlocks(whole, holes);
      expect(addresses(rest)).toEqual(minus(addresses(whole), addresses(holes)));
      expect(totalSize(rest)).toBe(BigInt(addresses(rest).size));
      const [within] = randomBlocks(random, 1);
      expect(addresses(intersectBlocks(rest, within!))).toEqual(
        minus(addresses(rest), minus(addresses(rest), addresses([within!]))),
      );
      const pieces = rest.flatMap((block) => subtractBlocks([block], [cidrOf({ family: 4, value: block.base }, 32)]));
      const singles = rest.map((block) => cidrOf({ family: 4, value: block.base }, 32));
      const rows = [...pieces, ...singles].sort(compareCidrs).map((block) => ({ cidr: block }));
      const merged = mergeSiblings(
        rows,
        () => true,
        (_a, _b, parent) => ({ cidr: parent }),
      );
      expect(addresses(merged.map((row) => row.cidr))).toEqual(addresses(rest));
      expect(merged.length).toBeLessThanOrEqual(rest.length);
    }
  });
});

describe('choosing a gift', () => {
  const plan = planOf('10.32.0.0/12', 24);
  const text = (block: Cidr | null) => (block === null ? null : formatCidr(block));

  test.each([
    ['half of the range', ['10.32.0.0/12'], '10.40.0.0/13'],
    ['the larger half when the other is in use', ['10.32.1.0/24', '10.40.0.0/13'], '10.44.0.0/14'],
    ['the last lease block', ['10.32.9.0/24'], '10.32.9.0/24'],
    ['a fragment when there is nothing else', ['10.32.9.128/25'], '10.32.9.128/25'],
    ['nothing', [], null],
  ])('share: %s', (_name, spare, expected) => {
    expect(text(chooseShare(plan, spare.map(cidr)))).toBe(expected);
  });

  test.each([
    ['from the smallest block that has one', ['10.32.0.0/20', '10.33.0.0/22', '10.34.0.0/25'], '10.33.3.0/24'],
    ['not a fragment', ['10.34.0.0/25'], null],
  ])('one lease block: %s', (_name, spare, expected) => {
    expect(text(chooseBlock(plan, spare.map(cidr)))).toBe(expected);
  });

  test.each([
    ['half of the free part', ['10.33.0.0/24'], [], '10.33.0.128/25'],
    ['nothing in use', ['10.33.0.0/24'], [200, 255], '10.33.0.64/26'],
    ['one of two', ['10.33.0.0/31'], [], '10.33.0.1/32'],
    ['never the last free address', ['10.33.0.0/31'], [0], null],
    ['nothing', ['10.33.0.0/32'], [0], null],
  ])('fragment: %s', (_name, open, used, expected) => {
    const base = cidr('10.33.0.0/24').base;
    const chosen = chooseFragment(
      plan,
      open.map(cidr),
      used.map((offset) => base + BigInt(offset)),
    );
    expect(text(chosen)).toBe(expected);
  });
});

describe('address pool', () => {
  const plan = planOf('10.0.0.0/24', 28);
  const make = (store = new MemoryStore(), clock = new ManualClock()) =>
    ({ store, clock, pool: new AddressPool({ network: DEFAULT_VNI, plan, store, clock }) }) as const;

  test('never hands out what is held, and keeps the minute of rest, in random use', () => {
    const random = new SeededRandom(5);
    const { store, clock } = make();
    let { pool } = make(store, clock);
    const open = [cidr('10.0.0.0/28'), cidr('10.0.0.32/28')];
    for (const block of open) pool.activate(block);
    const held = new Map<string, bigint>();
    const freedMs = new Map<bigint, number>();
    for (let i = 0; i < 1500; i++) {
      const dice = random.fraction();
      if (dice < 0.5) {
        const value = pool.takeNext(`c${i}`, open, { resting: false });
        if (value === null) continue;
        expect([...held.values()]).not.toContain(value);
        expect(isAllocatable(plan, value) && open.some((b) => cidrHasIp(b, { family: 4, value }))).toBe(true);
        expect(clock.monotonicMs() - (freedMs.get(value) ?? -REST_MS)).toBeGreaterThanOrEqual(REST_MS);
        held.set(`c${i}`, value);
      } else if (dice < 0.9) {
        const owner = [...held.keys()][random.below(Math.max(1, held.size))];
        if (owner === undefined) continue;
        expect(pool.release(owner, pool.addressesOf(owner))).toEqual([held.get(owner)]);
        freedMs.set(held.get(owner)!, clock.monotonicMs());
        held.delete(owner);
      } else if (dice < 0.98) {
        clock.advance(random.below(20_000));
        pool.tick();
      } else {
        ({ pool } = make(new MemoryStore(store.snapshot()), clock));
        ({ pool } = make(store, clock));
        freedMs.clear();
      }
      expect(new Map(pool.entries().map(([value, owner]) => [owner, value]))).toEqual(held);
    }
  });

  test.each([
    ['an address outside the range', 'address4', '192.0.2.1'],
    ['text that is no address', 'address4', 'x'],
    ['a block of another size', 'block4', '10.0.0.0/27'],
  ])('refuses a store with %s', (_name, space, key) => {
    const store = new MemoryStore();
    store.put(`ipam/0/${space}`, key, new Uint8Array([65]));
    expect(() => make(store)).toThrow("can't be read");
  });

  test('a power cut before the commit leaves nothing', () => {
    const { store, pool } = make();
    store.beforeCommit = () => {
      throw new Error('power cut');
    };
    expect(() => pool.take('a', plan.range.base + 5n)).toThrow('power cut');
    expect(() => pool.takeNext('a', [plan.range], { resting: false })).toThrow('power cut');
    expect(pool.size).toBe(0);
    expect(pool.blocks).toEqual([]);
    store.beforeCommit = () => {};
    expect(pool.takeNext('a', [plan.range], { resting: false })).toBe(plan.range.base + 2n);
  });
});

import { describe, expect, test } from 'vitest';
import { type Cidr, cidrContains, cidrSize, cidrsOverlap, parseCidr } from '../../src/base/address.ts';
import { DEFAULT_VNI, type PeerId } from '../../src/base/ids.ts';
import { subtractBlocks, totalSize } from '../../src/ipam/blocks.ts';
import { chooseShare } from '../../src/ipam/giving.ts';
import { EMPTY_MS } from '../../src/ipam/holdings.ts';
import { blockPrefixFor, type FamilyPlan, makeAddressPlan, usableSize } from '../../src/ipam/plan.ts';
import { blocksOf, ipamOf, joined } from './scenario.ts';

function planOf(range: string, leasePrefix: number): FamilyPlan {
  const facts = { creator: '00'.repeat(16) as PeerId, range, range6: null, leasePrefix, leasePrefix6: 64 };
  return makeAddressPlan(DEFAULT_VNI, facts)!.families[0]!;
}

describe('the size of a block follows from range and host count', () => {
  test.each([
    { range: '10.32.0.0/12', hosts: 2, prefix: 24 },
    { range: '10.32.0.0/12', hosts: 3_072, prefix: 24 },
    { range: '10.32.0.0/12', hosts: 3_073, prefix: 25 },
    { range: '10.32.0.0/12', hosts: 5_000, prefix: 25 },
    { range: '10.32.0.0/12', hosts: 10_000, prefix: 26 },
    { range: '10.64.0.0/10', hosts: 10_000, prefix: 24 },
    { range: '10.0.0.0/24', hosts: 12, prefix: 28, leasePrefix: 28 },
    { range: '10.0.0.0/24', hosts: 13, prefix: 29, leasePrefix: 28 },
    { range: '10.0.0.0/24', hosts: 10_000, prefix: 30, leasePrefix: 28 },
  ])('$hosts hosts in $range: /$prefix', ({ range, hosts, prefix, leasePrefix = 24 }) => {
    expect(blockPrefixFor(planOf(range, leasePrefix), hosts)).toBe(prefix);
  });

  test('an IPv6 range of single addresses is cut no smaller', () => {
    const plan = { family: 6, range: parseCidr('fd00::/126')!, leasePrefix: 126 } as const;
    expect(blockPrefixFor(plan, 100)).toBe(126);
  });

  // Joiners ask the host with the most space, as Ipam does; each then runs a hundred containers and one address of its own.
  test.each([
    { range: '10.32.0.0/12', hosts: 5_000 },
    { range: '10.64.0.0/10', hosts: 10_000 },
  ])('$hosts hosts with 101 addresses each fit into $range', ({ range, hosts }) => {
    const plan = planOf(range, 24);
    const space: Cidr[][] = [[plan.range]];
    const totals = [Number(cidrSize(plan.range))];
    for (let joiner = 1; joiner < hosts; joiner++) {
      let donor = 0;
      for (let host = 1; host < joiner; host++) if (totals[host]! > totals[donor]!) donor = host;
      const sized = { ...plan, leasePrefix: blockPrefixFor(plan, joiner + 1) };
      const share = chooseShare(sized, subtractBlocks(space[donor]!, [keptBlock(sized, space[donor]!)]));
      expect(share, `host ${joiner} gets a share`).not.toBeNull();
      space[donor] = subtractBlocks(space[donor]!, [share!]);
      totals[donor]! -= Number(cidrSize(share!));
      space.push([share!]);
      totals.push(Number(cidrSize(share!)));
    }
    const poorest = space.map((blocks) => blocks.reduce((sum, block) => sum + usableSize(plan, block), 0n));
    expect(poorest.filter((usable) => usable < 101n)).toEqual([]);
    expect(totalSize(space.flat())).toBe(cidrSize(plan.range));
  });
});

/** What a donor uses itself: the first lease block of its space. */
function keptBlock({ leasePrefix }: FamilyPlan, [first]: readonly Cidr[]): Cidr {
  return { ...first!, prefix: Math.max(leasePrefix, first!.prefix) };
}

describe('blocks that are not needed any more', () => {
  const MINUTE_MS = 60_000;

  function crowded() {
    const cluster = joined({ range: '10.32.0.0/24', leasePrefix: 28 });
    for (let i = 0; i < 150; i++) {
      cluster.allocate(1, `c${i}`);
      cluster.drain();
    }
    return cluster;
  }

  function pass(cluster: ReturnType<typeof crowded>, ms: number): void {
    for (let passed = 0; passed < ms; passed += MINUTE_MS) {
      cluster.tick(MINUTE_MS);
      cluster.drain();
    }
  }

  const usable = (cluster: ReturnType<typeof crowded>, host: number) =>
    ipamOf(cluster, host).stats().families[0]!.usable;
  const active = (cluster: ReturnType<typeof crowded>) =>
    ipamOf(cluster, 1)
      .leases()
      .filter(({ state }) => state === 'active').length;

  test('are closed ten minutes after their last address is gone, and go back to their donor', () => {
    const cluster = crowded();
    const [had, activeBefore] = [usable(cluster, 1), active(cluster)];
    for (let i = 0; i < 150; i++) cluster.release(1, `c${i}`);
    pass(cluster, EMPTY_MS - MINUTE_MS);
    expect(usable(cluster, 1)).toBe(had);
    pass(cluster, 3 * MINUTE_MS);
    expect(active(cluster)).toBeLessThan(activeBefore);
    expect(usable(cluster, 1)).toBeLessThan(had);
    expect(usable(cluster, 1)).toBeGreaterThan(0);
    cluster.heal();
    cluster.checkSettled();
  });

  test('stay while half of the rest is in use', () => {
    const cluster = crowded();
    const had = usable(cluster, 1);
    for (let i = 0; i < 60; i++) cluster.release(1, `c${i}`); // 90 of some 140 stay in use
    pass(cluster, EMPTY_MS + 3 * MINUTE_MS);
    expect(usable(cluster, 1)).toBe(had);
    expect(cluster.hosts[1]!.held.size).toBeGreaterThan(60);
    cluster.checkSettled();
  });

  test('a donor that is not there gets nothing: the space stays spare', () => {
    const cluster = crowded();
    const had = usable(cluster, 1);
    cluster.cut.add('0-1').add('1-0');
    for (let i = 0; i < 150; i++) cluster.release(1, `c${i}`);
    pass(cluster, EMPTY_MS + 3 * MINUTE_MS);
    expect(usable(cluster, 1)).toBe(had);
    cluster.heal();
    cluster.checkSettled();
  });

  test('a host that is off for long keeps the block with its container and gives the rest', () => {
    const cluster = joined();
    cluster.allocate(1, 'kept');
    const given = ipamOf(cluster, 1).giveUnused(cluster.hosts[0]!.id);
    expect(given.length).toBeGreaterThan(0);
    cluster.drain();
    expect(given.every((record) => ipamOf(cluster, 1).isConfirmed(record))).toBe(true);
    expect(blocksOf(cluster, 1)).toEqual(['10.40.0.0/24']);
    expect(cluster.allocate(1, 'another')).toBe('address-exhausted');
    ipamOf(cluster, 1).setAllocating(null);
    expect(cluster.allocate(1, 'another')).toBe('ok');
    const own = ipamOf(cluster, 1).reservations();
    const blocks = blocksOf(cluster, 1).map((text) => parseCidr(text)!);
    for (const { ip } of own) {
      const address: Cidr = { family: 4, base: ip.value, prefix: 32 };
      expect(blocks.some((block) => cidrsOverlap(block, address) && cidrContains(block, address))).toBe(true);
    }
    cluster.checkSettled();
  });
});

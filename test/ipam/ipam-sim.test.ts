import { afterEach, describe, expect, test, vi } from 'vitest';
import { AddressPool } from '../../src/ipam/address-pool.ts';
import { Estate } from '../../src/ipam/estate.ts';
import { Holdings } from '../../src/ipam/holdings.ts';
import { LeaseView } from '../../src/ipam/lease-view.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { Cluster, type ClusterOptions, Violation } from './sim-cluster.ts';

const SHAPES: readonly Omit<ClusterOptions, 'seed'>[] = [
  { hosts: 3, range: '10.32.0.0/24', leasePrefix: 28 },
  { hosts: 5, range: '10.32.0.0/12', range6: 'fd00:1::/48', leasePrefix: 24 },
  { hosts: 4, range: '10.32.0.0/26', leasePrefix: 30 },
  { hosts: 3, range: '10.32.0.0/29', leasePrefix: 30, range6: 'fd00:1::/126', leasePrefix6: 126 },
  { hosts: 6, range: '10.32.0.0/25', leasePrefix: 29, range6: 'fd00:1::/120', leasePrefix6: 124 },
];

/** Random work and random faults; the checker looks after every step. */
function run(seed: number, shape: Omit<ClusterOptions, 'seed'>, steps: number): Cluster {
  const cluster = new Cluster({ ...shape, seed });
  const { random } = cluster;
  cluster.cutChance = 0.004;
  let owners = 0;
  const anyHost = () => random.below(shape.hosts);
  for (let step = 0; step < steps; step++) {
    const dice = random.fraction();
    const host = anyHost();
    if (dice < 0.5) cluster.deliver({ loss: 0.1, repeat: 0.1 });
    else if (dice < 0.65) cluster.allocate(host, `c${owners++}`, random.fraction() < 0.7 ? 4 : 6);
    else if (dice < 0.75) releaseAny(cluster, host);
    else if (dice < 0.8) wantAny(cluster, host, `w${owners++}`);
    else if (dice < 0.88) cluster.tick(random.below(1500));
    else if (dice < 0.91) cluster.crash(host);
    else if (dice < 0.95 && cluster.hosts[host]!.ipam === null) start(cluster, host);
    else if (dice < 0.97) cluster.cut.add(`${host}-${anyHost()}`);
    else if (dice < 0.98) cluster.cut.clear();
    else cluster.reconcile(host, anyHostOtherThan(host, shape.hosts, anyHost));
    cluster.check();
  }
  cluster.heal();
  cluster.checkSettled();
  return cluster;
}

function anyHostOtherThan(host: number, hosts: number, any: () => number): number {
  const other = any();
  return other === host ? (host + 1) % hosts : other;
}

function start(cluster: Cluster, host: number): void {
  const { cutChance } = cluster;
  cluster.cutChance = 0;
  cluster.start(host);
  cluster.cutChance = cutChance;
}

function releaseAny(cluster: Cluster, host: number): void {
  const owners = [...cluster.hosts[host]!.held.keys()];
  const owner = owners[cluster.random.below(Math.max(1, owners.length))];
  if (owner !== undefined) cluster.release(host, owner);
}

function wantAny(cluster: Cluster, host: number, owner: string): void {
  const { range } = cluster.plan.families[0]!;
  const offset = BigInt(cluster.random.below(Math.min(256, 2 ** (32 - range.prefix))));
  cluster.allocate(host, owner, 4, { family: 4, value: range.base + offset });
}

describe('a cluster under faults', () => {
  const runs = SHAPES.flatMap((shape, index) =>
    Array.from({ length: 8 }, (_, n) => ({ shape, seed: index * 100 + n + 1 })),
  );
  test.each(runs)('keeps its invariants: $shape.range, $shape.hosts hosts, seed $seed', ({ seed, shape }) => {
    run(seed, shape, 250);
  });
});

/** Runs a method of the class as if its writes stayed in a volatile cache. */
function loseWrites<T extends object, K extends keyof T & string>(prototype: T, method: K): void {
  const original = prototype[method] as (...terms: unknown[]) => unknown;
  const broken = function (this: T, ...terms: unknown[]): unknown {
    const transaction = vi.spyOn(MemoryStore.prototype, 'transaction').mockImplementation(() => undefined as never);
    try {
      return original.apply(this, terms);
    } finally {
      transaction.mockRestore();
    }
  };
  vi.spyOn(prototype, method as never).mockImplementation(broken as never);
}

describe('the checker catches broken variants', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const mutants: readonly (readonly [string, () => void])[] = [
    ['a gift is answered before it is durable', () => loseWrites(Estate.prototype, 'give')],
    ['an address is told before it is durable', () => loseWrites(AddressPool.prototype, 'takeNext')],
    ['a received gift is not stored', () => loseWrites(Estate.prototype, 'adopt')],
    [
      'blocks in use are given away',
      () => {
        vi.spyOn(Holdings.prototype, 'spare').mockImplementation(function (this: Holdings) {
          return this.owned();
        });
      },
    ],
    [
      'an address in use is given on request',
      () => {
        vi.spyOn(AddressPool.prototype, 'usedWithin').mockReturnValue(0);
      },
    ],
    [
      'a repeated request gets a second gift',
      () => {
        vi.spyOn(Estate.prototype, 'giftTo').mockReturnValue(null);
      },
    ],
    [
      'a host allocates by what others say',
      () => {
        vi.spyOn(Estate.prototype, 'owns').mockReturnValue(true);
      },
    ],
    [
      'open blocks include what was given away',
      () => {
        vi.spyOn(Holdings.prototype, 'open').mockImplementation(function (this: Holdings) {
          return [...this.pool.blocks];
        });
      },
    ],
    [
      'an address that somebody holds is handed out on wish',
      () => {
        vi.spyOn(AddressPool.prototype, 'holderOf').mockReturnValue(null);
      },
    ],
    [
      'a proven gift is not taken',
      () => {
        vi.spyOn(LeaseView.prototype, 'proves').mockReturnValue(false);
      },
    ],
  ];

  test.each(mutants)('%s', (_name, mutate) => {
    mutate();
    const caught = SHAPES.flatMap((shape) => [1, 2, 3, 4].map((seed) => ({ shape, seed }))).some(({ shape, seed }) => {
      try {
        run(seed, shape, 250);
        return false;
      } catch (error) {
        return error instanceof Violation;
      }
    });
    expect(caught).toBe(true);
  });
});

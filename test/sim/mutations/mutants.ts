// Broken variants of the product's protocols: each has rules taken away by replacing methods or functions for the time of a test.
// The simulator's checkers must catch every one of them: a checker that catches nothing is not a checker. The product knows
// nothing of this.

import { vi } from 'vitest';
import { Gossip } from '../../../src/gossip/gossip.ts';
import { Replica } from '../../../src/gossip/replica.ts';
import { AddressPool } from '../../../src/ipam/address-pool.ts';
import { Disputes } from '../../../src/ipam/disputes.ts';
import { Estate } from '../../../src/ipam/estate.ts';
import { Holdings } from '../../../src/ipam/holdings.ts';
import { Ipam } from '../../../src/ipam/ipam.ts';
import { LeaseView } from '../../../src/ipam/lease-view.ts';
import * as relaying from '../../../src/router/relay-message.ts';
import { Routes } from '../../../src/router/routes.ts';
import { MemoryStore } from '../../fakes/memory-store.ts';
import { type FaultKind, randomSchedule } from '../random-schedule.ts';
import type { Schedule } from '../schedule.ts';

export interface Mutant {
  readonly name: string;
  /** What brings it to light, tried in this order. */
  readonly schedules: Iterable<Schedule>;
  /** What the checkers say then. */
  readonly says: RegExp;
  readonly break: () => void;
}

const SEEDS_MAX = 30;
const USED_TWICE = / is used by /;
const OVERLAP = / overlap$/;
const OUTSIDE = / outside of its leases$/;
const OWNERS_DIFFER = /: hosts name \d+ owners of /;
const DEVICE_ELSEWHERE = / leads the device .* to /;
const WENT_BACK = / went back from version | holds version .* which never wrote it$/;

const CROWDED = { hosts: 5, range: '10.32.0.0/24', leasePrefix: 28 };
const FULL = { hosts: 4, range: '10.32.0.0/25', leasePrefix: 29 };

/** A crowded cluster, so that blocks move. */
function* crowded(faults: readonly FaultKind[], shape = CROWDED): Iterable<Schedule> {
  const wish = { ...shape, durationMs: 20_000, faults };
  for (let seed = 1; seed <= SEEDS_MAX; seed++) yield randomSchedule({ ...wish, seed });
}

/** The last host's daemon dies right after it has joined, and nobody can tell it anything when it is back. */
function* cutOffAfterCrash(): Iterable<Schedule> {
  const host = CROWDED.hosts - 1;
  const others = Array.from({ length: host }, (_, other) => other);
  const calm = randomSchedule({ ...CROWDED, seed: 1, durationMs: 20_000, faults: [] });
  const faults: readonly Schedule['steps'][number][] = [
    { atMs: 1_500, action: { kind: 'crash', host } },
    { atMs: 1_501, action: { kind: 'partition', groups: [others, [host]] } },
    { atMs: 2_500, action: { kind: 'launch', host } },
    { atMs: 14_000, action: { kind: 'heal' } },
  ];
  yield { ...calm, steps: [...calm.steps, ...faults].sort((a, b) => a.atMs - b.atMs) };
}

/** Two hosts that speak all the time, cut off from each other. */
function* unreachable(): Iterable<Schedule> {
  const calm = randomSchedule({ hosts: 4, seed: 1, durationMs: 20_000, faults: [] });
  const cut: readonly Schedule['steps'][number][] = [
    { atMs: 3_000, action: { kind: 'path', from: 0, to: 2, passes: false } },
    { atMs: 3_000, action: { kind: 'path', from: 2, to: 0, passes: false } },
    { atMs: 19_000, action: { kind: 'heal' } },
  ];
  const frames = Array.from({ length: 60 }, (_, i): Schedule['steps'][number] => {
    return { atMs: 2_000 + i * 250, action: { kind: 'frame', from: i % 2 === 0 ? 0 : 2, to: i % 2 === 0 ? 2 : 0 } };
  });
  yield { ...calm, steps: [...calm.steps, ...cut, ...frames].sort((a, b) => a.atMs - b.atMs) };
}

function anyOf(...patterns: readonly RegExp[]): RegExp {
  return new RegExp(patterns.map(({ source }) => source).join('|'));
}

/** Nothing that the method writes reaches the disk. */
function neverWritten<T extends object, K extends keyof T & string>(prototype: T, method: K): void {
  const original = prototype[method] as (...terms: unknown[]) => unknown;
  const broken = function (this: T, ...terms: unknown[]): unknown {
    const spies = [
      vi.spyOn(MemoryStore.prototype, 'put').mockImplementation(() => {}),
      vi.spyOn(MemoryStore.prototype, 'delete').mockImplementation(() => {}),
      vi.spyOn(MemoryStore.prototype, 'transaction').mockImplementation((work) => work()),
    ];
    try {
      return original.apply(this, terms);
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  };
  vi.spyOn(prototype, method as never).mockImplementation(broken as never);
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a gift is published and answered before it is durable',
    schedules: crowded(['crash', 'power', 'partition']),
    says: anyOf(OVERLAP, USED_TWICE),
    break: () => {
      neverWritten(Estate.prototype, 'give');
      neverWritten(Replica.prototype, 'write');
    },
  },
  {
    name: 'records are published before they are durable',
    schedules: crowded(['crash', 'power']),
    says: WENT_BACK,
    break: () => neverWritten(Replica.prototype, 'write'),
  },
  {
    name: 'a block is used before its gift is durable',
    schedules: cutOffAfterCrash(),
    says: anyOf(OUTSIDE, USED_TWICE),
    break: () => {
      neverWritten(Estate.prototype, 'adopt');
      neverWritten(Replica.prototype, 'write'); // else the copy in its published records would do
    },
  },
  {
    name: 'an address is told before it is durable',
    schedules: crowded(['crash']),
    says: USED_TWICE,
    break: () => neverWritten(AddressPool.prototype, 'takeNext'),
  },
  {
    name: 'blocks in use are given away',
    schedules: crowded([], FULL),
    says: anyOf(OUTSIDE, USED_TWICE, OVERLAP),
    break: () => {
      vi.spyOn(Holdings.prototype, 'spare').mockImplementation(function (this: Holdings) {
        return this.owned();
      });
    },
  },
  {
    name: 'a host allocates in what it has given away',
    schedules: crowded([]),
    says: OVERLAP,
    break: () => {
      vi.spyOn(Estate.prototype, 'owned').mockImplementation(function (this: Estate, family) {
        const [first] = this.claims().filter(({ cidr }) => cidr.family === family);
        return first === undefined ? [] : [{ cidr: first.cidr, epoch: first.record.epoch }];
      });
    },
  },
  {
    name: 'of two states of an author the first that came stays',
    schedules: crowded(['loss']),
    says: /hosts hold \d+ different sets of records/,
    break: () => {
      const offer = Replica.prototype.offer;
      vi.spyOn(Replica.prototype, 'offer').mockImplementation(function (this: Replica, item) {
        return this.table.get(item.author) === undefined ? offer.call(this, item) : { kind: 'known' };
      });
    },
  },
  {
    name: 'a gift is kept from everybody but its recipient',
    schedules: crowded([]),
    says: OWNERS_DIFFER,
    break: () => {
      const batch = Gossip.prototype.batch;
      vi.spyOn(Gossip.prototype, 'batch').mockImplementation(function (this: Gossip, changes) {
        batch.call(this, new Map([...changes].filter(([key]) => !key.startsWith('lease/'))));
      });
    },
  },
  {
    name: 'a clone goes on allocating',
    schedules: crowded(['clone']),
    says: anyOf(OVERLAP, USED_TWICE),
    break: () => {
      const stop = Ipam.prototype.setAllocating;
      vi.spyOn(Ipam.prototype, 'setAllocating').mockImplementation(function (this: Ipam, error) {
        stop.call(this, error?.code === 'identity-clone' ? null : error);
      });
    },
  },
  {
    name: 'who hears of a removed host takes over what the living own, too, and nobody minds',
    schedules: crowded(['lost-state']),
    says: anyOf(OVERLAP, USED_TWICE),
    break: () => {
      vi.spyOn(Disputes.prototype, 'blocks').mockReturnValue([]);
      const done = new WeakSet<LeaseView>();
      vi.spyOn(LeaseView.prototype, 'inheritableBy').mockImplementation(function (this: LeaseView, by, family) {
        if (!this.hasRemovals || done.has(this)) return [];
        done.add(this);
        return this.regions(family).filter(({ owner, claim }) => claim !== null && owner !== by);
      });
    },
  },
  {
    name: 'an old claim on a MAC wins over a newer sequence',
    schedules: crowded(['move']),
    says: DEVICE_ELSEWHERE,
    break: () => {
      const claim = Routes.prototype.claim;
      vi.spyOn(Routes.prototype, 'claim').mockImplementation(function (this: Routes, author, record) {
        claim.call(this, author, { ...record, sequence: -record.sequence });
      });
    },
  },
  {
    name: 'relays count no hops, and what they get goes back and forth',
    schedules: unreachable(),
    says: / passed on what had been passed on \d+ times$/,
    break: () => {
      vi.spyOn(relaying, 'decideRelayed').mockImplementation(({ destination }, { self }) => {
        return destination === self ? 'deliver' : 'forward';
      });
      vi.spyOn(relaying, 'passOn').mockImplementation((relayed, { from }) => ({ to: from, relayed }));
    },
  },
];

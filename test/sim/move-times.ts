// How long a container that moves is out of reach: on a simulated LAN containers are ended and made anew on other hosts, with
// address and MAC, and each other host's tables and the new host's kernel are looked at every millisecond. A packet of a host
// arrives at the new place once its tables lead there, the interface stands, and it has crossed the wire.

import { assert } from '../../src/base/errors.ts';
import { macFromBytes } from '../../src/base/ids.ts';
import { Cluster } from './cluster.ts';
import type { ContainerFacts, Schedule, Step } from './schedule.ts';
import { CONDITIONS } from './sim-network.ts';

/** A LAN: nothing is lost, and a packet takes less than a millisecond. */
const LAN = { ...CONDITIONS, loss: 0, duplicate: 0, latencyMinMs: 0.1, latencyMaxMs: 0.5 };
const JOIN_EVERY_MS = 100;
/** After the last join all links stand and everybody has heard of everybody. */
const SETTLED_MS = 10_000;
const PAUSE_MS = 1_000;
const LOOKED_AT_MS = 2_000;

export interface MoveTimes {
  /** From the call of attach to the first packet at the new place, of each other host and move, milliseconds, ascending. */
  readonly arrivalMs: readonly number[];
  /** From that call until the interface stands, of each move, ascending. */
  readonly attachMs: readonly number[];
}

/** The value below which that share of ascending values lies. */
export function quantile(values: readonly number[], share: number): number {
  const value = values[Math.min(values.length - 1, Math.floor(values.length * share))];
  assert(value !== undefined, 'something was measured');
  return value;
}

/** Each of `moves` containers moves once; null: one of them did not arrive everywhere in {@link LOOKED_AT_MS}. */
export async function moveTimes(wish: { hosts: number; moves: number; seed: number }): Promise<MoveTimes | null> {
  const { hosts, moves } = wish;
  const cluster = new Cluster(scheduleOf(wish));
  await cluster.world.runUntil(hosts * JOIN_EVERY_MS + SETTLED_MS);
  const arrivalMs: number[] = [];
  const attachMs: number[] = [];
  for (let number = 0; number < moves; number++) {
    const from = number % hosts;
    const to = (from + 1 + ((number * 7) % (hosts - 1))) % hosts;
    const measured = await moveOne(cluster, { container: `m${number}`, as: factsOf(number), from, to });
    if (measured === null) return null;
    arrivalMs.push(...measured.arrivalMs);
    attachMs.push(measured.attachMs);
  }
  const [failure] = cluster.failures;
  if (failure !== undefined) throw failure;
  return { arrivalMs: arrivalMs.sort(ascending), attachMs: attachMs.sort(ascending) };
}

async function moveOne(
  { world, hosts }: Cluster,
  move: { container: string; as: ContainerFacts; from: number; to: number },
): Promise<{ readonly arrivalMs: readonly number[]; readonly attachMs: number } | null> {
  const { container, as } = move;
  const [before, after] = [hosts[move.from]!, hosts[move.to]!];
  before.attach(container, { as });
  await world.runUntil(world.nowMs + PAUSE_MS);
  before.detach(container);
  while (before.kernel.containers.size > 0) await world.runUntil(world.nowMs + 1);
  const startMs = world.nowMs;
  after.attach(container, { as });
  const arrivalMs = new Map<number, number>();
  let attachMs: number | null = null;
  while (arrivalMs.size < hosts.length - 1) {
    if (world.nowMs - startMs > LOOKED_AT_MS) return null;
    await world.runUntil(world.nowMs + 1);
    if (after.kernel.containers.size === 0) continue;
    attachMs ??= world.nowMs - startMs;
    for (const { index, daemon } of hosts) {
      const leadsThere = daemon?.datapath.placeOf(as.mac) === after.peer;
      if (index !== move.to && leadsThere && !arrivalMs.has(index)) {
        arrivalMs.set(index, world.nowMs - startMs + LAN.latencyMaxMs);
      }
    }
  }
  after.detach(container);
  await world.runUntil(world.nowMs + PAUSE_MS);
  return attachMs === null ? null : { arrivalMs: [...arrivalMs.values()], attachMs };
}

function scheduleOf({ hosts, seed }: { hosts: number; seed: number }): Schedule {
  const steps = Array.from({ length: hosts }, (_, host): Step => {
    return { atMs: host * JOIN_EVERY_MS, action: { kind: 'launch', host } };
  });
  return {
    version: 1,
    seed,
    hosts,
    range: '10.32.0.0/12',
    range6: null,
    leasePrefix: 24,
    clocks: Array.from({ length: hosts }, () => ({ skewMs: 0, rate: 1 })),
    conditions: LAN,
    faultsEndMs: Number.MAX_SAFE_INTEGER,
    steps,
  };
}

/** Addresses all over the range, so that any host owns them. */
function factsOf(number: number): ContainerFacts {
  return {
    ip: `10.${32 + (number % 16)}.${(number * 37) & 255}.${10 + (number & 127)}`,
    mac: macFromBytes(Uint8Array.of(0x02, 0, 0, 0x33, number >> 8, number & 255)),
  };
}

function ascending(a: number, b: number): number {
  return a - b;
}

// Measures a large simulated mesh the way its goals are stated: how fast a change spreads, what an idle peer costs, how soon a
// failure is known everywhere, how long a partition takes to heal, how many links a peer keeps.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryAuthorTable } from '../../../src/gossip/author-table.ts';
import { quickCrypto } from '../../fakes/quick-crypto.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';
import { CONDITIONS, type NetworkConditions } from '../sim-network.ts';
import { MeshCluster } from './mesh-cluster.ts';
import type { MeshHost } from './mesh-host.ts';
import { firstState, meshIdentity } from './mesh-identity.ts';

/** What is measured one after the other; each one needs a mesh, and none of them another one. */
export const PHASES = ['spread', 'idle', 'lossy', 'deaths', 'failure', 'churn', 'heal'] as const;
export type Phase = (typeof PHASES)[number];

export interface FigureOptions {
  readonly hosts: number;
  readonly seed: number;
  readonly containers: number;
  readonly updates: number;
  readonly failures: number;
  readonly idleMs: number;
  /** With 500 changes per second, the first third of it to let trees grow. */
  readonly churnMs: number;
  /** With 5 % loss, in which nobody may be declared dead. */
  readonly watchMs: number;
  readonly partitionMs: number;
  /** All of them where absent. */
  readonly phases?: readonly Phase[];
}

/** A figure that was never reached, or whose phase was left out. */
export type Figure = number | 'never' | 'not measured';

/** More hosts than this are watched idle for five minutes instead of one. */
const IDLE_MINUTE_HOSTS_MAX = 1_000;
/** Unasked, a partition of more hosts takes too long: after it every host writes once, and every other one has to learn of it. */
const PARTITION_HOSTS_MAX = 2_000;
const PARTITION_MS = 20_000;

/** What the printed tables measure. */
export function figureOptions(hosts: number): Omit<FigureOptions, 'seed' | 'watchMs'> {
  const idleMs = hosts <= IDLE_MINUTE_HOSTS_MAX ? 60_000 : 300_000;
  const phases = hosts <= PARTITION_HOSTS_MAX ? PHASES : PHASES.filter((phase) => phase !== 'heal');
  return {
    hosts,
    containers: 100,
    updates: 100,
    failures: 20,
    idleMs,
    churnMs: 6_000,
    partitionMs: PARTITION_MS,
    phases,
  };
}

export interface Figures {
  /** Time until every host has as many links as it wants, from a cold start of all at once. */
  readonly meshedMs: number | null;
  readonly linksMean: number;
  readonly linksMax: number;
  /** p99 of the time for one update to reach 99.99 %. */
  readonly spreadMs: Figure;
  readonly spreadLossyMs: Figure;
  readonly idleBytesPerSecond: Figure;
  readonly idleMessagesPerSecond: Figure;
  /** While the whole cluster makes 500 changes per second. */
  readonly churnBytesPerSecond: Figure;
  /** p99 of the time until all living hosts call a silent one dead. */
  readonly failureMs: Figure;
  readonly falseDeaths: Figure;
  readonly watchedMs: number;
  readonly healMs: Figure;
  readonly stateBytes: number;
  readonly events: number;
  readonly simulatedMs: number;
}

const SPREAD_SHARE = 0.9999;
const SPREAD_MAX_MS = 30_000;
/** So many updates are between two words of how far it is. */
const SPREAD_TOLD_EVERY = 10;
/** Changes come from so many hosts in turn: an author's first one floods, the later ones follow its tree. */
const SPREAD_AUTHORS = 20;
const CHURN_AUTHORS = 100;
const CHURN_PER_SECOND = 500;
const MESHED_MAX_MS = 120_000;
const FAILURE_MAX_MS = 60_000;
const HEAL_MAX_MS = 120_000;
const LOSSY = { ...CONDITIONS, loss: 0.25 };
const WATCH_LOSS = { ...CONDITIONS, loss: 0.05 };

export async function measureFigures(options: FigureOptions, told: (line: string) => void): Promise<Figures> {
  const {
    hosts,
    seed,
    containers,
    updates,
    failures,
    idleMs,
    churnMs,
    watchMs,
    partitionMs,
    phases = PHASES,
  } = options;
  const stateBytes = replicatedBytes(hosts, containers);
  const cluster = new MeshCluster({ hosts, seed, containers: Math.min(containers, 2), conditions: CONDITIONS });
  await cluster.start();
  const meshedMs = await cluster.until(() => cluster.isMeshed, MESHED_MAX_MS, 200);
  await cluster.run(5_000);
  told(`meshed in ${meshedMs} ms`);
  const links = cluster.hosts.map((host) => host.links);
  const random = new SeededRandom(seed);
  const measured = async (
    phase: Phase,
    conditions: NetworkConditions,
    work: () => Promise<Figure>,
  ): Promise<Figure> => {
    if (!phases.includes(phase)) return 'not measured';
    Object.assign(cluster.network.conditions, conditions);
    const figure = await work();
    told(`${phase} ${figure}`);
    return figure;
  };
  const toldOf = (phase: Phase) => (line: string) => told(`${phase}: ${line}`);
  const spreadMs = await measured('spread', CONDITIONS, () => spread(cluster, random, updates, toldOf('spread')));
  let idleMessagesPerSecond: Figure = 'not measured';
  const idleBytesPerSecond = await measured('idle', CONDITIONS, async () => {
    const { bytes, messages } = await idle(cluster, idleMs);
    idleMessagesPerSecond = messages;
    return bytes;
  });
  const spreadLossyMs = await measured('lossy', LOSSY, () => spread(cluster, random, updates, toldOf('lossy')));
  const falseDeaths = await measured('deaths', WATCH_LOSS, async () => {
    await cluster.run(10_000);
    cluster.falseDeaths = 0;
    await cluster.run(watchMs);
    return cluster.falseDeaths;
  });
  const failureMs = await measured('failure', CONDITIONS, () => fail(cluster, random, failures));
  const churnBytesPerSecond = await measured('churn', CONDITIONS, () => churn(cluster, random, churnMs));
  const healMs = await measured('heal', CONDITIONS, () => partition(cluster, random, partitionMs));
  return {
    meshedMs,
    linksMean: links.reduce((sum, count) => sum + count, 0) / hosts,
    linksMax: Math.max(...links),
    spreadMs,
    spreadLossyMs,
    idleBytesPerSecond,
    idleMessagesPerSecond,
    churnBytesPerSecond,
    failureMs,
    falseDeaths,
    watchedMs: watchMs,
    healMs,
    stateBytes,
    events: cluster.world.events,
    simulatedMs: cluster.world.nowMs,
  };
}

async function spread(
  cluster: MeshCluster,
  random: SeededRandom,
  updates: number,
  told: (line: string) => void,
): Promise<Figure> {
  const times: number[] = [];
  const authors = someOf(cluster, random, SPREAD_AUTHORS);
  for (let i = 0; i < updates; i++) {
    const one = cluster.change(authors[i % authors.length]!, 'at/0/02:ff:ff:ff:ff:ff', random.bytes(24), SPREAD_SHARE);
    await cluster.until(() => one.doneMs !== null, SPREAD_MAX_MS, 100);
    if (one.doneMs === null) return 'never';
    times.push(one.doneMs - one.startMs);
    if (times.length % SPREAD_TOLD_EVERY === 0)
      told(`${times.length} updates, the slowest in ${Math.max(...times)} ms`);
  }
  await cluster.until(() => cluster.agrees, SPREAD_MAX_MS);
  return p99(times);
}

/** Sent and received per peer and second, with the overhead of each message. */
async function idle(cluster: MeshCluster, ms: number) {
  await cluster.run(5_000);
  return traffic(cluster, ms, () => cluster.run(ms));
}

async function churn(cluster: MeshCluster, random: SeededRandom, ms: number): Promise<number> {
  const authors = someOf(cluster, random, CHURN_AUTHORS);
  let count = 0;
  const change = async (forMs: number): Promise<void> => {
    for (let i = 0; i < (forMs / 1_000) * CHURN_PER_SECOND; i++) {
      authors[count++ % authors.length]!.put('at/0/02:ff:ff:ff:ff:fd', random.bytes(24));
      await cluster.run(1_000 / CHURN_PER_SECOND);
    }
  };
  await change(ms / 3);
  const { bytes } = await traffic(cluster, (ms * 2) / 3, () => change((ms * 2) / 3));
  await cluster.until(() => cluster.agrees, SPREAD_MAX_MS);
  return bytes;
}

async function traffic(cluster: MeshCluster, ms: number, happens: () => Promise<void>) {
  const count = () =>
    cluster.hosts.reduce(
      (sum, { nic }) => ({
        bytes: sum.bytes + nic.sentBytes + nic.receivedBytes,
        messages: sum.messages + nic.sentMessages,
      }),
      { bytes: 0, messages: 0 },
    );
  const before = count();
  await happens();
  const after = count();
  const share = cluster.hosts.length * (ms / 1_000);
  return { bytes: (after.bytes - before.bytes) / share, messages: (after.messages - before.messages) / share };
}

/** Living hosts, each drawn once. */
function someOf(cluster: MeshCluster, random: SeededRandom, count: number): readonly MeshHost[] {
  const living = [...cluster.living()];
  return Array.from(
    { length: Math.min(count, living.length) },
    () => living.splice(random.below(living.length), 1)[0]!,
  );
}

async function fail(cluster: MeshCluster, random: SeededRandom, failures: number): Promise<Figure> {
  const times: number[] = [];
  for (let i = 0; i < failures; i++) {
    const victim = cluster.living()[random.below(cluster.living().length)]!;
    cluster.cutPower(victim);
    const known = () => (cluster.deaths.get(victim.peer) ?? 0) >= cluster.living().length;
    const ms = await cluster.until(known, FAILURE_MAX_MS);
    if (ms === null) return 'never';
    times.push(ms);
  }
  return p99(times);
}

/** Both halves change records meanwhile. */
async function partition(cluster: MeshCluster, random: SeededRandom, ms: number): Promise<Figure> {
  const halves: [number[], number[]] = [[], []];
  for (const { index } of cluster.hosts) halves[index % 2]!.push(index);
  cluster.network.partition(halves);
  await cluster.run(ms / 2);
  for (const half of halves) {
    const author = cluster.living().find(({ index }) => index === half[random.below(half.length)]);
    if (author !== undefined) cluster.change(author, 'at/0/02:ff:ff:ff:ff:fe', random.bytes(24), SPREAD_SHARE);
  }
  await cluster.run(ms / 2);
  cluster.network.heal();
  return (await cluster.until(() => cluster.agrees, HEAL_MAX_MS)) ?? 'never';
}

function p99(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1]!;
}

/** What one daemon's table of all hosts' records takes, measured: a table of its own, not the simulation's shared one. */
function replicatedBytes(hosts: number, containers: number): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const random = new SeededRandom(1);
  const table = new MemoryAuthorTable(quickCrypto);
  const before = used();
  for (let index = 0; index < hosts; index++) {
    const { signature, identityKey, packed, fingerprint, ...rest } = firstState(
      meshIdentity(random),
      index,
      containers,
    );
    table.set({
      ...rest,
      signature: signature.slice(),
      identityKey: identityKey.slice(),
      packed: packed.slice(),
      fingerprint: fingerprint.slice(),
    });
  }
  const bytes = used() - before;
  return table.size === hosts ? bytes : 0;
}

// A large simulated mesh that starts as a cluster that has been up for long: every host holds everybody's records and has to find
// its links. Keeps count of what measurements ask for, so that none of them walks hosts × hosts.

import type { PeerId } from '../../../src/base/ids.ts';
import type { PeerState } from '../../../src/gossip/peer-liveness.ts';
import { VIEW_LIMITS } from '../../../src/host/mesh/active-view.ts';
import { quickCrypto } from '../../fakes/quick-crypto.ts';
import { type NetworkConditions, SimNetwork } from '../sim-network.ts';
import { World } from '../world.ts';
import { InternedTable, StatePool } from './interned-states.ts';
import { MeshHost, type MeshObserver } from './mesh-host.ts';
import { firstState, meshIdentity } from './mesh-identity.ts';

const VERDICTS: readonly PeerState[] = ['alive', 'suspect', 'dead'];

export interface MeshClusterOptions {
  readonly hosts: number;
  readonly seed: number;
  readonly containers: number;
  readonly conditions: NetworkConditions;
}

/** A change under way: how many hosts hold it, and since when. */
export interface Spread {
  readonly version: number;
  readonly startMs: number;
  readonly wanted: number;
  reached: number;
  doneMs: number | null;
}

export class MeshCluster implements MeshObserver {
  readonly world: World;
  readonly network: SimNetwork;
  readonly hosts: readonly MeshHost[];
  readonly spreads = new Map<PeerId, Spread>();
  /** How many living hosts take a living peer for something else than alive, and a dead one for dead. */
  readonly doubts = new Map<PeerId, number>();
  readonly deaths = new Map<PeerId, number>();
  /** Living peers that some host declared dead. */
  falseDeaths = 0;
  /** By observer and peer, an index into VERDICTS. */
  readonly #verdicts: Uint8Array;
  readonly #indexOf = new Map<PeerId, number>();
  readonly #alive = new Set<PeerId>();

  constructor({ hosts, seed, containers, conditions }: MeshClusterOptions) {
    this.world = new World(seed);
    this.network = new SimNetwork(this.world, conditions);
    const pool = new StatePool(hosts);
    const full = new InternedTable(pool, quickCrypto);
    const identities = Array.from({ length: hosts }, () => meshIdentity(this.world.random));
    for (const [index, identity] of identities.entries()) full.set(firstState(identity, index, containers));
    this.hosts = identities.map(
      (identity, index) => new MeshHost({ index, identity, network: this.network, table: full.copy(), observer: this }),
    );
    this.#verdicts = new Uint8Array(hosts * hosts);
    for (const { peer, index } of this.hosts) {
      this.#alive.add(peer);
      this.#indexOf.set(peer, index);
    }
  }

  async start(): Promise<void> {
    const known = this.hosts.map(({ peer, endpoint }) => ({ peer, endpoints: [endpoint] }));
    for (const host of this.hosts) await host.start(known);
  }

  living(): readonly MeshHost[] {
    return this.hosts.filter(({ alive }) => alive);
  }

  run(ms: number): Promise<void> {
    return this.world.runUntil(this.world.nowMs + ms);
  }

  /** Runs until it holds, looking every `everyMs`; the time that it took, or null after `maxMs`. */
  async until(holds: () => boolean, maxMs: number, everyMs = 50): Promise<number | null> {
    const startMs = this.world.nowMs;
    while (!holds()) {
      if (this.world.nowMs - startMs >= maxMs) return null;
      await this.run(everyMs);
    }
    return this.world.nowMs - startMs;
  }

  cutPower(host: MeshHost): void {
    this.#alive.delete(host.peer);
    host.cutPower();
  }

  /** A change of one host's records. `share`: of the living hosts, that have to hold it. */
  change(host: MeshHost, key: string, value: Uint8Array, share: number): Spread {
    const wanted = Math.ceil((this.#alive.size - 1) * share);
    const version = host.gossip.version(host.peer) + 1;
    const spread: Spread = { version, startMs: this.world.nowMs, wanted, reached: 0, doneMs: null };
    this.spreads.set(host.peer, spread);
    host.put(key, value);
    return spread;
  }

  learned(_host: MeshHost, author: PeerId, version: number): void {
    const spread = this.spreads.get(author);
    if (spread === undefined || version < spread.version) return;
    spread.reached++;
    if (spread.reached === spread.wanted) spread.doneMs = this.world.nowMs;
  }

  judged({ index }: MeshHost, peer: PeerId, state: PeerState): void {
    const at = index * this.hosts.length + this.#indexOf.get(peer)!;
    const before = VERDICTS[this.#verdicts[at]!]!;
    this.#verdicts[at] = VERDICTS.indexOf(state);
    add(this.doubts, peer, Number(state !== 'alive') - Number(before !== 'alive'));
    add(this.deaths, peer, Number(state === 'dead') - Number(before === 'dead'));
    if (state === 'dead' && this.#alive.has(peer)) this.falseDeaths++;
  }

  /** Every living host has as many links as it looks for. */
  get isMeshed(): boolean {
    return this.living().every(({ links }) => links >= Math.min(VIEW_LIMITS.linksMin, this.#alive.size - 1));
  }

  /** All living hosts hold equal records and take all living hosts for alive. */
  get agrees(): boolean {
    const [first, ...rest] = this.living();
    const root = first!.table.root();
    return (
      rest.every((host) => Buffer.compare(host.table.root(), root) === 0) &&
      this.living().every(({ peer }) => (this.doubts.get(peer) ?? 0) === 0)
    );
  }
}

function add(counts: Map<PeerId, number>, peer: PeerId, change: number): void {
  if (change !== 0) counts.set(peer, (counts.get(peer) ?? 0) + change);
}

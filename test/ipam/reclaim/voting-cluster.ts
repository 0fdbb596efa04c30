// A simulated cluster that reclaims by vote, with the checks that must hold at every moment: no slot has two decisions, no host loses
// its blocks before its own fence closes, nobody hands out addresses who lost its blocks and does not know it, nobody loses a block
// that no decision of its network names, and no two hosts may allocate in one block. Test code only.

import { type Cidr, cidrsOverlap, formatCidr } from '../../../src/base/address.ts';
import type { PeerId, Vni } from '../../../src/base/ids.ts';
import type { Ipam } from '../../../src/ipam/ipam.ts';
import { decodeDecision, describeValue, type Value } from '../../../src/ipam/reclaim/decision.ts';
import { STATE_ENTRY } from '../../../src/ipam/reclaim/published.ts';
import type { LeaseRow } from '../../../src/ipam/types.ts';
import { Cluster, type ClusterOptions, Violation } from '../sim-cluster.ts';

export const LEASE_MS = 60_000;

export class VotingCluster extends Cluster {
  readonly decisions = new Map<number, Value>();
  /** Until when each host may allocate without hearing from anybody, as it last said. */
  readonly #openUntilMs = new Map<number, number>();
  /** Hosts that stand still. */
  readonly still = new Set<number>();

  constructor(options: Partial<ClusterOptions> = {}) {
    super({ seed: 1, hosts: 4, range: '10.32.0.0/20', leasePrefix: 24, leaseMs: LEASE_MS, ...options });
    for (let host = 1; host < this.hosts.length; host++) {
      this.start(host);
      this.drain();
    }
  }

  /** Time goes by in steps of a second with everything delivered; what must hold is looked at after each. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += 1_000) {
      this.advance(1_000);
      this.drain();
      this.checkVoting();
    }
  }

  /** Until the list of voters is as large as it gets, and every lease has been renewed once. */
  elect(): void {
    this.pass(30_000);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    for (const index of this.hosts.keys()) if (!this.still.has(index)) this.tickHost(index);
  }

  cutOff(index: number): void {
    for (const other of this.hosts.keys()) this.cut.add(`${index}-${other}`).add(`${other}-${index}`);
  }

  /** A virtual machine is stopped: one clock stands still, the other is set when it goes on. */
  stop(index: number): void {
    this.still.add(index);
    this.hosts[index]!.clock.rate = 0;
  }

  goOn(index: number): void {
    this.still.delete(index);
    this.hosts[index]!.clock.rate = 1;
  }

  get reclaims(): readonly Extract<Value, { kind: 'reclaim' }>[] {
    return [...this.decisions.values()].flatMap((value) => (value.kind === 'reclaim' ? [value] : []));
  }

  /** Blocks in which the host hands out addresses now. */
  usableBlocks(index: number, network: Vni = this.plan.network): readonly Cidr[] {
    const host = this.hosts[index]!;
    if (this.still.has(index)) return [];
    return usableOf(host.spaceOf(network), host.id).map(({ cidr }) => cidr);
  }

  /** Throws a Violation. */
  checkVoting(): void {
    this.#readDecisions();
    for (const [index, { ipam, id }] of this.hosts.entries()) {
      if (ipam === null || this.still.has(index)) continue;
      const known = ipam.stats().decisions;
      const unknown = [...this.decisions].some(
        ([slot, value]) => slot >= known && value.kind === 'reclaim' && value.owner === id,
      );
      if (unknown && ipam.obstacle() === null) throw new Violation(`host ${index} allocates in blocks that it lost`);
      this.#noteFence(index);
      this.#checkLosses(index);
    }
    for (const { network } of [this.plan, ...(this.namedPlan === null ? [] : [this.namedPlan])]) {
      this.#checkDisjoint(network);
    }
  }

  /** What a host owns by its own records and another one by all was decided about: in that network. */
  #checkLosses(index: number): void {
    for (const { network, cidr, state } of this.hosts[index]!.spaces.flatMap((space) => space.ownLeases())) {
      if (state !== 'disputed') continue;
      const titles = this.reclaims.flatMap((reclaim) => reclaim.titles);
      if (titles.some((title) => title.network === network && cidrsOverlap(title.cidr, cidr))) continue;
      throw new Violation(`host ${index} lost ${formatCidr(cidr)} of network ${network}, and nobody decided it`);
    }
  }

  /** What hosts publish as decided. */
  #readDecisions(): void {
    for (const { maps } of this.hosts) {
      for (const { votes } of maps.values()) {
        for (const [entry, bytes] of votes) {
          if (entry !== STATE_ENTRY && !this.decisions.has(Number(entry))) this.#decided(Number(entry), bytes);
        }
      }
    }
    for (const { maps, id } of this.hosts) {
      for (const [entry, bytes] of maps.get(id)?.votes ?? []) {
        const first = this.decisions.get(Number(entry));
        if (first === undefined) continue;
        const texts = [first, decodeDecision(bytes)!.value].map(describeValue);
        if (texts[0] !== texts[1]) throw new Violation(`slot ${entry} has two decisions: ${texts.join(' and ')}`);
      }
    }
  }

  #decided(slot: number, bytes: Uint8Array): void {
    const { value } = decodeDecision(bytes)!;
    this.decisions.set(slot, value);
    if (value.kind !== 'reclaim') return;
    const index = this.indexOf(value.owner);
    const untilMs = this.#openUntilMs.get(index) ?? 0;
    if (this.clock.monotonicMs() < untilMs)
      throw new Violation(`host ${index} lost its blocks while its fence was open`);
  }

  #noteFence(index: number): void {
    const { spaces, id } = this.hosts[index]!;
    const mine = spaces.flatMap((space) => usableOf(space, id));
    const expiresAt = mine[0]?.expiresAt ?? null;
    if (mine.length === 0) this.#openUntilMs.delete(index);
    else {
      const leftMs = expiresAt === null ? Number.POSITIVE_INFINITY : expiresAt - this.hosts[index]!.clock.wallMs();
      this.#openUntilMs.set(index, this.clock.monotonicMs() + leftMs);
    }
  }

  #checkDisjoint(network: Vni): void {
    const usable = [...this.hosts.keys()].flatMap((host) =>
      this.usableBlocks(host, network).map((cidr) => ({ host, cidr })),
    );
    usable.sort((a, b) => a.cidr.family - b.cidr.family || (a.cidr.base < b.cidr.base ? -1 : 1));
    for (let i = 1; i < usable.length; i++) {
      const [a, b] = [usable[i - 1]!, usable[i]!];
      if (a.host !== b.host && cidrsOverlap(a.cidr, b.cidr)) {
        throw new Violation(`hosts ${a.host} and ${b.host} both allocate in ${formatCidr(b.cidr)}`);
      }
    }
  }
}

function usableOf(space: Ipam | null, self: PeerId): readonly LeaseRow[] {
  const rows = space?.leases() ?? [];
  return rows.filter(({ peer, state }) => peer === self && (state === 'active' || state === 'spare'));
}

// Random work and random faults in a cluster that reclaims by vote. At times one or two hosts are off, cut off or standing still for up
// to three leases; besides, messages are lost, delayed and repeated, paths break, power goes at commits, disks are set back to
// old copies, clocks run fast and slow. VotingCluster's checks look on. Test code only.

import type { StoreSnapshot } from '../../fakes/memory-store.ts';
import { type ClusterOptions, Violation } from '../sim-cluster.ts';
import { LEASE_MS, VotingCluster } from './voting-cluster.ts';

/** What a quartz does at worst, a tenth of what the fence allows for. */
const RATES = [1, 0.999, 1.001] as const;
const WAYS = ['cut-off', 'still', 'off', 'old-copy', 'slow'] as const;
const VICTIMS_MAX = 2;
/** After most moments everything under way arrives. */
const ALL = 10_000;

interface Victim {
  readonly way: (typeof WAYS)[number];
  readonly untilMs: number;
  readonly copy: StoreSnapshot;
}

export interface RunWish extends Pick<ClusterOptions, 'namedRange'> {
  readonly hosts: number;
  /** How long it goes on. */
  readonly leases: number;
}

export interface RunFacts {
  readonly reclaims: number;
  readonly slots: number;
  /** In how many networks blocks were reclaimed. */
  readonly reclaimedNetworks: number;
}

/** Throws a Violation. */
export function run(seed: number, { hosts = 4, leases = 12, ...named }: Partial<RunWish> = {}): RunFacts {
  return new Run({ seed, hosts, ...named }).play(leases * LEASE_MS);
}

class Run {
  readonly #cluster: VotingCluster;
  readonly #victims = new Map<number, Victim>();
  #owners = 0;

  constructor(options: Partial<ClusterOptions>) {
    this.#cluster = new VotingCluster(options);
    const { random } = this.#cluster;
    for (const { clock } of this.#cluster.hosts) clock.rate = RATES[random.below(RATES.length)]!;
    this.#cluster.elect();
  }

  play(ms: number): RunFacts {
    const { random, clock, hosts } = this.#cluster;
    const endMs = clock.monotonicMs() + ms;
    this.#cluster.cutChance = 0.000_3;
    while (clock.monotonicMs() < endMs) {
      this.#cluster.advance(random.fraction() < 0.9 ? random.below(3_000) : random.below(LEASE_MS / 6));
      this.#disturb(random.fraction(), random.below(hosts.length));
      this.#deliver(random.fraction() < 0.8 ? ALL : random.below(40));
      for (const { held } of hosts) held.clear(); // what containers use is the simulator's business
      this.#cluster.checkVoting();
    }
    this.#settle();
    const { reclaims, decisions } = this.#cluster;
    const reclaimed = new Set(reclaims.flatMap(({ titles }) => titles.map(({ network }) => network)));
    return { reclaims: reclaims.length, slots: decisions.size, reclaimedNetworks: reclaimed.size };
  }

  #disturb(dice: number, host: number): void {
    const { cut, hosts } = this.#cluster;
    if (dice < 0.3) this.#allocate(host);
    else if (dice < 0.31) this.#breakPaths();
    else if (dice < 0.36) cut.clear();
    else if (dice < 0.44) this.#strike(host);
    else if (dice < 0.47) this.#reconcile();
    else if (dice < 0.475 && this.#acts(host)) this.#cluster.crash(host);
    for (const [index, { ipam }] of hosts.entries()) {
      if (ipam === null && this.#victims.get(index)?.way !== 'off') this.#start(index);
    }
    this.#recover();
  }

  #allocate(host: number): void {
    if (!this.#acts(host)) return;
    const owner = `c${this.#owners++}`;
    this.#cluster.allocate(host, owner);
    this.#cluster.guard(host, () => void this.#cluster.hosts[host]!.named?.allocate({ owner, family: 4 }));
  }

  #strike(host: number): void {
    const { random, clock, hosts } = this.#cluster;
    if (this.#victims.size >= VICTIMS_MAX || this.#victims.has(host)) return;
    const way = WAYS[random.below(WAYS.length)]!;
    const lastsMs = random.below(2) * LEASE_MS + random.below(2 * LEASE_MS);
    this.#victims.set(host, { way, untilMs: clock.monotonicMs() + lastsMs, copy: hosts[host]!.store.snapshot() });
    if (way === 'still') this.#cluster.stop(host);
    if (way === 'off') this.#cluster.crash(host);
    // An old copy works on for a while, and comes back as it was when it was copied.
  }

  #recover(): void {
    const { clock } = this.#cluster;
    for (const [index, { way, untilMs, copy }] of [...this.#victims]) {
      if (clock.monotonicMs() < untilMs) continue;
      this.#victims.delete(index);
      if (way === 'still') this.#cluster.goOn(index);
      if (way === 'off') this.#start(index);
      if (way === 'old-copy') this.#restore(index, copy);
    }
  }

  /** An old copy hears from a peer before it acts (docs/leases.md). */
  #restore(index: number, copy: StoreSnapshot): void {
    this.#cluster.crash(index, copy);
    this.#cluster.cut.clear();
    const { maps } = this.#cluster.hosts[index]!;
    for (const { ipam, maps: known } of this.#cluster.hosts) {
      if (ipam === null) continue;
      for (const [author, map] of known) if (map.version > (maps.get(author)?.version ?? 0)) maps.set(author, map);
    }
    this.#start(index);
    this.#deliver(ALL);
  }

  #acts(host: number): boolean {
    return !this.#cluster.still.has(host) && this.#cluster.hosts[host]!.ipam !== null;
  }

  #deliver(messagesMax: number): void {
    const { random } = this.#cluster;
    const later = [];
    for (let i = 0; i < messagesMax && this.#cluster.inFlight.length > 0; i++) {
      const at = random.below(this.#cluster.inFlight.length);
      const { from, to } = this.#cluster.inFlight[at]!;
      const isSlow = [from, to].some((host) => this.#victims.get(host)?.way === 'slow') && random.fraction() < 0.9;
      if ([from, to].some((host) => this.#victims.get(host)?.way === 'cut-off')) this.#cluster.inFlight.splice(at, 1);
      else if (isSlow || this.#cluster.still.has(to)) later.push(...this.#cluster.inFlight.splice(at, 1));
      else this.#cluster.deliver({ loss: 0.02, repeat: 0.02 });
    }
    this.#cluster.inFlight.push(...later);
    if (this.#cluster.inFlight.length > ALL) throw new Violation('messages pile up');
  }

  #start(index: number): void {
    const { cutChance } = this.#cluster;
    this.#cluster.cutChance = 0;
    this.#cluster.start(index);
    this.#cluster.cutChance = cutChance;
  }

  /** Two sides; most paths between them fail, in one direction or both. */
  #breakPaths(): void {
    const { random, hosts, cut } = this.#cluster;
    const side = hosts.map(() => random.below(2));
    for (const a of hosts.keys()) {
      for (const b of hosts.keys()) if (side[a] !== side[b] && random.fraction() < 0.9) cut.add(`${a}-${b}`);
    }
  }

  #reconcile(): void {
    for (const a of this.#cluster.hosts.keys()) {
      for (let b = 0; b < a; b++) {
        if (this.#cluster.linked(a, b) && this.#cluster.linked(b, a)) this.#cluster.reconcile(a, b);
      }
    }
  }

  /** Everything works: in the end all hosts may allocate again, and agree about who owns what. */
  #settle(): void {
    const { hosts, cut, clock } = this.#cluster;
    this.#cluster.cutChance = 0;
    cut.clear();
    this.#victims.clear();
    for (const index of [...this.#cluster.still]) this.#cluster.goOn(index);
    for (const [index, { ipam }] of hosts.entries()) if (ipam === null) this.#start(index);
    for (const endMs = clock.monotonicMs() + 3 * LEASE_MS; clock.monotonicMs() < endMs; ) {
      this.#reconcile();
      this.#cluster.advance(4_000);
      this.#cluster.drain();
      this.#cluster.checkVoting();
    }
    for (const [index, { spaces }] of hosts.entries()) {
      const obstacle = spaces.map((space) => space.obstacle()).find((error) => error !== null) ?? null;
      if (obstacle !== null) throw new Violation(`host ${index} can't allocate: ${obstacle.message}`);
      for (const { network, cidr } of spaces.flatMap((space) => space.ownLeases())) {
        const ip = { family: cidr.family, value: cidr.base };
        const owners = new Set(hosts.map((host) => host.spaceOf(network)!.ownerOf(ip)));
        if (owners.size !== 1) throw new Violation(`hosts name ${owners.size} owners of a block of host ${index}`);
      }
    }
  }
}

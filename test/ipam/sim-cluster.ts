// A cluster of Ipam instances over a message bus that loses, repeats, reorders and partitions, with a stub of gossip
// (author-only versioned maps, pushed and reconciled) and crashes at every commit. `check` compares all durable states with
// an oracle that knows every record; it throws on the first violation. Test code only.

import { formatCidr, formatIp, type IpAddress } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type PeerId, type Vni } from '../../src/base/ids.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import { ClaimTrie } from '../../src/ipam/claim-trie.ts';
import { type Claim, isNewer, parseClaim } from '../../src/ipam/claims.ts';
import { Ipam } from '../../src/ipam/ipam.ts';
import { leaseMessageNetwork } from '../../src/ipam/lease-message.ts';
import { type AddressPlan, makeAddressPlan } from '../../src/ipam/plan.ts';
import type { IpamOptions, VotingFacts } from '../../src/ipam/types.ts';
import { HostClock } from '../fakes/host-clock.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore, type StoreSnapshot } from '../fakes/memory-store.ts';
import { quickSignatures } from '../fakes/quick-crypto.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { identity, overlaps, ownBlocks, size } from './sim-blocks.ts';
import { type AuthorMap, type Message, type Payload, SimHost } from './sim-host.ts';

/** Stands for a power cut: thrown out of whatever the host was doing. */
export class PowerCut extends Error {}

/** An invariant does not hold. */
export class Violation extends Error {}

export interface ClusterOptions {
  readonly seed: number;
  readonly hosts: number;
  readonly range: string;
  readonly range6?: string | null;
  readonly leasePrefix: number;
  readonly leasePrefix6?: number;
  /** Given: hosts that are gone are reclaimed by vote, with leases so long. */
  readonly leaseMs?: number;
  /** Given: beside the default network there is one of this range, made by the third host. */
  readonly namedRange?: string;
}

const NAMED = 7 as Vni;
const NAMED_CREATOR = 2;

export class Cluster {
  readonly random: SeededRandom;
  readonly clock = new ManualClock();
  readonly plan: AddressPlan;
  readonly namedPlan: AddressPlan | null;
  readonly hosts: readonly SimHost[];
  readonly cut = new Set<string>();
  inFlight: Message[] = [];
  /** Chance that a commit or a send is the moment of a power cut. */
  cutChance = 0;
  messagesSent = 0;
  readonly leaseMs: number | null;
  /** Hosts whose disks are full where they publish: what changes there is told to nobody. */
  readonly unpublished = new Set<number>();
  /** Words of operators, with the hosts that have heard them. */
  readonly removals: { readonly peer: number; readonly by: number; readonly heardBy: Set<number> }[] = [];

  constructor(options: ClusterOptions) {
    this.random = new SeededRandom(options.seed);
    this.leaseMs = options.leaseMs ?? null;
    this.hosts = Array.from({ length: options.hosts }, (_, index) => new SimHost(index, new HostClock(this.clock)));
    const { leasePrefix, leasePrefix6 = 64, range6 = null } = options;
    const planOf = (network: Vni, creator: number, range: string): AddressPlan => {
      const facts = { creator: this.hosts[creator]!.id, range, range6, leasePrefix, leasePrefix6 };
      const plan = makeAddressPlan(network, facts);
      if (plan === null) throw new Error('test ranges are valid');
      return plan;
    };
    this.plan = planOf(DEFAULT_VNI, 0, options.range);
    this.namedPlan = options.namedRange === undefined ? null : planOf(NAMED, NAMED_CREATOR, options.namedRange);
    this.start(0);
    this.hosts[0]!.ipam!.createCluster();
  }

  linked(a: number, b: number): boolean {
    return a !== b && !this.cut.has(`${a}-${b}`) && this.hosts[b]!.ipam !== null;
  }

  /** Starts or restarts a host on its store. */
  start(index: number): Ipam {
    const host = this.hosts[index]!;
    host.store.beforeCommit = () => this.#maybeCut();
    const ipam = this.#open(index, this.plan, {
      ...(this.leaseMs === null ? {} : { voting: this.#votingFacts(index, this.leaseMs) }),
    });
    host.ipam = ipam;
    host.named = this.namedPlan === null ? null : this.#open(index, this.namedPlan, { votersOf: ipam });
    for (const { peer, by, heardBy } of this.removals) {
      if (!heardBy.has(index)) continue;
      for (const space of host.spaces) space.peerRemoved(this.hosts[peer]!.id, this.hosts[by]!.id);
    }
    for (const [author, map] of host.maps) {
      for (const record of map.records) host.spaceOf(record.network)?.observe(author, record);
      for (const [entry, value] of map.votes) {
        ipam.observeVote(author, { network: this.plan.network, entry, value });
      }
    }
    this.guard(index, () => {
      if (index === NAMED_CREATOR) host.named?.createCluster();
      this.#publish(index, host.records(), ipam.votes());
      for (const [other, { id, spaces }] of this.hosts.entries()) {
        if (!this.linked(index, other)) continue;
        this.reconcile(index, other);
        for (const space of spaces) space.linked(host.id);
        for (const space of host.spaces) space.linked(id);
      }
    });
    return ipam;
  }

  #open(index: number, plan: AddressPlan, voting: Pick<IpamOptions, 'voting' | 'votersOf'>): Ipam {
    const host = this.hosts[index]!;
    return new Ipam({
      asksEarly: () => true,
      self: host.id,
      plan,
      sign: (bytes) => quickSignatures.ed25519Sign(host.seed, bytes),
      identityKeyOf: (peer) => this.hosts.find(({ id }) => id === peer)?.key ?? null,
      crypto: quickSignatures,
      clock: host.clock,
      random: this.random.split(),
      store: host.store,
      log: host.log,
      send: (peer, bytes) => this.#send(index, this.indexOf(peer), { kind: 'lease', bytes }),
      candidates: () => this.hosts.filter((_, other) => this.linked(index, other)).map(({ id }) => id),
      ...voting,
      events: {
        recordsChanged: () => this.#publish(index, host.records(), host.maps.get(host.id)?.votes ?? new Map()),
        votesChanged: (votes) => this.#publish(index, host.maps.get(host.id)?.records ?? [], votes),
        conflict: ({ ip, owner, holder }) => host.conflicts.push({ ip: formatIp(ip), owner, holder }),
        changed: () => {
          host.changes++;
        },
      },
    });
  }

  /** An operator at host `by` says that a host, which is off, is gone for good; whom `by` can reach hears of it at once. */
  remove(peer: number, by: number): void {
    this.hosts[peer]!.powerOff();
    this.removals.push({ peer, by, heardBy: new Set([by]) });
    this.#tellRemoval(by, { peer, by });
    this.#spreadRemovals();
  }

  isRemoved(index: number): boolean {
    return this.removals.some(({ peer }) => peer === index);
  }

  #spreadRemovals(): void {
    for (const { peer, by, heardBy } of this.removals) {
      for (const [index] of this.hosts.entries()) {
        if (heardBy.has(index) || !this.linked(by, index)) continue;
        heardBy.add(index);
        this.#tellRemoval(index, { peer, by });
      }
    }
  }

  #tellRemoval(index: number, { peer, by }: { readonly peer: number; readonly by: number }): void {
    this.guard(index, () => {
      for (const space of this.hosts[index]!.spaces) space.peerRemoved(this.hosts[peer]!.id, this.hosts[by]!.id);
    });
  }

  crash(index: number, snapshot?: StoreSnapshot): void {
    const host = this.hosts[index]!;
    host.powerOff();
    if (this.random.fraction() < 0.5) host.maps = new Map();
    host.store = new MemoryStore(snapshot ?? host.store.snapshot());
  }

  /** Runs what a host does; a power cut inside ends the host, not the test. */
  guard(index: number, work: (ipam: Ipam) => void): void {
    const { ipam } = this.hosts[index]!;
    if (ipam === null) return;
    try {
      work(ipam);
    } catch (error) {
      if (error instanceof FabricError) return; // a full disk: the daemon says so and goes on
      if (!(error instanceof PowerCut)) throw error;
      this.crash(index);
    }
  }

  allocate(index: number, owner: string, family: 4 | 6 = 4, wanted?: IpAddress): string {
    let status = 'down';
    this.guard(index, (ipam) => {
      const result = ipam.allocate(wanted === undefined ? { owner, family } : { owner, family, wanted });
      status = result.status === 'failed' ? result.error.code : result.status;
      if (result.status === 'ok') this.hosts[index]!.held.set(owner, result.ip);
    });
    return status;
  }

  release(index: number, owner: string): void {
    this.guard(index, (ipam) => {
      this.hosts[index]!.held.delete(owner); // from here on the caller may not count on it
      ipam.release(owner);
    });
  }

  /** Delivers one message chosen at random; false when there was none. */
  deliver({ loss = 0, repeat = 0 } = {}): boolean {
    if (this.inFlight.length === 0) return false;
    const at = this.random.below(this.inFlight.length);
    const message = this.inFlight[at]!;
    if (this.random.fraction() >= repeat) this.inFlight.splice(at, 1);
    if (this.random.fraction() < loss || this.cut.has(`${message.from}-${message.to}`)) return true;
    const { payload } = message;
    this.guard(message.to, () => {
      if (payload.kind === 'lease') {
        const space = this.hosts[message.to]!.spaceOf(leaseMessageNetwork(payload.bytes));
        space?.receive(this.hosts[message.from]!.id, payload.bytes);
      } else this.#learn(message.to, payload.author, payload.map);
    });
    return true;
  }

  /** Delivers the first message of a kind. */
  deliverOnly(wanted: (payload: Payload) => boolean): void {
    const at = this.inFlight.findIndex(({ payload }) => wanted(payload));
    const [message] = this.inFlight.splice(at, 1);
    const rest = this.inFlight;
    this.inFlight = message === undefined ? [] : [message];
    this.deliver();
    this.inFlight = [...rest, ...this.inFlight];
  }

  /** Everything under way arrives, in order; bounded. */
  drain(messagesMax = 20_000): void {
    for (let i = 0; i < messagesMax; i++) {
      const message = this.inFlight.shift();
      if (message === undefined) return;
      this.inFlight.unshift(message);
      const rest = this.inFlight.splice(1);
      this.deliver();
      this.inFlight = [...this.inFlight, ...rest];
    }
    throw new Violation('the cluster does not come to rest');
  }

  tick(ms: number): void {
    this.clock.advance(ms);
    for (const index of this.hosts.keys()) this.tickHost(index);
  }

  tickHost(index: number): void {
    this.guard(index, () => {
      for (const space of this.hosts[index]!.spaces) space.tick();
    });
  }

  /** Anti-entropy between two hosts, both ways. */
  reconcile(a: number, b: number): void {
    for (const [from, to] of [[a, b] as const, [b, a] as const]) {
      for (const [author, map] of this.hosts[from]!.maps) this.#send(from, to, { kind: 'gossip', author, map });
    }
  }

  /** All hosts up and connected, all messages delivered, several seconds of retries. */
  heal(): void {
    this.cutChance = 0;
    this.cut.clear();
    for (const [index, { ipam }] of this.hosts.entries()) {
      if (ipam === null && !this.isRemoved(index)) this.start(index);
    }
    this.#spreadRemovals();
    for (let round = 0; round < 25; round++) {
      for (const [a] of this.hosts.entries()) for (let b = 0; b < a; b++) this.reconcile(a, b);
      this.drain();
      this.tick(1000);
      this.drain();
    }
  }

  indexOf(peer: PeerId): number {
    return this.hosts.findIndex(({ id }) => id === peer);
  }

  /** Every record in any durable state or message. */
  truth(): ReadonlyMap<4 | 6, ClaimTrie<Claim>> {
    const all = new Map<string, Claim>();
    for (const host of this.hosts) {
      for (const record of host.ipam?.records() ?? this.#asIfRestarted(host)) {
        const claim = parseClaim(record, this.plan)!;
        all.set(claim.key, claim);
      }
    }
    const tries = new Map(this.plan.families.map(({ family, range }) => [family, new ClaimTrie<Claim>(range)]));
    for (const claim of all.values()) tries.get(claim.cidr.family)!.add(claim.cidr, claim);
    return tries;
  }

  /** Throws on: an address held twice or outside its host's blocks, two owners of a block, a lost block, a request that got two. */
  check(): void {
    this.#checkAddresses();
    const gifts = new Map<string, string>();
    const owned = this.hosts.map((host) => (host.ipam === null ? [] : ownBlocks(host.ipam, host.id)));
    for (const [family, trie] of this.truth()) {
      const { range } = this.plan.families.find((plan) => plan.family === family)!;
      trie.regions(range, (region, claims) => {
        let top: Claim | null = null;
        for (const claim of claims) if (top === null || isNewer(claim, top)) top = claim;
        if (top === null) throw new Violation(`${formatCidr(region)} was lost`);
        const { giftId, donor: giver, owner, cidr } = top.record;
        const request = `${giver} ${owner} ${giftId}`;
        const gift = gifts.get(request) ?? cidr;
        if (gift !== cidr) throw new Violation(`one request, two gifts: ${gift} and ${cidr}`);
        gifts.set(request, cidr);
        for (const [index, blocks] of owned.entries()) {
          const owns = blocks.some((block) => overlaps(block, region));
          if (owns && this.hosts[index]!.id !== top.record.owner) {
            throw new Violation(`host ${index} owns ${formatCidr(region)}, which went to ${top.record.owner}`);
          }
        }
        const recipient = this.hosts[this.indexOf(top.record.owner)]!;
        const donor = this.hosts[this.indexOf(top.record.donor)]!;
        const known = [recipient, donor].some(
          ({ ipam }) => ipam === null || ipam.records().some(({ giftId }) => giftId === top!.record.giftId),
        );
        if (!known) throw new Violation(`${formatCidr(region)} is neither owned nor on its way`);
      });
    }
  }

  /** After {@link heal}: nothing is on its way, and all hosts say the same about every block. */
  checkSettled(): void {
    this.check();
    for (const { family, range } of this.plan.families) {
      let total = 0n;
      const hosts = this.hosts.filter((_, index) => !this.isRemoved(index));
      for (const host of hosts) {
        for (const block of ownBlocks(host.ipam!, host.id)) if (block.family === family) total += size(block);
      }
      if (total !== size(range)) throw new Violation(`${total} of ${size(range)} addresses are owned`);
      this.truth()
        .get(family)!
        .regions(range, (region) => {
          const ip: IpAddress = { family, value: region.base };
          const said = new Set(hosts.map((host) => host.ipam!.ownerOf(ip)));
          if (said.size !== 1) throw new Violation(`hosts differ about ${formatCidr(region)}`);
        });
    }
  }

  #checkAddresses(): void {
    const holders = new Map<string, number>();
    for (const [index, host] of this.hosts.entries()) {
      const addresses = new Set([...host.held.values()].map(formatIp));
      for (const { ip } of host.ipam?.reservations() ?? []) addresses.add(formatIp(ip));
      for (const text of addresses) {
        const other = holders.get(text);
        if (other !== undefined) throw new Violation(`${text} is held by hosts ${other} and ${index}`);
        holders.set(text, index);
      }
      if (host.ipam === null) continue;
      for (const [owner, ip] of host.held) {
        const kept = host.ipam.reservations().some((own) => own.owner === owner && formatIp(own.ip) === formatIp(ip));
        if (!kept) throw new Violation(`host ${index} forgot ${formatIp(ip)} of ${owner}`);
        if (host.ipam.ownerOf(ip) !== host.id)
          throw new Violation(`host ${index} holds ${formatIp(ip)} outside its blocks`);
      }
    }
  }

  /** The records that a crashed host would come back with. */
  #asIfRestarted(host: SimHost): readonly LeaseRecord[] {
    const idle = new Ipam({
      asksEarly: () => true,
      self: host.id,
      plan: this.plan,
      sign: () => new Uint8Array(64),
      identityKeyOf: () => null,
      crypto: quickSignatures,
      clock: this.clock,
      random: new SeededRandom(1),
      store: new MemoryStore(host.store.snapshot()),
      log: new RecordingLog(),
      send: () => false,
      candidates: () => [],
      events: { recordsChanged: () => {}, conflict: () => {}, changed: () => {} },
    });
    return idle.records();
  }

  #votingFacts(index: number, leaseMs: number): VotingFacts {
    const host = this.hosts[index]!;
    return {
      leaseMs,
      peers: () => [...new Set([host.id, ...host.maps.keys()])],
      isAlive: (peer) => {
        const other = this.indexOf(peer);
        return other === index || (this.linked(index, other) && this.linked(other, index));
      },
      unseenMs: () => 0,
      versionOf: (peer) => host.maps.get(peer)?.version ?? 0,
      isPublished: () => !this.unpublished.has(index),
      claimsOf: (peer, network) =>
        network === this.plan.network ? [...this.hosts[this.indexOf(peer)]!.held.values()].map(formatIp) : [],
    };
  }

  #publish(index: number, records: readonly LeaseRecord[], votes: AuthorMap['votes']): void {
    this.#maybeCut();
    if (this.unpublished.has(index)) throw new FabricError('limit', { what: 'the disk is full' });
    const host = this.hosts[index]!;
    const version = ++host.version;
    host.maps.set(host.id, { version, records, votes });
    for (const other of this.hosts.keys()) {
      this.#send(index, other, { kind: 'gossip', author: host.id, map: { version, records, votes } });
    }
  }

  #learn(index: number, author: PeerId, map: AuthorMap): void {
    const host = this.hosts[index]!;
    const before = host.maps.get(author);
    if (before !== undefined && before.version >= map.version) return;
    host.maps.set(author, map);
    const now = new Set(map.records.map(identity));
    const earlier = new Set(before?.records.map(identity) ?? []);
    for (const record of map.records) {
      if (!earlier.has(identity(record))) host.spaceOf(record.network)?.observe(author, record);
    }
    for (const [entry, value] of map.votes) {
      host.ipam!.observeVote(author, { network: this.plan.network, entry, value });
    }
    for (const record of before?.records ?? []) {
      if (!now.has(identity(record))) host.spaceOf(record.network)?.withdraw(author, record);
    }
  }

  #send(from: number, to: number, payload: Payload): boolean {
    if (!this.linked(from, to)) return false;
    if (payload.kind === 'lease') this.#maybeCut();
    this.messagesSent++;
    this.inFlight.push({ from, to, payload });
    return true;
  }

  #maybeCut(): void {
    if (this.cutChance > 0 && this.random.fraction() < this.cutChance) throw new PowerCut();
  }
}

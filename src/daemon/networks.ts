// All networks of the cluster as this host knows them, and how they come and go: made by an operator on any host under an id of
// that host's lease, known everywhere by gossip, gone by an operator's word. Each is a Network of its own; nothing of one ever
// concerns another. The default network is there from the beginning (ADR 0018, docs/networks.md).

import { type Cidr, cidrsOverlap, formatCidr, parseCidr } from '../base/address.ts';
import { toHex, utf8 } from '../base/bytes.ts';
import { assert, FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME, isNetworkName, type Mac, NETWORK_IDS_VNI, type PeerId, type Vni } from '../base/ids.ts';
import type { AttachmentRecord, LeaseRecord, NetworkRecord } from '../base/records.ts';
import type { HostNetwork } from '../host/host-network.ts';
import type { Ipam } from '../ipam/ipam.ts';
import { type AddressPlan, leasePrefixFor, makeAddressPlan } from '../ipam/plan.ts';
import type { AddressSpaces } from './address-spaces.ts';
import { Allocator } from './allocator.ts';
import type { ClaimKeeper } from './claim-keepers.ts';
import type { Directory } from './directory.ts';
import { LEASE_PREFIX6_DEFAULT, type NetworkFacts, namedNetworkFacts } from './genesis.ts';
import { LEASE_PREFIX_DEFAULT } from './launch-options.ts';
import type { MemberOptions } from './member-options.ts';
import type { Network } from './network.ts';
import { type KnownNetwork, NetworkRegistry } from './network-registry.ts';
import type { OwnRecords } from './own-records.ts';

/** Ids are the 24 bits below this range's prefix: a block of it is a block of ids. */
const IDS_RANGE = '0.0.0.0/8';
const IDS_LEASE_PREFIX = 24;
/** Of an id that turned out to be used; each try is another id. */
const ID_TRIES_MAX = 1024;
/** So much of an id Docker shows in its lists. */
const DOCKER_ID_CHARS = 12;
/** Ranges that are tried when none is given: 10.128.0.0/16 to 10.255.0.0/16. */
const RANGE_CHOICES = 128;

export interface NetworkWish {
  readonly name: string;
  /** Null: one that nobody uses is chosen. */
  readonly range: Cidr | null;
  readonly range6: Cidr | 'off' | null;
  readonly leasePrefix: number | null;
  readonly internal: boolean;
}

export interface NetworksPorts {
  readonly options: Pick<MemberOptions, 'genesis' | 'store' | 'timers' | 'crypto' | 'log' | 'dockerNetworksOf'> & {
    readonly identity: { readonly keys: { readonly peer: PeerId } };
    readonly host: Pick<HostNetwork, 'overlappingRoutes'>;
  };
  readonly main: Network;
  readonly spaces: AddressSpaces;
  readonly directory: Pick<Directory, 'leasesOf' | 'attachmentsOf' | 'nameOf'>;
  readonly own: Pick<OwnRecords, 'publishNetwork' | 'publishNetworkRemoval'>;
  openIpam(plan: AddressPlan, changed: () => void): Ipam;
  openNetwork(facts: NetworkFacts): Network;
  /** The space of ids has something to do now. */
  wakeLeases(): void;
  /** What this host has in a network, in words; null: nothing. */
  useHere(network: Vni): string | null;
  /** The network's tables are no more, or count no more. */
  forgotten(network: Vni): void;
  /** Resolves once this host may allocate. */
  readonly mayAllocate: Promise<void>;
}

export class Networks implements ClaimKeeper {
  readonly main: Network;
  readonly registry: NetworkRegistry;
  readonly #ports: NetworksPorts;
  readonly #named = new Map<Vni, Network>();
  readonly #ids: Ipam;
  readonly #idAllocator: Allocator;

  constructor(ports: NetworksPorts) {
    const { options, main, spaces } = ports;
    this.#ports = ports;
    this.main = main;
    this.registry = new NetworkRegistry(options.store);
    spaces.add(main.id, main.ipam, []);
    this.#ids = ports.openIpam(idPlan(options.genesis.creator), () => this.#idAllocator.changed());
    this.#idAllocator = new Allocator(options.timers, (request) => {
      const result = this.#ids.allocate(request);
      ports.wakeLeases();
      return result;
    });
    spaces.add(NETWORK_IDS_VNI, this.#ids, []);
  }

  /** Opens what is known from before; once, when {@link NetworksPorts.useHere} knows what is here. */
  load(): void {
    for (const known of this.registry.everKnown()) this.#open(known);
  }

  /** The cluster's creator owns all ids and the default range. Repeats change nothing. */
  createCluster(): void {
    this.main.ipam.createCluster();
    this.#ids.createCluster();
  }

  /** The default one first, then by id. */
  all(): readonly Network[] {
    return [this.main, ...[...this.#named.values()].sort((a, b) => a.id - b.id)];
  }

  get(id: Vni): Network | null {
    return id === this.main.id ? this.main : (this.#named.get(id) ?? null);
  }

  labelOf(id: Vni): string {
    return id === this.main.id ? DEFAULT_NETWORK_NAME : (this.registry.labelOf(id) ?? String(id));
  }

  stateOf(id: Vni): 'active' | 'removed' | 'disputed' {
    if (this.registry.isDisputed(id)) return 'disputed';
    return this.registry.isRemoved(id) ? 'removed' : 'active';
  }

  /** For something new in it. Throws `network-unknown`. */
  named(name: string): Network {
    const network = this.find(name);
    if (network !== null) return network;
    const disputed = this.registry.find(name)?.record.network ?? null;
    throw new FabricError('network-unknown', {
      what: `there is no network ${name}`,
      ...(disputed === null ? {} : { why: `two networks claim its id ${disputed}` }),
      fix: 'See fabric network ls, or make it with fabric network create',
    });
  }

  /** The same; null where {@link named} throws. */
  find(name: string): Network | null {
    if (name === DEFAULT_NETWORK_NAME) return this.main;
    const id = this.registry.find(name)?.record.network;
    return id === undefined || this.registry.isDisputed(id) ? null : this.get(id);
  }

  /**
   * Makes a network; durable and published when it resolves. Rejects with `network-exists`, `range-overlap`, `address-…` (no id
   * could be leased), `usage` or `limit`.
   */
  async create(wish: NetworkWish): Promise<Network> {
    const { options, own, mayAllocate } = this.#ports;
    const self = options.identity.keys.peer;
    this.#refuseName(wish.name);
    await mayAllocate;
    const id = await this.#newId(wish.name);
    const record = await this.#recordOf(id, wish);
    this.#refuseName(wish.name); // others may have made one meanwhile
    if (this.#factsOf({ record, creator: self }) === null) {
      throw new FabricError('usage', {
        what: `the range ${record.range}${record.range6 === null ? '' : ` or ${record.range6}`} is too small for a network`,
        why: `hosts lease blocks of it: /${record.leasePrefix} at least`,
        fix: 'Give a range of /29 (IPv6: /120) or larger',
      });
    }
    if (this.registry.isFull) {
      throw new FabricError('limit', {
        what: 'there are too many networks already',
        fix: 'Remove some that nobody uses',
      });
    }
    own.publishNetwork(record); // first: after a crash this host hears of it by its own records
    this.registry.add(self, record);
    const network = this.#open({ record, creator: self });
    assert(network !== null, 'a network that was judged to be usable is');
    options.log.info('network created', { network: wish.name, id, range: record.range });
    return network;
  }

  /** For ever; durable and published when it returns. Throws `network-unknown`, `network-in-use` or `usage`. */
  remove(name: string): void {
    if (name === DEFAULT_NETWORK_NAME) throw new FabricError('usage', { what: 'the default network stays' });
    const known = this.registry.find(name);
    if (known === null) throw new FabricError('network-unknown', { what: `there is no network ${name}` });
    const { network } = known.record;
    const users = this.#usersOf(network);
    if (users.length > 0) {
      throw new FabricError('network-in-use', {
        what: `the network ${name} has containers`,
        why: `they are on ${users.join(', ')}`,
        fix: 'Detach them first; those of a host that is gone for good go with fabric rmpeer',
      });
    }
    this.#refuseDockers(name, network);
    this.#ports.own.publishNetworkRemoval(network);
    this.removed(network);
  }

  /** This host may want addresses of a network from now on. */
  maintainLeases(): void {
    this.#ports.wakeLeases();
  }

  /** A record that gossip brought; repeats change nothing. */
  made(creator: PeerId, record: NetworkRecord): void {
    const { log } = this.#ports.options;
    const verdict = this.registry.add(creator, record);
    const isOpen = this.#named.has(record.network);
    if (verdict === 'new' || (verdict === 'known' && !isOpen)) this.#open({ record, creator });
    if (verdict !== 'disputed' || this.get(record.network) === null) return;
    log.error('two networks claim one id: neither is used', { id: record.network, name: record.name });
    this.#ports.forgotten(record.network);
  }

  /** An operator removed it somewhere. What runs here in it goes on alone, until it is detached. */
  removed(id: Vni): void {
    const name = this.labelOf(id);
    if (!this.registry.remove(id)) return;
    this.#ports.options.log.info('network removed', { network: name, id });
    this.forgetUnused(id);
  }

  /** Of a removed network nothing stays once this host has nothing in it. */
  forgetUnused(id: Vni): void {
    const network = this.#named.get(id);
    if (network === undefined || !this.registry.isRemoved(id) || this.#ports.useHere(id) !== null) return;
    network.stop();
    this.#named.delete(id);
    this.#ports.spaces.remove(id);
    this.#ports.forgotten(id);
  }

  /** A lease record that gossip brought. */
  leaseAdded(author: PeerId, record: LeaseRecord): void {
    this.#ports.spaces.observe(author, record);
    this.get(record.network)?.leaseHeard(record);
  }

  leaseGone(author: PeerId, record: LeaseRecord): void {
    this.#ports.spaces.withdraw(author, record);
    this.get(record.network)?.leaseHeard(record);
  }

  /** As ClaimKeeper: a claim on a network that is not known yet waits in the directory. */
  claim(author: PeerId, record: AttachmentRecord): void {
    this.get(record.network)?.routes.claim(author, record);
  }

  withdraw(author: PeerId, network: Vni, mac: Mac): void {
    this.get(network)?.withdraw(author, mac);
  }

  /** See {@link Routes.nextSequence}; 0 in a network that is not known. */
  nextSequence({ network, mac }: Pick<AttachmentRecord, 'network' | 'mac'>): number {
    return this.get(network)?.routes.nextSequence(network, mac) ?? 0;
  }

  stopAllocating(refusal: FabricError): void {
    this.#idAllocator.stop(refusal);
    for (const network of this.all()) network.stopAllocating(refusal);
  }

  stop(): void {
    for (const network of this.all()) network.stop();
  }

  /** Null for ranges that no creator makes, and for what was removed and is not used here. */
  #open({ record, creator }: KnownNetwork): Network | null {
    const { spaces, directory, openNetwork, options } = this.#ports;
    const { network: id } = record;
    if (this.registry.isRemoved(id) && this.#ports.useHere(id) === null) return null;
    const facts = this.#factsOf({ record, creator });
    if (facts === null) {
      options.log.warn('a network has unusable ranges', { network: record.name, id });
      return null;
    }
    const network = openNetwork(facts);
    spaces.add(id, network.ipam, directory.leasesOf(id));
    if (creator === options.identity.keys.peer) network.ipam.createCluster();
    this.#named.set(id, network);
    for (const [author, claim] of directory.attachmentsOf(id)) network.routes.claim(author, claim);
    return network;
  }

  /** Null for ranges that no creator makes. */
  #factsOf({ record, creator }: KnownNetwork): NetworkFacts | null {
    return namedNetworkFacts(record, { creator, gatewayMac: this.#ports.main.facts.gatewayMac });
  }

  #refuseName(name: string): void {
    if (!isNetworkName(name)) {
      throw new FabricError('usage', {
        what: `${JSON.stringify(name)} can't be the name of a network`,
        why: `it has up to 63 letters, digits, dashes and underscores, and ${DEFAULT_NETWORK_NAME} is the default one`,
      });
    }
    if (this.registry.find(name) === null) return;
    throw new FabricError('network-exists', { what: `there is a network ${name} already`, fix: 'Choose another name' });
  }

  #refuseDockers(name: string, network: Vni): void {
    const ids = this.#ports.options.dockerNetworksOf(network).map((id) => id.slice(0, DOCKER_ID_CHARS));
    if (ids.length === 0) return;
    throw new FabricError('network-in-use', {
      what: `Docker uses the network ${name} on this host`,
      why: `docker network ls has it as ${ids.join(', ')}`,
      fix: 'Remove it there first, with docker network rm',
    });
  }

  /** An id that no network has or had, as far as anybody told. */
  async #newId(name: string): Promise<Vni> {
    for (let attempt = 0; attempt < ID_TRIES_MAX; attempt++) {
      const text = await this.#idAllocator.allocate({ owner: `network/${name}/${attempt}`, family: 4, wanted: null });
      const id = Number(parseCidr(`${text}/32`)!.base) as Vni;
      if (!this.registry.isUsed(id) && id < NETWORK_IDS_VNI) return id;
    }
    throw new FabricError('limit', {
      what: 'no unused id of a network was found',
      fix: 'Try again, or on another host',
    });
  }

  async #recordOf(network: Vni, wish: NetworkWish): Promise<NetworkRecord> {
    const { genesis } = this.#ports.options;
    const chosen6 = genesis.range6 === null ? null : this.#ownRange6(network);
    const range6 = wish.range6 === 'off' ? null : (wish.range6 ?? chosen6);
    const range = wish.range ?? (await this.#freeRange(network));
    if (!wish.internal) {
      for (const block of [range, ...(range6 === null ? [] : [range6])]) await this.#refuseOverlap(block);
    }
    return {
      network,
      name: wish.name,
      range: formatCidr(range),
      range6: range6 === null ? null : formatCidr(range6),
      leasePrefix: leasePrefixFor(range, wish.leasePrefix ?? LEASE_PREFIX_DEFAULT),
      leasePrefix6: range6 === null ? LEASE_PREFIX6_DEFAULT : leasePrefixFor(range6, LEASE_PREFIX6_DEFAULT),
      internal: wish.internal,
    };
  }

  /** RFC 4193: fd and 40 bits that are the network's own. */
  #ownRange6(network: Vni): Cidr {
    const { crypto, genesis } = this.#ports.options;
    const hash = toHex(crypto.sha256(utf8(`${genesis.genesisId}/${network}`)));
    return parseCidr(`fd${hash.slice(0, 2)}:${hash.slice(2, 6)}:${hash.slice(6, 10)}::/48`)!;
  }

  async #freeRange(network: Vni): Promise<Cidr> {
    for (let i = 0; i < RANGE_CHOICES; i++) {
      const range = parseCidr(`10.${128 + ((network + i) % RANGE_CHOICES)}.0.0/16`)!;
      if ((await this.#overlapOf(range)) === null) return range;
    }
    throw new FabricError('range-overlap', {
      what: 'no free range was found for the network',
      fix: 'Choose one with --range',
    });
  }

  async #refuseOverlap(range: Cidr): Promise<void> {
    const why = await this.#overlapOf(range);
    if (why === null) return;
    throw new FabricError('range-overlap', {
      what: `the range ${formatCidr(range)} is in use`,
      why,
      fix: "Choose another one, or make the network --internal: it has no gateway then, and its range may be anybody's",
    });
  }

  /** What the range leads to from hosts already, in words: another network, or a route of this host. */
  async #overlapOf(range: Cidr): Promise<string | null> {
    const other = this.all().find(({ facts }) => leadsTo(facts, range));
    if (other !== undefined) return `the network ${this.labelOf(other.id)} has it`;
    const routes = await this.#ports.options.host.overlappingRoutes(range);
    return routes.length === 0 ? null : routes.join(', ');
  }

  #usersOf(network: Vni): readonly string[] {
    const { directory, useHere } = this.#ports;
    const authors = new Set(directory.attachmentsOf(network).map(([author]) => author));
    authors.delete(this.#ports.options.identity.keys.peer);
    const names = [...authors].map((author) => directory.nameOf(author));
    const here = useHere(network);
    return [...names.sort(), ...(here === null ? [] : [here])];
  }
}

/** True when hosts have a way into the network and part of the range is its. */
export function leadsTo({ internal, v4, v6 }: NetworkFacts, range: Cidr): boolean {
  return !internal && [v4, v6].some((side) => side !== null && cidrsOverlap(side.range, range));
}

function idPlan(creator: PeerId): AddressPlan {
  const ranges = { creator, range: IDS_RANGE, range6: null, leasePrefix: IDS_LEASE_PREFIX, leasePrefix6: 64 };
  const plan = makeAddressPlan(NETWORK_IDS_VNI, ranges);
  if (plan === null) throw new Error('invariant broken: the space of ids is a range');
  return plan;
}

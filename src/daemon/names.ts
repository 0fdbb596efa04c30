// Names of containers on this host: the zone that gossip feeds, the server that answers from it, and what operators add and remove.
// Claims and names of all hosts go in; what of them counts is judged when somebody asks (src/dns/zone.ts).

import { cidrHasIp, formatCidr, formatIp, parseIp } from '../base/address.ts';
import type { Clock, Log, Random, Timers } from '../base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../base/ids.ts';
import type { AttachmentRecord, NameRecord, NameTarget } from '../base/records.ts';
import type { NameService as ContainerNameService } from '../cni-plugin/backend.ts';
import { relativeName } from '../dns/domain-names.ts';
import { Forwarder } from '../dns/forwarder.ts';
import { type NameCounters, NameService } from '../dns/name-service.ts';
import { Zone, type ZoneRow } from '../dns/zone.ts';
import { ADDED_NAME_CHARS_MAX, NAME_TARGETS_MAX } from '../gossip/record-codec.ts';
import type { ClaimKeeper } from './claim-keepers.ts';
import type { DnsSettings } from './dns-options.ts';
import type { NetworkFacts } from './genesis.ts';
import { NameServer, type NameSockets } from './name-server.ts';
import type { OwnRecords } from './own-records.ts';

/** Names that one host's operator may add: with all their targets they stay far below what a map may hold. */
const ADDED_NAMES_MAX = 1024;

export interface NamesPorts {
  readonly self: PeerId;
  readonly facts: NetworkFacts;
  readonly settings: DnsSettings;
  /** Null: there is no server, as with --no-dns. */
  readonly sockets: NameSockets | null;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly records: Pick<OwnRecords, 'names' | 'publishName' | 'withdrawName'>;
  /** Whose claim on that MAC counts now. */
  holderOf(mac: Mac): PeerId | null;
  isAlive(peer: PeerId): boolean;
  /** Round trip to a peer in milliseconds; null when it is not known. */
  rttMs(peer: PeerId): number | null;
  /** Addresses of containers on this host, canonical text. */
  localAddresses(): ReadonlySet<string>;
}

export interface NameServerStatus {
  readonly state: 'off' | 'serving' | 'failed';
  readonly domain: string;
  /** Where it is asked now. */
  readonly serving: readonly string[];
  readonly upstreams: readonly string[];
  /** Why it does not serve on all of its addresses; null when it does. */
  readonly fault: string | null;
  /** Why nothing but our own names is answered; null when it is. */
  readonly loop: string | null;
  readonly counters: NameCounters;
}

export class Names implements ClaimKeeper {
  readonly zone: Zone;
  readonly #ports: NamesPorts;
  readonly #service: NameService;
  readonly #server: NameServer | null;

  constructor(ports: NamesPorts) {
    this.#ports = ports;
    const { self, facts, settings, sockets, clock, timers, random, log } = ports;
    const nearest = settings.order === 'nearest';
    this.zone = new Zone({
      domain: settings.domain,
      holderOf: (mac) => ports.holderOf(mac),
      isAlive: (peer) => ports.isAlive(peer),
      ...(nearest ? { distanceTo: (peer) => (peer === self ? 0 : (ports.rttMs(peer) ?? Number.MAX_VALUE)) } : {}),
    });
    const addresses = [facts.gateway, ...(facts.gateway6 === null ? [] : [facts.gateway6])];
    this.#service = new NameService({
      networks: [{ zone: this.zone, range: facts.v4.range, range6: facts.v6?.range ?? null, servers: addresses }],
      forwarder: new Forwarder({
        clock,
        timers,
        random,
        upstreams: {
          servers: () => this.upstreams().usable,
          exchange: (request) => sockets?.exchange(request) ?? (() => undefined),
        },
      }),
      isLocalAddress: (_network, ip) => ports.localAddresses().has(ip),
    });
    this.#server =
      sockets === null || !settings.enabled
        ? null
        : new NameServer({ sockets, service: this.#service, addresses, timers, log });
  }

  /** Once the gateway's addresses are there. A port that is taken is no failure: {@link fault} names it. */
  async start(): Promise<void> {
    await this.#server?.start();
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    this.#service.stop();
  }

  claim(author: PeerId, record: AttachmentRecord): void {
    // Hosts have their place in the overlay, but no name in the domain: nicknames are not theirs alone.
    const named = record.kind === 'container' ? record : { ...record, name: '', aliases: [] };
    if (record.network === DEFAULT_VNI) this.zone.setClaim(author, named);
  }

  withdraw(author: PeerId, network: Vni, mac: Mac): void {
    if (network === DEFAULT_VNI) this.zone.removeClaim(author, mac);
  }

  nameAdded(author: PeerId, record: NameRecord): void {
    if (record.network === DEFAULT_VNI) this.zone.setAdded(author, record);
  }

  nameGone(author: PeerId, { network, name }: NameRecord): void {
    if (network === DEFAULT_VNI) this.zone.removeAdded(author, name);
  }

  /**
   * Gives addresses to a name, beside those that it has; durable. An address that a container has goes with that container.
   * Throws `usage`, `address-invalid` or `limit`.
   */
  add(text: string, ips: readonly string[]): void {
    const { self, records } = this.#ports;
    const name = this.#relative(text);
    const present = this.#ports.records.names();
    const known = present.find((record) => record.name === name);
    const targets = new Map((known?.targets ?? []).map((target) => [target.ip, target]));
    for (const ip of ips.map(readAddress)) targets.set(ip, this.#targetOf(ip));
    if (known === undefined && present.length >= ADDED_NAMES_MAX) throw tooMany(`${ADDED_NAMES_MAX} names`);
    if (targets.size > NAME_TARGETS_MAX) throw tooMany(`${NAME_TARGETS_MAX} addresses of one name`);
    const record: NameRecord = { network: DEFAULT_VNI, name, targets: [...targets.values()] };
    records.publishName(record);
    this.zone.setAdded(self, record);
  }

  /** Takes these addresses from a name that was added on this host, or all of them. Throws `usage`, `name-unknown`. */
  remove(text: string, ips: readonly string[]): void {
    const { self, records } = this.#ports;
    const name = this.#relative(text);
    const known = this.#ports.records.names().find((record) => record.name === name);
    const doomed = ips.map(readAddress);
    if (known === undefined || doomed.some((ip) => known.targets.every((target) => target.ip !== ip))) {
      throw new FabricError('name-unknown', {
        what: `${name}${doomed.length === 0 ? '' : ` with ${doomed.join(' ')}`} was not added on this host`,
        why: 'names of containers go with them, and names that another host added are removed there',
        fix: 'See fabric dns ls',
      });
    }
    const targets = doomed.length === 0 ? [] : known.targets.filter(({ ip }) => !doomed.includes(ip));
    const record: NameRecord = { network: DEFAULT_VNI, name, targets };
    if (targets.length === 0) {
      records.withdrawName(record);
      this.zone.removeAdded(self, name);
    } else {
      records.publishName(record);
      this.zone.setAdded(self, record);
    }
  }

  /** Addresses of a name, or the name of an address, as the server would answer. Throws `usage`, `name-unknown`. */
  lookup(text: string): readonly string[] {
    const ip = parseIp(text);
    const { domain } = this.zone;
    const found =
      ip === null ? this.addressesOf(text) : this.zone.namesOf(formatIp(ip)).map((name) => `${name}.${domain}`);
    if (found.length > 0) return found;
    throw new FabricError('name-unknown', { what: `no container is called ${text}`, fix: 'See fabric dns ls' });
  }

  rows(): readonly ZoneRow[] {
    return this.zone.rows();
  }

  /** IPv4 first; empty when nobody has the name. */
  addressesOf(name: string): readonly string[] {
    return ([4, 6] as const).flatMap((family) => this.zone.addresses(this.#relative(name), family));
  }

  /** Null while this host serves no names: a container that is told of a server that does not answer waits for each name. */
  serviceFacts(): ContainerNameService | null {
    const [first] = this.#server?.serving ?? [];
    return first === undefined ? null : { nameservers: [first], search: [this.zone.domain] };
  }

  /** The servers that are asked what is not ours, and those passed over because they are this very server. */
  upstreams(): { readonly usable: readonly Endpoint[]; readonly ourselves: readonly Endpoint[] } {
    const { settings, sockets, facts } = this.#ports;
    const named = settings.upstreams ?? sockets?.hostServers() ?? [];
    const isOurs = ({ ip }: Endpoint): boolean => ip === facts.gateway || ip === facts.gateway6;
    return { usable: named.filter((server) => !isOurs(server)), ourselves: named.filter(isOurs) };
  }

  status(): NameServerStatus {
    const { usable, ourselves } = this.upstreams();
    const serving = this.#server?.serving ?? [];
    const fault = this.#server?.fault ?? null;
    const loop =
      usable.length === 0 && ourselves.length > 0
        ? `the host's own name servers are this one (${ourselves.map(formatEndpoint).join(' ')})`
        : null;
    return {
      state: this.#server === null ? 'off' : fault === null ? 'serving' : 'failed',
      serving,
      domain: this.zone.domain,
      upstreams: usable.map(formatEndpoint),
      fault,
      loop,
      counters: this.#service.counters,
    };
  }

  #relative(text: string): string {
    const name = relativeName(text, this.zone.domain);
    if (name !== null && name.length <= ADDED_NAME_CHARS_MAX) return name;
    throw new FabricError('usage', {
      what: `${JSON.stringify(text)} is no name`,
      why: `a name has labels of letters, digits, dashes and underscores, and at most ${ADDED_NAME_CHARS_MAX} characters`,
    });
  }

  /** Hangs on the claim that has the address now. One of the network's that nobody has may be anybody's tomorrow. */
  #targetOf(ip: string): NameTarget {
    const { v4, v6 } = this.#ports.facts;
    const mac = this.zone.claimOn(ip);
    const address = parseIp(ip)!;
    const block = address.family === 4 ? v4.range : (v6?.range ?? null);
    if (mac === null && block !== null && cidrHasIp(block, address)) {
      throw new FabricError('address-invalid', {
        what: `no container has ${ip} now`,
        why: `it lies in ${formatCidr(block)}, so any container may get it`,
        fix: 'Attach the container first',
      });
    }
    return { ip, mac };
  }
}

function readAddress(text: string): string {
  const ip = parseIp(text);
  if (ip !== null) return formatIp(ip);
  throw new FabricError('address-invalid', { what: `${text} is no IP address` });
}

function tooMany(what: string): FabricError {
  return new FabricError('limit', { what: `there are ${what} already`, fix: 'Remove some with fabric dns rm' });
}

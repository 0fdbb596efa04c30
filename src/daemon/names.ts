// Names of containers on this host: the zones that gossip feeds, the server that answers from them on the gateway of each network that
// this host is in, and what operators add and remove. What a container is told are names of networks that it is in, and no others.

import { cidrHasIp, formatCidr, formatIp, parseIp } from '../base/address.ts';
import type { Clock, Log, Random, Timers } from '../base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { NameRecord, NameTarget } from '../base/records.ts';
import type { NameService as ContainerNameService } from '../cni-plugin/backend.ts';
import { relativeName } from '../dns/domain-names.ts';
import { Forwarder } from '../dns/forwarder.ts';
import { type NameCounters, NameService } from '../dns/name-service.ts';
import type { ZoneRow } from '../dns/zone.ts';
import type { ServedNetwork } from '../dns/zone-answers.ts';
import { ADDED_NAME_CHARS_MAX, NAME_TARGETS_MAX } from '../gossip/record-codec.ts';
import type { DnsSettings } from './dns-options.ts';
import type { NetworkFacts } from './genesis.ts';
import { NameServer, type NameSockets } from './name-server.ts';
import type { OwnRecords } from './own-records.ts';
import { Zones } from './zones.ts';

/** Names that one host's operator may add: with all their targets they stay far below what a map may hold. */
const ADDED_NAMES_MAX = 1024;

export interface NamesPorts {
  readonly self: PeerId;
  readonly networks: NameNetworks;
  readonly settings: DnsSettings;
  /** Null: there is no server, as with --no-dns. */
  readonly sockets: NameSockets | null;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly records: Pick<OwnRecords, 'names' | 'publishName' | 'withdrawName'>;
  /** Whose claim on that MAC counts in that network now. */
  holderOf(network: Vni, mac: Mac): PeerId | null;
  isAlive(peer: PeerId): boolean;
  /** Round trip to a peer in milliseconds; null when it is not known. */
  rttMs(peer: PeerId): number | null;
}

/** Networks as far as names need them. */
export interface NameNetworks {
  /** That have a gateway on this host now, the default one first. */
  served(): readonly NetworkFacts[];
  /** Throws `network-unknown`. */
  named(name: string): NetworkFacts;
  /** Null: this host does not know it. */
  get(network: Vni): NetworkFacts | null;
  /** All networks of the container of this host that has that address (canonical text) in that network; null: none has it. */
  ofContainer(network: Vni, ip: string): readonly Vni[] | null;
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

export class Names {
  readonly zones: Zones;
  readonly #ports: NamesPorts;
  readonly #service: NameService;
  readonly #server: NameServer | null;

  constructor(ports: NamesPorts) {
    this.#ports = ports;
    const { self, settings, sockets, clock, timers, random, log } = ports;
    const nearest = settings.order === 'nearest';
    this.zones = new Zones({
      domain: settings.domain,
      holderOf: (network, mac) => ports.holderOf(network, mac),
      isAlive: (peer) => ports.isAlive(peer),
      ...(nearest ? { distanceTo: (peer) => (peer === self ? 0 : (ports.rttMs(peer) ?? Number.MAX_VALUE)) } : {}),
    });
    this.#service = new NameService({
      networkAt: (server) => {
        const facts = ports.networks.served().find((each) => serversOf(each).includes(server));
        return facts === undefined ? null : this.#served(facts);
      },
      forwarder: new Forwarder({
        clock,
        timers,
        random,
        upstreams: {
          servers: () => this.upstreams().usable,
          exchange: (request) => sockets?.exchange(request) ?? (() => undefined),
        },
      }),
      furtherNetworks: ({ id }, ip) => {
        const further = ports.networks.ofContainer(id, ip)?.filter((network) => network !== id);
        return (
          further
            ?.map((network) => ports.networks.get(network))
            .flatMap((facts) => (facts === null ? [] : this.#served(facts))) ?? null
        );
      },
    });
    const addresses = () => ports.networks.served().flatMap(serversOf);
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

  /** This host entered or left a network; resolves once its gateway is asked, or is not any more. */
  async networksChanged(): Promise<void> {
    await this.#server?.addressesChanged();
  }

  /**
   * Gives addresses to a name of a network, beside those that it has; durable. An address that a container has goes with that
   * container. Throws `usage`, `network-unknown`, `address-invalid` or `limit`.
   */
  add(networkName: string, text: string, ips: readonly string[]): void {
    const { self, records, networks } = this.#ports;
    const facts = networks.named(networkName);
    const name = this.#relative(text);
    const present = records.names();
    const known = present.find((record) => record.network === facts.id && record.name === name);
    const targets = new Map((known?.targets ?? []).map((target) => [target.ip, target]));
    for (const ip of ips.map(readAddress)) targets.set(ip, this.#targetOf(facts, ip));
    if (known === undefined && present.length >= ADDED_NAMES_MAX) throw tooMany(`${ADDED_NAMES_MAX} names`);
    if (targets.size > NAME_TARGETS_MAX) throw tooMany(`${NAME_TARGETS_MAX} addresses of one name`);
    const record: NameRecord = { network: facts.id, name, targets: [...targets.values()] };
    records.publishName(record);
    this.zones.added(self, record);
  }

  /**
   * Takes these addresses from a name that was added on this host, or all of them. Throws `usage`, `network-unknown`,
   * `name-unknown`.
   */
  remove(networkName: string, text: string, ips: readonly string[]): void {
    const { self, records, networks } = this.#ports;
    const network = networks.named(networkName).id;
    const name = this.#relative(text);
    const known = records.names().find((record) => record.network === network && record.name === name);
    const doomed = ips.map(readAddress);
    if (known === undefined || doomed.some((ip) => known.targets.every((target) => target.ip !== ip))) {
      throw new FabricError('name-unknown', {
        what: `${name}${doomed.length === 0 ? '' : ` with ${doomed.join(' ')}`} was not added on this host`,
        why: 'names of containers go with them, and names that another host added are removed there',
        fix: 'See fabric dns ls',
      });
    }
    const targets = doomed.length === 0 ? [] : known.targets.filter(({ ip }) => !doomed.includes(ip));
    const record: NameRecord = { network, name, targets };
    if (targets.length === 0) {
      records.withdrawName(record);
      this.zones.gone(self, record);
    } else {
      records.publishName(record);
      this.zones.added(self, record);
    }
  }

  /** Addresses of a name, or the names of an address, as that network's gateway would answer. Throws as {@link remove}. */
  lookup(networkName: string, text: string): readonly string[] {
    const network = this.#ports.networks.named(networkName).id;
    const ip = parseIp(text);
    const zone = this.zones.of(network);
    const found =
      ip === null
        ? this.addressesOf(network, text)
        : zone.namesOf(formatIp(ip)).map((name) => `${name}.${zone.domain}`);
    if (found.length > 0) return found;
    throw new FabricError('name-unknown', { what: `no container is called ${text}`, fix: 'See fabric dns ls' });
  }

  /** Of the networks that this host knows. */
  rows(): readonly (ZoneRow & { readonly network: Vni })[] {
    const known = this.zones.all().filter(([network]) => this.#ports.networks.get(network) !== null);
    return known.flatMap(([network, zone]) => zone.rows().map((row) => ({ ...row, network })));
  }

  /** IPv4 first; empty when nobody has the name in that network. */
  addressesOf(network: Vni, name: string): readonly string[] {
    return ([4, 6] as const).flatMap((family) => this.zones.of(network).addresses(this.#relative(name), family));
  }

  /** Null while names of that network are not served here: who is told of a server that does not answer waits for each name. */
  serviceFacts(network: Vni): ContainerNameService | null {
    const facts = this.#ports.networks.served().find(({ id }) => id === network);
    const servers = facts === undefined ? [] : serversOf(facts);
    const first = servers.find((ip) => this.#server?.serving.includes(ip));
    return first === undefined ? null : { nameservers: [first], search: [this.zones.domain] };
  }

  /** The servers that are asked what is not ours, and those passed over because they are this very server. */
  upstreams(): { readonly usable: readonly Endpoint[]; readonly ourselves: readonly Endpoint[] } {
    const { settings, sockets, networks } = this.#ports;
    const named = settings.upstreams ?? sockets?.hostServers() ?? [];
    const own = networks.served().flatMap(serversOf);
    const isOurs = ({ ip }: Endpoint): boolean => own.includes(ip);
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
      domain: this.zones.domain,
      upstreams: usable.map(formatEndpoint),
      fault,
      loop,
      counters: this.#service.counters,
    };
  }

  #relative(text: string): string {
    const name = relativeName(text, this.zones.domain);
    if (name !== null && name.length <= ADDED_NAME_CHARS_MAX) return name;
    throw new FabricError('usage', {
      what: `${JSON.stringify(text)} is no name`,
      why: `a name has labels of letters, digits, dashes and underscores, and at most ${ADDED_NAME_CHARS_MAX} characters`,
    });
  }

  #served(facts: NetworkFacts): ServedNetwork {
    const { id, v4, v6, internal } = facts;
    const servers = internal ? [] : serversOf(facts);
    return { id, zone: this.zones.of(id), range: v4.range, range6: v6?.range ?? null, servers };
  }

  /** Hangs on the claim that has the address now. One of the network's that nobody has may be anybody's tomorrow. */
  #targetOf({ id, v4, v6 }: NetworkFacts, ip: string): NameTarget {
    const mac = this.zones.of(id).claimOn(ip);
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

/** Where a network's names are asked: on its gateway. */
function serversOf({ gateway, gateway6 }: NetworkFacts): readonly string[] {
  return [gateway, ...(gateway6 === null ? [] : [gateway6])];
}

function readAddress(text: string): string {
  const ip = parseIp(text);
  if (ip !== null) return formatIp(ip);
  throw new FabricError('address-invalid', { what: `${text} is no IP address` });
}

function tooMany(what: string): FabricError {
  return new FabricError('limit', { what: `there are ${what} already`, fix: 'Remove some with fabric dns rm' });
}

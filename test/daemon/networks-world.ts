// Hosts of one cluster as far as networks concern them: leases, records and registries are real, the mesh is a call, the kernel
// and the datapath remember what they were told. Links can be cut: what is said then is heard when they are whole again.

import type { Mac, PeerId, Vni } from '../../src/base/ids.ts';
import type { AttachmentRecord, Genesis, LeaseRecord } from '../../src/base/records.ts';
import { networkFacts } from '../../src/daemon/genesis.ts';
import type { Network } from '../../src/daemon/network.ts';
import { openNetworks } from '../../src/daemon/open-networks.ts';
import { generateHostKeys } from '../../src/host/identity-file.ts';
import type { TableChange } from '../../src/router/datapath.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { quickCrypto } from '../fakes/quick-crypto.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { FakeHostNetwork } from './fake-host-network.ts';

export class NetworksWorld {
  readonly timers = new ManualTimers();
  readonly random = new SeededRandom(11);
  readonly hosts: NetworkHost[] = [];
  readonly genesis: Genesis;
  readonly #keys: ReadonlyMap<PeerId, Uint8Array>;
  /** False between these: neither leases nor records pass. */
  linked: (a: NetworkHost, b: NetworkHost) => boolean = () => true;

  constructor(hosts: number) {
    const keys = Array.from({ length: hosts }, () => generateHostKeys(this.random, quickCrypto));
    const [creator] = keys;
    this.#keys = new Map(keys.map(({ peer, identityKey }) => [peer, identityKey]));
    this.genesis = {
      genesisId: '0a'.repeat(16),
      clusterId: '0b'.repeat(16) as Genesis['clusterId'],
      creator: creator!.peer,
      creatorKey: creator!.identityKey,
      range: '10.32.0.0/12',
      range6: null,
      leasePrefix: 24,
      leasePrefix6: 64,
      mtu: 1418,
      signature: new Uint8Array(64),
    };
    for (const [index, own] of keys.entries()) this.hosts.push(new NetworkHost(this, `h${index}`, own));
    this.hosts[0]!.networks.createCluster();
    this.settle();
  }

  /** Everybody hears what others published, and what is due is done. */
  settle(): void {
    for (let round = 0; round < 30; round++) {
      for (const host of this.hosts) host.spaces.tick();
      for (const to of this.hosts) {
        for (const from of this.hosts) if (from !== to && this.linked(from, to)) to.hear(from);
      }
      this.timers.advance(200);
    }
  }

  identityKeyOf(peer: PeerId): Uint8Array | null {
    return this.#keys.get(peer) ?? null;
  }

  peersOf(host: NetworkHost): readonly NetworkHost[] {
    return this.hosts.filter((other) => other !== host && this.linked(host, other));
  }
}

/** What one host knows of another's records. */
interface Said {
  readonly leases: readonly LeaseRecord[];
  readonly claims: readonly AttachmentRecord[];
}

type Opened = ReturnType<typeof openNetworks>;

export class NetworkHost {
  readonly peer: PeerId;
  readonly nickname: string;
  readonly log = new RecordingLog();
  readonly kernel = new FakeHostNetwork();
  readonly told: TableChange[] = [];
  /** What this host publishes. */
  readonly claims = new Map<string, AttachmentRecord>();
  readonly made: Parameters<Opened['networks']['made']>[1][] = [];
  readonly removed: Vni[] = [];
  readonly events: string[] = [];
  /** Docker's networks on this host, by the fabric network. */
  readonly dockers = new Map<Vni, readonly string[]>();
  leases: readonly LeaseRecord[] = [];
  networks!: Opened['networks'];
  spaces!: Opened['spaces'];
  presence!: Opened['presence'];
  readonly #world: NetworksWorld;
  readonly #keys: ReturnType<typeof generateHostKeys>;
  readonly #store = new MemoryStore();
  readonly #heard = new Map<NetworkHost, Said>();

  constructor(world: NetworksWorld, nickname: string, keys: ReturnType<typeof generateHostKeys>) {
    this.#world = world;
    this.#keys = keys;
    this.nickname = nickname;
    this.peer = keys.peer;
    this.restart();
  }

  /** The daemon starts again on its store; gossip still holds what others said. */
  restart(): void {
    const { timers, random, genesis } = this.#world;
    this.#heard.clear();
    const of = <T extends { readonly network: Vni }>(network: Vni, listOf: (said: Said) => readonly T[]) =>
      [...this.#heard].flatMap(([host, said]) =>
        listOf(said).flatMap((record) => (record.network === network ? [[host.peer, record] as const] : [])),
      );
    const opened = openNetworks(
      {
        identity: { keys: this.#keys },
        genesis,
        store: this.#store,
        settings: { bridge: 'fabric0', nickname: this.nickname, leaseTimeMs: 0 },
        clock: timers.clock,
        timers,
        random: random.split(),
        crypto: quickCrypto,
        dockerNetworksOf: (network) => this.dockers.get(network) ?? [],
        log: this.log,
        tell: ({ what }) => void this.events.push(what),
        host: this.kernel,
        mesh: {
          send: (peer, _channel, bytes) => this.#send(peer, bytes),
          linkedPeers: () => this.#world.peersOf(this).map((other) => other.peer),
        },
      },
      networkFacts(genesis, quickCrypto),
      {
        directory: {
          leasesOf: (network) => of(network, ({ leases }) => leases),
          attachmentsOf: (network) => of(network, ({ claims }) => claims),
          nameOf: (peer) => peer,
        },
        own: {
          publishNetwork: (record) => void this.made.push(record),
          publishNetworkRemoval: (network) => void this.removed.push(network),
          replaceLeases: (records) => {
            this.leases = records;
          },
        },
        slot: { applyTables: (changes) => void this.told.push(...changes), settle: async () => undefined },
        mayAllocate: Promise.resolve(),
        identityKeyOf: (peer) => this.#world.identityKeyOf(peer),
        isAlive: () => true,
        floodListOf: (network) => ({ kind: 'flood', network, peers: [] }),
        applyMain: () => undefined,
        attachments: () => [...this.claims.values()].map(({ network }) => ({ vni: network, key: KEY })),
        reservations: () => [],
        membersChanged: async () => undefined,
        wakeLeases: () => undefined,
        votesChanged: () => undefined,
        hostAddressLost: () => undefined,
        member: {
          directory: { peers: () => [], attachments: () => [] },
          gossip: { version: () => 0 },
          neighbourhood: { liveness: { lastSeenMs: () => null } },
          isAlive: () => true,
          isPublished: () => true,
        },
      },
    );
    this.networks = opened.networks;
    this.spaces = opened.spaces;
    this.presence = opened.presence;
    this.networks.load();
  }

  /** As gossip does; repeats change nothing. */
  hear(from: NetworkHost): void {
    const before = this.#heard.get(from) ?? { leases: [], claims: [] };
    const now: Said = { leases: from.leases, claims: [...from.claims.values()] };
    this.#heard.set(from, now);
    for (const record of before.leases) if (!now.leases.includes(record)) this.networks.leaseGone(from.peer, record);
    for (const record of now.leases) if (!before.leases.includes(record)) this.networks.leaseAdded(from.peer, record);
    for (const record of from.made) this.networks.made(from.peer, record);
    for (const network of from.removed) this.networks.removed(network);
    const gone = before.claims.filter((claim) => !now.claims.includes(claim));
    for (const { network, mac } of gone) this.networks.withdraw(from.peer, network, mac);
    for (const claim of now.claims) this.networks.claim(from.peer, claim);
  }

  create(name: string, change: Partial<Parameters<Opened['networks']['create']>[0]> = {}): Promise<Network> {
    const wish = { name, range: null, range6: null, leasePrefix: null, internal: false, ...change };
    return this.#whileItSettles(this.networks.create(wish));
  }

  /** What an attach does: an address, and a claim on it. */
  async join(network: Network, mac: Mac): Promise<string> {
    const wish = { owner: mac, family: 4 as const, wanted: null };
    const ip = await this.#whileItSettles(network.allocate(wish));
    const claim: AttachmentRecord = { network: network.id, mac, ips: [ip], sequence: 0, name: '', kind: 'container' };
    this.claims.set(mac, claim);
    this.networks.claim(this.peer, claim);
    await this.presence.enter(network.id);
    return ip;
  }

  async leave(mac: Mac): Promise<void> {
    const { network } = this.claims.get(mac)!;
    this.claims.delete(mac);
    this.networks.withdraw(this.peer, network, mac);
    this.presence.left(network);
    await this.presence.idle();
    this.networks.forgetUnused(network);
  }

  names(): readonly string[] {
    return this.networks.all().map(({ id }) => this.networks.labelOf(id));
  }

  network(name: string): Network {
    return this.networks.named(name);
  }

  async #whileItSettles<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const end = (): void => {
      over = true;
    };
    work.then(end, end);
    for (let round = 0; round < 20 && !over; round++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (!over) this.#world.settle();
    }
    return work;
  }

  #send(peer: PeerId, bytes: Uint8Array): boolean {
    const to = this.#world.peersOf(this).find((other) => other.peer === peer);
    if (to === undefined) return false;
    this.#world.timers.soon(() => to.spaces.receive(this.peer, bytes));
    return true;
  }
}

const KEY = { network: '', containerId: '', ifname: '' };

// One host of a large simulated mesh: production Mesh, Gossip and Neighbourhood, unchanged, without what a Member has around
// them (leases, routes, tunnels), so that ten thousand fit into one process.
// Records are shared with all others (StatePool).

import type { Log, Store } from '../../../src/base/capabilities.ts';
import type { Endpoint } from '../../../src/base/endpoint.ts';
import { type BootId, DEFAULT_VNI, type PeerId } from '../../../src/base/ids.ts';
import { Neighbourhood } from '../../../src/daemon/neighbourhood.ts';
import { PROTOCOL, VERSION } from '../../../src/daemon/version.ts';
import { Gossip } from '../../../src/gossip/gossip.ts';
import { LIFE_KEY, nextLife } from '../../../src/gossip/life-records.ts';
import type { PeerState } from '../../../src/gossip/peer-liveness.ts';
import type { KnownPeer } from '../../../src/host/mesh/dialler.ts';
import { Mesh } from '../../../src/host/mesh/mesh.ts';
import { quickCrypto } from '../../fakes/quick-crypto.ts';
import { SimProcess } from '../process.ts';
import { Nic, type SimNetwork } from '../sim-network.ts';
import { MESH_PORT, SimTransport } from '../sim-transport.ts';
import type { InternedTable } from './interned-states.ts';
import { CLUSTER, GENESIS, type MeshIdentity, TOKENS } from './mesh-identity.ts';

/** Who watches the whole cluster. */
export interface MeshObserver {
  /** `host` holds that version of the author now. */
  learned(host: MeshHost, author: PeerId, version: number): void;
  judged(host: MeshHost, peer: PeerId, state: PeerState): void;
}

/** Keeps nothing: these hosts don't restart. */
const NO_DISK: Store = {
  get: () => undefined,
  put: () => {},
  delete: () => {},
  entries: () => [],
  transaction: (work) => work(),
  unsynced: (work) => work(),
};

/** Nobody reads the logs of thousands. */
const NO_LOG: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** More trees are not looked at at once here, and each host pays for its own. */
const LIMITS = { treesMax: 1_024 };

export class MeshHost {
  readonly index: number;
  readonly peer: PeerId;
  readonly nic: Nic;
  readonly gossip: Gossip;
  readonly neighbourhood: Neighbourhood;
  readonly table: InternedTable;
  readonly #process: SimProcess;
  readonly #mesh: Mesh;

  constructor(options: {
    readonly index: number;
    readonly identity: MeshIdentity;
    readonly network: SimNetwork;
    /** Everybody's records. */
    readonly table: InternedTable;
    readonly observer: MeshObserver;
  }) {
    const { index, identity, network, table, observer } = options;
    const { peer, identityKey, sign } = identity;
    const random = network.world.random.split();
    this.index = index;
    this.peer = peer;
    this.nic = new Nic(index, addressOf(index));
    network.plug(this.nic);
    this.#process = new SimProcess(network.world, { skewMs: 0, rate: 1 }, () => this.#died());
    const common = { clock: this.#process, timers: this.#process, random: random.split(), log: NO_LOG };
    this.table = table;
    this.gossip = new Gossip({
      self: { peer, identityKey, sign },
      clusterId: CLUSTER,
      crypto: quickCrypto,
      store: NO_DISK,
      table,
      limits: LIMITS,
      acceptAuthor: () => true,
      events: {
        changed: (author) => {
          this.neighbourhood.changed(author);
          observer.learned(this, author, this.gossip.version(author));
        },
        ownStateNewer: () => {},
        ownStateForgotten: () => {},
      },
      ...common,
    });
    this.neighbourhood = new Neighbourhood({
      self: peer,
      clock: this.#process,
      timers: this.#process,
      gossip: this.gossip,
      send: (to, channel, bytes) => this.#mesh.send(to, channel, bytes),
      isMember: () => true,
      refute: () => this.put(LIFE_KEY, nextLife(this.gossip.get(peer, LIFE_KEY))),
      judged: (about, { state }) => observer.judged(this, about, state),
      failed: (error) => {
        throw error;
      },
      caughtUp: () => {},
    });
    this.#mesh = new Mesh({
      self: peer,
      clusterId: CLUSTER,
      transport: new SimTransport(network, this.nic, this.#process, {
        peer,
        identityKey,
        tokens: () => TOKENS,
        clusterId: CLUSTER,
      }),
      facts: {
        ...PROTOCOL,
        version: VERSION,
        nickname: `h${index}`,
        bootId: index.toString(16).padStart(16, '0') as BootId,
        genesis: GENESIS,
        endpoints: [this.endpoint],
        networks: [DEFAULT_VNI],
      },
      readGenesis: () => ({ genesisId: 'one' }),
      isAlive: (other) => this.neighbourhood.liveness.view(other)?.state !== 'dead',
      events: {
        linkUp: (link) => this.neighbourhood.linkUp(link.peer),
        linkDown: (link, reason) => this.neighbourhood.linkDown(link.peer, reason),
        heard: (other) => this.neighbourhood.heard(other),
        unreached: (other) => this.neighbourhood.unreached(other),
        message: (link, channel, bytes) => {
          if (channel === 'gossip' || channel === 'life') this.neighbourhood.message(link.peer, channel, bytes);
        },
        writable: (link) => this.neighbourhood.writable(link.peer),
        refused: () => {},
        removed: () => {},
        clone: () => {},
        admitted: () => {},
      },
      ...common,
    });
  }

  get endpoint(): Endpoint {
    return { ip: this.nic.ip, port: MESH_PORT };
  }

  get alive(): boolean {
    return this.#process.alive;
  }

  get links(): number {
    return this.#mesh.links().length;
  }

  /** `everybody` is shared by all hosts and names this one too. */
  async start(everybody: readonly KnownPeer[]): Promise<void> {
    await this.#mesh.start();
    this.#mesh.setKnownPeers(everybody);
    this.neighbourhood.wake();
  }

  put(key: string, value: Uint8Array): void {
    this.gossip.put(key, value);
    this.neighbourhood.wrote();
  }

  /** Nobody is told. */
  cutPower(): void {
    this.nic.up = false;
    for (const stream of [...this.nic.streams]) stream.vanish();
    this.#process.kill();
  }

  #died(): void {
    this.nic.listener = null;
  }
}

function addressOf(index: number): string {
  return `10.200.${index >> 8}.${index & 255}`;
}

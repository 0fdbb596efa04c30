// One run of the daemon on a simulated machine: the production Member and Mesh, unchanged, over simulated capabilities. It stands
// for src/daemon/daemon.ts, of which it keeps the order: identity durable at admission, then a Member, then its start.

import { toHex } from '../../src/base/bytes.ts';
import { FabricError } from '../../src/base/errors.ts';
import { type BootId, DEFAULT_VNI } from '../../src/base/ids.ts';
import type { CertificateJudge } from '../../src/daemon/certificates.ts';
import { checkDnsFlags } from '../../src/daemon/dns-options.ts';
import { createGenesis, readGenesis } from '../../src/daemon/genesis.ts';
import type { LaunchOptions } from '../../src/daemon/launch-options.ts';
import { Member } from '../../src/daemon/member.ts';
import { OwnIdentity } from '../../src/daemon/own-identity.ts';
import { leaveCluster } from '../../src/daemon/reset.ts';
import { loadSettings, type Settings, saveSettings } from '../../src/daemon/settings.ts';
import { PROTOCOL, VERSION } from '../../src/daemon/version.ts';
import { encodeGenesis } from '../../src/gossip/record-codec.ts';
import type { HostIdentity, HostKeys } from '../../src/host/identity-file.ts';
import { Mesh } from '../../src/host/mesh/mesh.ts';
import { quickCrypto } from '../fakes/quick-crypto.ts';
import type { SeededRandom } from '../fakes/seeded-random.ts';
import { SimProcess } from './process.ts';
import { SimDatapath } from './sim-datapath.ts';
import { SimDisk } from './sim-disk.ts';
import type { SimHost } from './sim-host.ts';
import { KernelPort } from './sim-kernel.ts';
import { MESH_PORT, SimTransport } from './sim-transport.ts';

/** What a first launch is given; a later one finds it on the disk. */
export type FirstLaunch =
  | { readonly create: Pick<LaunchOptions, 'range' | 'range6' | 'leasePrefix'> }
  | { readonly join: readonly string[] };

const OVERLAY_MTU = 1_418;
const UNDERLAY_MTU = 1_500;

export class SimDaemon {
  readonly process: SimProcess;
  readonly disk: SimDisk;
  readonly bootId: BootId;
  readonly keys: HostKeys;
  readonly datapath: SimDatapath;
  member: Member | null = null;
  /** True once {@link Member.start} is through. */
  started = false;
  /** Why it ended by itself. */
  failure: string | null = null;
  readonly #host: SimHost;
  readonly #own: OwnIdentity;
  readonly #random: SeededRandom;
  readonly #mesh: Mesh;
  readonly #certificates: CertificateJudge | null;

  constructor(host: SimHost, first: FirstLaunch | null) {
    const { network, nic, disk } = host;
    this.#host = host;
    this.#random = host.network.world.random.split();
    this.process = new SimProcess(network.world, host.clock, () => host.daemonDied(this));
    this.disk = new SimDisk(disk.store, { cut: () => this.process.kill(), isFull: () => host.isDiskFull });
    this.#own = new OwnIdentity(disk.identity ?? host.token, {
      clock: this.process,
      crypto: quickCrypto,
      stateDir: { admit: (identity) => this.#admitted(identity), updateIdentity: (identity) => this.#kept(identity) },
    });
    this.bootId = toHex(this.#random.bytes(8)) as BootId;
    this.keys = disk.identity?.keys ?? host.freshKeys(this.#random);
    this.#certificates = host.certificates?.(this.keys.peer) ?? null;
    this.datapath = new SimDatapath({ self: this.keys.peer, network, nic, process: this.process });
    const genesis = disk.identity?.genesis ?? this.#genesisOf(first);
    this.#mesh = this.#openMesh(genesis);
    if (disk.identity !== null) this.#becomeMember(disk.identity, loadSettings(this.disk)!, true);
    else if (genesis.length > 0) this.#admit(genesis);
    const settings = this.member === null ? null : loadSettings(this.disk);
    const targets = settings?.targets ?? targetsOf(first);
    host.background(async () => {
      await this.#mesh.start();
      for (const target of targets) this.#mesh.addTarget(target);
    });
  }

  get links(): readonly string[] {
    return this.#mesh.links().map(({ peer }) => peer);
  }

  /** Ends in good order; `leaving` gives the blocks back first. Resolves to false when that was refused. */
  async stop(how: 'stopping' | 'leaving', force = false): Promise<boolean> {
    const { member } = this;
    if (member !== null && how === 'leaving') {
      try {
        await leaveCluster({
          member,
          mesh: this.#mesh,
          log: this.#host.log,
          timers: this.process,
          force,
          exposed: true,
        });
      } catch (error) {
        if (!(error instanceof FabricError)) throw error;
        return false;
      }
    }
    try {
      await member?.drain(1_000);
      await this.#mesh.stop(how);
      await member?.stop();
    } finally {
      this.process.kill(); // also when the disk is full
    }
    return true;
  }

  #genesisOf(first: FirstLaunch | null): Uint8Array {
    if (first === null || 'join' in first) return new Uint8Array(0);
    const options: LaunchOptions = { ...NO_OPTIONS, ...first.create };
    const creation = { options, clusterId: this.#own.keyring.clusterId, keys: this.keys, mtu: OVERLAY_MTU };
    return encodeGenesis(createGenesis(creation, this.#random, quickCrypto));
  }

  #openMesh(genesis: Uint8Array): Mesh {
    const { network, nic, log } = this.#host;
    const { keyring } = this.#own;
    const { clusterId } = keyring;
    const { peer, identityKey } = this.keys;
    const identity = { peer, identityKey, clusterId, tokens: () => keyring.generations };
    return new Mesh({
      self: peer,
      clusterId,
      transport: new SimTransport(network, nic, this.process, identity),
      facts: {
        ...PROTOCOL,
        version: VERSION,
        nickname: this.#host.name,
        bootId: this.bootId,
        genesis,
        endpoints: this.#host.endpoints(),
        networks: [DEFAULT_VNI],
        ...this.#attestation(),
      },
      readGenesis: (bytes) => readGenesis(bytes, clusterId, quickCrypto),
      bar: (proved, { attestation = null }) => this.member?.admission.refusalOf(proved, attestation) ?? null,
      clock: this.process,
      timers: this.process,
      random: this.#random.split(),
      log,
      isAlive: (other) => this.member?.isAlive(other) ?? true,
      events: {
        linkUp: (link) => this.member?.linkUp(link.peer),
        linkDown: (link, reason) => this.member?.linkDown(link.peer, reason),
        heard: (peer) => this.member?.neighbourhood.heard(peer),
        unreached: (peer) => this.member?.neighbourhood.unreached(peer),
        message: (link, channel, bytes) => this.member?.message(link.peer, channel, bytes),
        writable: (link) => this.member?.writable(link.peer),
        refused: ({ code, what, why }) => {
          if (code === 'token-outdated') this.member?.admission.rotations.toldOutdated();
          log.debug(what, { why });
        },
        removed: (report) => this.member?.admission.removals.toldByPeer(report),
        clone: (report) => {
          if (report.peer === peer) this.member?.cloneDetected(report.why);
        },
        admitted: (bytes) => this.#admit(bytes),
      },
    });
  }

  /** The operator gave this host other files: src/daemon/daemon.ts does the same when it has read them. */
  certificatesChanged(): void {
    this.#mesh.updateFacts(this.#attestation());
    this.member?.admission.certificates.changed();
  }

  #attestation(): { readonly attestation?: Uint8Array } {
    const attestation = this.#certificates?.own() ?? null;
    return attestation === null ? {} : { attestation };
  }

  /** Identity and settings durable, then a member. */
  #admit(genesis: Uint8Array): void {
    const settings = this.#host.firstSettings();
    this.disk.transaction(() => saveSettings(this.disk, settings));
    const { identity } = this.#own.admit({ keys: this.keys, genesis });
    this.#becomeMember(identity, settings, false);
  }

  #admitted(identity: HostIdentity): SimDisk {
    this.#kept(identity);
    return this.disk;
  }

  #kept(identity: HostIdentity): void {
    if (this.#host.isDiskFull) throw new FabricError('limit', { what: 'the identity was not written' });
    this.#host.disk.identity = identity;
  }

  #becomeMember(identity: HostIdentity, settings: Settings, resumed: boolean): void {
    const { log, kernel, nic } = this.#host;
    const mesh = this.#mesh;
    const genesis = readGenesis(identity.genesis, this.#own.keyring.clusterId, quickCrypto)!;
    const member = new Member({
      identity,
      keyring: this.#own.keyring,
      ...(this.#certificates !== null && { certificates: this.#certificates }),
      tokensChanged: () => {},
      genesis,
      bootId: this.bootId,
      resumed,
      store: this.disk,
      settings,
      clock: this.process,
      timers: this.process,
      random: this.#random.split(),
      crypto: quickCrypto,
      log,
      host: new KernelPort(kernel, this.process, () => nic.ip),
      mesh,
      underlayMtu: UNDERLAY_MTU,
      listen: nic.ip,
      endpoints: async () => this.#host.endpoints(),
      openDatapath: async () => this.datapath,
      kernelBootId: kernel.bootId,
      dockerNetworksOf: () => [],
      openNamespace: () => ({ fd: 3, close: () => {} }),
      tell: () => {},
      caughtUp: () => {},
    });
    this.member = member;
    if (genesis.creator === identity.keys.peer) member.networks.createCluster();
    this.#host.background(async () => {
      try {
        await member.start();
        this.started = true;
      } catch (error) {
        if (!(error instanceof FabricError)) throw error;
        this.failure = error.message;
        this.process.kill();
      }
    });
  }
}

function targetsOf(first: FirstLaunch | null): Settings['targets'] {
  if (first === null || !('join' in first)) return [];
  return first.join.map((host) => ({ host, port: MESH_PORT }));
}

const NO_OPTIONS: LaunchOptions = {
  joins: [],
  token: null,
  init: true,
  range: null,
  range6: null,
  leasePrefix: null,
  nickname: null,
  listen: null,
  advertise: [],
  port: null,
  bridge: null,
  mtu: OVERLAY_MTU,
  datapath: null,
  trustedSubnets: null,
  dns: checkDnsFlags({}),
  docker: null,
  http: null,
  stateDir: '',
  runDir: '',
  logLevel: 'info',
};

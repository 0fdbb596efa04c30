// One simulated machine: underlay address, kernel, disk, clocks, and the daemon that runs on it or not. Everything that can
// befall a host in a schedule is a method here. What it is told happens in simulated time and never waits.

import type { Endpoint } from '../../src/base/endpoint.ts';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_NETWORK_NAME, type Mac, type PeerId } from '../../src/base/ids.ts';
import type { Token } from '../../src/base/token.ts';
import type { CertificateJudge } from '../../src/daemon/certificates.ts';
import { checkDnsFlags, mergeDnsSettings } from '../../src/daemon/dns-options.ts';
import type { Settings } from '../../src/daemon/settings.ts';
import { generateHostKeys, type HostIdentity, type HostKeys } from '../../src/host/identity-file.ts';
import { MemoryStore, type StoreSnapshot } from '../fakes/memory-store.ts';
import { quickCrypto } from '../fakes/quick-crypto.ts';
import type { SeededRandom } from '../fakes/seeded-random.ts';
import { type ClockFaults, PowerCut } from './process.ts';
import type { ContainerFacts } from './schedule.ts';
import { type FirstLaunch, SimDaemon } from './sim-daemon.ts';
import { SimKernel } from './sim-kernel.ts';
import type { SimLog } from './sim-log.ts';
import { Nic, type SimNetwork } from './sim-network.ts';
import { MESH_PORT } from './sim-transport.ts';

/** What survives a power cut. */
export interface Disk {
  store: MemoryStore;
  identity: HostIdentity | null;
}

/** A copy of a disk, for a restart from a backup or for a clone. */
export interface DiskCopy {
  readonly store: StoreSnapshot;
  readonly identity: HostIdentity | null;
}

export interface SimHostOptions {
  readonly network: SimNetwork;
  readonly index: number;
  readonly token: Token;
  readonly log: SimLog;
  readonly leaseTimeMs: number | undefined;
  /** Called with what no caller awaits. */
  readonly failed: (error: unknown) => void;
}

export class SimHost {
  readonly index: number;
  readonly name: string;
  readonly network: SimNetwork;
  /** What an operator gives to a host that joins. */
  token: Token;
  readonly log: SimLog;
  readonly nic: Nic;
  readonly clock: ClockFaults = { skewMs: 0, rate: 1 };
  kernel: SimKernel;
  disk: Disk = { store: new MemoryStore(), identity: null };
  daemon: SimDaemon | null = null;
  /** What an operator's files are for that identity, at its next launch; null: there are none. */
  certificates: ((peer: PeerId) => CertificateJudge) | null = null;
  /** Its state was an old copy, or another machine has the same: what it says of itself may be behind. */
  hasOldState = false;
  isDiskFull = false;
  /** Containers that callers were told are attached, and have not asked to detach since. */
  readonly containers = new Set<string>();
  /** Who this machine was before it lost its disk. */
  readonly formerPeers: PeerId[] = [];
  readonly outcomes = new Map<string, number>();
  readonly #failed: (error: unknown) => void;
  readonly #leaseTimeMs: number | undefined;
  #joins: readonly string[] = [];
  #renumberings = 0;
  #boots = 0;

  constructor({ network, index, token, log, leaseTimeMs, failed }: SimHostOptions) {
    this.index = index;
    this.name = `h${index}`;
    this.kernel = this.#bootKernel();
    this.network = network;
    this.token = token;
    this.log = log.of(this.name);
    this.#failed = failed;
    this.#leaseTimeMs = leaseTimeMs;
    this.nic = new Nic(index, this.#addressOf(0));
    network.plug(this.nic);
  }

  get peer(): PeerId | null {
    return this.disk.identity?.keys.peer ?? null;
  }

  /** Starts the daemon; the first time `first` says how. */
  launch(first: FirstLaunch | null): void {
    if (this.daemon !== null) return;
    if (first !== null && 'join' in first) this.#joins = first.join;
    this.nic.up = true;
    try {
      this.daemon = new SimDaemon(this, this.disk.identity === null ? (first ?? { join: this.#joins }) : null);
    } catch (error) {
      if (!(error instanceof PowerCut || (this.isDiskFull && error instanceof FabricError))) throw error;
      this.daemon = null;
    }
  }

  /** kill -9: its sockets are reset by the kernel, containers go on. */
  crash(): void {
    this.daemon?.process.kill();
  }

  /** Power is lost: containers and what was not synced are gone, nobody is told. */
  cutPower(): void {
    this.nic.up = false;
    this.disk.store.cutPower();
    for (const stream of [...this.nic.streams]) stream.vanish();
    this.kernel = this.#bootKernel();
    this.containers.clear();
    this.crash();
  }

  copyDisk(): DiskCopy {
    return { store: this.disk.store.snapshot(), identity: this.disk.identity };
  }

  /** Replaces the disk while the daemon is down; null: everything is lost. */
  restoreDisk(copy: DiskCopy | null): void {
    if (copy === null && this.peer !== null) this.formerPeers.push(this.peer);
    this.disk = { store: new MemoryStore(copy?.store), identity: copy?.identity ?? null };
  }

  pause(): void {
    this.daemon?.process.pause();
  }

  resume(): void {
    this.daemon?.process.resume();
  }

  renumber(): void {
    this.network.renumber(this.nic, this.#addressOf(++this.#renumberings));
  }

  /** `fabric rmpeer` of each, or `fabric revoke` of the last: who is away during two revocations needs an operator (docs/keys.md). */
  removeFormer(peers: readonly PeerId[], how: 'rmpeer' | 'revoke'): void {
    for (const peer of peers) {
      const word = peer === peers.at(-1) ? how : 'rmpeer';
      this.#operate(word, async ({ member }) => {
        if (member === null) return 'no-member';
        if (word === 'rmpeer') member.admission.removals.remove(peer);
        else member.admission.revoke(peer);
        return 'ok';
      });
    }
  }

  /** `fabric token rotate`. */
  rotate(graceMs: number): void {
    this.#operate('rotate', async ({ member }) => {
      if (member === null) return 'no-member';
      member.admission.rotations.rotate({ graceMs });
      return 'ok';
    });
  }

  /** `as`: with that address and MAC, as a runtime does that makes it anew here. */
  attach(
    containerId: string,
    { as, network = DEFAULT_NETWORK_NAME }: { readonly as?: ContainerFacts; readonly network?: string } = {},
  ): void {
    this.#operate(inNetwork('attach', network), async (daemon) => {
      const { member } = daemon;
      if (member === null) return 'no-member';
      await member.attachments.attach(
        {
          network,
          containerId,
          ifname: 'eth0',
          namespace: { pid: 1, fd: 3, dev: 4n, ino: 5n, path: `/run/netns/${containerId}` },
          owner: 'cni:sim',
          addresses: { ips: as === undefined ? [] : [as.ip], ranges: [] },
          foreignIpam: null,
          mac: as?.mac ?? null,
          name: containerId,
          defaultRoute: true,
          routes: [],
        },
        new AbortController().signal,
      );
      this.containers.add(containerId);
      return 'ok';
    });
  }

  detach(containerId: string, network: string = DEFAULT_NETWORK_NAME): void {
    this.#operate(inNetwork('detach', network), async ({ member }) => {
      if (member === null) return 'no-member';
      this.containers.delete(containerId);
      await member.attachments.detach({ network, containerId, ifname: 'eth0' });
      this.containers.delete(containerId); // an attach that was under way has ended meanwhile
      return 'ok';
    });
  }

  /** `fabric network create`. */
  createNetwork(name: string): void {
    this.#operate('network create', async ({ member }) => {
      if (member === null) return 'no-member';
      await member.networks.create({ name, range: null, range6: 'off', leasePrefix: 26, internal: false });
      return 'ok';
    });
  }

  /** A device behind a port that others put into the bridge sends something. */
  hearDevice(mac: Mac): void {
    const { daemon } = this;
    daemon?.process.run(() => daemon.datapath.hearDevice(mac));
  }

  /** In good order: `leaving` gives the blocks back and forgets the cluster. */
  stop(how: 'stopping' | 'leaving', force = false): void {
    this.#operate(how, async (daemon) => {
      if (!(await daemon.stop(how, force))) {
        const left = daemon.member?.attachmentEntries.all() ?? []; // all or none were cut off
        if (left.length === 0) this.containers.clear();
        return 'refused';
      }
      if (how === 'leaving') {
        this.restoreDisk(null);
        this.kernel.containers.clear();
        this.kernel.exposed = null;
        this.containers.clear();
      }
      return 'ok';
    });
  }

  endpoints(): readonly Endpoint[] {
    return [{ ip: this.nic.ip, port: MESH_PORT }];
  }

  firstSettings(): Settings {
    return {
      nickname: this.name,
      listen: null,
      advertise: [],
      port: MESH_PORT,
      bridge: 'fabric0',
      datapath: 'auto',
      trustedSubnets: [],
      dns: mergeDnsSettings(checkDnsFlags({}), undefined),
      docker: false,
      http: 'off',
      exposed: true,
      ...(this.#leaseTimeMs === undefined ? {} : { leaseTimeMs: this.#leaseTimeMs }),
      targets: this.#joins.map((host) => ({ host, port: MESH_PORT })),
    };
  }

  freshKeys(random: SeededRandom): HostKeys {
    return generateHostKeys(random, quickCrypto);
  }

  daemonDied(daemon: SimDaemon): void {
    daemon.disk.kill();
    this.nic.listener = null;
    this.nic.onDatagram = null;
    for (const stream of [...this.nic.streams]) stream.destroy();
    if (this.daemon === daemon) this.daemon = null;
  }

  /** Work whose end nobody awaits. A power cut ends it like everything else. */
  background(work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      if (!(error instanceof PowerCut)) this.#failed(error);
    });
  }

  #operate(what: string, work: (daemon: SimDaemon) => Promise<string>): void {
    const { daemon } = this;
    if (daemon === null) {
      this.#count(`${what} without a daemon`);
      return;
    }
    daemon.process.run(() =>
      this.background(async () => {
        try {
          this.#count(`${what} ${await work(daemon)}`);
        } catch (error) {
          if (!(error instanceof FabricError)) throw error;
          this.#count(`${what} ${error.code}`);
        }
      }),
    );
  }

  #count(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
  }

  #bootKernel(): SimKernel {
    return new SimKernel(`${this.name} boot ${++this.#boots}`);
  }

  #addressOf(renumberings: number): string {
    return `10.${200 + renumberings}.${this.index >> 8}.${this.index & 255}`;
  }
}

/** What is counted of it: apart for each named network. */
function inNetwork(what: string, network: string): string {
  return network === DEFAULT_NETWORK_NAME ? what : `${what} in ${network}`;
}

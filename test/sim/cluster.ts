// A whole simulated cluster: carries out a schedule on its hosts. It judges nothing; checkers.ts and convergence.ts look at it.

import { parseCidr } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import type { ClusterId, Mac, PeerId } from '../../src/base/ids.ts';
import type { Token } from '../../src/base/token.ts';
import type { Action, Schedule } from './schedule.ts';
import type { FirstLaunch } from './sim-daemon.ts';
import { type DiskCopy, SimHost } from './sim-host.ts';
import { SimLog } from './sim-log.ts';
import { SimNetwork } from './sim-network.ts';
import { World } from './world.ts';

const DEVICE_SPEAKS_EVERY_MS = 1_000;

export class Cluster {
  readonly schedule: Schedule;
  readonly world: World;
  readonly network: SimNetwork;
  readonly log: SimLog;
  readonly hosts: SimHost[] = [];
  /** What no simulated caller awaited: a bug, wherever it is. */
  readonly failures: unknown[] = [];
  /** Steps of the schedule that were carried out, by kind. */
  readonly done = new Map<string, number>();
  /** On which host's bridge a device speaks now. */
  readonly devices = new Map<Mac, number>();
  readonly #token: Token;
  readonly #copies = new Map<number, DiskCopy>();

  constructor(schedule: Schedule) {
    this.schedule = schedule;
    this.world = new World(schedule.seed);
    this.network = new SimNetwork(this.world, schedule.conditions);
    this.log = new SimLog(this.world);
    const { random } = this.world;
    this.#token = { clusterId: toHex(random.bytes(16)) as ClusterId, generation: 1, secret: random.bytes(32) };
    for (let host = 0; host < schedule.hosts; host++) this.#host(host);
    for (const { atMs, action } of schedule.steps) {
      if (atMs < schedule.faultsEndMs) this.world.at(atMs, () => this.#perform(action));
    }
    this.world.at(schedule.faultsEndMs, () => this.#endFaults());
  }

  /** Hosts whose daemon is a working member now. */
  members(): readonly SimHost[] {
    return this.hosts.filter(({ daemon }) => daemon?.started === true && !daemon.process.paused);
  }

  /** The identities that live now. */
  livePeers(): ReadonlySet<PeerId> {
    return new Set(this.members().map(({ daemon }) => daemon!.keys.peer));
  }

  #host(index: number): SimHost {
    const known = this.hosts[index];
    if (known !== undefined) return known;
    if (index > this.hosts.length) this.#host(index - 1); // of a clone that a smaller schedule leaves out
    const host = new SimHost({
      network: this.network,
      index,
      token: this.#token,
      log: this.log,
      leaseTimeMs: this.schedule.leaseTimeMs,
      failed: (error) => this.failures.push(error),
    });
    Object.assign(host.clock, this.schedule.clocks[index]);
    this.hosts[index] = host;
    return host;
  }

  #perform(action: Action): void {
    this.done.set(action.kind, (this.done.get(action.kind) ?? 0) + 1);
    switch (action.kind) {
      case 'path':
        this.network.setPath(action.from, action.to, action.passes);
        return;
      case 'partition':
        this.network.partition(action.groups);
        return;
      case 'heal':
        this.network.heal();
        return;
      case 'conditions':
        Object.assign(this.network.conditions, action.change);
        return;
      case 'frame': {
        const peer = this.hosts[action.to]?.peer ?? null;
        const daemon = this.hosts[action.from]?.daemon;
        if (peer !== null && peer !== daemon?.keys.peer) daemon?.process.run(() => daemon.datapath.sendFrame(peer));
        return;
      }
      default: {
        const host = this.hosts[action.host];
        if (host !== undefined) this.#performAt(host, action);
      }
    }
  }

  #performAt(host: SimHost, action: Extract<Action, { readonly host: number }>): void {
    switch (action.kind) {
      case 'launch':
        host.daemon?.disk.plan(null); // it runs: the write at which it was to lose power has not come
        this.#launch(host);
        return;
      case 'crash':
        host.crash();
        return;
      case 'cut-power':
        host.cutPower();
        return;
      case 'cut-at-write':
        host.daemon?.disk.plan(action);
        return;
      case 'pause':
        host.pause();
        return;
      case 'resume':
        host.resume();
        return;
      case 'stop':
        host.stop('stopping');
        return;
      case 'leave':
        host.stop('leaving');
        return;
      case 'attach':
        host.attach(action.container, action);
        return;
      case 'detach':
        host.detach(action.container, action.network);
        return;
      case 'create-network':
        host.createNetwork(action.network);
        return;
      case 'device':
        this.#placeDevice(action.mac, host.index);
        return;
      case 'renumber':
        host.renumber();
        return;
      case 'copy-disk':
        this.#copies.set(host.index, host.copyDisk());
        return;
      case 'restore-copy': {
        const copy = this.#copies.get(host.index);
        if (host.daemon !== null || copy === undefined) return;
        host.restoreDisk(copy);
        host.hasOldState = true;
        return;
      }
      case 'lose-disk':
        if (host.daemon === null) host.restoreDisk(null);
        return;
      case 'rmpeer':
      case 'revoke':
        host.removeFormer(this.hosts[action.machine]?.formerPeers ?? [], action.kind);
        return;
      case 'rotate':
        host.rotate(action.graceMs);
        return;
      case 'fill-disk':
      case 'free-disk':
        host.isDiskFull = action.kind === 'fill-disk';
        return;
      case 'clone': {
        const clone = this.#host(action.as);
        clone.restoreDisk(host.copyDisk());
        clone.hasOldState = true;
        host.hasOldState = true;
        clone.launch(null);
        return;
      }
      case 'bandwidth':
        host.nic.bytesPerMs = action.bytesPerMs ?? Number.POSITIVE_INFINITY;
        return;
      case 'step-clock':
        host.clock.skewMs = action.skewMs;
    }
  }

  #placeDevice(mac: Mac, host: number): void {
    const isNew = !this.devices.has(mac);
    this.devices.set(mac, host);
    if (isNew) this.#hearDevice(mac);
    else this.hosts[host]?.hearDevice(mac);
  }

  #hearDevice(mac: Mac): void {
    this.hosts[this.devices.get(mac)!]?.hearDevice(mac);
    this.world.after(DEVICE_SPEAKS_EVERY_MS, () => this.#hearDevice(mac));
  }

  /** The first host creates; later ones join through all that were there before them, by a token that a member has. */
  #launch(host: SimHost): void {
    const tokens = this.hosts.flatMap(({ disk }) => disk.identity?.token ?? []);
    for (const token of tokens) if (token.generation > host.token.generation) host.token = token;
    const joins = this.hosts.filter(({ index, peer }) => index !== host.index && peer !== null).slice(0, 3);
    const { range, range6, leasePrefix } = this.schedule;
    const create = {
      range: parseCidr(range),
      range6: range6 === null ? ('off' as const) : parseCidr(range6),
      leasePrefix,
    };
    const first: FirstLaunch =
      host.index === 0 && joins.length === 0 ? { create } : { join: joins.map(({ nic }) => nic.ip) };
    host.launch(first);
  }

  /** Everything works from now on: paths, machines, clocks as they are. Clones are off. */
  #endFaults(): void {
    this.network.heal();
    Object.assign(this.network.conditions, this.schedule.conditions);
    for (const host of this.hosts) {
      host.nic.bytesPerMs = Number.POSITIVE_INFINITY;
      host.isDiskFull = false;
      host.resume();
      host.daemon?.disk.plan(null);
      if (host.index >= this.schedule.hosts) host.cutPower();
      else this.#launch(host);
    }
  }
}

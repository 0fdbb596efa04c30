// Draws a schedule from a seed: hosts join, containers come and go, and each kind of fault that was asked for begins at random
// times and ends again. The drawing knows roughly what state each host is in, so that most steps mean something.

import { cidrSize, formatIp, parseCidr } from '../../src/base/address.ts';
import { type Mac, macFromBytes } from '../../src/base/ids.ts';
import { MOVES_MAX } from '../../src/router/moves.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import type { Action, ContainerFacts, Schedule, Step } from './schedule.ts';
import { CONDITIONS } from './sim-network.ts';
import { withoutUnheardWords } from './unheard-words.ts';

export const FAULT_KINDS = [
  'crash',
  'power',
  'torn-write',
  'pause',
  'partition',
  'one-way',
  'loss',
  'slow',
  'clock',
  'roam',
  'old-state',
  'lost-state',
  'clone',
  'leave',
  'move',
  'rotate',
  'disk-full',
  'network',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface ScheduleWish {
  readonly seed: number;
  readonly hosts: number;
  /** Until the faults end. */
  readonly durationMs: number;
  readonly faults: readonly FaultKind[];
  readonly range?: string;
  readonly range6?: string | null;
  readonly leasePrefix?: number;
  readonly leaseTimeMs?: number;
  /** Half of the containers are in a network of this name, which the first host makes. */
  readonly namedNetwork?: string;
}

const RANGE = '10.32.0.0/16';
const JOIN_SPREAD_MS = 200;
/** The first host is a member by then. */
const NAMED_NETWORK_MS = 500;
const FAULT_EVERY_MS = 2_500;
const CONTAINER_EVERY_MS = 700;
const CONTAINERS_PER_HOST_MAX = 12;
/** What was broken last is whole again this long before the end. */
const LAST_MS = 2_000;
/** So long after a partition or heavy loss everybody has a link to everybody again. */
const RELINKED_MS = 5_000;
/** Longer than a schedule. */
const GRACE_MS = 600_000;
/** Networks that are made on the way: each has a range of its own, and leases on every host. */
const NETWORKS_MADE_MAX = 4;
/** Who leaves has left after this time, and may join anew. */
const LEAVE_MS = 12_000;
/** After the last join everybody has heard of everybody. */
const SETTLED_MS = 3_000;

export function randomSchedule(wish: ScheduleWish): Schedule {
  return new Drawing(wish).schedule();
}

class Drawing {
  readonly #wish: ScheduleWish;
  readonly #random: SeededRandom;
  readonly #steps: Step[] = [];
  /** Until when a host is in the hands of a fault. */
  readonly #busyUntilMs: number[];
  /** When the host became who it is. */
  readonly #bornMs: number[];
  readonly #containers: { readonly container: string; readonly network?: string }[][];
  #partitionedUntilMs = 0;
  #lossyUntilMs = 0;
  #machines: number;
  #containerNumber = 0;
  readonly #movers: { readonly container: string; readonly as: ContainerFacts; host: number }[] = [];
  readonly #devices: { readonly mac: Mac; host: number; moves: number }[] = [];
  #left = new Set<number>();
  /** Who is away during two rotations needs an operator (docs/keys.md), so there is one. */
  #isRotated = false;
  #networksMade = 0;
  /** When disks are full. */
  readonly #full: { readonly host: number; readonly fromMs: number; readonly untilMs: number }[] = [];

  constructor(wish: ScheduleWish) {
    this.#wish = wish;
    this.#random = new SeededRandom(wish.seed);
    this.#machines = wish.hosts;
    this.#busyUntilMs = Array.from({ length: wish.hosts }, (_, host) => host * JOIN_SPREAD_MS);
    this.#bornMs = Array.from({ length: wish.hosts }, () => 0);
    this.#containers = Array.from({ length: wish.hosts }, () => []);
  }

  schedule(): Schedule {
    const { seed, hosts, durationMs, faults, range = RANGE, range6 = null, leasePrefix = 26, leaseTimeMs } = this.#wish;
    for (let host = 0; host < hosts; host++) this.#at(host * JOIN_SPREAD_MS, { kind: 'launch', host });
    const startMs = hosts * JOIN_SPREAD_MS;
    const { namedNetwork } = this.#wish;
    if (namedNetwork !== undefined) {
      this.#at(NAMED_NETWORK_MS, { kind: 'create-network', host: 0, network: namedNetwork });
    }
    this.#containersComeAndGo(1_000, durationMs);
    if (faults.length > 0) {
      for (let atMs = startMs; atMs < durationMs; atMs += this.#wait(FAULT_EVERY_MS)) {
        this.#draw(faults[this.#random.below(faults.length)]!, atMs);
      }
    }
    const hasClockFaults = faults.includes('clock');
    const clocks = Array.from({ length: hosts }, () => ({
      skewMs: hasClockFaults ? Math.round((this.#random.fraction() - 0.5) * 4e9) : 0,
      rate: hasClockFaults ? 1 + (this.#random.fraction() - 0.5) * 2e-3 : 1,
    }));
    this.#steps.sort((a, b) => a.atMs - b.atMs);
    return {
      version: 1,
      seed,
      hosts,
      range,
      range6,
      leasePrefix,
      ...(leaseTimeMs === undefined ? {} : { leaseTimeMs }),
      clocks,
      conditions: CONDITIONS,
      faultsEndMs: durationMs,
      steps: withoutUnheardWords(this.#steps, {
        hosts,
        graceMs: GRACE_MS,
        settledMs: SETTLED_MS,
        relinkedMs: RELINKED_MS,
      }),
    };
  }

  #containersComeAndGo(fromMs: number, toMs: number): void {
    for (let atMs = fromMs; atMs < toMs; atMs += this.#wait(CONTAINER_EVERY_MS)) {
      const host = this.#random.below(this.#wish.hosts);
      const running = this.#containers[host]!;
      const removes = running.length > 0 && this.#random.fraction() < running.length / CONTAINERS_PER_HOST_MAX;
      if (removes) {
        const [container] = running.splice(this.#random.below(running.length), 1);
        this.#at(atMs, { kind: 'detach', host, ...container! });
      } else {
        const container = { container: `c${this.#containerNumber++}`, ...this.#inNetwork() };
        running.push(container);
        this.#at(atMs, { kind: 'attach', host, ...container });
      }
      this.#at(atMs + 1, { kind: 'frame', from: host, to: this.#random.below(this.#wish.hosts) });
    }
  }

  #inNetwork(): { readonly network?: string } {
    const { namedNetwork: network } = this.#wish;
    return network === undefined || this.#random.fraction() < 0.5 ? {} : { network };
  }

  #draw(kind: FaultKind, atMs: number): void {
    const host = this.#idleHost(atMs);
    if (host === null) return;
    const lastsMs = this.#between(300, 15_000);
    const endMs = Math.min(atMs + lastsMs, this.#wish.durationMs - LAST_MS);
    if (endMs <= atMs) return;
    switch (kind) {
      case 'crash':
        this.#during(host, [atMs, { kind: 'crash', host }], [endMs, { kind: 'launch', host }]);
        break;
      case 'power':
        this.#during(host, [atMs, { kind: 'cut-power', host }], [endMs, { kind: 'launch', host }]);
        break;
      case 'torn-write': {
        const when = this.#random.fraction() < 0.5 ? 'before-commit' : 'after-commit';
        const write = 1 + this.#random.below(4);
        this.#during(host, [atMs, { kind: 'cut-at-write', host, write, when }], [endMs, { kind: 'launch', host }]);
        break;
      }
      case 'pause':
        this.#during(host, [atMs, { kind: 'pause', host }], [endMs, { kind: 'resume', host }]);
        break;
      case 'partition':
        this.#partition(atMs, endMs);
        break;
      case 'one-way':
        this.#oneWay(host, atMs, endMs);
        break;
      case 'loss': {
        if (atMs < this.#partitionedUntilMs) return; // a clone, or an old copy, finds its peers in time
        this.#lossyUntilMs = Math.max(this.#lossyUntilMs, endMs);
        const loss = [0.05, 0.25, 0.5][this.#random.below(3)]!;
        this.#at(atMs, { kind: 'conditions', change: { loss, duplicate: loss / 5 } });
        this.#at(endMs, { kind: 'conditions', change: CONDITIONS });
        break;
      }
      case 'slow':
        this.#at(atMs, { kind: 'bandwidth', host, bytesPerMs: this.#between(5, 100) });
        this.#at(endMs, { kind: 'bandwidth', host, bytesPerMs: null });
        break;
      case 'clock':
        this.#at(atMs, { kind: 'step-clock', host, skewMs: Math.round((this.#random.fraction() - 0.5) * 8e10) });
        break;
      case 'roam':
        this.#at(atMs, { kind: 'renumber', host });
        break;
      case 'old-state':
        this.#oldState(host, atMs, endMs);
        break;
      case 'lost-state':
        if (host === 0) return; // nobody but the creator has what no gift moved yet
        this.#during(host, [atMs, { kind: 'cut-power', host }], [endMs, { kind: 'launch', host }]);
        this.#at(atMs + 1, { kind: 'lose-disk', host });
        this.#containers[host] = [];
        this.#bornMs[host] = endMs;
        this.#removeFormer(host, endMs);
        break;
      case 'clone':
        this.#clone(host, atMs, endMs);
        break;
      case 'move':
        if (this.#random.fraction() < 0.5) this.#moveContainer(host, atMs);
        else this.#moveDevice(host, atMs);
        break;
      case 'rotate':
        if (this.#isRotated) return;
        this.#isRotated = true;
        this.#at(atMs, { kind: 'rotate', host, graceMs: this.#isSettled(atMs) ? 0 : GRACE_MS });
        break;
      case 'network':
        if (this.#networksMade === NETWORKS_MADE_MAX) return;
        this.#at(atMs, { kind: 'create-network', host, network: `made${this.#networksMade++}` });
        break;
      case 'disk-full':
        this.#full.push({ host, fromMs: atMs, untilMs: endMs });
        this.#at(atMs, { kind: 'fill-disk', host });
        this.#at(endMs, { kind: 'free-disk', host });
        break;
      case 'leave':
        if (host === 0 || this.#left.size > this.#wish.hosts / 4 || atMs > this.#wish.durationMs - LEAVE_MS) return;
        this.#left.add(host);
        this.#bornMs[host] = Math.max(endMs, atMs + LEAVE_MS);
        this.#during(
          host,
          [atMs, { kind: 'leave', host }],
          [Math.max(endMs, atMs + LEAVE_MS), { kind: 'launch', host }],
        );
        break;
    }
  }

  /** A runtime ends a container and makes it anew on another host, with its address and MAC, at once or a moment later. */
  #moveContainer(host: number, atMs: number): void {
    const mover = this.#movers.find((one) => one.host !== host && this.#random.fraction() < 0.7);
    if (mover !== undefined) {
      this.#at(atMs, { kind: 'detach', host: mover.host, container: mover.container });
      mover.host = host;
    }
    const { container, as } = mover ?? this.#newMover(host);
    this.#at(atMs + this.#random.below(100), { kind: 'attach', host, container, as });
  }

  /** Its address is from the end of the range, where nobody allocates unless asked. */
  #newMover(host: number): { readonly container: string; readonly as: ContainerFacts } {
    const range = parseCidr(this.#wish.range ?? RANGE)!;
    const number = this.#movers.length;
    const value = range.base + cidrSize(range) - 2n - BigInt(number);
    const as = { ip: formatIp({ family: range.family, value }), mac: macOf(0x11, number) };
    this.#movers.push({ container: `m${number}`, as, host });
    return { container: `m${number}`, as };
  }

  /** A virtual machine migrates; less often than would hold it (RFC 7432 §15.1). */
  #moveDevice(host: number, atMs: number): void {
    const known = this.#devices.find((one) => one.host !== host && one.moves < MOVES_MAX - 1);
    const device = known ?? { mac: macOf(0x22, this.#devices.length), host, moves: -1 };
    if (known === undefined) this.#devices.push(device);
    device.host = host;
    device.moves++;
    this.#at(atMs, { kind: 'device', host, mac: device.mac });
  }

  /** Everybody has heard of everybody: who joins where the rotation is not known yet is let in by a grace only (docs/keys.md). */
  #isSettled(atMs: number): boolean {
    const isWhole = atMs >= Math.max(this.#partitionedUntilMs, this.#lossyUntilMs) + RELINKED_MS;
    return isWhole && this.#bornMs.every((bornMs) => atMs >= bornMs + SETTLED_MS);
  }

  /**
   * The operator waits until the cluster is whole again and has heard of the dead host's last gifts (docs/leases.md); before a
   * revocation, which shuts out whoever its host has not heard of, until everybody has heard of everybody (docs/keys.md).
   */
  #removeFormer(machine: number, backAtMs: number): void {
    const host = this.#random.below(this.#wish.hosts);
    const wholeMs = Math.max(this.#partitionedUntilMs, this.#lossyUntilMs);
    const waitedMs = Math.max(backAtMs, wholeMs) + this.#between(1_000, 5_000);
    if (host === machine) return;
    const revokes = this.#wish.faults.includes('rotate') && !this.#isRotated && this.#random.fraction() < 0.5;
    this.#isRotated ||= revokes;
    const atMs = revokes ? Math.max(waitedMs, backAtMs + SETTLED_MS, wholeMs + RELINKED_MS) : waitedMs;
    this.#at(atMs, { kind: revokes ? 'revoke' : 'rmpeer', host, machine });
    this.#partitionedUntilMs = Math.max(this.#partitionedUntilMs, atMs + 2_000);
  }

  #partition(atMs: number, endMs: number): void {
    if (atMs < this.#partitionedUntilMs) return;
    this.#partitionedUntilMs = endMs;
    const groups: number[][] = this.#random.fraction() < 0.7 ? [[], []] : [[], [], []];
    for (let host = 0; host < this.#wish.hosts; host++) groups[this.#random.below(groups.length)]!.push(host);
    this.#at(atMs, { kind: 'partition', groups });
    this.#at(endMs, { kind: 'heal' });
  }

  #oneWay(host: number, atMs: number, endMs: number): void {
    const other = this.#random.below(this.#wish.hosts);
    if (other === host) return;
    this.#at(atMs, { kind: 'path', from: host, to: other, passes: false });
    this.#at(endMs, { kind: 'path', from: host, to: other, passes: true });
  }

  /** An administrator's mistake: the machine goes back to a copy that was taken while it ran. It is not cut off meanwhile. */
  #oldState(host: number, atMs: number, endMs: number): void {
    const copyAtMs = atMs - this.#between(500, 20_000);
    if (!this.#copyKnowsOthers(host, this.#fullSince(host, copyAtMs) ?? copyAtMs)) return;
    const backAtMs = Math.max(endMs, this.#partitionedUntilMs, this.#lossyUntilMs) + 500;
    this.#partitionedUntilMs = backAtMs + 5_000;
    this.#at(copyAtMs, { kind: 'copy-disk', host });
    this.#during(host, [atMs, { kind: 'cut-power', host }], [backAtMs, { kind: 'launch', host }]);
    this.#at(atMs + 1, { kind: 'restore-copy', host });
  }

  /** Who knows nobody has nobody to hear from: such a copy cannot be told from the only host of a young cluster. */
  #copyKnowsOthers(host: number, writtenMs: number): boolean {
    return writtenMs >= this.#settledMs(host);
  }

  /** Since when its disk says where others are. Of who it was before: gone for good, and perhaps removed. */
  #settledMs(host: number): number {
    return Math.max(this.#bornMs[host]!, this.#wish.hosts * JOIN_SPREAD_MS) + SETTLED_MS;
  }

  /** Since when the host's disk has taken nothing in; null: it does. */
  #fullSince(host: number, atMs: number): number | null {
    const full = this.#full.find((one) => one.host === host && one.fromMs <= atMs && atMs < one.untilMs);
    return full?.fromMs ?? null;
  }

  /** Two machines with one identity; the copy goes first, then the original starts anew. */
  #clone(host: number, atMs: number, endMs: number): void {
    if (atMs < Math.max(this.#partitionedUntilMs, this.#lossyUntilMs) + RELINKED_MS) return;
    if (!this.#copyKnowsOthers(host, this.#fullSince(host, atMs) ?? atMs)) return;
    const as = this.#machines++;
    const goneMs = Math.min(atMs + this.#between(3_000, 10_000), Math.max(endMs, atMs + 1));
    this.#partitionedUntilMs = goneMs + 5_000;
    this.#at(atMs, { kind: 'clone', host, as });
    this.#at(goneMs, { kind: 'cut-power', host: as });
    this.#at(goneMs + 500, { kind: 'stop', host });
    this.#at(goneMs + 3_000, { kind: 'launch', host });
    this.#busyUntilMs[host] = goneMs + 4_000;
  }

  #during(host: number, [atMs, begin]: [number, Action], [endMs, end]: [number, Action]): void {
    this.#at(atMs, begin);
    this.#at(endMs, end);
    if (begin.kind !== 'pause' && atMs < this.#settledMs(host)) this.#bornMs[host] = endMs; // as if it had not been there
    this.#busyUntilMs[host] = endMs + 500;
  }

  #idleHost(atMs: number): number | null {
    const host = this.#random.below(this.#wish.hosts);
    return this.#busyUntilMs[host]! <= atMs ? host : null;
  }

  #between(min: number, max: number): number {
    return Math.round(min + this.#random.fraction() * (max - min));
  }

  #wait(meanMs: number): number {
    return Math.round(-Math.log(1 - this.#random.fraction()) * meanMs) + 1;
  }

  #at(atMs: number, action: Action): void {
    this.#steps.push({ atMs: Math.max(0, Math.round(atMs)), action });
  }
}

function macOf(kind: number, number: number): Mac {
  return macFromBytes(Uint8Array.of(0x02, 0, 0, kind, number >> 8, number & 0xff));
}

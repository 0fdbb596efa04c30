// What Node lacks of Linux, through the addon in native/addon: netlink sockets and sysctls inside a network namespace,
// namespace handles, peer credentials, offloads, segment sizes, file locks, unix datagrams, CLOCK_BOOTTIME. Namespaces are entered
// by a short-lived native thread only: no thread of Node ever changes its own. The addon is loaded at the first call, so that
// importing is free.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import { assert, FabricError } from '../base/errors.ts';
import { INSTALLATION } from './installation.ts';

/** Device and inode of the namespace's nsfs file: equal exactly for the same namespace, as long as it lives. */
export interface NamespaceId {
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Offloads of one interface; an absent key is left as it is. */
export interface Offloads {
  readonly txChecksum?: boolean;
  readonly tso?: boolean;
  readonly gso?: boolean;
  readonly gro?: boolean;
}

/** Linux' protocol numbers of AF_NETLINK. */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

/** A key below `/proc/sys/`, as an absolute path, and what to write there. */
export interface SysctlSetting {
  readonly path: string;
  readonly value: string;
}

/** Whole netlink messages, each with NLM_F_ACK or NLM_F_DUMP, or a batch with some of them; or sysctls of the socket's namespace. */
export type ExchangeStep = Uint8Array | readonly SysctlSetting[];

/** A netlink socket with extended acks, capped acks and strict dump checking on. Closed by `close` or when collected. */
export interface RawNetlinkSocket {
  /**
   * Sends the messages of each step in one system call and gathers all replies until each message that asked for an ack has it or one
   * fails that asked for none; then the next step, within one turn of libuv's pool. Sysctls are written in order, keys that are not
   * there passed over. Resolves with the replies' messages one behind the other, 4-byte aligned, replies to other sequence numbers
   * left out; rejects with an ErrnoException (ETIMEDOUT, ENOBUFS, EMSGSIZE above 64 MiB, EROFS for a sysctl, …), and then what came
   * before and behind in `steps` has no answer either. `timeoutMs`: for each. One call at a time.
   */
  exchange(steps: readonly ExchangeStep[], timeoutMs: number): Promise<Uint8Array>;
  /** Idempotent. An exchange under way ends first. */
  close(): void;
}

/** A netlink socket that listens to multicast groups. Keeps the process alive until `close`. */
export interface RawNetlinkMonitor {
  close(): void;
}

/** `overrun`: the kernel dropped messages, so the listener must dump again; `failed`: nothing more will come. */
export type RawNetlinkEvent =
  | { readonly kind: 'messages'; readonly bytes: Uint8Array }
  | { readonly kind: 'overrun' }
  | { readonly kind: 'failed'; readonly error: NodeJS.ErrnoException };

/** An open network namespace. The caller closes it; nothing else holds it open (a socket inside keeps it alive, too). */
export class NetworkNamespace {
  readonly id: NamespaceId;
  #fd: number;

  private constructor(fd: number, id: NamespaceId) {
    this.#fd = fd;
    this.id = id;
  }

  /**
   * Opens a path such as `/run/netns/a` or `/proc/PID/fd/N` with O_CLOEXEC. The path is examined before it is opened, so that
   * a FIFO or a device in its place has no effect. Throws FabricError `namespace-invalid` unless it is a network namespace.
   */
  static open(path: string): NetworkNamespace {
    try {
      const { fd, dev, ino } = addon().openNamespace(path);
      return new NetworkNamespace(fd, { dev, ino });
    } catch (cause) {
      const words = errnoWords(cause);
      const why = words === 'EINVAL' || words === 'ENOTTY' ? 'it is not a network namespace' : words;
      throw new FabricError('namespace-invalid', { what: `can't open the network namespace ${path}`, why }, { cause });
    }
  }

  /** Of this process. */
  static currentId(): NamespaceId {
    return addon().currentNamespace();
  }

  /** The descriptor, valid until `close`. */
  get fd(): number {
    assert(this.#fd >= 0, 'a closed network namespace is not used');
    return this.#fd;
  }

  equals(id: NamespaceId): boolean {
    return this.id.dev === id.dev && this.id.ino === id.ino;
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd < 0) return;
    addon().closeFd(this.#fd);
    this.#fd = -1;
  }
}

/**
 * In the process's own namespace, or in that of `namespaceFd`, which is needed only during this call; there the first exchange opens
 * it, and rejects when that fails. Throws ErrnoException.
 */
export function openNetlinkSocket(protocol: number, namespaceFd: number | null): RawNetlinkSocket {
  return addon().openNetlinkSocket(protocol, namespaceFd ?? -1);
}

/** `groups` are RTNLGRP_* numbers. `listener` runs on the JS thread, never before this returns. Throws ErrnoException. */
export function openNetlinkMonitor(
  protocol: number,
  groups: readonly number[],
  namespaceFd: number | null,
  listener: (event: RawNetlinkEvent) => void,
): RawNetlinkMonitor {
  return addon().openNetlinkMonitor(protocol, groups, namespaceFd ?? -1, (bytes, error) => {
    if (bytes !== null) listener({ kind: 'messages', bytes });
    else if (error === null) listener({ kind: 'overrun' });
    else listener({ kind: 'failed', error });
  });
}

/**
 * Reads below /proc/sys/net as a task of that namespace sees it, without the final newline. `path` is what follows
 * `/proc/sys/`, such as `net/ipv6/conf/eth0/accept_ra`. Rejects with ErrnoException (ENOENT: no such key).
 */
export async function readSysctl(path: string, namespaceFd: number | null = null): Promise<string> {
  return (await addon().readSysctl(sysctlPath(path), namespaceFd ?? -1)).replace(/\n$/, '');
}

/** See {@link readSysctl}. Rejects with ErrnoException (EROFS: /proc/sys is mounted read-only). */
export async function writeSysctl(path: string, value: string, namespaceFd: number | null = null): Promise<void> {
  await addon().writeSysctl(sysctlPath(path), value, namespaceFd ?? -1);
}

/** Keys as in {@link readSysctl}, for {@link RawNetlinkSocket.exchange}. */
export function sysctlSettings(values: Readonly<Record<string, string>>): readonly SysctlSetting[] {
  return Object.entries(values).map(([path, value]) => ({ path: sysctlPath(path), value }));
}

/** Switches offloads of an interface (SIOCETHTOOL). Idempotent. Rejects with ErrnoException (ENODEV, EOPNOTSUPP, …). */
export async function setOffloads(
  ifname: string,
  offloads: Offloads,
  namespaceFd: number | null = null,
): Promise<void> {
  const commands = OFFLOADS.flatMap(({ key, set }) => {
    const on = offloads[key];
    return on === undefined ? [] : [{ command: set, value: on ? 1 : 0 }];
  });
  await addon().ethtoolValues(ifname, commands, namespaceFd ?? -1);
}

/** All four offloads of an interface as they are. */
export async function readOffloads(ifname: string, namespaceFd: number | null = null): Promise<Required<Offloads>> {
  const commands = OFFLOADS.map(({ get }) => ({ command: get, value: 0 }));
  const [txChecksum, tso, gso, gro] = await addon().ethtoolValues(ifname, commands, namespaceFd ?? -1);
  return { txChecksum: txChecksum === 1, tso: tso === 1, gso: gso === 1, gro: gro === 1 };
}

/** What became of an echo request that no router may cut. */
export type EchoResult =
  | { readonly outcome: 'reply'; readonly rttMs: number }
  /** `mtu`: the largest packet in bytes that passes, as a router or our own interface said. */
  | { readonly outcome: 'too-big'; readonly mtu: number }
  | { readonly outcome: 'unreachable' | 'silent' };

/**
 * One ICMP echo request that makes an IP packet of `bytes` (RFC 792, RFC 4443). Rejects with ErrnoException: EPERM without
 * CAP_NET_RAW, EINVAL when `ip` is no address. Runs on libuv's pool for up to `timeoutMs`.
 */
export async function echo(ip: string, bytes: number, timeoutMs: number): Promise<EchoResult> {
  const { outcome, rttMs, mtu } = await addon().echo(ip, bytes, timeoutMs);
  if (outcome === 'reply') return { outcome, rttMs };
  return outcome === 'too-big' ? { outcome, mtu } : { outcome };
}

/** Who is at the other end of a unix-domain stream socket (SO_PEERCRED, as of its connect). Throws ErrnoException. */
export function peerCredentials(socket: Socket | number): PeerCredentials {
  return addon().peerCredentials(typeof socket === 'number' ? socket : descriptorOf(socket));
}

/**
 * The largest TCP segment (options included), in bytes, of connections that this listening server takes: neither side sends a
 * larger one. For those from now on. Throws ErrnoException.
 */
export function limitTcpSegments(server: Server, bytes: number): void {
  addon().limitTcpSegments(descriptorOf(server), bytes);
}

/** Milliseconds of CLOCK_BOOTTIME with fraction: never steps back, also counts while the machine sleeps. */
export function boottimeMs(): number {
  return addon().boottimeMs();
}

/** flock(LOCK_EX | LOCK_NB): false when another open file description holds it. Released when the descriptor closes. */
export function tryLockFile(fd: number): boolean {
  return addon().tryLockFile(fd);
}

/** No core dumps, no ptrace and /proc/self owned by root (PR_SET_DUMPABLE 0): for processes that hold keys. */
export function forbidCoreDumps(): void {
  addon().forbidCoreDumps();
}

/**
 * One datagram to the unix socket at `address`: a path, or behind an @ a name in the abstract space (unix(7)). Rejects with
 * ErrnoException: ENOENT or ECONNREFUSED without a receiver, EAGAIN when its queue is full for `timeoutMs`, EINVAL when the address
 * is too long. Runs on libuv's pool.
 */
export async function sendUnixDatagram(address: string, payload: string, timeoutMs: number): Promise<void> {
  await addon().sendUnixDatagram(address, payload, timeoutMs);
}

/** The path of a file of the native build. Throws FabricError `internal` when it was not built. */
export function nativeFile(name: string): string {
  const path = join(INSTALLATION, BUILD_FOLDER, name);
  if (existsSync(path)) return path;
  throw new FabricError('internal', {
    what: `can't find ${name} of the native build`,
    why: `there is no ${path}`,
    fix: 'Run: npm run setup',
  });
}

/** The errno name of a system error, such as `ENOENT`, or null. */
export function errnoName(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

interface Addon {
  openNetlinkSocket(protocol: number, namespaceFd: number): RawNetlinkSocket;
  openNetlinkMonitor(
    protocol: number,
    groups: readonly number[],
    namespaceFd: number,
    listener: (bytes: Uint8Array | null, error: NodeJS.ErrnoException | null) => void,
  ): RawNetlinkMonitor;
  openNamespace(path: string): NamespaceId & { readonly fd: number };
  currentNamespace(): NamespaceId;
  closeFd(fd: number): void;
  readSysctl(path: string, namespaceFd: number): Promise<string>;
  writeSysctl(path: string, value: string, namespaceFd: number): Promise<void>;
  ethtoolValues(
    ifname: string,
    commands: readonly { readonly command: number; readonly value: number }[],
    namespaceFd: number,
  ): Promise<readonly number[]>;
  echo(
    ip: string,
    bytes: number,
    timeoutMs: number,
  ): Promise<{ readonly outcome: EchoResult['outcome']; readonly rttMs: number; readonly mtu: number }>;
  peerCredentials(fd: number): PeerCredentials;
  boottimeMs(): number;
  limitTcpSegments(fd: number, bytes: number): void;
  tryLockFile(fd: number): boolean;
  forbidCoreDumps(): void;
  sendUnixDatagram(address: string, payload: string, timeoutMs: number): Promise<void>;
}

/** ETHTOOL_GTXCSUM and the like, from linux/ethtool.h. */
const OFFLOADS = [
  { key: 'txChecksum', get: 0x16, set: 0x17 },
  { key: 'tso', get: 0x1e, set: 0x1f },
  { key: 'gso', get: 0x23, set: 0x24 },
  { key: 'gro', get: 0x2b, set: 0x2c },
] as const;

const ADDON_FILE = 'fabric_addon.node';
const BUILD_FOLDER = join('native', 'build', 'Release');

let loaded: Addon | undefined;

function addon(): Addon {
  loaded ??= createRequire(import.meta.url)(nativeFile(ADDON_FILE)) as Addon;
  return loaded;
}

/** The kernel resolves /proc/sys/net by the task that opens it, so the path is the same in every namespace. */
function sysctlPath(path: string): string {
  const parts = path.split('/');
  const plain = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'));
  assert(plain && parts[0] === 'net' && parts.length > 1, `sysctl path below net/: ${path}`);
  return `/proc/sys/${path}`;
}

/** Node offers the descriptor of a socket only on its handle. */
function descriptorOf(socket: Socket | Server): number {
  const handle = (socket as (Socket | Server) & { readonly _handle?: { readonly fd?: number } | null })._handle;
  return handle?.fd ?? -1;
}

function errnoWords(error: unknown): string {
  return errnoName(error) ?? String(error);
}

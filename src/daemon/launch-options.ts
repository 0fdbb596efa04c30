// What `fabric launch` was asked for, checked. Null means "not given": the state directory's value or the default holds.
// Pure: reading token files and starting anything is done elsewhere.

import { type Cidr, formatIp, parseCidr, parseIp } from '../base/address.ts';
import { DAY_MS, parseDurationMs } from '../base/duration.ts';
import { parseHostPort } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { type CertificateFlags, checkCertificateFlags } from './certificate-options.ts';
import { checkDnsFlags, type DnsFlags, type DnsOptions } from './dns-options.ts';
import { checkHttpFlag, type HttpSetting } from './http/http-options.ts';

export const RANGE_DEFAULT = '10.32.0.0/12';
export const LEASE_PREFIX_DEFAULT = 24;
export const BRIDGE_DEFAULT = 'fabric0';
/** IPv6 needs 1,280 (RFC 8200 §5); with all overhead the outer IP packet stays below 64 KiB. */
const MTU_MIN = 1280;
const MTU_MAX = 65_000;

/** `auto` is the engine, or pcap where the engine does not work (datapath-choice.ts); `vxlan` is `auto` that insists on trust. */
export type DatapathWish = 'auto' | 'pcap' | 'engine' | 'vxlan';
const DATAPATH_WISHES: readonly DatapathWish[] = ['auto', 'pcap', 'engine', 'vxlan'];
/** Renewals leave each quarter of it, and are repeated after seconds. */
const LEASE_TIME_MIN_MS = 10_000;
const LEASE_TIME_MAX_MS = 30 * DAY_MS;
/** Each is looked through for each peer. */
const TRUSTED_SUBNETS_MAX = 64;

export interface LaunchOptions {
  readonly joins: readonly { readonly host: string; readonly port: number }[];
  /** The token's text, or null. */
  readonly token: string | null;
  /** "I am the first": a given token makes a new cluster instead of joining one. */
  readonly init: boolean;
  readonly range: Cidr | null;
  readonly range6: Cidr | 'off' | null;
  readonly leasePrefix: number | null;
  /** For how long lease voters promise, milliseconds; 0: off. Absent: as before. */
  readonly leaseTimeMs?: number;
  readonly nickname: string | null;
  /** Local address that mesh and tunnels listen on. */
  readonly listen: string | null;
  /** Addresses that peers are told to use; empty: found out. */
  readonly advertise: readonly string[];
  readonly port: number | null;
  readonly bridge: string | null;
  readonly mtu: number | null;
  readonly datapath: DatapathWish | null;
  /** Empty: trust nobody any more. */
  readonly trustedSubnets: readonly Cidr[] | null;
  readonly dns: DnsOptions;
  /** Whether Docker finds its plugin here. */
  readonly docker: boolean | null;
  readonly http: HttpSetting | null;
  /** Absent: as before. */
  readonly certificates?: CertificateFlags;
  readonly stateDir: string;
  readonly runDir: string;
  readonly logLevel: string;
}

/** The words of the command line, as the parser gives them. */
export interface LaunchFlags extends DnsFlags, CertificateFlags {
  readonly join?: readonly string[];
  readonly init?: boolean;
  readonly range?: string;
  readonly range6?: string;
  readonly leasePrefix?: string;
  readonly leaseTime?: string;
  readonly nickname?: string;
  readonly listen?: string;
  readonly advertise?: readonly string[];
  readonly port?: string;
  readonly bridge?: string;
  readonly mtu?: string;
  readonly datapath?: string;
  readonly trustedSubnets?: string;
  readonly docker?: boolean;
  readonly http?: string;
  readonly logLevel?: string;
  readonly stateDir: string;
  readonly runDir: string;
}

/** Throws FabricError `usage`. */
export function checkLaunchFlags(flags: LaunchFlags, token: string | null): LaunchOptions {
  const joins = (flags.join ?? []).map((text) => {
    const target = parseHostPort(text);
    if (target === null) throw usage(`--join ${text} is no host`, 'Give HOST, HOST:PORT or [IPV6]:PORT');
    return target;
  });
  const init = flags.init ?? false;
  if (init && joins.length > 0) {
    throw usage('--init and --join contradict each other', '--init makes a new cluster, --join joins one');
  }
  const certificates = checkCertificateFlags(flags);
  return {
    joins,
    token,
    init,
    range: flags.range === undefined ? null : checkRange(flags.range),
    range6: flags.range6 === undefined ? null : checkRange6(flags.range6),
    leasePrefix: integer('--lease-prefix', flags.leasePrefix, 8, 30),
    ...(flags.leaseTime === undefined ? {} : { leaseTimeMs: checkLeaseTime(flags.leaseTime) }),
    nickname: flags.nickname === undefined ? null : checkNickname(flags.nickname),
    listen: flags.listen === undefined ? null : checkAddress('--listen', flags.listen),
    advertise: (flags.advertise ?? []).map((text) => checkAddress('--advertise', text)),
    port: integer('--port', flags.port, 1, 65_535),
    bridge: flags.bridge === undefined ? null : checkInterfaceName(flags.bridge),
    mtu: integer('--mtu', flags.mtu, MTU_MIN, MTU_MAX),
    datapath: flags.datapath === undefined ? null : checkDatapath(flags.datapath),
    trustedSubnets: flags.trustedSubnets === undefined ? null : checkTrustedSubnets(flags.trustedSubnets),
    dns: checkDnsFlags(flags),
    docker: flags.docker ?? null,
    http: flags.http === undefined ? null : checkHttpFlag(flags.http),
    ...(certificates && { certificates }),
    stateDir: flags.stateDir,
    runDir: flags.runDir,
    logLevel: checkLogLevel(flags.logLevel ?? 'info'),
  };
}

function checkRange(text: string): Cidr {
  const block = parseCidr(text);
  if (block === null) throw usage(`--range ${text} is no CIDR block`, 'Give for example 10.32.0.0/12, host bits zero');
  if (block.family !== 4) throw usage(`--range ${text} is not IPv4`, 'IPv6 ranges go to --range6');
  if (block.prefix > 29 || block.prefix < 4) throw usage(`--range ${text} is not between /4 and /29`);
  return block;
}

function checkRange6(text: string): Cidr | 'off' {
  if (text === 'off') return 'off';
  const block = parseCidr(text);
  if (block === null || block.family !== 6) {
    throw usage(`--range6 ${text} is no IPv6 block`, "Give for example fd12:3456:789a::/48, or 'off'");
  }
  if (block.prefix > 120 || block.prefix < 16) throw usage(`--range6 ${text} is not between /16 and /120`);
  return block;
}

/** Milliseconds; 0 for `off`. */
function checkLeaseTime(text: string): number {
  if (text === 'off') return 0;
  const ms = parseDurationMs(text) ?? 0;
  if (ms < LEASE_TIME_MIN_MS || ms > LEASE_TIME_MAX_MS) {
    throw usage(`--lease-time ${text} is not between 10s and 30d`, "Give for example 24h, or 'off'");
  }
  return ms;
}

function checkNickname(text: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text)) {
    throw usage(`--nickname ${JSON.stringify(text)} is not usable`, 'Use 1 to 63 letters, digits, dots, dashes');
  }
  return text;
}

function checkAddress(flag: string, text: string): string {
  const ip = parseIp(text);
  if (ip === null) throw usage(`${flag} ${text} is no IP address`);
  return formatIp(ip);
}

/** 13 bytes at most: port names are the bridge's with one or two letters behind. */
function checkInterfaceName(text: string): string {
  if (!/^[A-Za-z][A-Za-z0-9_.-]{0,12}$/.test(text)) {
    throw usage(`--bridge ${text} is no usable interface name`, 'Use 1 to 13 letters, digits, dots, dashes');
  }
  return text;
}

function checkDatapath(text: string): DatapathWish {
  const wish = DATAPATH_WISHES.find((known) => known === text);
  if (wish !== undefined) return wish;
  throw usage(`--datapath ${text} is unknown`, `Use ${DATAPATH_WISHES.join(', ')}`);
}

function checkTrustedSubnets(text: string): readonly Cidr[] {
  if (text === 'off') return [];
  const blocks = text.split(',').map((part) => {
    const block = parseCidr(part.trim());
    if (block === null) {
      throw usage(
        `--trusted-subnets ${JSON.stringify(part)} is no CIDR block`,
        "Give for example 192.0.2.0/24,2001:db8:1::/64, host bits zero, or 'off'",
      );
    }
    if (block.prefix === 0) throw usage(`--trusted-subnets ${part} trusts everybody`, 'Name the subnets of your hosts');
    return block;
  });
  if (blocks.length > TRUSTED_SUBNETS_MAX) throw usage(`--trusted-subnets has more than ${TRUSTED_SUBNETS_MAX} blocks`);
  return blocks;
}

function checkLogLevel(text: string): string {
  if (!['debug', 'info', 'warn', 'error'].includes(text)) {
    throw usage(`--log-level ${text} is unknown`, 'Use debug, info, warn or error');
  }
  return text;
}

function integer(flag: string, text: string | undefined, min: number, max: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw usage(`${flag} ${text} is not a number from ${min} to ${max}`);
  }
  return value;
}

function usage(what: string, fix?: string): FabricError {
  return new FabricError('usage', fix === undefined ? { what } : { what, fix });
}

// What this host remembers of its command line, so that a second launch needs no flags: a JSON entry in the store. Flags given
// again replace what is remembered; what the cluster fixed for ever (ranges, MTU) is in the genesis, not here.

import { formatCidr } from '../base/address.ts';
import type { Store } from '../base/capabilities.ts';
import { MESH_PORT_DEFAULT } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import type { CertificatePaths } from '../host/certificates/files.ts';
import { checkTogether, mergeCertificatePaths } from './certificate-options.ts';
import { type DnsSettings, mergeDnsSettings } from './dns-options.ts';
import { HTTP_DEFAULT, type HttpSetting } from './http/http-options.ts';
import type { DatapathWish, LaunchOptions } from './launch-options.ts';
import { BRIDGE_DEFAULT } from './launch-options.ts';

export interface Settings {
  readonly nickname: string;
  readonly listen: string | null;
  readonly advertise: readonly string[];
  readonly port: number;
  readonly bridge: string;
  readonly datapath: DatapathWish;
  /** CIDR texts: hosts there get plain VXLAN where they trust us, too. */
  readonly trustedSubnets: readonly string[];
  readonly dns: DnsSettings;
  /** For how long lease voters promise, milliseconds; 0: off. Absent, as in older versions' stores: the default. */
  readonly leaseTimeMs?: number;
  readonly http: HttpSetting;
  /** Absent, as in older versions' stores: none. */
  readonly certificates?: CertificatePaths;
  /** False after `fabric hide`. */
  readonly exposed: boolean;
  /** True: Docker finds its plugin here. */
  readonly docker: boolean;
  /** Hosts that the operator named. */
  readonly targets: readonly Target[];
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** What only flags and memory together show to be wrong. Throws FabricError `usage`. */
export function refuseContradictoryFlags({ datapath, trustedSubnets, certificates }: Settings): void {
  if (certificates !== undefined) checkTogether(certificates);
  if (datapath !== 'vxlan' || trustedSubnets.length > 0) return;
  throw new FabricError('usage', {
    what: '--datapath vxlan needs --trusted-subnets',
    why: 'plain frames go only to hosts that both sides trust, and no subnet is trusted',
    fix: 'Name the subnets, for example --trusted-subnets 192.0.2.0/24, or launch with --datapath auto',
  });
}

const SPACE = 'settings';
const KEY = 'settings';

export function loadSettings(store: Store): Settings | null {
  const bytes = store.get(SPACE, KEY);
  return bytes === undefined ? null : (JSON.parse(new TextDecoder().decode(bytes)) as Settings);
}

/** Durable when it returns. */
export function saveSettings(store: Store, settings: Settings): void {
  store.put(SPACE, KEY, new TextEncoder().encode(JSON.stringify(settings)));
}

/** Flags first, then what is remembered, then the defaults. */
export function mergeSettings(options: LaunchOptions, remembered: Settings | null, hostname: string): Settings {
  const targets = [...(remembered?.targets ?? [])];
  for (const join of options.joins) {
    if (!targets.some(({ host, port }) => host === join.host && port === join.port)) targets.push(join);
  }
  const certificates = mergeCertificatePaths(options.certificates, remembered?.certificates);
  const leaseTimeMs = options.leaseTimeMs ?? remembered?.leaseTimeMs;
  return {
    ...(leaseTimeMs === undefined ? {} : { leaseTimeMs }),
    ...(certificates === undefined ? {} : { certificates }),
    nickname: options.nickname ?? remembered?.nickname ?? hostname,
    listen: options.listen ?? remembered?.listen ?? null,
    advertise: options.advertise.length > 0 ? options.advertise : (remembered?.advertise ?? []),
    port: options.port ?? remembered?.port ?? MESH_PORT_DEFAULT,
    bridge: options.bridge ?? remembered?.bridge ?? BRIDGE_DEFAULT,
    datapath: options.datapath ?? remembered?.datapath ?? 'auto',
    trustedSubnets: options.trustedSubnets?.map(formatCidr) ?? remembered?.trustedSubnets ?? [],
    dns: mergeDnsSettings(options.dns, remembered?.dns),
    http: options.http ?? remembered?.http ?? HTTP_DEFAULT,
    exposed: remembered?.exposed ?? true,
    docker: options.docker ?? remembered?.docker ?? false,
    targets,
  };
}

/** With that target once, as the last one. */
export function withTarget(targets: readonly Target[], target: Target): readonly Target[] {
  return [...withoutTarget(targets, target), target];
}

export function withoutTarget(targets: readonly Target[], { host, port }: Target): readonly Target[] {
  return targets.filter((known) => known.host !== host || known.port !== port);
}

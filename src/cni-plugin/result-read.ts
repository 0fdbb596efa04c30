// Reads a result of the specification, of any cniVersion: the prevResult that a runtime hands in and what a foreign IPAM
// plugin answers. Elements keep their raw form, because what we do not know must pass through unchanged.

import { formatIp, type IpAddress, parseInterfaceAddress, parseIp } from '../base/address.ts';
import type { WantedRoute } from './backend.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import { type Dns, readDns } from './container-wishes.ts';
import type { JsonFields } from './json-fields.ts';
import { readRoutes } from './routes.ts';
import { atLeast, type CniVersion } from './version.ts';

type Raw = Readonly<Record<string, unknown>>;

export interface ResultInterface {
  readonly name: string;
  /** As given; not every plugin reports one. */
  readonly mac: string;
  /** Empty on the host. */
  readonly sandbox: string;
  readonly raw: Raw;
}

export interface ResultIp {
  readonly ip: IpAddress;
  readonly prefix: number;
  /** Canonical text. */
  readonly gateway: string | null;
  /** Index into `interfaces`. */
  readonly interface: number | null;
  readonly raw: Raw;
}

export interface CniResult {
  readonly interfaces: readonly ResultInterface[];
  readonly ips: readonly ResultIp[];
  readonly routes: readonly (WantedRoute & { readonly raw: Raw })[];
  readonly dns: Dns;
  readonly fields: JsonFields;
}

/** The configuration's prevResult; null when there is none. Throws CniError 7. */
export function readPrevResult(config: JsonFields, version: CniVersion): CniResult | null {
  const fields = config.object('prevResult');
  return fields === null ? null : readResult(fields, version);
}

/** Throws CniError 7. */
export function readResult(fields: JsonFields, version: CniVersion): CniResult {
  const dns = readDns(fields.object('dns'));
  if (!atLeast(version, '0.3.0')) return { ...readByFamily(fields), dns, fields };
  const interfaces = fields.objects('interfaces').map((item) => ({
    name: item.string('name') ?? '',
    mac: item.string('mac') ?? '',
    sandbox: item.string('sandbox') ?? '',
    raw: item.raw,
  }));
  const ips = fields.objects('ips').map((item) => readIp(item, 'address', interfaces.length));
  return { interfaces, ips, routes: rawRoutes(fields), dns, fields };
}

/** 0.1.0 and 0.2.0 have at most one address per family: `ip4` and `ip6`. */
function readByFamily(fields: JsonFields): Pick<CniResult, 'interfaces' | 'ips' | 'routes'> {
  const families = [fields.object('ip4'), fields.object('ip6')].filter((family) => family !== null);
  return {
    interfaces: [],
    ips: families.map((family) => readIp(family, 'ip', 0)),
    routes: families.flatMap(rawRoutes),
  };
}

function readIp(item: JsonFields, key: string, interfaceCount: number): ResultIp {
  const text = item.string(key) ?? '';
  const address = parseInterfaceAddress(text);
  if (address === null)
    throw new CniError(CNI_CODE.config, `${item.place}.${key} is no address with prefix length`, text);
  const gatewayText = item.string('gateway') ?? '';
  const gateway = gatewayText === '' ? null : parseIp(gatewayText);
  if (gatewayText !== '' && gateway === null) {
    throw new CniError(CNI_CODE.config, `${item.place}.gateway is no address`, gatewayText);
  }
  const index = item.count('interface');
  if (index !== null && index >= interfaceCount) {
    throw new CniError(CNI_CODE.config, `${item.place}.interface points at no interface`, `${index}`);
  }
  return { ...address, gateway: gateway === null ? null : formatIp(gateway), interface: index, raw: item.raw };
}

function rawRoutes(fields: JsonFields): CniResult['routes'] {
  const items = fields.objects('routes');
  return readRoutes(fields).map((route, index) => ({ ...route, raw: items[index]?.raw ?? {} }));
}

// The network configuration on stdin: what every verb needs of it. Wishes for one container are read apart
// (container-wishes.ts), because DEL must succeed whatever they say. Codes: 6 no JSON, 1 version, 7 anything else.

import { DEFAULT_NETWORK_NAME } from '../base/ids.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import { isValidName, NAME_PATTERN } from './environment.ts';
import { JsonFields } from './json-fields.ts';
import {
  atLeast,
  CNI_VERSION_WHEN_MISSING,
  CNI_VERSIONS,
  type CniVerb,
  type CniVersion,
  parseCniVersion,
  verbSince,
} from './version.ts';

/** The plugin's own name: of the binary, and in `ipam.type` for our address management. */
export const PLUGIN_NAME = 'fabric';

export interface NetworkConfig {
  /** CNI network name: what the runtime calls it; GC is per name. */
  readonly name: string;
  /** fabric network that its containers join. */
  readonly network: string;
  /** Name of the foreign IPAM plugin; null: ours. */
  readonly ipamPlugin: string | null;
  /** True when another plugin calls us for addresses alone (`"type":"bridge"` with `"ipam":{"type":"fabric"}`). */
  readonly calledAsIpam: boolean;
  readonly fields: JsonFields;
}

/** Decodes stdin. Throws CniError 6 unless it is one JSON object. */
export function parseConfigJson(stdin: Uint8Array): JsonFields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(stdin));
  } catch (error) {
    throw new CniError(CNI_CODE.decode, 'failed to decode the network configuration', String(error));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CniError(CNI_CODE.decode, 'failed to decode the network configuration', 'it is no JSON object');
  }
  return JsonFields.of(value, '');
}

/** Throws CniError: 6 when `cniVersion` is no string, 1 when we do not serve it. */
export function configVersion(fields: JsonFields): CniVersion {
  const asked = fields.value('cniVersion');
  if (asked === undefined || asked === '') return CNI_VERSION_WHEN_MISSING;
  if (typeof asked !== 'string') throw new CniError(CNI_CODE.decode, 'cniVersion must be a string', typeof asked);
  const version = parseCniVersion(asked);
  if (version !== null) return version;
  throw new CniError(
    CNI_CODE.incompatibleVersion,
    'incompatible CNI versions',
    `config is ${JSON.stringify(asked)}, plugin supports ${JSON.stringify(CNI_VERSIONS)}`,
  );
}

/** Throws CniError 1: CHECK came with 0.4.0, GC and STATUS with 1.1.0. */
export function requireVerb(verb: CniVerb, version: CniVersion): void {
  if (atLeast(version, verbSince(verb))) return;
  throw new CniError(
    CNI_CODE.incompatibleVersion,
    `config version does not allow ${verb}`,
    `config is "${version}", ${verb} needs "${verbSince(verb)}" or newer`,
  );
}

/** Throws CniError 7. */
export function parseNetworkConfig(fields: JsonFields): NetworkConfig {
  const name = fields.string('name') ?? '';
  if (name === '') throw new CniError(CNI_CODE.config, 'missing network name');
  requireName('network name', name);
  const network = fields.string('network') ?? DEFAULT_NETWORK_NAME;
  requireName('network', network);
  const ipamType = fields.object('ipam')?.string('type') ?? '';
  if (ipamType !== '') requireName('ipam.type', ipamType);
  const ours = ipamType === '' || ipamType === PLUGIN_NAME;
  const type = fields.string('type') ?? PLUGIN_NAME;
  return {
    name,
    network,
    ipamPlugin: ours ? null : ipamType,
    calledAsIpam: ipamType === PLUGIN_NAME && type !== PLUGIN_NAME,
    fields,
  };
}

/** Plugin names are file names below CNI_PATH: the pattern keeps out `/` and a leading dot. */
function requireName(what: string, name: string): void {
  if (isValidName(name)) return;
  throw new CniError(
    CNI_CODE.config,
    `invalid ${what}: ${JSON.stringify(name)}`,
    `it must match ${NAME_PATTERN.source}`,
  );
}

// CNI_ARGS, `K=V;K=V`: the older of the three ways in which a runtime passes wishes of one container. An unknown key is an
// error unless IgnoreUnknown says otherwise, as libcni has it. Every complaint has code 4.

import { type IpAddress, parseInterfaceAddress, parseIp } from '../base/address.ts';
import { type Mac, parseMac } from '../base/ids.ts';
import { CNI_CODE, CniError } from './cni-error.ts';

export interface CniArgs {
  /** As given: an address with or without prefix length. */
  readonly ip: string | null;
  readonly mac: Mac | null;
  readonly podName: string;
  readonly podNamespace: string;
}

const NONE: CniArgs = { ip: null, mac: null, podName: '', podNamespace: '' };

/** Throws CniError. A key that comes twice: the last one counts. */
export function parseCniArgs(text: string): CniArgs {
  if (text === '') return NONE;
  const pairs = text.split(';').filter((pair) => pair !== '');
  const values = new Map<string, string>();
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new CniError(CNI_CODE.environment, `CNI_ARGS: invalid pair ${JSON.stringify(pair)}`);
    values.set(pair.slice(0, at), pair.slice(at + 1));
  }
  refuseUnknown(values);
  return {
    ip: parseIpArg(values.get('IP')),
    mac: parseMacArg(values.get('MAC')),
    podName: values.get('K8S_POD_NAME') ?? '',
    podNamespace: values.get('K8S_POD_NAMESPACE') ?? '',
  };
}

/** An address with or without prefix length; null when it is neither. */
export function addressOf(text: string): IpAddress | null {
  return parseIp(text) ?? parseInterfaceAddress(text)?.ip ?? null;
}

function refuseUnknown(values: ReadonlyMap<string, string>): void {
  const ignore = values.get('IgnoreUnknown') ?? '';
  if (!/^(1|0|true|false)?$/i.test(ignore)) {
    throw new CniError(CNI_CODE.environment, `CNI_ARGS: IgnoreUnknown is no boolean: ${JSON.stringify(ignore)}`);
  }
  if (/^(1|true)$/i.test(ignore)) return;
  const unknown = [...values.keys()].filter((key) => !/^(IP|MAC|IgnoreUnknown|K8S_POD_.+)$/.test(key));
  if (unknown.length === 0) return;
  throw new CniError(CNI_CODE.environment, `CNI_ARGS: unknown args ${JSON.stringify(unknown)}`, 'set IgnoreUnknown=1');
}

function parseIpArg(text: string | undefined): string | null {
  if (text === undefined || text === '') return null;
  if (addressOf(text) === null) throw new CniError(CNI_CODE.environment, `CNI_ARGS: IP is no address: ${text}`);
  return text;
}

function parseMacArg(text: string | undefined): Mac | null {
  if (text === undefined || text === '') return null;
  const mac = parseMac(text);
  if (mac === null) throw new CniError(CNI_CODE.environment, `CNI_ARGS: MAC is no MAC address: ${text}`);
  return mac;
}

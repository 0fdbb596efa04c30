// What one container port may send, as elements of the sets in table bridge (overlay-rules.ts): its name, its MAC, each of
// its addresses with both. The same elements as text, for `nft -f -`, and as kernel keys, for in-process changes.
// A container's IPv6 link-local address follows from its MAC (RFC 4291, appendix A) and is always allowed.

import { formatIp, type IpAddress, ipToBytes, parseIp } from '../../base/address.ts';
import { assert } from '../../base/errors.ts';
import { type Mac, macToBytes } from '../../base/ids.ts';
import { linkLocalOf } from '../../base/link-local.ts';
import { concatKey, ifnameKey, type SetElementsChange } from '../netlink/nfnetlink.ts';
import { isInterfaceName, NFT_TABLE } from './names.ts';

export const ANTI_SPOOF_SETS = [
  'ports',
  'owned_macs',
  'source_macs',
  'source_ips',
  'source_ip6s',
  'neighbour_targets',
] as const;
export type AntiSpoofSet = (typeof ANTI_SPOOF_SETS)[number];

/** What a port may use; `ips` are canonical texts without prefix length. */
export interface PortIdentity {
  readonly hostIfname: string;
  readonly mac: Mac;
  readonly ips: readonly string[];
}

/** Without the other keys of a longer object, which a map must not keep alive. */
export function identityOf({ hostIfname, mac, ips }: PortIdentity): PortIdentity {
  return { hostIfname, mac, ips };
}

export interface AntiSpoofElement {
  readonly set: AntiSpoofSet;
  readonly ifname?: string;
  readonly mac?: Mac;
  readonly ip?: IpAddress;
}

/** All elements of a port; the first, `ports`, is what makes the kernel look at the others. */
export function portElements({ hostIfname, mac, ips }: PortIdentity): readonly AntiSpoofElement[] {
  assert(isInterfaceName(hostIfname), `interface name of a container port: ${hostIfname}`);
  const elements: AntiSpoofElement[] = [
    { set: 'ports', ifname: hostIfname },
    { set: 'owned_macs', mac },
    { set: 'source_macs', ifname: hostIfname, mac },
  ];
  const texts = new Set([...ips, linkLocalOf(mac)]);
  for (const text of texts) {
    const ip = parseIp(text);
    assert(ip !== null, `address of a container port: ${text}`);
    if (ip.family === 4) elements.push({ set: 'source_ips', ifname: hostIfname, mac, ip });
    else {
      elements.push({ set: 'source_ip6s', ifname: hostIfname, mac, ip });
      elements.push({ set: 'neighbour_targets', ifname: hostIfname, mac, ip });
    }
  }
  return elements;
}

/** For a port of the host itself: nobody else may use its MAC. */
export function ownedMac(mac: Mac): AntiSpoofElement {
  return { set: 'owned_macs', mac };
}

/** One change per set, in the order in which a port becomes strict (add) or is forgotten (delete). */
export function elementChanges(
  operation: SetElementsChange['operation'],
  elements: readonly AntiSpoofElement[],
): readonly SetElementsChange[] {
  const changes: SetElementsChange[] = [];
  for (const set of ANTI_SPOOF_SETS) {
    const keys = elements.filter((element) => element.set === set).map(elementKey);
    if (keys.length > 0) changes.push({ family: 'bridge', table: NFT_TABLE, set, operation, elements: keys });
  }
  return changes;
}

/** `"veth1" . 02:00:00:00:00:01 . 10.32.0.5`, as nft writes it. */
export function elementText(element: AntiSpoofElement): string {
  const { set, ifname, mac, ip } = element;
  const fields: string[] = [];
  if (ifname !== undefined) fields.push(`"${ifname}"`);
  if (mac !== undefined) fields.push(mac);
  if (ip !== undefined) fields.push(set === 'neighbour_targets' ? hex128(ip) : formatIp(ip));
  return fields.join(' . ');
}

/** A raw 128-bit field as nft's text has it. */
export function hex128(ip: IpAddress): string {
  return `0x${ip.value.toString(16).padStart(32, '0')}`;
}

function elementKey({ ifname, mac, ip }: AntiSpoofElement): Uint8Array {
  const fields: Uint8Array[] = [];
  if (ifname !== undefined) fields.push(ifnameKey(ifname));
  if (mac !== undefined) fields.push(macToBytes(mac));
  if (ip !== undefined) fields.push(ipToBytes(ip));
  return fields.length === 1 ? fields[0]! : concatKey(...fields);
}

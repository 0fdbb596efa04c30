// Docker's address pools, as parts of a fabric network's range. A pool's id says all of it, so that nothing has to be remembered
// for it: `fabric,10.32.0.0/12` or, with an --ip-range, `fabric,10.32.0.0/12,10.32.7.0/24`. Invariant: a pool lies in the range
// of its network, which is one prefix on all hosts; so containers of two hosts share a segment whatever subnet each was given.

import { type Cidr, cidrContains, cidrHasIp, formatCidr, parseCidr, parseInterfaceAddress } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import type { FabricNetwork } from './backend.ts';

/**
 * What Docker is told of an IPv4 pool that nobody chose. It looks through the host's routes for one that overlaps a pool of ours,
 * and host0 has the route to all of the range: it would ask for another pool for ever. Of this one it does not ask.
 */
export const UNCHECKED_SUBNET = '0.0.0.0/0';

export interface Pool {
  readonly network: FabricNetwork;
  readonly subnet: Cidr;
  /** Where addresses are chosen that nobody asked for by name. */
  readonly choice: Cidr;
}

export function poolId({ network, subnet, choice }: Pool): string {
  const blocks = subnet === choice ? [subnet] : [subnet, choice];
  return [network.name, ...blocks.map(formatCidr)].join(',');
}

/** Throws `usage` when the id is not one of ours. */
export function readPoolId(id: string): Omit<Pool, 'network'> & { readonly networkName: string } {
  const [networkName = '', subnetText = '', choiceText, ...rest] = id.split(',');
  const subnet = parseCidr(subnetText);
  const choice = choiceText === undefined ? subnet : parseCidr(choiceText);
  if (subnet === null || choice === null || rest.length > 0) {
    throw new FabricError('usage', { what: `${JSON.stringify(id)} is no address pool of fabric` });
  }
  return { networkName, subnet, choice };
}

/** `subnet` and `ipRange` as the user gave them, or empty. Throws `address-invalid`. */
export function choosePool(
  network: FabricNetwork,
  { subnet, ipRange, isIpv6 }: { readonly subnet: string; readonly ipRange: string; readonly isIpv6: boolean },
): Pool {
  const whole = isIpv6 ? network.range6 : network.range;
  if (whole === null) {
    throw new FabricError('address-invalid', {
      what: `the network ${network.name} has no IPv6`,
      fix: 'Leave --ipv6 out',
    });
  }
  const part = subnet === '' ? whole : blockWithin(subnet, { of: whole, flag: '--subnet', network });
  if (ipRange === '') return { network, subnet: part, choice: part };
  return { network, subnet: part, choice: blockWithin(ipRange, { of: part, flag: '--ip-range', network }) };
}

/** Throws `address-invalid` unless the text is a block within the network's range of that family. */
export function refuseForeignSubnet(text: string, network: FabricNetwork): void {
  if (text === UNCHECKED_SUBNET) return;
  const whole = text.includes(':') ? network.range6 : network.range;
  if (whole !== null) blockWithin(text, { of: whole, flag: 'the subnet', network });
  else
    throw new FabricError('address-invalid', { what: `the network ${network.name} has no IPv6, but ${text} is asked` });
}

/** Throws `address-invalid` for a gateway outside of the network's range: the pool is another network's. Empty: none was chosen. */
export function refuseForeignGateway(text: string, { name, range, range6 }: FabricNetwork): void {
  if (text === '') return;
  const gateway = parseInterfaceAddress(text);
  const whole = gateway?.ip.family === 6 ? range6 : range;
  if (gateway !== null && whole !== null && cidrHasIp(whole, gateway.ip)) return;
  throw new FabricError('address-invalid', {
    what: `the addresses are not those of the network ${name}`,
    why: `their gateway is ${text}`,
    fix: `Name the network to both drivers: -o network=${name} --ipam-opt network=${name}`,
  });
}

function blockWithin(
  text: string,
  { of: whole, flag, network }: { readonly of: Cidr; readonly flag: string; readonly network: FabricNetwork },
): Cidr {
  const block = parseCidr(text);
  if (block !== null && cidrContains(whole, block)) return block;
  throw new FabricError('address-invalid', {
    what: `${flag} ${text} is not within ${formatCidr(whole)}`,
    why: `that is the range of the network ${network.name} on all hosts`,
    fix: 'Name a part of it, or leave it out, and use --ipam-driver fabric',
  });
}

// Making and checking a cluster's genesis: the signed facts that its creator fixes for the cluster's whole life.

import { formatCidr, formatIp, parseCidr } from '../base/address.ts';
import { fromHex, toHex } from '../base/bytes.ts';
import type { Crypto, Random } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { type ClusterId, DEFAULT_VNI, type Mac, macFromBytes, type PeerId, type Vni } from '../base/ids.ts';
import { linkLocalOf } from '../base/link-local.ts';
import { peerIdOf } from '../base/membership.ts';
import { genesisSigningBytes } from '../base/record-signing.ts';
import type { Genesis, NetworkRecord } from '../base/records.ts';
import { decodeGenesis } from '../gossip/record-codec.ts';
import type { OverlayNetworkConfig } from '../host/host-network.ts';
import type { HostIdentity, HostKeys } from '../host/identity-file.ts';
import { type AddressPlan, type FamilyPlan, gatewayOf, leasePrefixFor, makeAddressPlan } from '../ipam/plan.ts';
import { ETHERNET_BYTES } from '../router/frame.ts';
import { overheadBytes } from '../router/wire-format.ts';
import { type LaunchOptions, LEASE_PREFIX_DEFAULT, RANGE_DEFAULT } from './launch-options.ts';

export const LEASE_PREFIX6_DEFAULT = 64;

interface Creation {
  readonly options: LaunchOptions;
  readonly clusterId: ClusterId;
  readonly keys: HostKeys;
  /** Overlay MTU when no --mtu says otherwise. */
  readonly mtu: number;
}

export function createGenesis({ options, clusterId, keys, mtu }: Creation, random: Random, crypto: Crypto): Genesis {
  const range = options.range ?? parseCidr(RANGE_DEFAULT)!;
  const range6 = options.range6 === 'off' ? null : (options.range6 ?? parseCidr(uniqueLocalRange(clusterId))!);
  const facts = {
    genesisId: toHex(random.bytes(16)),
    clusterId,
    creator: keys.peer,
    creatorKey: keys.identityKey,
    range: formatCidr(range),
    range6: range6 === null ? null : formatCidr(range6),
    leasePrefix: leasePrefixFor(range, options.leasePrefix ?? LEASE_PREFIX_DEFAULT),
    leasePrefix6: range6 === null ? LEASE_PREFIX6_DEFAULT : leasePrefixFor(range6, LEASE_PREFIX6_DEFAULT),
    mtu: options.mtu ?? mtu,
  };
  return { ...facts, signature: crypto.ed25519Sign(keys.identitySeed, genesisSigningBytes(facts)) };
}

/**
 * Overlay MTU, bytes, whose full frames fit one datagram on an underlay of that MTU. Tunnels of a host that peers reach by IPv4 too
 * go that way first; the larger overhead of IPv6 counts where there is nothing else.
 */
export function mtuFor(underlayMtu: number, endpoints: readonly Endpoint[]): number {
  const ipv6Only = endpoints.length > 0 && endpoints.every(({ ip }) => ip.includes(':'));
  return underlayMtu - overheadBytes(ipv6Only ? 6 : 4) - ETHERNET_BYTES;
}

/** RFC 4193: fd, 40 bits that are the cluster's own, subnet 0. */
function uniqueLocalRange(clusterId: ClusterId): string {
  const id = fromHex(clusterId)!;
  const hex = (offset: number) => toHex(id.subarray(offset, offset + 2));
  return formatCidr(parseCidr(`fd${toHex(id.subarray(0, 1))}:${hex(1)}:${hex(3)}::/48`)!);
}

/** Null unless it is whole, of this cluster, and signed by the creator it names. */
export function readGenesis(bytes: Uint8Array, clusterId: ClusterId, crypto: Crypto): Genesis | null {
  const genesis = decodeGenesis(bytes);
  if (genesis === null || genesis.clusterId !== clusterId) return null;
  if (peerIdOf(genesis.creatorKey, crypto) !== genesis.creator) return null;
  return crypto.ed25519Verify(genesis.creatorKey, genesisSigningBytes(genesis), genesis.signature) ? genesis : null;
}

/** Of a host that resumes. Throws `state-damaged`. */
export function storedGenesis({ genesis, token }: HostIdentity, stateDir: string, crypto: Crypto): Genesis {
  const read = readGenesis(genesis, token.clusterId, crypto);
  if (read !== null) return read;
  throw new FabricError('state-damaged', {
    what: `the genesis in ${stateDir} is damaged`,
    fix: 'Restore the state directory from a backup, or remove this host with fabric reset --force',
  });
}

export interface NetworkFacts {
  readonly id: Vni;
  /** No gateway, no way to the outside or to hosts. Its gateway addresses are nobody's all the same. */
  readonly internal: boolean;
  readonly plan: AddressPlan;
  readonly v4: FamilyPlan;
  readonly v6: FamilyPlan | null;
  readonly gateway: string;
  readonly gateway6: string | null;
  /** All of them, the bridge's link-local address included: no other host may claim or answer for one. */
  readonly gatewayIps: readonly string[];
  readonly gatewayMac: Mac;
}

/** What follows from a genesis, the same on every host. Throws `state-damaged` for ranges that no creator makes. */
export function networkFacts(genesis: Genesis, crypto: Crypto): NetworkFacts {
  const plan = makeAddressPlan(DEFAULT_VNI, genesis);
  if (plan === null) {
    throw new FabricError('state-damaged', {
      what: "the cluster's genesis names unusable ranges",
      why: `${genesis.range} ${genesis.range6 ?? ''}`,
    });
  }
  const mac = crypto.sha256(fromHex(genesis.genesisId)!).slice(0, 6);
  mac[0] = (mac[0]! & 0xfc) | 0x02; // locally administered, not a group
  return factsOf(plan, { gatewayMac: macFromBytes(mac), internal: false });
}

/** Of a network beside the default one: the anycast MAC is the same. Null for ranges that no creator makes. */
export function namedNetworkFacts(
  record: NetworkRecord,
  { creator, gatewayMac }: { readonly creator: PeerId; readonly gatewayMac: Mac },
): NetworkFacts | null {
  const plan = makeAddressPlan(record.network, { ...record, creator });
  return plan === null ? null : factsOf(plan, { gatewayMac, internal: record.internal });
}

function factsOf(plan: AddressPlan, more: Pick<NetworkFacts, 'gatewayMac' | 'internal'>): NetworkFacts {
  const { gatewayMac, internal } = more;
  const v4 = plan.families.find(({ family }) => family === 4)!;
  const v6 = plan.families.find(({ family }) => family === 6) ?? null;
  const gateway = formatIp(gatewayOf(v4));
  const gateway6 = v6 === null ? null : formatIp(gatewayOf(v6));
  return {
    id: plan.network,
    internal,
    plan,
    v4,
    v6,
    gateway,
    gateway6,
    gatewayIps: [gateway, ...(gateway6 === null ? [] : [gateway6]), linkLocalOf(gatewayMac)],
    gatewayMac,
  };
}

/** The network as the kernel shall have it. `mtu` in bytes. */
export function overlayNetwork(
  { id, internal, v4, v6, gateway, gateway6, gatewayMac }: NetworkFacts,
  host: { readonly bridge: string; readonly mtu: number },
): OverlayNetworkConfig {
  const ranges = { range: v4.range, range6: v6?.range ?? null };
  return { network: id, internal, ...ranges, gateway, gateway6, gatewayMac, ...host };
}

/** What claims on the network are judged by. */
export function routeNetwork({ id, v4, v6, gatewayMac, gatewayIps }: NetworkFacts) {
  return { network: id, range: v4.range, range6: v6?.range ?? null, gatewayMac, gatewayIps };
}

/** Flags that contradict what the cluster fixed: both values are named. */
export function refuseContradictions(options: LaunchOptions, genesis: Genesis): void {
  const range6 = options.range6 === null || options.range6 === 'off' ? options.range6 : formatCidr(options.range6);
  const pairs = [
    ['--range', options.range === null ? null : formatCidr(options.range), genesis.range],
    ['--range6', range6, genesis.range6 ?? 'off'],
    ['--lease-prefix', options.leasePrefix, genesis.leasePrefix],
    ['--mtu', options.mtu, genesis.mtu],
  ] as const;
  for (const [flag, asked, fixed] of pairs) {
    if (asked === null || String(asked) === String(fixed)) continue;
    throw new FabricError('state-contradiction', {
      what: `${flag} ${asked} contradicts this host's cluster, which has ${fixed}`,
      why: 'it was fixed when the cluster was created',
      fix: `Launch without ${flag}, or leave the cluster first with fabric reset`,
    });
  }
}

// How fabric's kernel objects are called, so that people and a later daemon know whose they are: interfaces by name and
// alias, routes by protocol number (netlink/objects.ts), nftables by table name. All names of one network follow from its
// bridge's name, so that several networks can live side by side.

import type { Family } from '../../base/address.ts';
import { assert, FabricError } from '../../base/errors.ts';

/** Linux keeps 16 bytes with the final zero. */
const IFNAME_BYTES_MAX = 15;
/** The bridge of the default network; its host interface has the short name that people see. */
const BRIDGE_DEFAULT = 'fabric0';

/** Every alias of ours begins so; `ip link show` prints it. */
export const ALIAS_PREFIX = 'fabric:';
export const CONTAINER_ALIAS = `${ALIAS_PREFIX} container port`;
/** Of the other end, where a runtime moves that into the container. */
export const CONTAINER_END_ALIAS = `${ALIAS_PREFIX} container end`;
/** Of a port that is down and off the bridge: what the kernel has not freed of it, nobody needs any more. */
export const DEPARTED_ALIAS = `${ALIAS_PREFIX} departed container port`;
/** The interface group of those, `fabr`: whatever is in it is deleted together. */
export const DEPARTED_GROUP = 0x66616272;
/** Table of the families `inet` and `bridge`. */
export const NFT_TABLE = 'fabric';

export interface NetworkInterfaces {
  readonly bridge: string;
  /** The datapath's end in the bridge. */
  readonly portNear: string;
  /** The end that the datapath reads and injects on. */
  readonly portFar: string;
  /** The host's own interface in the overlay. */
  readonly host: string;
  /** Its other end, in the bridge. */
  readonly hostPort: string;
  /** Kernel VXLAN, by the underlay's family, because a VXLAN device has one. */
  readonly vxlan: Readonly<Record<Family, VxlanInterfaces>>;
}

export interface VxlanInterfaces {
  /** In the bridge. */
  readonly port: string;
  /** In no bridge: carries nothing but probes of the path. */
  readonly probe: string;
}

/** Throws FabricError `usage` when no interface can carry that name, or when the derived ones would be too long. */
export function networkInterfaces(bridge: string): NetworkInterfaces {
  if (!isInterfaceName(bridge) || bridge.length >= IFNAME_BYTES_MAX) {
    throw new FabricError('usage', {
      what: `'${bridge}' can't be a bridge's name`,
      why: 'it has 1 to 14 letters, digits, dots, dashes or underscores',
      fix: 'Choose another one with --bridge',
    });
  }
  return {
    bridge,
    portNear: `${bridge}p`,
    portFar: `${bridge}q`,
    host: bridge === BRIDGE_DEFAULT ? 'host0' : `${bridge}h`,
    hostPort: `${bridge}i`,
    vxlan: { 4: { port: `${bridge}v`, probe: `${bridge}x` }, 6: { port: `${bridge}w`, probe: `${bridge}y` } },
  };
}

/** Where our traffic passes the host's filters: all bridges, and of the first one, the default network's, the host's own end. */
export function routedInterfaces(bridges: readonly string[]): readonly string[] {
  return bridges.flatMap((bridge, i) => (i === 0 ? [bridge, networkInterfaces(bridge).host] : [bridge]));
}

/**
 * Stricter than the kernel, which refuses only `/`, `:` and white space: names go into nftables text, so nothing that
 * needs quoting there is one.
 */
export function isInterfaceName(name: string): boolean {
  return /^[A-Za-z0-9_.-]{1,15}$/.test(name) && name !== '.' && name !== '..';
}

/** In nftables text. */
export function quote(name: string): string {
  assert(isInterfaceName(name), `interface name in nftables text: ${name}`);
  return `"${name}"`;
}

/** Any of these interfaces, in nftables text. */
export function anyOf(names: readonly string[]): string {
  return `{ ${names.map(quote).join(', ')} }`;
}

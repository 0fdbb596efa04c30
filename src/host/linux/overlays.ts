// The networks that this host shall have in its kernel, and what of them stands: for each a bridge and the datapath's port in
// it. The main one comes first; others come and go while it stays. Every step looks first and changes only what differs.

import { assert } from '../../base/errors.ts';
import { DEFAULT_VNI, type Vni } from '../../base/ids.ts';
import type { DatapathPortKind, OverlayNetworkConfig } from '../host-network.ts';
import type { Link } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { ALIAS_PREFIX, type NetworkInterfaces, networkInterfaces } from './names.ts';
import { BRIDGE_ALIAS, ensureBridge, removeBridge, unlessMissing } from './overlay-bridge.ts';
import { ensureTapPort, ensureVethPort } from './port-veths.ts';

/** A network whose bridge stands. */
export interface Overlay {
  readonly config: OverlayNetworkConfig;
  readonly names: NetworkInterfaces;
  readonly bridge: Link;
}

export class Overlays {
  readonly #netlink: Rtnetlink;
  readonly #standing = new Map<Vni, Overlay>();
  #main: OverlayNetworkConfig | null = null;
  #further: ReadonlyMap<Vni, OverlayNetworkConfig> = new Map();

  constructor(netlink: Rtnetlink) {
    this.#netlink = netlink;
  }

  /** What shall be; the main one first. */
  get wanted(): readonly OverlayNetworkConfig[] {
    return this.#main === null ? [] : [this.#main, ...this.#further.values()];
  }

  get standing(): readonly Overlay[] {
    return this.wanted.flatMap(({ network }) => this.#standing.get(network) ?? []);
  }

  /** The main network, once it stands. */
  get main(): Overlay | null {
    return this.#main === null ? null : (this.#standing.get(this.#main.network) ?? null);
  }

  get(network: Vni): Overlay | null {
    return this.#standing.get(network) ?? null;
  }

  set(main: OverlayNetworkConfig, further: readonly OverlayNetworkConfig[]): void {
    this.#main = main;
    this.#further = new Map(further.map((config) => [config.network, config]));
  }

  add(config: OverlayNetworkConfig): void {
    assert(config.network !== this.#main?.network, 'the main network is set, not added');
    this.#further = new Map([...this.#further, [config.network, config]]);
  }

  /** From now on it shall not be; {@link takeAway} makes it so. */
  drop(network: Vni): void {
    this.#further = new Map([...this.#further].filter(([id]) => id !== network));
  }

  clear(): void {
    this.#main = null;
    this.#further = new Map();
    this.#standing.clear();
  }

  /** True when a bridge was different. */
  async ensureBridges(): Promise<boolean> {
    const changes: boolean[] = [];
    for (const config of this.wanted) {
      const { bridge, changed } = await ensureBridge(this.#netlink, config);
      this.#standing.set(config.network, { config, names: networkInterfaces(config.bridge), bridge });
      changes.push(changed);
    }
    return changes.includes(true);
  }

  /** True when a port was different. */
  async ensurePorts(kind: DatapathPortKind): Promise<boolean> {
    const ensurePort = kind === 'veth' ? ensureVethPort : ensureTapPort;
    const changes: boolean[] = [];
    for (const { names, bridge, config } of this.standing) {
      changes.push(await ensurePort(this.#netlink, names, bridge, config));
    }
    return changes.includes(true);
  }

  /** Idempotent. */
  async takeAway(overlay: Pick<Overlay, 'config' | 'names'>): Promise<void> {
    this.#standing.delete(overlay.config.network);
    await unlessMissing(this.#netlink.deleteLink(overlay.names.portNear));
    await removeBridge(this.#netlink, overlay.config);
  }

  /** Bridges of ours that shall not be: a daemon before this one left them. With all their ports. */
  async removeStrays(): Promise<readonly string[]> {
    const links = (await this.#netlink.listLinks()).filter(({ alias }) => alias.startsWith(ALIAS_PREFIX));
    const wanted = new Set(this.wanted.map(({ bridge }) => bridge));
    const strays = links.filter(
      ({ kind, name, alias }) =>
        kind === 'bridge' && !wanted.has(name) && alias.startsWith(BRIDGE_ALIAS) && alias !== mainAlias(),
    );
    for (const stray of strays) {
      for (const port of links.filter(({ master }) => master === stray.index)) {
        await unlessMissing(this.#netlink.deleteLink(port.index));
      }
      await unlessMissing(this.#netlink.deleteLink(stray.index));
    }
    return strays.map(({ name }) => name);
  }
}

/** A bridge of the main network under another name than this launch's is the operator's to remove. */
function mainAlias(): string {
  return `${BRIDGE_ALIAS} ${DEFAULT_VNI}`;
}

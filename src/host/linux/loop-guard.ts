// Guards the bridge against loops outside of the overlay: a NIC or veth that an operator put into it may lead, by a cable or
// another bridge, to a second host's bridge, and then broadcasts would circle for ever. The sign is a frame from a MAC that
// lives on another host entering a port that is not ours: the bridge learns it there, and says so. Such a port stops forwarding.
// Invariant: only foreign ports of our bridge are blocked, each once; what an operator opens again or takes out is forgotten.
//
//   container of host b ═ overlay ═▶ bridge a ─ eth1 ─ wire ─ eth1 ─ bridge b        eth1 of b hears its own: dropped (nftables)
//                                                                                    eth1 of a hears b's: blocked here

import type { Log } from '../../base/capabilities.ts';
import { assert } from '../../base/errors.ts';
import type { Mac, PeerId } from '../../base/ids.ts';
import type { BlockedPort, LoopWitness } from '../host-network.ts';
import { isMissing } from '../netlink/errors.ts';
import type { Link, NetlinkEvent } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { ALIAS_PREFIX } from './names.ts';
import { unlessMissing } from './overlay-bridge.ts';

/** What of rtnetlink it uses. */
export type LoopNetlink = Pick<
  Rtnetlink,
  'getLink' | 'listLinks' | 'listFdb' | 'deleteFdbEntry' | 'setBridgePortForwarding'
>;

export class LoopGuard {
  readonly #netlink: LoopNetlink;
  readonly #log: Log;
  /** By interface index: at most the 1023 ports of a bridge. */
  readonly #blocked = new Map<number, BlockedPort>();
  /** Ports that are being looked at. */
  readonly #busy = new Set<number>();
  #bridge: Link | null = null;
  #witness: LoopWitness | null = null;

  constructor(netlink: LoopNetlink, log: Log) {
    this.#netlink = netlink;
    this.#log = log;
  }

  get blocked(): readonly BlockedPort[] {
    return [...this.#blocked.values()];
  }

  /** From now on. A port with a carrier that does not forward was blocked by a daemon before this one, or by the operator. */
  async start(bridge: Link, witness: LoopWitness): Promise<void> {
    assert(this.#witness === null, 'loops are watched for once');
    this.#bridge = bridge;
    this.#witness = witness;
    for (const link of await this.#netlink.listLinks({ master: bridge.index })) {
      if (isForeignPort(link, bridge) && link.up && link.carrier && link.portForwards === false) {
        this.#blocked.set(link.index, { ifname: link.name, mac: null, peer: null });
      }
    }
  }

  hear(event: NetlinkEvent): void {
    if (this.#bridge === null) return;
    if (event.kind === 'fdb') {
      const { index, mac, master, state } = event.entry;
      if (event.deleted || state !== 'learned' || master !== this.#bridge.index) return;
      if (this.#busy.has(index) || this.#blocked.has(index)) return;
      const peer = this.#witness?.livesOn(mac) ?? null;
      if (peer !== null) this.#look(index, () => this.#block(index, { mac, peer }));
    } else if (event.kind === 'bridge-port' && this.#blocked.has(event.index)) {
      this.#look(event.index, () => this.#recheck(event.index));
    }
  }

  /** One look at a port at a time: a storm says the same a thousand times. */
  #look(index: number, work: () => Promise<void>): void {
    if (this.#busy.has(index)) return;
    this.#busy.add(index);
    void work()
      .catch((error: unknown) => {
        // A port that vanished meanwhile is no port to block.
        if (!isMissing(error)) this.#log.error('a looped bridge port is not blocked', { index, error: String(error) });
      })
      .finally(() => this.#busy.delete(index));
  }

  async #block(index: number, { mac, peer }: { readonly mac: Mac; readonly peer: PeerId }): Promise<void> {
    const bridge = this.#bridge;
    const link = await this.#netlink.getLink(index);
    if (bridge === null || link === null || !isForeignPort(link, bridge)) return;
    await this.#netlink.setBridgePortForwarding(index, false);
    const port: BlockedPort = { ifname: link.name, mac, peer };
    this.#blocked.set(index, port);
    this.#log.error('bridge port blocked: it leads back into the overlay', { port: link.name, mac, peer });
    // What was learned there would draw frames for other hosts to a port that carries none.
    for (const entry of await this.#netlink.listFdb({ port: index })) {
      if (entry.state === 'learned') await unlessMissing(this.#netlink.deleteFdbEntry({ index, mac: entry.mac }));
    }
  }

  async #recheck(index: number): Promise<void> {
    const bridge = this.#bridge;
    const port = this.#blocked.get(index);
    const link = await this.#netlink.getLink(index);
    if (bridge === null || port === undefined) return;
    if (link !== null && isForeignPort(link, bridge) && link.portForwards === false) return;
    this.#blocked.delete(index);
    this.#log.info('bridge port is blocked no more', { port: port.ifname });
  }
}

function isForeignPort(link: Link, bridge: Link): boolean {
  return link.master === bridge.index && !link.alias.startsWith(ALIAS_PREFIX);
}

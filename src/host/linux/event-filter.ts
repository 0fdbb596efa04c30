// Tells netlink events that may be somebody's change of our objects from the many that are not, most of them our own work:
// deletions of what shall be there, links of ours that look wrong, and new interfaces that matter to forwarding.
// A wrong "yes" costs a look that finds nothing; a wrong "no" leaves damage until the next look.

import { addressBits, type Cidr, formatIp } from '../../base/address.ts';
import type { Mac } from '../../base/ids.ts';
import type { HostAccess } from '../host-network.ts';
import type { Link, NetlinkEvent } from '../netlink/objects.ts';
import { mayBeUplink } from './forwarding-plan.ts';
import type { LivePorts } from './known-ports.ts';
import { sameBlock } from './overlay-bridge.ts';
import type { Overlay } from './overlays.ts';

/** What stood after the last look. */
export interface ExpectedObjects {
  /** The main one first. */
  readonly overlays: readonly Overlay[];
  readonly access: HostAccess | null;
  /** Interfaces of others that were there. */
  readonly foreign: readonly Link[];
}

export class EventFilter {
  #expected: ExpectedObjects | null = null;
  #foreign = new Set<number>();
  #paths: ReadonlyMap<Mac, string> = new Map();
  /** Ports that we take off the bridge. Bounded by those that the bridge has. */
  readonly #departing = new Set<number>();

  /** MACs that shall leave by kernel VXLAN. */
  expectPaths(paths: ReadonlyMap<Mac, string>): void {
    this.#paths = paths;
  }

  expect(expected: ExpectedObjects): void {
    this.#expected = expected;
    this.#foreign = new Set(expected.foreign.map(({ index }) => index));
  }

  /** Until `gone` this port leaves the bridge by our doing. */
  expectDeparture(index: number, gone: Promise<void>): void {
    this.#departing.add(index);
    void gone.then(() => this.#departing.delete(index));
  }

  isRelevant(event: NetlinkEvent, ports: LivePorts): boolean {
    if (this.#expected === null) return false;
    switch (event.kind) {
      case 'link':
        return this.#isRelevantLink(event.link, event.deleted, ports, this.#expected);
      case 'bridge-port':
        return event.deleted && this.#isOurBridge(event.master) && !this.#departing.has(event.index);
      case 'address':
        return event.deleted && !this.#foreign.has(event.address.index);
      case 'route':
        return event.deleted && isOurRoute(event.route.dst, ports, this.#expected);
      case 'fdb':
        return event.deleted && this.#isOurMac(event.entry.mac, ports, this.#expected);
      case 'neighbour':
        return false;
      case 'overrun':
      case 'failed':
        return true;
    }
  }

  #isRelevantLink(link: Link, deleted: boolean, ports: LivePorts, { overlays }: ExpectedObjects): boolean {
    const port = ports.named(link.name);
    const owner = overlays.find((overlay) => overlay.config.network === port?.network || isNamedIn(overlay, link.name));
    if (owner === undefined) {
      const isNew = !deleted && !this.#foreign.has(link.index);
      return isNew && (link.kind === 'bridge' || mayBeUplink(link, {}));
    }
    const { names, bridge, config } = owner;
    const wrong = deleted || !link.up || link.mtu !== config.mtu;
    if (link.name === names.bridge) return wrong || link.mac !== config.gatewayMac;
    const isAlone = link.name === names.host || link.name === names.portFar;
    if (isAlone || Object.values(names.vxlan).some(({ probe }) => probe === link.name)) return wrong;
    return wrong || link.master !== bridge.index;
  }

  #isOurBridge(index: number | null): boolean {
    return this.#expected?.overlays.some(({ bridge }) => bridge.index === index) ?? false;
  }

  #isOurMac(mac: Mac, ports: LivePorts, { access }: ExpectedObjects): boolean {
    return mac === access?.mac || this.#paths.has(mac) || ports.hasMac(mac);
  }
}

/** The way to a container that lives, or to the whole network; a container that leaves takes its route with it. */
function isOurRoute(dst: Cidr, ports: LivePorts, { overlays }: ExpectedObjects): boolean {
  const ranges = overlays.flatMap(({ config: { range, range6 } }) => (range6 === null ? [range] : [range, range6]));
  if (ranges.some((range) => sameBlock(dst, range))) return true;
  return dst.prefix === addressBits(dst.family) && ports.hasIp(formatIp({ family: dst.family, value: dst.base }));
}

/** True for interfaces that the network has beside its containers' ports. */
function isNamedIn({ names }: Overlay, name: string): boolean {
  const { bridge, portNear, portFar, host, hostPort, vxlan } = names;
  const devices = Object.values(vxlan).flatMap(({ port, probe }) => [port, probe]);
  return [bridge, portNear, portFar, host, hostPort, ...devices].includes(name);
}

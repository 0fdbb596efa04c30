// Watches one network namespace: links, bridge ports, addresses, routes, neighbours and forwarding entries as events. The
// kernel drops messages when we are slow and says so (`overrun`): events are hints, and dumps are the truth.

import { errnoName, NETLINK_ROUTE, openNetlinkMonitor, type RawNetlinkMonitor } from '../native.ts';
import { parseAddress, RTM_DELADDR, RTM_NEWADDR } from './addresses.ts';
import { NetlinkError } from './errors.ts';
import { parseBridgePort, parseLink, RTM_DELLINK, RTM_NEWLINK } from './links.ts';
import { type Message, parseMessages } from './message.ts';
import { parseFdbEntry, parseNeighbour, RTM_DELNEIGH, RTM_NEWNEIGH } from './neighbours.ts';
import type { NetlinkEvent } from './objects.ts';
import { parseRoute, RTM_DELROUTE, RTM_NEWROUTE } from './routes.ts';

/** `neighbours` includes forwarding entries. */
export type WatchedGroup = 'links' | 'addresses' | 'routes' | 'neighbours';

/** RTNLGRP_* of linux/rtnetlink.h. */
const GROUPS: Readonly<Record<WatchedGroup, readonly number[]>> = {
  links: [1],
  neighbours: [3],
  addresses: [5, 9],
  routes: [7, 11],
};

export class RtnetlinkMonitor {
  readonly #raw: RawNetlinkMonitor;

  private constructor(raw: RawNetlinkMonitor) {
    this.#raw = raw;
  }

  /**
   * `listener` runs on the JS thread for each message, first after this returned. In the namespace of `namespaceFd` (needed
   * only during this call), or in the process's own. Keeps the process alive until `close`. Throws NetlinkError.
   */
  static open(
    groups: readonly WatchedGroup[],
    listener: (event: NetlinkEvent) => void,
    namespaceFd: number | null = null,
  ): RtnetlinkMonitor {
    const numbers = groups.flatMap((group) => GROUPS[group]);
    try {
      const raw = openNetlinkMonitor(NETLINK_ROUTE, numbers, namespaceFd, (event) => {
        if (event.kind === 'overrun') listener(event);
        else if (event.kind === 'failed') listener({ kind: 'failed', why: event.error.message });
        else for (const told of parseEvents(event.bytes)) listener(told);
      });
      return new RtnetlinkMonitor(raw);
    } catch (cause) {
      throw new NetlinkError(`watch ${groups.join(', ')}`, errnoName(cause) ?? String(cause), '', { cause });
    }
  }

  /** Idempotent; no datagram is received after it. */
  close(): void {
    this.#raw.close();
  }
}

/** What is not understood is left out. */
export function parseEvents(bytes: Uint8Array): readonly NetlinkEvent[] {
  return parseMessages(bytes)
    .map(parseEvent)
    .filter((event) => event !== null);
}

function parseEvent(message: Message): NetlinkEvent | null {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return linkEvent(message, message.type === RTM_DELLINK);
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = parseAddress(message);
      return address && { kind: 'address', deleted: message.type === RTM_DELADDR, address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = parseRoute(message);
      return route && { kind: 'route', deleted: message.type === RTM_DELROUTE, route };
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return neighbourEvent(message, message.type === RTM_DELNEIGH);
    default:
      return null;
  }
}

function linkEvent(message: Message, deleted: boolean): NetlinkEvent | null {
  const link = parseLink(message);
  if (link !== null) return { kind: 'link', deleted, link };
  const port = parseBridgePort(message);
  return port && { kind: 'bridge-port', deleted, ...port };
}

function neighbourEvent(message: Message, deleted: boolean): NetlinkEvent | null {
  const entry = parseFdbEntry(message);
  if (entry !== null) return { kind: 'fdb', deleted, entry };
  const neighbour = parseNeighbour(message);
  return neighbour && { kind: 'neighbour', deleted, neighbour };
}

// Notices when others change what is ours: rtnetlink for links, ports, addresses, routes and forwarding entries; nfnetlink's
// generation messages for packet filters; netconf messages for the forwarding switches. It only says that it is worth
// looking: a look that finds nothing costs little, so that events need no exact meaning. Looks are coalesced.

import { setImmediate } from 'node:timers/promises';
import type { Log } from '../../base/capabilities.ts';
import {
  NETLINK_NETFILTER,
  NETLINK_ROUTE,
  openNetlinkMonitor,
  type RawNetlinkEvent,
  type RawNetlinkMonitor,
} from '../native.ts';
import { RtnetlinkMonitor } from '../netlink/monitor.ts';
import type { NetlinkEvent } from '../netlink/objects.ts';
import { tellsOfForwarding } from './netconf.ts';
import { parseGenerations } from './nft-generation.ts';

/** From the first event to the look: a flush and its refill by others are one look. */
const SETTLE_MS = 100;
/** Between two looks: a chatty firewall must not keep us busy. */
const PAUSE_MS = 1_000;
/** After the kernel closed a monitor on us. */
const REOPEN_MS = 5_000;

/** NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h. */
const GROUP_NFTABLES = 7;
/** RTNLGRP_IPV4_NETCONF and RTNLGRP_IPV6_NETCONF of linux/rtnetlink.h. */
const GROUPS_NETCONF = [24, 25];

export interface ChangeWatchOptions {
  readonly log: Log;
  /** True when the event may be a change of ours by others. */
  readonly isRelevant: (event: NetlinkEvent) => boolean;
  /** True for netlink sockets, by port id, whose packet filter transactions are our own. */
  readonly isOurSocket: (portId: number) => boolean;
  /** Never runs twice at once; a rejection is logged. */
  readonly look: () => Promise<void>;
}

export class ChangeWatch {
  readonly #options: ChangeWatchOptions;
  #monitors: (RtnetlinkMonitor | RawNetlinkMonitor)[] = [];
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #again = false;
  #closed = false;

  constructor(options: ChangeWatchOptions) {
    this.#options = options;
  }

  /** Throws NetlinkError when a monitor can't be opened. */
  open(): void {
    const { isRelevant, isOurSocket } = this.#options;
    this.#monitors.push(
      RtnetlinkMonitor.open(['links', 'addresses', 'routes', 'neighbours'], (event) => {
        if (event.kind === 'failed') this.#reopen(event.why);
        else if (event.kind === 'overrun' || isRelevant(event)) this.#schedule(SETTLE_MS);
      }),
    );
    const byOthers = (bytes: Uint8Array): boolean => parseGenerations(bytes).some(({ portId }) => !isOurSocket(portId));
    this.#listen(NETLINK_NETFILTER, [GROUP_NFTABLES], byOthers);
    this.#listen(NETLINK_ROUTE, GROUPS_NETCONF, tellsOfForwarding);
  }

  /** Ends with the look under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#closeMonitors();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    await this.#looking;
  }

  #listen(protocol: number, groups: readonly number[], matters: (bytes: Uint8Array) => boolean): void {
    const listener = (event: RawNetlinkEvent): void => {
      if (event.kind === 'failed') this.#reopen(event.error.message);
      else if (event.kind === 'overrun' || matters(event.bytes)) this.#schedule(SETTLE_MS);
    };
    this.#monitors.push(openNetlinkMonitor(protocol, groups, null, listener));
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    if (this.#looking !== null) this.#again = true;
    else this.#timer ??= setTimeout(() => this.#look(), delayMs);
  }

  #look(): void {
    this.#timer = null;
    this.#looking = this.#options
      .look()
      .catch((error: unknown) => this.#options.log.error('repairing the host network failed', { why: String(error) }))
      .finally(() => {
        this.#looking = null;
        if (!this.#again) return;
        this.#again = false;
        this.#schedule(PAUSE_MS);
      });
  }

  /** Without monitors, looking now and then is all that is left. */
  #reopen(why: string): void {
    if (this.#closed) return;
    this.#options.log.warn('a netlink monitor failed', { why });
    this.#closeMonitors();
    setTimeout(() => {
      if (this.#closed) return;
      try {
        this.open();
      } catch (error) {
        this.#reopen(String(error));
      }
      this.#schedule(0);
    }, REOPEN_MS).unref();
  }

  #closeMonitors(): void {
    for (const monitor of this.#monitors) monitor.close();
    this.#monitors = [];
  }
}

/**
 * Resolves when the event loop has read what the kernel told of a change before it acknowledged it: one turn for the events that
 * were polled together with the acknowledgement, one more for those behind.
 */
export async function eventsHeard(): Promise<void> {
  await setImmediate();
  await setImmediate();
}

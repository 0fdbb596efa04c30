// Watches one network namespace: links, bridge ports, addresses, routes, neighbours and forwarding entries as events.
import type { NetlinkEvent } from './objects.ts';

export type WatchedGroup = 'links' | 'addresses' | 'routes' | 'neighbours';

export declare class RtnetlinkMonitor {
  /** `listener` runs on the JS thread for each message; `neighbours` includes forwarding entries. Throws NetlinkError. */
  static open(
    groups: readonly WatchedGroup[],
    listener: (event: NetlinkEvent) => void,
    namespaceFd?: number | null,
  ): RtnetlinkMonitor;
  /** Idempotent; no event comes after it. */
  close(): void;
}

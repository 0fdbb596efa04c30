// Holds allocation back at the start of a host that has peers, until it has heard from one: its state may be an old copy, and
// then peers hold newer records of its own leases, which it must adopt before it gives any address out (DESIGN: Leases). A
// host whose peers are all unreachable goes on after a while: gifts are durable on both sides, so its own state is then the
// best there is.

import type { Cancel, Timers } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';

/** Three round trips of reconciliation on any network that carries a cluster. */
const AFTER_LINK_MS = 400;
const AT_MOST_MS = 2_000;

/**
 * True when this host's state names others: hosts that gossip kept, or owners of address blocks. The latter are durable at
 * once, gossip only after a while, so that a state from just after a join may know of a peer by its block alone.
 */
export function knowsOthers(
  self: PeerId,
  state: { readonly peers: Iterable<PeerId>; readonly blockOwners: Iterable<PeerId> },
): boolean {
  return [...state.peers, ...state.blockOwners].some((peer) => peer !== self);
}

export class SyncGate {
  readonly opened: Promise<void>;
  readonly #timers: Timers;
  #open: () => void = () => undefined;
  #cancel: Cancel | null = null;
  #linked = false;
  isOpen = false;

  /** `isOpened` is called once, before whoever awaits {@link opened} goes on. */
  constructor(timers: Timers, isOpened: () => void) {
    this.#timers = timers;
    this.opened = new Promise((resolve) => {
      this.#open = () => {
        if (this.isOpen) return;
        this.isOpen = true;
        this.stop();
        isOpened();
        resolve();
      };
    });
  }

  /** A host without peers has nobody to hear from. */
  start({ hasPeers }: { readonly hasPeers: boolean }): void {
    if (!hasPeers) this.#open();
    else if (!this.#linked) this.#openIn(AT_MOST_MS);
  }

  linkUp(): void {
    if (this.#linked || this.isOpen) return;
    this.#linked = true;
    this.#openIn(AFTER_LINK_MS);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #openIn(ms: number): void {
    this.stop();
    this.#cancel = this.#timers.after(ms, () => this.#open());
  }
}

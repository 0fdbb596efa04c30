// Holds allocation back at the start of a host that has peers, until it has heard from one: its state may be an old copy, and
// then peers hold newer records of its own leases, which it must adopt before it gives any address out (DESIGN: Leases). A
// host whose peers are all unreachable goes on after a while: gifts are durable on both sides, so its own state is then the
// best there is. A peer that answers but has not decided yet is not unreachable: it may be about to say that we are a clone.

import type { Cancel, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { Member } from './member.ts';

/** Three round trips of reconciliation on any network that carries a cluster. */
const AFTER_LINK_MS = 400;
/** Where hosts have links to a few only, a clone of us is told of us through others, and its answer comes back through others. */
const AFTER_LINK_PARTIAL_MS = 2_000;
const AT_MOST_MS = 2_000;
/** A greeting is decided after 5 s at the latest; more of them in a row must not hold a host up for ever. */
const GREETING_AT_MOST_MS = 10_000;
const GREETING_POLL_MS = 200;

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

/** Closes the gate of a host that comes back to others; of any other one it opens at once. */
export function startGate(
  gate: SyncGate,
  { directory, spaces, attachments }: Pick<Member, 'directory' | 'spaces' | 'attachments'>,
  { resumed }: { readonly resumed: boolean },
): void {
  const peers = directory.peers().map(([peer]) => peer);
  const blockOwners = spaces.leases().map(({ peer }) => peer);
  const hasPeers = resumed && knowsOthers(attachments.self, { peers, blockOwners });
  if (hasPeers && !gate.isOpen) {
    const why = 'this host has to hear from a peer first';
    spaces.setAllocating(new FabricError('syncing', { what: 'no address is given out yet', why }));
  }
  gate.start({ hasPeers });
}

export class SyncGate {
  readonly opened: Promise<void>;
  readonly #timers: Timers;
  readonly #isGreeting: () => boolean;
  #open: () => void = () => undefined;
  #cancel: Cancel | null = null;
  #linked = false;
  isOpen = false;

  /**
   * `isGreeting`: a peer has answered, and whether it becomes a link is open. `isOpened` is called once, before whoever
   * awaits {@link opened} goes on.
   */
  constructor(timers: Timers, isGreeting: () => boolean, isOpened: () => void) {
    this.#timers = timers;
    this.#isGreeting = isGreeting;
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
    else if (!this.#linked) this.#openUnlessGreeting(AT_MOST_MS, AT_MOST_MS);
  }

  /** `isPartial`: not every host of this cluster is linked to every other one. */
  linkUp({ isPartial }: { readonly isPartial: boolean }): void {
    if (this.#linked || this.isOpen) return;
    this.#linked = true;
    const ms = isPartial ? AFTER_LINK_PARTIAL_MS : AFTER_LINK_MS;
    this.#openUnlessGreeting(ms, ms); // who still decides may be linked to a clone of us, of which the first one knows nothing
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #openUnlessGreeting(ms: number, waitedMs: number): void {
    this.stop();
    this.#cancel = this.#timers.after(ms, () => {
      if (waitedMs >= GREETING_AT_MOST_MS || !this.#isGreeting()) this.#open();
      else this.#openUnlessGreeting(GREETING_POLL_MS, waitedMs + GREETING_POLL_MS);
    });
  }
}

// Has the kernel free container ports that departed: down, off the bridge, and marked by alias and interface group. Freeing one
// takes the kernel 10 to 20 ms of waiting for RCU, and as long for a hundred at once, so that whoever is marked while a deletion
// runs goes with the next one. Invariant: whoever was marked is freed, also when a daemon died in between: its successor finds
// the marks in the kernel.

import type { Log } from '../../base/capabilities.ts';
import { isMissing } from '../netlink/errors.ts';
import type { Link, LinkSettings } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import { DEPARTED_ALIAS, DEPARTED_GROUP } from './names.ts';

/** What makes a port a departed one. One message: there is no moment in which it is half of that. */
export const DEPARTED: LinkSettings = { up: false, master: null, alias: DEPARTED_ALIAS, group: DEPARTED_GROUP };

export function isDeparted({ kind, alias }: Link): boolean {
  return kind === 'veth' && alias === DEPARTED_ALIAS;
}

export class InterfaceReaper {
  readonly #netlink: Pick<Rtnetlink, 'deleteLinkGroup' | 'deleteLink'>;
  readonly #log: Log;
  /** Those that the deletion under way may not have seen, and who waits for them. Bounded by the ports of a bridge. */
  #marked = new Map<number, () => void>();
  readonly #waits = new Map<number, Promise<void>>();
  #running: Promise<void> | null = null;

  /** `netlink`: a socket of its own, for nobody else shall wait for deletions. */
  constructor(netlink: Pick<Rtnetlink, 'deleteLinkGroup' | 'deleteLink'>, log: Log) {
    this.#netlink = netlink;
    this.#log = log;
  }

  /** Resolves when the kernel has freed this link, which is marked already; never rejects. Idempotent. */
  free(index: number): Promise<void> {
    const known = this.#waits.get(index);
    if (known !== undefined) return known;
    const freed = new Promise<void>((resolve) => this.#marked.set(index, resolve));
    this.#waits.set(index, freed);
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return freed;
  }

  /** Resolves when nothing is left to free. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#marked.size > 0) {
      const batch = this.#marked;
      this.#marked = new Map();
      await this.#deleteAll([...batch.keys()]);
      for (const [index, resolve] of batch) {
        this.#waits.delete(index);
        resolve();
      }
    }
  }

  async #deleteAll(indexes: readonly number[]): Promise<void> {
    try {
      await this.#netlink.deleteLinkGroup(DEPARTED_GROUP);
    } catch (error) {
      if (isMissing(error)) return; // their namespaces ended meanwhile, or the deletion before took them along
      // One of the group can't be deleted: the others shall not suffer for it.
      for (const index of indexes) await this.#deleteOne(index);
    }
  }

  /** What fails stays marked: the next look at the host finds it. */
  async #deleteOne(index: number): Promise<void> {
    try {
      await this.#netlink.deleteLink(index);
    } catch (error) {
      if (isMissing(error)) return;
      this.#log.error('a departed container port could not be freed', { index, why: String(error) });
    }
  }
}

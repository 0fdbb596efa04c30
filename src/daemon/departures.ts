// Attachments that are being removed, and interfaces of removed ones that are down and off the bridge, and that the kernel has not
// freed yet: about 20 ms, for which no runtime waits. Invariant: nothing of theirs is used anew before that. In the namespace the
// old interface still has its routes, so that a new one there would get no default route; its name is taken, and so is an address
// or a MAC that someone asks for.

import type { Mac } from '../base/ids.ts';

/** What an attachment occupies until its interface is gone. */
export interface Occupant {
  /** Null: none that anybody else could have. */
  readonly mac: Mac | null;
  readonly hostIfname: string;
  readonly ips: readonly string[];
  /** Device and inode; empty where a runtime moves the interface and never names the namespace. */
  readonly namespaceDev: string;
  readonly namespaceIno: string;
}

export class Departures {
  /** Bounded by the ports of a bridge: a port that departs makes room for another, which waits where it has to. */
  readonly #under = new Set<{ readonly occupant: Occupant; readonly over: Promise<void> }>();

  /** `gone` never rejects. */
  add(occupant: Occupant, gone: Promise<void>): void {
    const departure = { occupant, over: gone.then(() => void this.#under.delete(departure)) };
    this.#under.add(departure);
  }

  /** Resolves when nothing is left of those that have the interface's name, the namespace, the MAC or an address in common with it. */
  async over(newcomer: Occupant): Promise<void> {
    await Promise.all([...this.#under].filter(({ occupant }) => collides(occupant, newcomer)).map(({ over }) => over));
  }

  /** Resolves when all are over that have begun. */
  async allOver(): Promise<void> {
    await Promise.all([...this.#under].map(({ over }) => over));
  }
}

function collides(a: Occupant, b: Occupant): boolean {
  const isSamePlace = a.namespaceIno !== '' && a.namespaceDev === b.namespaceDev && a.namespaceIno === b.namespaceIno;
  const isSameMac = a.mac !== null && a.mac === b.mac;
  return isSamePlace || isSameMac || a.hostIfname === b.hostIfname || a.ips.some((ip) => b.ips.includes(ip));
}

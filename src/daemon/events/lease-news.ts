// Turns what this host owns of one network's address space into events: blocks that it begins or ceases to allocate from, and how
// much is its own. Blocks in reserve split and merge all the time; only their sum is news.

import { formatCidr } from '../../base/address.ts';
import type { LeaseRow } from '../../ipam/types.ts';
import type { Tell } from './event-kinds.ts';

/** Families whose sums are told; those of IPv6 mean nothing to people. */
const isIpv4 = ({ cidr }: LeaseRow): boolean => cidr.family === 4;

export class LeaseNews {
  readonly #tell: Tell;
  readonly #label: () => string | null;
  #active: ReadonlySet<string> = new Set();
  #addresses = 0;

  /** `label`: what the network is called; null: it is the default one, and goes without saying. */
  constructor(tell: Tell, label: () => string | null) {
    this.#tell = tell;
    this.#label = label;
  }

  /** `own`: the blocks of this host as of now. */
  changed(own: readonly LeaseRow[]): void {
    const label = this.#label();
    const [ofNetwork, inNetwork] = label === null ? ['', ''] : [` ${label}`, ` in the network ${label}`];
    const held = own.filter(({ state }) => state !== 'disputed');
    const active = new Set(held.filter(({ state }) => state === 'active').map(({ cidr }) => formatCidr(cidr)));
    const addresses = held.filter(isIpv4).reduce((sum, { size }) => sum + size, 0);
    if (addresses !== this.#addresses) {
      const what = `this host owns ${addresses} IPv4 addresses of the network${ofNetwork}, ${this.#addresses} before`;
      this.#tell({ kind: 'lease-space', what });
    }
    for (const block of active) {
      if (!this.#active.has(block)) {
        this.#tell({
          kind: 'lease-active',
          what: `addresses are given out of ${block} now${inNetwork}`,
          subject: block,
        });
      }
    }
    for (const block of this.#active) {
      if (!active.has(block)) {
        this.#tell({
          kind: 'lease-idle',
          what: `no address is given out of ${block} any more${inNetwork}`,
          subject: block,
        });
      }
    }
    this.#active = active;
    this.#addresses = addresses;
  }
}

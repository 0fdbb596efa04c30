// One claim, several who keep tables of claims: routes by MAC, the zone by name. Each hears of every claim, in the same order.

import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';

export interface ClaimKeeper {
  /** A claim was published or changed. */
  claim(author: PeerId, record: AttachmentRecord): void;
  /** Unknown claims are no error. */
  withdraw(author: PeerId, network: Vni, mac: Mac): void;
}

export function keptByAll(...keepers: readonly ClaimKeeper[]): ClaimKeeper {
  return {
    claim: (author, record) => {
      for (const keeper of keepers) keeper.claim(author, record);
    },
    withdraw: (author, network, mac) => {
      for (const keeper of keepers) keeper.withdraw(author, network, mac);
    },
  };
}

// Devices on our bridge that fabric did not attach (a virtual machine's tap, a NIC that an operator added): the datapath
// reports their MACs, this host announces them, so that their frames are no unknown unicast anywhere. An entry ages out and
// is learned again while the device speaks; one that speaks on another host's bridge since (a virtual machine that migrated) is
// that host's by a higher mobility sequence, and ends here. There are at most a few hundred, so that nobody floods the cluster's
// records.

import type { Clock } from '../base/capabilities.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type { ClaimKeeper } from './claim-keepers.ts';
import type { OwnPresence } from './own-presence.ts';

const DEVICES_MAX = 256;
/** As the ageing time of a Linux bridge. */
const AGE_MS = 300_000;

export interface ForeignDevicesPorts {
  readonly clock: Clock;
  readonly claims: Pick<OwnPresence, 'publishClaim' | 'withdrawClaim'>;
  /** False when a host or container of the network has this MAC, or it moved too often. */
  mayClaim(network: Vni, mac: Mac): boolean;
  /** False when another host's claim on this MAC counts. */
  isHere(network: Vni, mac: Mac): boolean;
  /** {@link ForeignDevices.tick} has something to do now. */
  wake(): void;
}

export class ForeignDevices implements ClaimKeeper {
  readonly #ports: ForeignDevicesPorts;
  /** In the order in which they were learned, so that the oldest is first. */
  readonly #learned = new Map<string, { readonly network: Vni; readonly mac: Mac; readonly learnedMs: number }>();
  /** MACs that came when the table was full. */
  refused = 0;

  constructor(ports: ForeignDevicesPorts) {
    this.#ports = ports;
  }

  /** Their addresses are not announced: only leases say who holds an address. */
  learned(network: Vni, mac: Mac): void {
    const key = `${network}/${mac}`;
    if (this.#learned.has(key) || !this.#ports.mayClaim(network, mac)) return;
    if (this.#learned.size >= DEVICES_MAX) {
      this.refused++;
      return;
    }
    this.#ports.claims.publishClaim({ network, mac, ips: [], sequence: 0, name: '', kind: 'foreign' });
    this.#learned.set(key, { network, mac, learnedMs: this.#ports.clock.monotonicMs() }); // now it is said: a disk may be full
    this.#ports.wake();
  }

  claim(_author: PeerId, { network, mac }: AttachmentRecord): void {
    if (this.#learned.has(`${network}/${mac}`)) this.#ports.wake();
  }

  /** Whose device it was does not make it ours. */
  withdraw(): void {}

  /** Withdraws what is too old or is elsewhere; returns the milliseconds until the next one is too old. */
  tick(): number {
    const nowMs = this.#ports.clock.monotonicMs();
    let nextMs = AGE_MS;
    for (const [key, { network, mac, learnedMs }] of this.#learned) {
      const leftMs = learnedMs + AGE_MS - nowMs;
      if (leftMs > 0 && this.#ports.isHere(network, mac)) {
        nextMs = Math.min(nextMs, leftMs);
        continue;
      }
      this.#ports.claims.withdrawClaim(network, mac);
      this.#learned.delete(key);
    }
    return nextMs;
  }
}

// Devices on our bridge that fabric did not attach (a virtual machine's tap, a NIC that an operator added): the datapath
// reports their MACs, this host announces them, so that their frames are no unknown unicast anywhere. An entry ages out and
// is learned again while the device speaks; there are at most a few hundred, so that nobody floods the cluster's records.

import type { Clock } from '../base/capabilities.ts';
import type { Mac, Vni } from '../base/ids.ts';
import type { OwnPresence } from './own-presence.ts';

const DEVICES_MAX = 256;
/** As the ageing time of a Linux bridge. */
const AGE_MS = 300_000;

export interface ForeignDevicesPorts {
  readonly clock: Clock;
  readonly claims: Pick<OwnPresence, 'publishClaim' | 'withdrawClaim'>;
  /** True when a host or container of the network already holds this MAC. */
  macTaken(network: Vni, mac: Mac): boolean;
}

export class ForeignDevices {
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
    if (this.#learned.has(key) || this.#ports.macTaken(network, mac)) return;
    if (this.#learned.size >= DEVICES_MAX) {
      this.refused++;
      return;
    }
    this.#learned.set(key, { network, mac, learnedMs: this.#ports.clock.monotonicMs() });
    this.#ports.claims.publishClaim({ network, mac, ips: [], sequence: 0, name: '', kind: 'foreign' });
  }

  /** Withdraws what is too old; returns the milliseconds until the next one is. */
  tick(): number {
    const nowMs = this.#ports.clock.monotonicMs();
    for (const [key, { network, mac, learnedMs }] of this.#learned) {
      const leftMs = learnedMs + AGE_MS - nowMs;
      if (leftMs > 0) return leftMs;
      this.#learned.delete(key);
      this.#ports.claims.withdrawClaim(network, mac);
    }
    return AGE_MS;
  }
}

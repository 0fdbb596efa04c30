// Decides when a MAC that the tables do not have here is worth an event: foreign devices on the bridge are reported, not each of
// their frames, and a flood of invented MACs costs a bounded number of events and a bounded memory.

import type { Mac, Vni } from '../base/ids.ts';
import { ForwardingRate } from './forwarding-rate.ts';

/** From the Datapath contract: `learned` fires at most ten times a second. */
const EVENTS_PER_SECOND = 10;
/** Our tuning: the same MAC and address again only after this long, should the control plane not take it in. */
const REPEAT_MS = 10_000;
const REMEMBERED_MAX = 1024;

export interface Sighting {
  readonly network: Vni;
  readonly mac: Mac;
  /** The address that its frame shows to be its own; null: it shows none. */
  readonly ip: string | null;
  /** The tables have the MAC at a peer. */
  readonly elsewhere: boolean;
}

export class ForwardingStrangers {
  readonly #rate = new ForwardingRate({ perSecond: EVENTS_PER_SECOND, burst: EVENTS_PER_SECOND });
  /** When each was reported, oldest first. */
  readonly #reported = new Map<string, number>();

  /** True when this sighting shall be reported. One of a MAC that the tables have elsewhere is another than of one in none. */
  notice({ network, mac, ip, elsewhere }: Sighting, nowMs: number): boolean {
    const key = `${network} ${mac} ${ip ?? ''} ${elsewhere ? 'elsewhere' : ''}`;
    const lastMs = this.#reported.get(key);
    if (lastMs !== undefined && nowMs - lastMs < REPEAT_MS) return false;
    if (!this.#rate.take(nowMs)) return false;
    this.#reported.delete(key);
    this.#reported.set(key, nowMs);
    if (this.#reported.size > REMEMBERED_MAX) {
      for (const oldest of this.#reported.keys()) {
        this.#reported.delete(oldest);
        break;
      }
    }
    return true;
  }
}

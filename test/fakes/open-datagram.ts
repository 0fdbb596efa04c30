// What simulated hosts send each other on a tunnel's session: key and counter in the open, so that whoever receives a datagram knows
// whether it could have read it; and one datagram inside another, for a relay (src/router/relay-message.ts).

import type { PeerId } from '../../src/base/ids.ts';
import type { PeerCounters } from '../../src/router/datapath.ts';
import type { RelayedDatagram } from '../../src/router/relay-message.ts';

export interface DataDatagram {
  readonly receiverIndex: number;
  readonly key: string;
  readonly counter: number;
  readonly kind: 'data' | 'keepalive' | 'probe' | 'answer' | 'relay';
  /** Of the outer IP packet; of an answer: that of its probe. */
  readonly bytes: number;
  /** Of a relay. */
  readonly relayed?: Relayed;
}

export interface Relayed extends Omit<RelayedDatagram, 'datagram'> {
  /** A handshake as it is, or data. */
  readonly datagram: Uint8Array | DataDatagram;
  /** What no real one shows: how many hosts have passed it on. Absent: none. */
  readonly passed?: number;
}

export type OpenCounters = { -readonly [K in keyof PeerCounters]: PeerCounters[K] };

export function noCounters(peer: PeerId): OpenCounters {
  const none = { lastDataSentMs: null, lastDataReceivedMs: null, lastReceivedMs: null };
  return { peer, txFrames: 0, txBytes: 0, rxFrames: 0, rxBytes: 0, drops: {}, ...none };
}

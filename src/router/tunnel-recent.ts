// The peers that had a tunnel lately, kept in the store: a daemon whose sessions died with it initiates to them at once, so
// that peers which still send into the dead sessions get new ones before their 15 s of silence are over. Bounded; written
// only when something changes.

import { concatBytes, equalBytes, utf8 } from '../base/bytes.ts';
import type { Log, Store } from '../base/capabilities.ts';
import { type Endpoint, formatEndpoint, makeEndpoint, parseHostPort } from '../base/endpoint.ts';
import { type PeerId, parsePeerId } from '../base/ids.ts';
import { DH_BYTES } from './noise.ts';

const SPACE = 'tunnels-recent';
const RECENT_MAX = 1_024;

export interface RecentPeer {
  readonly peer: PeerId;
  readonly staticKey: Uint8Array;
  readonly endpoint: Endpoint;
}

export class RecentPeers {
  readonly #store: Store;
  readonly #log: Log;
  readonly #stored = new Map<string, Uint8Array>();

  constructor({ store, log }: { store: Store; log: Log }) {
    this.#store = store;
    this.#log = log;
    for (const [key, value] of store.entries(SPACE)) this.#stored.set(key, value);
  }

  /** What was stored before this start; malformed entries are skipped. */
  list(): readonly RecentPeer[] {
    return [...this.#stored].map(([key, value]) => parse(key, value)).filter((recent) => recent !== null);
  }

  /** Losing an entry costs seconds after a restart, so a store that fails is logged and no more. */
  remember({ peer, staticKey, endpoint }: RecentPeer): void {
    const value = concatBytes(staticKey, utf8(formatEndpoint(endpoint)));
    const stored = this.#stored.get(peer);
    if (stored === undefined ? this.#stored.size >= RECENT_MAX : equalBytes(stored, value)) return;
    this.#write(() => this.#store.put(SPACE, peer, value));
    this.#stored.set(peer, value);
  }

  forget(peer: PeerId): void {
    if (!this.#stored.delete(peer)) return;
    this.#write(() => this.#store.delete(SPACE, peer));
  }

  #write(change: () => void): void {
    try {
      change();
    } catch (error) {
      this.#log.warn('recent tunnel peers not stored', { error: String(error) });
    }
  }
}

function parse(key: string, value: Uint8Array): RecentPeer | null {
  const peer = parsePeerId(key);
  const hostPort = parseHostPort(new TextDecoder().decode(value.subarray(DH_BYTES)));
  const endpoint = hostPort === null ? null : makeEndpoint(hostPort.host, hostPort.port);
  return peer === null || endpoint === null ? null : { peer, staticKey: value.slice(0, DH_BYTES), endpoint };
}

// Answers of other servers, as they came, for as long as their records allow: the least TTL of an answer counts for all of it, a
// negative one lives as its SOA says (RFC 2308 §5). Bounded in number and size; what was not used longest goes first.

import type { Clock } from '../base/capabilities.ts';
import { FLAG, RCODE, TYPE, type WalkedMessage } from './wire.ts';

export const CACHED_ANSWERS_MAX = 4096;
/** Larger answers are rare, and cheaper to ask for again than to keep: with the above, 16 MiB at most. */
export const CACHED_BYTES_MAX = 4096;
/** Nothing is believed longer, whatever its TTL: an hour for what is there, five minutes for what is not (RFC 2308 §5). */
const TTL_S_MAX = 3600;
const NEGATIVE_TTL_S_MAX = 300;
/** Above this a TTL has the top bit set and counts as zero (RFC 2181 §8). */
const TTL_S_VALID_MAX = 0x7fff_ffff;

interface Cached {
  readonly bytes: Uint8Array;
  readonly ttlOffsets: readonly number[];
  readonly storedMs: number;
  readonly expiresMs: number;
}

export class AnswerCache {
  readonly #clock: Clock;
  /** The least recently used first. */
  readonly #answers = new Map<string, Cached>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** A copy whose TTLs have aged; null: not there, or no longer. */
  get(key: string): Uint8Array | null {
    const cached = this.#answers.get(key);
    if (cached === undefined) return null;
    const nowMs = this.#clock.monotonicMs();
    this.#answers.delete(key);
    if (nowMs >= cached.expiresMs) return null;
    this.#answers.set(key, cached);
    const bytes = new Uint8Array(cached.bytes);
    const view = new DataView(bytes.buffer);
    const agedS = Math.floor((nowMs - cached.storedMs) / 1000);
    for (const offset of cached.ttlOffsets)
      view.setUint32(offset, Math.max(0, validTtl(view.getUint32(offset)) - agedS));
    return bytes;
  }

  /** Keeps a copy of what may be kept. */
  put(key: string, bytes: Uint8Array, message: WalkedMessage): void {
    const ttlS = timeToLiveS(bytes, message);
    if (ttlS === 0 || bytes.length > CACHED_BYTES_MAX) return;
    const storedMs = this.#clock.monotonicMs();
    const ttlOffsets = message.records.filter(({ type }) => type !== TYPE.OPT).map(({ ttlOffset }) => ttlOffset);
    this.#answers.delete(key);
    this.#answers.set(key, { bytes: new Uint8Array(bytes), ttlOffsets, storedMs, expiresMs: storedMs + ttlS * 1000 });
    if (this.#answers.size > CACHED_ANSWERS_MAX) this.#answers.delete(this.#answers.keys().next().value!);
  }
}

/** Seconds; 0: not to be kept. */
function timeToLiveS(bytes: Uint8Array, { rcode, flags, records }: WalkedMessage): number {
  if ((flags & FLAG.truncated) !== 0 || (rcode !== RCODE.noError && rcode !== RCODE.nxDomain)) return 0;
  const answers = records.filter(({ section }) => section === 'answer');
  const soa = records.find(({ section, type }) => section === 'authority' && type === TYPE.SOA);
  const ttls = answers.map(({ ttl }) => validTtl(ttl));
  // With a SOA the chain of aliases in the answer ends in nothing: both must live.
  if (soa !== undefined && soa.dataBytes >= 4) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    ttls.push(validTtl(soa.ttl), view.getUint32(soa.dataOffset + soa.dataBytes - 4), NEGATIVE_TTL_S_MAX);
  } else if (answers.length === 0 || rcode === RCODE.nxDomain) return 0;
  return Math.min(TTL_S_MAX, ...ttls);
}

function validTtl(ttl: number): number {
  return ttl > TTL_S_VALID_MAX ? 0 : ttl;
}

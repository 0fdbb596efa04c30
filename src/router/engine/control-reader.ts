// Reads the fields of a message from the engine (docs/engine-control.md), one behind the other. Invariant: it never throws;
// after the first field that is not there, all are empty and the message is not `finished`.

import { formatIp, ipFromBytes } from '../../base/address.ts';
import type { AeadCipher } from '../../base/capabilities.ts';
import type { Endpoint } from '../../base/endpoint.ts';
import { type Mac, macFromBytes, PEER_ID_BYTES, type PeerId } from '../../base/ids.ts';
import { DROP_REASONS, type DropReason } from '../frame-drops.ts';
import type { TunnelPath } from '../tunnel-path.ts';

export const CIPHER_NUMBERS: Readonly<Record<AeadCipher, number>> = { 'aes-256-gcm': 1, 'chacha20-poly1305': 2 };

/** In the place of an address's family: two peers follow, the relay and whom it leads to. */
export const RELAY_FAMILY = 1;

export class ControlReader {
  readonly #bytes: Buffer;
  #at = 0;
  #good = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get finished(): boolean {
    return this.#good && this.#at === this.#bytes.length;
  }

  u8(): number {
    return this.#take(1)[0] ?? 0;
  }

  u16(): number {
    const bytes = this.#take(2);
    return bytes.length === 0 ? 0 : bytes.readUInt16BE();
  }

  u32(): number {
    const bytes = this.#take(4);
    return bytes.length === 0 ? 0 : bytes.readUInt32BE();
  }

  /** Counters stay below 2^53. */
  u64(): number {
    const high = this.u32();
    return high * 0x1_0000_0000 + this.u32();
  }

  timeMs(): number | null {
    const us = this.u64();
    return us === 0 ? null : us / 1000;
  }

  peer(): PeerId {
    return this.#take(PEER_ID_BYTES).toString('hex') as PeerId;
  }

  mac(): Mac {
    const bytes = this.#take(6);
    return macFromBytes(bytes.length === 0 ? new Uint8Array(6) : bytes);
  }

  /** Null: none, or malformed. */
  ip(): string | null {
    return this.#ipOf(this.u8());
  }

  endpoint(): Endpoint | null {
    const ip = this.ip();
    const port = this.u16();
    return ip === null ? null : { ip, port };
  }

  /** Null: none, or malformed. Family 0 is none, and has no port. */
  path(): TunnelPath | null {
    const family = this.u8();
    if (family === RELAY_FAMILY) return { relay: this.peer(), peer: this.peer() };
    const ip = this.#ipOf(family);
    return ip === null ? null : { ip, port: this.u16() };
  }

  text(): string {
    return this.#take(this.u16()).toString('utf8');
  }

  /** Those of `names` whose bits are set; further bits are of a later version. */
  flags<T extends string>(names: readonly T[], bits = this.u32()): readonly T[] {
    return names.filter((_, bit) => (bits & (1 << bit)) !== 0);
  }

  cipher(): AeadCipher {
    const number = this.u8();
    const known = Object.entries(CIPHER_NUMBERS).find(([, value]) => value === number);
    if (known === undefined) this.#good = false;
    return (known?.[0] ?? 'aes-256-gcm') as AeadCipher;
  }

  /** One of `values`, by its place. */
  choice<T>(values: readonly [T, ...T[]]): T {
    const value = values[this.u8()];
    if (value === undefined) this.#good = false;
    return value ?? values[0];
  }

  drops(): Partial<Record<DropReason, number>> {
    const drops: Partial<Record<DropReason, number>> = {};
    for (let left = this.u8(); left > 0 && this.#good; left--) {
      const reason = DROP_REASONS[this.u8()];
      const count = this.u64();
      if (reason === undefined) this.#good = false;
      else drops[reason] = count;
    }
    return drops;
  }

  /** A copy of all that is left. */
  rest(): Uint8Array {
    return new Uint8Array(this.#take(this.#bytes.length - this.#at));
  }

  #ipOf(family: number): string | null {
    if (family === 0) return null;
    if (family !== 4 && family !== 6) {
      this.#good = false;
      return null;
    }
    const bytes = this.#take(family === 4 ? 4 : 16);
    return bytes.length === 0 ? null : formatIp(ipFromBytes(bytes)!);
  }

  #take(bytes: number): Buffer {
    if (this.#at + bytes > this.#bytes.length) {
      this.#good = false;
      return Buffer.alloc(0);
    }
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }
}

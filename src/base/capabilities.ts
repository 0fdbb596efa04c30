// What the pure cores (gossip, ipam, router, cni-plugin) need of the world. Real ones live in src/host, simulated ones in
// test/sim; cores receive them through their constructors and never reach for a clock, a socket, a file or randomness.

import type { Explanation } from './errors.ts';

/** Milliseconds of two clocks. Intervals use `monotonicMs`; only what leaves the host may use `wallMs`. */
export interface Clock {
  /** Never steps back, also counts while the machine sleeps (CLOCK_BOOTTIME); its zero has no meaning. */
  monotonicMs(): number;
  /** Since the Unix epoch. May be years off and may step. */
  wallMs(): number;
}

/** Ends what a timer would do; once it has fired this does nothing. */
export type Cancel = () => void;

/** Calls back later, on the owner's one thread and never from within the call that asked. */
export interface Timers {
  /** The time by which `after` counts, in milliseconds: never steps back; may stand still while the machine sleeps. */
  nowMs(): number;
  /** Once, not before `ms` have passed; more than 2^31 - 1 counts as that. */
  after(ms: number, run: () => void): Cancel;
  /** Once, as soon as what runs now is over. */
  soon(run: () => void): Cancel;
}

export interface Random {
  /** Cryptographically strong in production, seeded in simulation. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). */
  fraction(): number;
}

export type AeadCipher = 'aes-256-gcm' | 'chacha20-poly1305';

/** An X25519 private key (RFC 7748), read once: reading a raw key costs ten times as much as an agreement. */
export interface X25519Key {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** What both sides compute; null when it is all zero (a low-order public key). */
  agree(publicKey: Uint8Array): Uint8Array | null;
}

/** Deterministic primitives: keys are raw bytes. No method keeps a reference to its arguments. */
export interface Crypto {
  sha256(...parts: readonly Uint8Array[]): Uint8Array;
  hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** HKDF-SHA256 with an empty salt (RFC 5869). */
  hkdfSha256(secret: Uint8Array, info: string, length: number): Uint8Array;
  /** Unkeyed BLAKE2s-256 (RFC 7693). */
  blake2s(...parts: readonly Uint8Array[]): Uint8Array;
  hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array;
  /** From 32 bytes. */
  x25519Key(privateKey: Uint8Array): X25519Key;
  /** The public key of a 32-byte Ed25519 seed (RFC 8032). */
  ed25519Public(seed: Uint8Array): Uint8Array;
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /** {@link ed25519Sign} with one key, again and again: reading a raw key costs ten times as much as the signature. */
  ed25519Signer(seed: Uint8Array): (message: Uint8Array) => Uint8Array;
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  /** Ciphertext followed by the 16-byte tag. The nonce has 12 bytes. */
  aeadSeal(cipher: AeadCipher, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array;
  /** Null when the tag does not match or the input is shorter than a tag. */
  aeadOpen(
    cipher: AeadCipher,
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | null;
  /** Constant-time; false on different lengths. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}

/**
 * Durable key-value spaces. Synchronous: when `transaction` returns, all it wrote survives a power cut, and when it
 * throws, nothing was written. Writes outside a transaction are transactions of their own. Transactions do not nest.
 */
export interface Store {
  get(space: string, key: string): Uint8Array | undefined;
  put(space: string, key: string, value: Uint8Array): void;
  delete(space: string, key: string): void;
  /** All entries of a space in ascending order of the key (by code unit); a snapshot. */
  entries(space: string): readonly (readonly [key: string, value: Uint8Array])[];
  transaction<T>(work: () => T): T;
  /**
   * What `work` writes is durable only together with the next write outside of it, which costs one sync for all. A process that
   * dies loses nothing; a power cut takes the latest of these writes first. For the steps before one that is durable, and
   * never inside a transaction.
   */
  unsynced<T>(work: () => T): T;
  /** Why nothing can be written now; null: it can, as far as is known. One that keeps nothing on a disk has none. */
  writeFault?(): Explanation | null;
}

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** Structured log. `event` is a constant phrase; what varies goes into fields. Implementations limit the rate. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

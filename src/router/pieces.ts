// Frames larger than a tunnel's path: how they are cut, and how a receiver puts them together again. All pieces of a frame have
// consecutive counters, so that counter - index names the frame and no identifier is carried. Invariant: a peer holds at most
// WHOLES_MAX incomplete frames and WHOLE_BYTES_MAX bytes of them, each no longer than TIMEOUT_MS, oldest first to go.

import { PIECES_MAX } from './wire-format.ts';

/** Our tuning. An Ethernet frame of a 64 KiB overlay fits; pieces of one frame leave back to back, so that 1 s is long. */
export const WHOLES_MAX = 32;
export const WHOLE_BYTES_MAX = 256 * 1024;
export const TIMEOUT_MS = 1000;

/** How many pieces of at most `pieceMax` bytes a frame needs; 0 when that is more than index and count can say. */
export function pieceCount(frameBytes: number, pieceMax: number): number {
  const count = Math.ceil(frameBytes / pieceMax);
  return count > PIECES_MAX ? 0 : count;
}

export interface Piece {
  readonly localIndex: number;
  readonly counter: number;
  readonly index: number;
  readonly count: number;
  /** Kept until the frame is whole or dropped: the caller hands the memory over. */
  readonly bytes: Uint8Array;
}

export type PieceDrop = 'fragment-malformed' | 'fragment-incomplete' | 'fragment-memory';

interface Whole {
  readonly localIndex: number;
  readonly firstCounter: number;
  readonly pieces: (Uint8Array | undefined)[];
  readonly startedMs: number;
  missing: number;
  bytes: number;
}

/** Reassembly for one peer. */
export class PieceAssembly {
  readonly #frameBytesMax: number;
  readonly #dropped: (reason: PieceDrop) => void;
  /** In order of their first piece. */
  readonly #wholes: Whole[] = [];
  #bytes = 0;

  /** `dropped` is called once for each frame that is given up. */
  constructor(frameBytesMax: number, dropped: (reason: PieceDrop) => void) {
    this.#frameBytesMax = frameBytesMax;
    this.#dropped = dropped;
  }

  get heldBytes(): number {
    return this.#bytes;
  }

  /** The whole frame once its last piece is there, freshly allocated. Counters arrive at most once (replay window). */
  add(piece: Piece, nowMs: number): Uint8Array | null {
    this.expire(nowMs);
    const firstCounter = piece.counter - piece.index;
    const malformed = piece.count < 2 || piece.index >= piece.count || firstCounter < 0 || piece.bytes.length === 0;
    if (malformed) {
      this.#dropped('fragment-malformed');
      return null;
    }
    const whole = this.#find(piece, firstCounter) ?? this.#begin(piece, firstCounter, nowMs);
    if (whole.pieces.length !== piece.count || whole.bytes + piece.bytes.length > this.#frameBytesMax) {
      this.#giveUp(whole, 'fragment-malformed');
      return null;
    }
    whole.pieces[piece.index] = piece.bytes;
    whole.missing--;
    whole.bytes += piece.bytes.length;
    this.#bytes += piece.bytes.length;
    if (whole.missing === 0) return this.#finish(whole);
    while (this.#bytes > WHOLE_BYTES_MAX) this.#giveUp(this.#wholes[0]!, 'fragment-memory');
    return null;
  }

  /** Gives up what waits too long; also called when counters are read, so that a silent peer holds no memory for ever. */
  expire(nowMs: number): void {
    while (this.#wholes.length > 0 && nowMs - this.#wholes[0]!.startedMs > TIMEOUT_MS) {
      this.#giveUp(this.#wholes[0]!, 'fragment-incomplete');
    }
  }

  #find(piece: Piece, firstCounter: number): Whole | undefined {
    for (const whole of this.#wholes) {
      if (whole.firstCounter === firstCounter && whole.localIndex === piece.localIndex) return whole;
    }
    return undefined;
  }

  #begin(piece: Piece, firstCounter: number, nowMs: number): Whole {
    if (this.#wholes.length >= WHOLES_MAX) this.#giveUp(this.#wholes[0]!, 'fragment-memory');
    const whole: Whole = {
      localIndex: piece.localIndex,
      firstCounter,
      pieces: new Array<Uint8Array | undefined>(piece.count).fill(undefined),
      startedMs: nowMs,
      missing: piece.count,
      bytes: 0,
    };
    this.#wholes.push(whole);
    return whole;
  }

  #finish(whole: Whole): Uint8Array {
    this.#forget(whole);
    const frame = new Uint8Array(whole.bytes);
    let offset = 0;
    for (const piece of whole.pieces) {
      frame.set(piece!, offset);
      offset += piece!.length;
    }
    return frame;
  }

  #giveUp(whole: Whole, reason: PieceDrop): void {
    this.#forget(whole);
    this.#dropped(reason);
  }

  #forget(whole: Whole): void {
    this.#wholes.splice(this.#wholes.indexOf(whole), 1);
    this.#bytes -= whole.bytes;
  }
}

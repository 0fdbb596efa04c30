// Frames that wait for a peer's first session. Few and small: a handshake takes one round trip, and a flow that gets no
// answer sends again. Invariant: at most FRAMES_MAX frames and BYTES_MAX bytes; the oldest goes first.

import type { Vni } from '../../base/ids.ts';

export const FRAMES_MAX = 64;
export const BYTES_MAX = 64 * 1024;

export interface WaitingFrame {
  readonly network: Vni;
  readonly bytes: Uint8Array;
}

export class WaitingFrames {
  #frames: WaitingFrame[] = [];
  #bytes = 0;

  get length(): number {
    return this.#frames.length;
  }

  /** Copies the frame; returns how many frames were dropped for it (itself, when it is larger than the queue). */
  push(network: Vni, frame: Uint8Array): number {
    if (frame.length > BYTES_MAX) return 1;
    this.#frames.push({ network, bytes: new Uint8Array(frame) });
    this.#bytes += frame.length;
    let dropped = 0;
    while (this.#frames.length > FRAMES_MAX || this.#bytes > BYTES_MAX) {
      this.#bytes -= this.#frames.shift()!.bytes.length;
      dropped++;
    }
    return dropped;
  }

  /** Empties the queue. */
  take(): readonly WaitingFrame[] {
    const frames = this.#frames;
    this.#frames = [];
    this.#bytes = 0;
    return frames;
  }
}

// Takes what gossip tells of others' records to the directory, once: gossip tells each change a single time, and whoever hears of it
// may have to write (a lease that is ours now, a network, a token, a vote). What a full disk keeps from being written is taken
// in later; the rest of the author's records is not held up by it. Invariant: of a record the last change counts.

import type { Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { RecordChange } from '../gossip/gossip.ts';
import { Ticker } from './ticker.ts';

const AGAIN_MS = 1_000;

export interface RecordIntakePorts {
  readonly timers: Timers;
  /** Repeats must change nothing. Throws a FabricError when it could not write. */
  apply(author: PeerId, change: RecordChange): void;
  failed(error: FabricError): void;
}

export class RecordIntake {
  readonly #ports: RecordIntakePorts;
  readonly #ticker: Ticker;
  /** By author and key; as large as their maps at most. */
  readonly #waiting = new Map<PeerId, Map<string, Uint8Array | null>>();

  constructor(ports: RecordIntakePorts) {
    this.#ports = ports;
    this.#ticker = new Ticker(ports.timers, () => this.#tick(), ports.failed);
  }

  take(author: PeerId, changes: readonly RecordChange[]): void {
    const waiting = this.#waiting.get(author) ?? new Map<string, Uint8Array | null>();
    let refusal: FabricError | null = null;
    for (const change of changes) {
      const error = this.#refusal(author, change);
      if (error === null) waiting.delete(change.key);
      else waiting.set(change.key, change.value);
      refusal ??= error;
    }
    if (refusal !== null) this.#ports.failed(refusal);
    if (waiting.size === 0) this.#waiting.delete(author);
    else {
      this.#waiting.set(author, waiting);
      this.#ticker.wake(AGAIN_MS);
    }
  }

  stop(): void {
    this.#ticker.stop();
  }

  #tick(): number {
    for (const [author, waiting] of [...this.#waiting]) {
      this.take(
        author,
        Array.from(waiting, ([key, value]) => ({ key, value })),
      );
    }
    return this.#waiting.size === 0 ? Number.POSITIVE_INFINITY : AGAIN_MS;
  }

  #refusal(author: PeerId, change: RecordChange): FabricError | null {
    try {
      this.#ports.apply(author, change);
      return null;
    } catch (error) {
      if (!(error instanceof FabricError)) throw error;
      return error;
    }
  }
}

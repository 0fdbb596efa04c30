// Work that the network or a timer starts and that may have to write durable state. When the store can't be written (a full
// disk) nobody waits for an error: the work counts as lost, is logged, and is repeated by whoever needs it; frames go on.
// Anything but a FabricError is a bug and passes.

import type { Log } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';

export class StoreGuard {
  readonly #log: Log;
  /** Pieces of work that were lost. */
  failures = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  run(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof FabricError)) throw error;
      this.failed(error);
    }
  }

  failed(error: FabricError): void {
    this.failures++;
    this.#log.error('the state of this host could not be written', { reason: error.message });
  }
}

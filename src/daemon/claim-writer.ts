// Claims of containers on their way into this host's records: those of one turn of the event loop become one version, with one
// signature and one sync to the disk. A hundred ADDs at once wait for a few syncs, and a single one, whose turn is over while the
// kernel looks at its namespace, waits for none. Invariant: nobody hears of a claim before it is durable.

import type { Timers } from '../base/capabilities.ts';
import type { Mac, Vni } from '../base/ids.ts';
import type { AttachmentRecord } from '../base/records.ts';

export type ClaimChange =
  | { readonly kind: 'publish'; readonly record: AttachmentRecord }
  | { readonly kind: 'withdraw'; readonly network: Vni; readonly mac: Mac };

export interface ClaimWriterPorts {
  readonly timers: Pick<Timers, 'soon'>;
  /** All of them or, when it throws, none; durable when it returns. */
  write(changes: readonly ClaimChange[]): void;
}

interface Waiting {
  readonly change: ClaimChange;
  resolve(): void;
  reject(error: unknown): void;
}

export class ClaimWriter {
  readonly #ports: ClaimWriterPorts;
  /** Bounded by the operations under way. */
  #waiting: Waiting[] = [];

  constructor(ports: ClaimWriterPorts) {
    this.#ports = ports;
  }

  /** Resolves when it is durable and in our own tables; rejects with what the store says, or `limit`. */
  publish(record: AttachmentRecord): Promise<void> {
    return this.#change({ kind: 'publish', record });
  }

  /** Likewise. */
  withdraw(network: Vni, mac: Mac): Promise<void> {
    return this.#change({ kind: 'withdraw', network, mac });
  }

  #change(change: ClaimChange): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) this.#ports.timers.soon(() => this.#flush());
      this.#waiting.push({ change, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length > 1 && this.#fitsTogether(waiting)) return;
    for (const each of waiting) {
      try {
        this.#ports.write([each.change]);
        each.resolve();
      } catch (error) {
        each.reject(error);
      }
    }
  }

  /** False: one of them can't be written, or all are too many, and each is tried for itself, so that only those fail that must. */
  #fitsTogether(waiting: readonly Waiting[]): boolean {
    try {
      this.#ports.write(waiting.map(({ change }) => change));
    } catch {
      return false;
    }
    for (const each of waiting) each.resolve();
    return true;
  }
}

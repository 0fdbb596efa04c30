// Tells that containers came or went on other hosts: the first at once, what follows within a second together, because a host
// that joins brings hundreds. It names no one; fabric status and the map do.

import type { Cancel, Timers } from '../../base/capabilities.ts';
import type { PeerId } from '../../base/ids.ts';
import type { ClaimKeeper } from '../claim-keepers.ts';
import type { Tell } from './event-kinds.ts';

const TOGETHER_MS = 1_000;

export class ElsewhereNews implements ClaimKeeper {
  readonly #self: PeerId;
  readonly #timers: Pick<Timers, 'after'>;
  readonly #tell: Tell;
  #came = 0;
  #went = 0;
  #cancel: Cancel | null = null;
  #started = false;

  constructor(self: PeerId, timers: Pick<Timers, 'after'>, tell: Tell) {
    this.#self = self;
    this.#timers = timers;
    this.#tell = tell;
  }

  /** What was known before is no news. */
  start(): void {
    this.#started = true;
  }

  stop(): void {
    this.#started = false;
    this.#cancel?.();
  }

  claim(author: PeerId): void {
    this.#count(author, () => this.#came++);
  }

  withdraw(author: PeerId): void {
    this.#count(author, () => this.#went++);
  }

  #count(author: PeerId, count: () => void): void {
    if (!this.#started || author === this.#self) return;
    count();
    if (this.#cancel === null) this.#say();
  }

  #say(): void {
    const parts = [
      ...(this.#came === 0 ? [] : [`${this.#came} came or changed`]),
      ...(this.#went === 0 ? [] : [`${this.#went} went`]),
    ];
    this.#came = 0;
    this.#went = 0;
    this.#cancel = this.#timers.after(TOGETHER_MS, () => {
      this.#cancel = null;
      if (this.#came + this.#went > 0) this.#say();
    });
    this.#tell({ kind: 'elsewhere', what: `containers on other hosts: ${parts.join(', ')}` });
  }
}

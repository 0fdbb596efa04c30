// Keeps the latest events of this daemon in a ring and lets readers wait for the next one. In memory only: what must survive is
// in the log. Invariant: at most EVENTS_MAX events and WAITERS_MAX readers, whatever happens; a reader that falls behind is
// told how many events it missed.

import type { Cancel, Clock, Timers } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import type { BootId } from '../../base/ids.ts';
import type { EventPage, FabricEvent, News } from './event-kinds.ts';

/** About 300 KB; an hour of a cluster in trouble, weeks of a quiet one. */
export const EVENTS_MAX = 1_000;
/** Each is a connection that is open anyway. */
export const WAITERS_MAX = 64;
const WHAT_CHARS_MAX = 500;

export interface EventJournalOptions {
  readonly bootId: BootId;
  readonly clock: Pick<Clock, 'wallMs'>;
  readonly timers: Pick<Timers, 'after'>;
}

export class EventJournal {
  readonly #options: EventJournalOptions;
  /** Oldest first. */
  #events: FabricEvent[] = [];
  readonly #waiters = new Set<() => void>();
  #last = 0;

  constructor(options: EventJournalOptions) {
    this.#options = options;
  }

  get bootId(): BootId {
    return this.#options.bootId;
  }

  /** Numbers it, keeps it, and wakes whoever waits. */
  add({ kind, what, peer, subject }: News): void {
    this.#last++;
    const time = new Date(this.#options.clock.wallMs()).toISOString();
    const text = what.length > WHAT_CHARS_MAX ? `${what.slice(0, WHAT_CHARS_MAX)}…` : what;
    this.#events.push({
      sequence: this.#last,
      time,
      kind,
      what: text,
      peer: peer ?? null,
      subject: subject ?? null,
    });
    // Half of the ring goes at once, so that a full one costs no copy per event.
    if (this.#events.length >= EVENTS_MAX * 1.5) this.#events = this.#events.slice(-EVENTS_MAX);
    for (const wake of [...this.#waiters]) wake();
  }

  /** The events after `sequence`, at most `limit`: the oldest of them, or without a sequence the newest. */
  page({ after, limit }: { readonly after: number | null; readonly limit: number }): EventPage {
    const kept = this.#events.slice(-EVENTS_MAX);
    const { bootId } = this.#options;
    if (after === null) return { bootId, last: this.#last, lost: 0, events: kept.slice(-limit) };
    const first = kept[0]?.sequence ?? this.#last + 1;
    const events = kept.filter(({ sequence }) => sequence > after).slice(0, limit);
    return { bootId, last: this.#last, lost: Math.max(0, Math.min(first - 1, this.#last) - after), events };
  }

  /**
   * Resolves when there is an event after `sequence`, when the time is over or `givenUp` fires, whichever comes first. Rejects
   * with `limit` when too many wait already.
   */
  newsAfter(sequence: number, withinMs: number, givenUp: AbortSignal): Promise<void> {
    if (this.#last > sequence || withinMs <= 0 || givenUp.aborted) return Promise.resolve();
    if (this.#waiters.size >= WAITERS_MAX) {
      return Promise.reject(new FabricError('limit', { what: `${WAITERS_MAX} readers wait for events already` }));
    }
    return new Promise((resolve) => {
      let cancel: Cancel = () => undefined;
      const done = (): void => {
        this.#waiters.delete(done);
        givenUp.removeEventListener('abort', done);
        cancel();
        resolve();
      };
      this.#waiters.add(done);
      givenUp.addEventListener('abort', done);
      cancel = this.#options.timers.after(withinMs, done);
    });
  }

  /** Lets all who wait go; for the end of the daemon. */
  close(): void {
    for (const wake of [...this.#waiters]) wake();
  }
}

// What the page asks of the daemon, on its own origin only: the status, again whenever an event says that something changed, and
// for the rates every two seconds while somebody looks. An end of the daemon is waited out.

import { type Rates, ratesBetween } from '../src/cli/status/rates.ts';
import type { EventPage, FabricEvent } from '../src/daemon/events/event-kinds.ts';
import type { Status } from '../src/daemon/status-types.ts';
import { ask } from './ask.ts';

const RATES_EVERY_MS = 2_000;
const WAIT_S = 25;
const AGAIN_MS = 500;
const FIRST_EVENTS = 40;

export interface FeedReader {
  /** Null: no rates yet. */
  status(status: Status, rates: Rates | null): void;
  /** Oldest first. */
  events(events: readonly FabricEvent[]): void;
  /** The daemon does not answer; said once. */
  lost(): void;
}

export class Feed {
  readonly #reader: FeedReader;
  #before: Status | null = null;
  #asking = false;
  #again = false;
  #lost = false;

  constructor(reader: FeedReader) {
    this.#reader = reader;
  }

  /** Never ends. */
  start(): void {
    void this.#follow();
    setInterval(() => {
      if (document.visibilityState === 'visible') void this.#refresh();
    }, RATES_EVERY_MS);
    document.addEventListener('visibilitychange', () => void this.#refresh());
  }

  /** One question at a time; what is asked for meanwhile is asked once more. */
  async #refresh(): Promise<void> {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    try {
      do {
        this.#again = false;
        const status = await ask<Status>('/v1/status');
        this.#lost = false;
        this.#reader.status(status, ratesBetween(this.#before, status));
        this.#before = status;
      } while (this.#again);
    } catch {
      this.#miss();
    } finally {
      this.#asking = false;
    }
  }

  async #follow(): Promise<never> {
    let after = '';
    for (;;) {
      try {
        const first = after === '';
        const page = first
          ? await ask<EventPage>(`/v1/events?limit=${FIRST_EVENTS}`)
          : await ask<EventPage>(`/v1/events?${after}&wait=${WAIT_S}`, WAIT_S * 1000);
        after = `after=${page.events.at(-1)?.sequence ?? page.last}&boot=${page.bootId}`;
        if (page.events.length > 0) this.#reader.events(page.events);
        if (first || page.events.length > 0) await this.#refresh();
      } catch {
        this.#miss();
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  #miss(): void {
    if (!this.#lost) this.#reader.lost();
    this.#lost = true;
  }
}

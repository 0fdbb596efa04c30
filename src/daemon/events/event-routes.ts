// GET /v1/events, on the local API and on the HTTP port alike: what happened after a sequence number, or, when nothing did, a
// wait for the next event. A long poll rather than a stream: each answer is whole, an end of the daemon is an end of a request,
// and a reader says itself how far it has come.

import { FabricError } from '../../base/errors.ts';
import type { ApiRoutes } from '../local-api.ts';
import { EVENTS_MAX, type EventJournal } from './event-journal.ts';
import type { EventPage } from './event-kinds.ts';

/** Below the idle limits of both servers. */
const WAIT_S_MAX = 30;

/**
 * `after` (absent: the newest), `wait` seconds for the next when there is none (0 to 30), `limit`, and `boot`, whose sequence
 * `after` is: that of another run is taken as 0. Rejects with `usage` or `limit`.
 */
export async function eventPage(
  journal: EventJournal,
  query: URLSearchParams,
  closed: AbortSignal,
): Promise<EventPage> {
  const limit = number(query, 'limit', 1, EVENTS_MAX) ?? EVENTS_MAX;
  const waitS = number(query, 'wait', 0, WAIT_S_MAX) ?? 0;
  const wanted = number(query, 'after', 0, Number.MAX_SAFE_INTEGER);
  const boot = query.get('boot');
  const isOurs = boot === null || boot === journal.bootId;
  const after = wanted !== null && !isOurs ? 0 : wanted;
  if (after !== null) await journal.newsAfter(after, waitS * 1000, closed);
  return journal.page({ after, limit });
}

/** Its part of the local API. */
export function eventRoutes(journal: EventJournal): ApiRoutes {
  return { 'GET /v1/events': ({ query, closed }) => eventPage(journal, query, closed) };
}

function number(query: URLSearchParams, name: string, min: number, max: number): number | null {
  const text = query.get(name);
  if (text === null) return null;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new FabricError('usage', { what: `${name}=${text.slice(0, 40)} is not a number from ${min} to ${max}` });
}

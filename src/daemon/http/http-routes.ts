// What the HTTP port serves (docs/metrics.md), beside the map. `/healthz` is for who restarts what hangs: it answers as long as the
// event loop turns. `/readyz` is for who sends containers here: it fails while none could be attached. Neither fails because
// another host does. Never a token, a capture or a change.

import type { EventJournal } from '../events/event-journal.ts';
import { eventPage } from '../events/event-routes.ts';
import type { Status } from '../status-types.ts';
import { type HttpAnswer, type HttpRoutes, json } from './http-port.ts';
import { uiRoutes } from './ui-files.ts';

export interface HttpSources {
  status(): Status;
  /** Why no container can be attached now, in words; null when one can. */
  unreadiness(): string | null;
  /** In the text format of Prometheus. */
  metrics(): Promise<{ readonly type: string; readonly text: string }>;
  readonly journal: EventJournal;
}

export function httpRoutes({ status, unreadiness, metrics, journal }: HttpSources): HttpRoutes {
  return {
    ...uiRoutes(),
    '/metrics': async () => {
      const { type, text: body } = await metrics();
      return { type, body };
    },
    '/healthz': () => text('ok\n'),
    '/readyz': () => {
      const why = unreadiness();
      return why === null ? text('ready\n') : text(`not ready: ${why}\n`, 503);
    },
    '/v1/status': () => json(status()),
    '/v1/events': async ({ query, closed }) => json(await eventPage(journal, query, closed)),
  };
}

function text(body: string, status = 200): HttpAnswer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

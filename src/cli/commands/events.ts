// `fabric events`: what happened on this host, and what happens from now on. It asks for what comes after the last event that it
// has shown, so that it goes on over a restart of the daemon and says what it missed.

import { setTimeout as delay } from 'node:timers/promises';
import { EVENT_KINDS, type EventKind, type EventPage, type FabricEvent } from '../../daemon/events/event-kinds.ts';
import { DaemonClient, isAbsent } from '../client.ts';
import { usageError } from '../exit.ts';
import { printable } from '../table.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
  readonly once?: boolean;
  readonly limit?: string;
  readonly kind?: string;
}

/** As many as a screen shows, unless asked for more. */
const FIRST_DEFAULT = 50;
const FIRST_MAX = 1_000;
const WAIT_S = 30;
const ANSWER_MS_MAX = (WAIT_S + 15) * 1000;
/** While no daemon answers. */
const AGAIN_MS = 500;

export async function events({ runDir, json = false, once = false, limit, kind }: Options): Promise<void> {
  const first = limit === undefined ? FIRST_DEFAULT : Number(limit);
  if (!Number.isInteger(first) || first < 1 || first > FIRST_MAX) {
    throw usageError(`--limit ${limit} is not a number from 1 to ${FIRST_MAX}`);
  }
  const kinds = checkKinds(kind);
  const client = new DaemonClient(runDir);
  const show = ({ events: rows, lost, bootId }: EventPage): void => {
    if (lost > 0 && !json) process.stdout.write(`… ${lost} events before these are not kept any more\n`);
    for (const event of rows) {
      if (kinds === null || kinds.has(event.kind)) process.stdout.write(`${line(event, json ? bootId : null)}\n`);
    }
  };
  let page = await client.get<EventPage>(`/v1/events?limit=${first}`);
  show(page);
  let isGone = false;
  while (!once) {
    try {
      const after = page.events.at(-1)?.sequence ?? page.last;
      page = await client.get<EventPage>(`/v1/events?after=${after}&boot=${page.bootId}&wait=${WAIT_S}`, {
        timeoutMs: ANSWER_MS_MAX,
      });
      isGone = false;
      show(page);
    } catch (error) {
      if (!isAbsent(error)) throw error;
      if (!isGone) process.stderr.write('the daemon does not answer any more; waiting for it\n');
      isGone = true;
      await delay(AGAIN_MS);
    }
  }
}

function checkKinds(text: string | undefined): ReadonlySet<EventKind> | null {
  if (text === undefined) return null;
  return new Set(
    text.split(',').map((name) => {
      const kind = EVENT_KINDS.find((known) => known === name.trim());
      if (kind === undefined) throw usageError(`--kind ${name} is unknown`, `Use of: ${EVENT_KINDS.join(', ')}`);
      return kind;
    }),
  );
}

const KIND_COLUMNS = Math.max(...EVENT_KINDS.map((kind) => kind.length));

function line(event: FabricEvent, bootId: string | null): string {
  if (bootId !== null) return JSON.stringify({ bootId, ...event });
  return `${event.time.slice(0, 19)}Z  ${event.kind.padEnd(KIND_COLUMNS)}  ${printable(event.what)}`;
}

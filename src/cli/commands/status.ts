// `fabric status [section [which]]`: one question to the daemon, shown for people or programs, once, again and again, or until
// the network is healthy.

import { setTimeout as delay } from 'node:timers/promises';
import { parseDurationMs } from '../../base/duration.ts';
import { FabricError } from '../../base/errors.ts';
import { STATUS_SECTIONS, type Status, type StatusSection } from '../../daemon/status-types.ts';
import { DaemonClient, isAbsent, READ_MS_MAX } from '../client.ts';
import { usageError } from '../exit.ts';
import { detailPage } from '../status/detail-page.ts';
import { overview } from '../status/overview.ts';
import { type Rates, ratesBetween } from '../status/rates.ts';
import { sectionTable } from '../status/section-table.ts';
import { select, type Wanted } from '../status/selection.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly limit?: string;
  readonly peer?: string;
  readonly state?: string;
  readonly network?: string;
}

/** What is shown of a status. */
interface View {
  /** Null: the overview. */
  readonly section: StatusSection | null;
  readonly wanted: Wanted;
  readonly limit: number | null;
  readonly json: boolean;
}

const WAIT_DEFAULT_S = 30;
const POLL_MS = 100;
const WATCH_MS = 1_000;
/** Cursor home, clear the screen. */
const CLEAR = '\u001b[H\u001b[2J';

export async function status(
  sectionName: string | undefined,
  which: string | undefined,
  options: Options,
): Promise<void> {
  const view = viewOf(sectionName, which, options);
  const client = new DaemonClient(options.runDir);
  if (options.wait) {
    const healthy = await waitUntilHealthy(client, seconds('--timeout', options.timeout) ?? WAIT_DEFAULT_S);
    process.stdout.write(`${render(healthy, view, null)}\n`);
  } else if (options.watch) await watch(client, view);
  else process.stdout.write(`${render(await client.get<Status>('/v1/status'), view, null)}\n`);
}

function viewOf(sectionName: string | undefined, which: string | undefined, options: Options): View {
  const section = STATUS_SECTIONS.find((name) => name === sectionName) ?? null;
  if (sectionName !== undefined && section === null) {
    throw usageError(
      `there is no status section ${sectionName}`,
      `Use one of: ${STATUS_SECTIONS.join(', ')}; networks are listed by fabric network ls`,
    );
  }
  const { peer = null, state = null, network = null, json = false } = options;
  const wanted = { which: which ?? null, peer, state, network };
  if (section === null && Object.values(wanted).some((value) => value !== null)) {
    throw usageError('what to show is chosen in a section', 'Give one, for example: fabric status tunnels --peer NAME');
  }
  return { section, wanted, limit: positive('--limit', options.limit), json };
}

/** Until it is interrupted; a daemon that restarts is waited for. */
async function watch(client: DaemonClient, view: View): Promise<void> {
  let before: Status | null = null;
  for (;;) {
    let text: string;
    try {
      const now: Status = await client.get<Status>('/v1/status');
      text = render(now, view, ratesBetween(before, now), true);
      before = now;
    } catch (error) {
      if (before === null || !isAbsent(error)) throw error;
      text = view.json ? '' : 'the daemon does not answer any more; waiting for it';
    }
    if (process.stdout.isTTY && !view.json) process.stdout.write(CLEAR);
    if (text !== '') process.stdout.write(`${text}\n`);
    await delay(WATCH_MS);
  }
}

/** `oneLine`: JSON of one status stands on one line. */
function render(current: Status, view: View, rates: Rates | null, oneLine = false): string {
  const { section, wanted, limit, json } = view;
  const chosen = section === null ? current : select(current, section, wanted);
  if (json) {
    const cut = limited(chosen, limit);
    return JSON.stringify(section === null ? cut : { [section]: cut[section] }, null, oneLine ? 0 : 2);
  }
  if (section === null) return overview(chosen, rates);
  const [found, all] = [chosen[section].length, current[section].length];
  if (found === 0 && all > 0) return `none of ${all} matches`;
  const isOne = wanted.which !== null && found === 1;
  return isOne && rates === null ? detailPage(chosen, section) : sectionTable(chosen, section, { limit, rates });
}

function limited(current: Status, limit: number | null): Status {
  if (limit === null) return current;
  const cut = STATUS_SECTIONS.map((name) => [name, current[name].slice(0, limit)]);
  return { ...current, ...Object.fromEntries(cut) };
}

/** A daemon that does not listen yet is waited for as well. */
async function waitUntilHealthy(client: DaemonClient, timeoutS: number): Promise<Status> {
  const deadlineMs = performance.now() + timeoutS * 1000;
  let last = 'the daemon does not answer';
  for (let leftMs = timeoutS * 1000; leftMs > 0; leftMs = deadlineMs - performance.now()) {
    try {
      const current = await client.get<Status>('/v1/status', { timeoutMs: Math.ceil(Math.min(leftMs, READ_MS_MAX)) });
      const missing = current.peers.filter((peer) => peer.state !== 'alive');
      if (current.health.ok && missing.length === 0) return current;
      last = current.health.problems[0]?.what ?? `${missing.map((peer) => peer.nickname).join(', ')} not alive`;
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
    await delay(POLL_MS);
  }
  throw new FabricError('timeout', { what: `not healthy after ${timeoutS} s`, why: last, fix: 'See fabric status' });
}

/** A number of seconds, or a time with its unit. */
function seconds(flag: string, text: string | undefined): number | null {
  const ms = text === undefined ? null : parseDurationMs(text);
  if (ms !== null && ms > 0) return ms / 1000;
  return positive(flag, text, 'Say for example 30, 30s or 2m');
}

function positive(flag: string, text: string | undefined, fix?: string): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!(value > 0)) throw usageError(`${flag} ${text} is not a positive number`, fix);
  return value;
}

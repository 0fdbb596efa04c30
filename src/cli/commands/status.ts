// `fabric status [section]`: one question to the daemon, shown for people or programs, once, again and again, or until the
// network is healthy.

import { setTimeout as delay } from 'node:timers/promises';
import { FabricError } from '../../base/errors.ts';
import { STATUS_SECTIONS, type Status, type StatusSection } from '../../daemon/status-types.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';
import { overview, sectionText } from '../status-text.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
  readonly watch?: boolean;
  readonly wait?: boolean;
  readonly timeout?: string;
  readonly limit?: string;
}

const WAIT_DEFAULT_S = 30;
const POLL_MS = 100;

export async function status(sectionName: string | undefined, options: Options): Promise<void> {
  const section = STATUS_SECTIONS.find((name) => name === sectionName) ?? null;
  if (sectionName !== undefined && section === null) {
    throw usageError(`there is no status section ${sectionName}`, `Use one of: ${STATUS_SECTIONS.join(', ')}`);
  }
  const limit = positive('--limit', options.limit);
  const client = new DaemonClient(options.runDir);
  const show = (current: Status) => {
    process.stdout.write(`${render(limited(current, limit), section, options.json)}\n`);
  };
  if (options.wait)
    return show(await waitUntilHealthy(client, positive('--timeout', options.timeout) ?? WAIT_DEFAULT_S));
  show(await client.get<Status>('/v1/status'));
  while (options.watch) {
    await delay(1000);
    if (process.stdout.isTTY) process.stdout.write('\u001b[H\u001b[2J');
    show(await client.get<Status>('/v1/status'));
  }
}

function render(current: Status, section: StatusSection | null, json = false): string {
  if (json) return JSON.stringify(section === null ? current : { [section]: current[section] }, null, 2);
  return section === null ? overview(current) : sectionText(current, section);
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
  while (performance.now() < deadlineMs) {
    try {
      const current = await client.get<Status>('/v1/status');
      const missing = current.peers.filter((peer) => peer.state !== 'alive');
      if (current.health.ok && missing.length === 0) return current;
      last = current.health.problems[0]?.what ?? `${missing.map((peer) => peer.nickname).join(', ')} not alive`;
    } catch (error) {
      if (!(error instanceof FabricError) || error.code !== 'daemon-unreachable') throw error;
    }
    await delay(POLL_MS);
  }
  throw new FabricError('timeout', { what: `not healthy after ${timeoutS} s`, why: last, fix: 'See fabric status' });
}

function positive(flag: string, text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!(value > 0)) throw usageError(`${flag} ${text} is not a positive number`);
  return value;
}

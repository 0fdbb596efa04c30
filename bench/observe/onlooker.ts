// A program for a host's network namespace, or a container's, that looks as people and Prometheus do: `http` scrapes /metrics each second and
// keeps the map open (its status every two seconds, its events by long poll), `dns SERVER NAME` asks for a name each second.
// A line of stdin, `look` or `rest`, says whether it goes on asking; its answer is what it has done so far, and what processor time that took
// itself. At rest its timers go on, so that questions fall on any time of whatever is measured.

import { Resolver } from 'node:dns/promises';
import { get } from 'node:http';
import { createInterface } from 'node:readline';

export interface OnlookerReport {
  /** User and system time of this process since its start, microseconds. */
  readonly cpuUs: number;
  readonly answers: number;
  readonly failures: number;
}

const PORT = 6784;
const SCRAPE_EVERY_MS = 1_000;
const STATUS_EVERY_MS = 2_000;
const EVENTS_WAIT_S = 25;
const ASK_EVERY_MS = 1_000;

let answers = 0;
let failures = 0;
let isLooking = true;

async function counted(work: Promise<unknown>): Promise<void> {
  try {
    await work;
    answers++;
  } catch {
    failures++; // the report has them, and whoever reads it judges
  }
}

function read(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port: PORT, path }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    });
    request.on('error', reject);
  });
}

async function followEvents(): Promise<never> {
  let from = 'limit=40';
  for (;;) {
    const { events, last, bootId } = JSON.parse(await read(`/v1/events?${from}`)) as {
      readonly events: readonly { readonly sequence: number }[];
      readonly last: number;
      readonly bootId: string;
    };
    from = `after=${events.at(-1)?.sequence ?? last}&boot=${bootId}&wait=${EVENTS_WAIT_S}`;
    answers++;
  }
}

function each(periodMs: number, ask: () => Promise<unknown>): void {
  setInterval(() => {
    if (isLooking) void counted(ask());
  }, periodMs);
}

const [what, server, name] = process.argv.slice(2);
if (what === 'http') {
  each(SCRAPE_EVERY_MS, () => read('/metrics'));
  each(STATUS_EVERY_MS, () => read('/v1/status'));
  void counted(followEvents());
} else {
  const resolver = new Resolver();
  resolver.setServers([server!]);
  each(ASK_EVERY_MS, () => resolver.resolve4(name!));
}
createInterface({ input: process.stdin }).on('line', (line) => {
  isLooking = line === 'look';
  const { user, system } = process.cpuUsage();
  process.stdout.write(`${JSON.stringify({ cpuUs: user + system, answers, failures } satisfies OnlookerReport)}\n`);
});

// `fabric trace FROM TO`: the hops of a frame, one line each, and where it ends. Exit code 0 when it gets there, 1 when not.

import type { Trace, TracePlace } from '../../daemon/trace.ts';
import { DaemonClient } from '../client.ts';
import { EXIT_FAILED } from '../exit.ts';
import { printable, table } from '../table.ts';

interface Options {
  readonly runDir: string;
  readonly json?: boolean;
  readonly network?: string;
}

export async function trace(from: string, to: string, { runDir, json, network }: Options): Promise<void> {
  const found = await new DaemonClient(runDir).post<Trace>('/v1/trace', { network, from, to });
  process.stdout.write(`${json ? JSON.stringify(found, null, 2) : traceText(found)}\n`);
  if (!found.reached) process.exitCode = EXIT_FAILED;
}

export function traceText({ from, to, hops, reached }: Trace): string {
  const rows = hops.map(({ kind, what, because, ms, fault }, i) => [
    String(i + 1),
    kind,
    what,
    fault === null ? because : `DIES HERE: ${fault} (${because})`,
    ms === null ? '' : `${ms.toFixed(1)} ms`,
  ]);
  const last = hops.at(-1);
  const verdict = reached
    ? `it gets there`
    : `it dies at hop ${hops.length} (${last?.kind ?? ''}): ${printable(last?.fault ?? '')}`;
  const lines = table(['HOP', '', 'WHAT', 'BECAUSE', 'TIME'], rows);
  return `${describe(from)}\n  → ${describe(to)}\n\n${lines}\n\n${verdict}`;
}

function describe({ name, mac, ips, host, local }: TracePlace): string {
  return printable(`${name} (${[...ips, mac].join(', ')}) on ${local ? 'this host' : host}`);
}

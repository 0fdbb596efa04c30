// The figures of a large mesh beside their goals, as lines for people; the last line is the verdict. Goals between the two stated
// sizes are those of the larger one.

import type { Figure, Figures } from './figures.ts';

interface Goals {
  readonly spreadMs: number;
  readonly spreadLossyMs: number;
  readonly idleBytesPerSecond: number;
  readonly churnBytesPerSecond: number;
  readonly failureMs: number;
  readonly healMs: number;
  readonly links: number;
  readonly stateMiB: number;
}

const GOALS_1000: Goals = {
  spreadMs: 1_000,
  spreadLossyMs: 2_000,
  idleBytesPerSecond: 1_024,
  churnBytesPerSecond: 120 * 1_024,
  failureMs: 10_000,
  healMs: 5_000,
  links: 10,
  stateMiB: 100,
};
const GOALS_10000: Goals = {
  spreadMs: 2_000,
  spreadLossyMs: 4_000,
  idleBytesPerSecond: 4_096,
  churnBytesPerSecond: 120 * 1_024,
  failureMs: 15_000,
  healMs: 30_000,
  links: 12,
  stateMiB: 500,
};

export interface FigureLines {
  readonly lines: readonly string[];
  readonly missed: number;
}

/** What the simulation itself took. On a machine that does other work, too, the time of the core says more than the clock's. */
export interface Spent {
  readonly wallMs: number;
  /** Of one core, as the operating system counts it. */
  readonly cpuMs: number;
  /** Resident memory at its peak. */
  readonly memoryMiB: number;
}

/** What this process has taken since it started, and since the clock on the wall said `startedMs` (performance.now). */
export function spentSince(startedMs: number): Spent {
  const { user, system } = process.cpuUsage();
  return {
    wallMs: performance.now() - startedMs,
    cpuMs: (user + system) / 1_000,
    memoryMiB: Math.round(process.resourceUsage().maxRSS / 2 ** 10),
  };
}

export function figureLines(hosts: number, figures: Figures, { wallMs, cpuMs, memoryMiB }: Spent): FigureLines {
  const goals = hosts <= 1_000 ? GOALS_1000 : GOALS_10000;
  const stateMiB = figures.stateBytes / 2 ** 20;
  const rows: readonly Row[] = [
    row('p99 for one update to reach 99.99 %, 1 % loss', figures.spreadMs, goals.spreadMs, milliseconds),
    row('the same at 25 % loss', figures.spreadLossyMs, goals.spreadLossyMs, milliseconds),
    row('idle bytes per peer and second', figures.idleBytesPerSecond, goals.idleBytesPerSecond, whole),
    row('the same at 500 changes per second', figures.churnBytesPerSecond, goals.churnBytesPerSecond, whole),
    row('failure declared everywhere, p99', figures.failureMs, goals.failureMs, milliseconds),
    row(`false deaths in ${figures.watchedMs / 1_000} s at 5 % loss`, figures.falseDeaths, 0, whole),
    row('heal after a 50/50 partition', figures.healMs, goals.healMs, milliseconds),
    row('links per peer, most', figures.linksMax, goals.links, whole),
    row('replicated state, 100 containers per peer', stateMiB, goals.stateMiB, (value) => `${whole(value)} MiB`),
  ];
  const missed = rows.filter(({ verdict }) => verdict === 'MISSED').length;
  const met = rows.filter(({ verdict }) => verdict === 'met').length;
  const width = Math.max(...rows.map(({ name }) => name.length));
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
  const run = `${seconds(figures.simulatedMs)} simulated in ${seconds(wallMs)} (${seconds(cpuMs)} of one core), ${figures.events} events, ${memoryMiB} MiB`;
  return {
    missed,
    lines: [
      ...rows.map(({ name, value, goal, verdict }) =>
        `${name.padEnd(width)}  ${value.padStart(12)}  goal ${goal.padStart(9)}  ${verdict}`.trimEnd(),
      ),
      `links per peer, mean ${figures.linksMean.toFixed(1)}; meshed ${figures.meshedMs === null ? 'never' : seconds(figures.meshedMs)} after a start of all at once${idleMessages(figures.idleMessagesPerSecond)}`,
      run,
      `${missed === 0 ? 'ok' : 'FAILED'}: ${hosts} hosts, ${met} of ${rows.length} goals met${met + missed < rows.length ? `, ${rows.length - met - missed} not measured` : ''}`,
    ],
  };
}

interface Row {
  readonly name: string;
  readonly value: string;
  readonly goal: string;
  readonly verdict: 'met' | 'MISSED' | '';
}

function row(name: string, value: Figure, goal: number, text: (value: number) => string): Row {
  const verdict = value === 'not measured' ? '' : value !== 'never' && value <= goal ? 'met' : 'MISSED';
  return { name, value: typeof value === 'number' ? text(value) : value, goal: text(goal), verdict };
}

function idleMessages(perSecond: Figure): string {
  return typeof perSecond === 'number' ? `; ${perSecond.toFixed(1)} idle messages per peer and second` : '';
}

function whole(value: number): string {
  return String(Math.round(value));
}

function milliseconds(value: number): string {
  return `${Math.round(value)} ms`;
}

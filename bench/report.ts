// The run as a table for people. Pure: text in, text out.

import type { Contender } from './contender.ts';
import type { Machine } from './machine.ts';
import { type Metric, START_UP_METRICS, TRAFFIC_METRICS } from './metrics.ts';
import type { Summary } from './statistics.ts';
import { type Goal, judge, type Measured, ratiosToVxlan, voidReason } from './verdict.ts';

const LABEL_WIDTH = 48;
const FIGURE_WIDTH = 11;

export interface Report {
  readonly machine: Machine;
  readonly rounds: number;
  readonly contenders: readonly Contender[];
  readonly measured: Measured;
}

export function describe({ machine, rounds, contenders, measured }: Report): string {
  return [
    header(machine, rounds),
    ...TRAFFIC_METRICS.map((metric) => trafficBlock(metric, contenders, measured)),
    daemonBlock(contenders, measured),
    verdict(measured),
  ]
    .filter((block) => block !== '')
    .join('\n\n');
}

/** One metric of all contenders that have it. */
function trafficBlock(metric: Metric<string>, contenders: readonly Contender[], measured: Measured): string {
  const ratios = ratiosToVxlan(measured);
  const rows = contenders.flatMap(({ name, title }) => {
    const summary = measured.contenders[name]?.[metric.name];
    if (summary === undefined) return [];
    const toVxlan = ratios[name]?.[metric.name];
    return [row(`  ${title}`, [...figures(metric, summary), ...(toVxlan === undefined ? [] : [ratio(toVxlan)])])];
  });
  return titled(row(`${metric.title}, ${metric.unit}`, ['median', 'min', 'max', '× VXLAN']), rows);
}

function daemonBlock(contenders: readonly Contender[], measured: Measured): string {
  const rows = START_UP_METRICS.flatMap((metric) => {
    const summary = measured.startUp[metric.name];
    return summary === undefined ? [] : [row(`  ${metric.title}, ${metric.unit}`, figures(metric, summary))];
  });
  const resident = contenders.flatMap(({ name }) => afterLoad(name, measured.contenders[name]?.residentMiB));
  return titled(row('fabric daemon', ['median', 'min', 'max']), [...rows, ...resident]);
}

function titled(title: string, rows: readonly string[]): string {
  return rows.length === 0 ? '' : [title, ...rows].join('\n');
}

function header(machine: Machine, rounds: number): string {
  const { cpu, cores, memoryGiB, kernel, node, openssl, iperf3, loadBefore } = machine;
  const few = rounds < 5 ? ' (fewer than 5: a first impression)' : '';
  const busy = loadBefore > 0.1 * cores ? ': the machine was not quiet' : '';
  return [
    `${cores} × ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, OpenSSL ${openssl}, iperf3 ${iperf3}`,
    `load average before ${loadBefore.toFixed(2)}${busy}; ${rounds} interleaved rounds${few}`,
  ].join('\n');
}

function afterLoad(name: string, resident: Summary | undefined): string[] {
  if (resident === undefined) return [];
  const metric = { digits: 1 };
  return [row(`  daemon with ${name} after traffic, resident, MiB`, figures(metric, resident))];
}

function verdict(measured: Measured): string {
  const reason = voidReason(measured);
  if (reason !== null) return `VOID: ${reason}`;
  return judge(measured).map(goalLine).join('\n');
}

function goalLine({ what, limit, measured, met }: Goal): string {
  const digits = limit < 1 ? 4 : 0;
  return `${met ? 'met   ' : 'MISSED'}  ${what}: ${measured.toFixed(digits)} (goal ${limit})`;
}

function figures({ digits }: Pick<Metric<string>, 'digits'>, { median, min, max }: Summary): readonly string[] {
  return [median, min, max].map((value) => value.toFixed(digits));
}

/** Small ratios need their digits. */
function ratio(value: number): string {
  return value.toFixed(value < 0.1 ? 4 : 2);
}

function row(label: string, cells: readonly string[]): string {
  return `${label.padEnd(LABEL_WIDTH)}${cells.map((cell) => cell.padStart(FIGURE_WIDTH)).join('')}`.trimEnd();
}

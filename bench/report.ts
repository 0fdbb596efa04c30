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
  const ratios = ratiosToVxlan(measured);
  const blocks = TRAFFIC_METRICS.map((metric) => [
    row(`${metric.title}, ${metric.unit}`, ['median', 'min', 'max', '× VXLAN']),
    ...contenders.map(({ name, title }) =>
      row(`  ${title}`, [
        ...figures(metric, measured.contenders[name]![metric.name]!),
        ratio(ratios[name]![metric.name]!),
      ]),
    ),
  ]);
  const daemon = [
    row('fabric daemon', ['median', 'min', 'max']),
    ...START_UP_METRICS.map((metric) =>
      row(`  ${metric.title}, ${metric.unit}`, figures(metric, measured.startUp[metric.name]!)),
    ),
    ...contenders.flatMap(({ name }) => afterLoad(name, measured.contenders[name]!.residentMiB)),
  ];
  return [
    header(machine, rounds),
    ...blocks.map((lines) => lines.join('\n')),
    daemon.join('\n'),
    verdict(measured),
  ].join('\n\n');
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

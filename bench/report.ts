// The run as a table for people. Pure: text in, text out.

import type { Contender } from './contender.ts';
import type { Machine } from './machine.ts';
import { IDLE_METRICS, type Metric, PAIR_METRICS, START_UP_METRICS, TRAFFIC_METRICS } from './metrics.ts';
import type { Summary } from './statistics.ts';
import { type Goal, judge, type Measured, ratiosToVxlan, voidReason } from './verdict.ts';

const LABEL_WIDTH = 58;
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
    verdict(measured, contenders),
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
  const alone = [
    ...START_UP_METRICS.map((metric) => [metric, measured.startUp[metric.name]] as const),
    ...IDLE_METRICS.map((metric) => [metric, measured.idle[metric.name]] as const),
  ];
  const ofPairs = contenders.flatMap(({ name }) =>
    PAIR_METRICS.map((metric) => {
      const title = `${name}: ${metric.title}`;
      return [{ ...metric, title }, measured.contenders[name]?.[metric.name]] as const;
    }),
  );
  const rows = [...alone, ...ofPairs].flatMap(([metric, summary]) => {
    if (summary === undefined) return [];
    const unit = metric.unit === '' ? '' : `, ${metric.unit}`;
    return [row(`  ${metric.title}${unit}`, figures(metric, summary))];
  });
  return titled(row('fabric daemon', ['median', 'min', 'max']), rows);
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

function verdict(measured: Measured, contenders: readonly Contender[]): string {
  const reason = voidReason(measured);
  if (reason !== null) return `VOID: ${reason}`;
  return judge(measured, peerNames(contenders)).map(goalLine).join('\n');
}

/** Names of the programs by others. */
export function peerNames(contenders: readonly Contender[]): readonly string[] {
  return contenders.filter(({ isPeer }) => isPeer === true).map(({ name }) => name);
}

function goalLine({ what, limit, measured, met }: Goal): string {
  const digits = limit < 10 ? 3 : 0;
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

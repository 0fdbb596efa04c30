// Metrics of this host itself: who it is, whether it is well, what daemon and engine cost (docs/metrics.md).

import type { MemberFacts } from './metric-facts.ts';
import type { MetricSet, Row } from './metric-set.ts';

export function defineHostMetrics(set: MetricSet): void {
  set.gauges(
    {
      name: 'fabric_info',
      help: 'Always 1; version, nickname, peer id and datapath of this host are the labels',
      labels: ['version', 'nickname', 'peer', 'datapath'],
      rows: ({ version, nickname, peer, datapath }) => [[{ version, nickname, peer, datapath }, 1]],
    },
    {
      name: 'fabric_healthy',
      help: '1 when fabric status says healthy, else 0',
      rows: ({ health }) => [[{}, health.ok ? 1 : 0]],
    },
    {
      name: 'fabric_joined',
      help: '1 once this host is a member of its cluster',
      rows: ({ member }) => [[{}, member === null ? 0 : 1]],
    },
    {
      name: 'fabric_problems',
      help: 'Problems that fabric status shows now, by code',
      labels: ['code'],
      rows: ({ health }) => countedByCode(health.problems.map(({ code }) => code)),
    },
    {
      name: 'fabric_notices',
      help: 'Notices that fabric status shows now, by code',
      labels: ['code'],
      rows: ({ health }) => countedByCode(health.notices.map(({ code }) => code)),
    },
    {
      name: 'fabric_attachments',
      help: 'Container interfaces attached on this host',
      rows: ifMember(({ attachments }) => [[{}, attachments]]),
    },
    {
      name: 'fabric_reservations',
      help: 'Containers on this host whose interface another CNI plugin made on an address of fabric',
      rows: ifMember(({ reservations }) => [[{}, reservations]]),
    },
    {
      name: 'fabric_engine_resident_memory_bytes',
      help: 'Resident memory of the engine process',
      rows: ifMember(({ engine }) => (engine === null ? [] : [[{}, engine.memoryBytes]])),
    },
    {
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the daemon',
      rows: () => [[{}, process.memoryUsage.rss()]],
    },
    {
      name: 'process_start_time_seconds',
      help: 'When the daemon started, as a Unix time by its clock of now',
      rows: () => [[{}, Math.round(performance.timeOrigin / 1000)]],
    },
  );
  set.counters(
    {
      name: 'process_cpu_seconds_total',
      help: 'CPU time of the daemon, user and system',
      rows: () => {
        const { user, system } = process.cpuUsage();
        return [[{}, (user + system) / 1e6]];
      },
    },
    {
      name: 'fabric_event_loop_busy_seconds_total',
      help: "Time in which the daemon's event loop did not wait",
      rows: () => [[{}, performance.eventLoopUtilization().active / 1000]],
    },
    {
      name: 'fabric_engine_cpu_seconds_total',
      help: 'CPU time of the engine by thread, user and system',
      labels: ['thread'],
      rows: ifMember(({ engine }) =>
        (engine?.threads ?? []).map(({ name, cpuSeconds }): Row => [{ thread: name }, cpuSeconds]),
      ),
    },
    {
      name: 'fabric_http_refused_total',
      help: 'Requests to the HTTP port that were not answered, by reason',
      labels: ['reason'],
      rows: ({ httpRefused }) => byReason(httpRefused),
    },
  );
}

/** Rows of what only a member has. */
export function ifMember(
  rows: (facts: MemberFacts) => readonly Row[],
): (facts: { readonly member: MemberFacts | null }) => readonly Row[] {
  return ({ member }) => (member === null ? [] : rows(member));
}

export function byReason(counts: Readonly<Record<string, number>>): readonly Row[] {
  return Object.entries(counts).map(([reason, count]): Row => [{ reason }, count]);
}

function countedByCode(codes: readonly string[]): readonly Row[] {
  return [...new Set(codes)].map((code): Row => [{ code }, codes.filter((other) => other === code).length]);
}

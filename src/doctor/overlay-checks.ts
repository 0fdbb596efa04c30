// How the daemon of this host is: its own problems as `status` tells them, its datapath, its address space.

import { type Finding, finding } from './finding.ts';
import type { Readings, StatusReading } from './readings.ts';

/** Of a host's own active addresses: above it the next containers may wait for a lease. */
const NEARLY_FULL = 0.9;
/** Doctor has its own words for them, from live tests. */
const JUDGED_ELSEWHERE: readonly string[] = ['tunnel-failed'];

export function checkOverlay({ daemon, machine, underlay }: Readings): readonly Finding[] {
  if (daemon === null) {
    // What keeps it from starting is a finding of its own.
    const startable = machine.missingCapabilities.length === 0 && underlay.takenPorts.length === 0;
    return startable ? [absent()] : [];
  }
  const { status } = daemon;
  return [
    ...status.health.problems
      .filter(({ code }) => !JUDGED_ELSEWHERE.includes(code))
      .map((problem): Finding => ({ severity: 'error', ...problem })),
    ...status.health.notices
      .filter(({ code }) => code === 'certificate-expiring')
      .map((notice): Finding => ({ severity: 'warning', ...notice })),
    ...fallback(status),
    ...leases(status),
    ...(status.self.clusterId === null ? [] : dials(status)),
  ];
}

function absent(): Finding {
  return finding('daemon-absent', 'warning', {
    what: 'no fabric daemon answers on this host',
    why: 'only the host itself was examined',
    fix: 'fabric launch, or name its directory with --run-dir',
  });
}

function fallback({ datapath }: StatusReading): readonly Finding[] {
  if (datapath.reason === null) return [];
  return [
    finding('datapath-fallback', 'warning', {
      what: `frames take the slow datapath ${datapath.name}`,
      why: datapath.reason,
      fix: 'Mend that, then: fabric stop && fabric launch --detach',
    }),
  ];
}

function leases({ leases: rows, self, peers }: StatusReading): readonly Finding[] {
  const own = rows.filter(({ peer, cidr }) => peer === self.id && !cidr.includes(':'));
  const disputed = own.filter(({ state }) => state === 'disputed').map(({ cidr }) => cidr);
  const active = own.filter(({ state }) => state === 'active');
  const used = active.reduce((sum, row) => sum + (row.used ?? 0), 0);
  const size = active.reduce((sum, row) => sum + row.size, 0);
  const findings: Finding[] = [];
  if (disputed.length > 0) {
    findings.push(
      finding('lease-disputed', 'error', {
        what: `the blocks ${disputed.join(', ')} are ours by our records and another host's by everyone else's`,
        why: 'they are not used until that is settled',
        fix: 'fabric status leases on both hosts; the one that was removed: fabric reset --force',
      }),
    );
  }
  const reserve = own.some(({ state }) => state === 'spare' || state === 'settling');
  if (size > 0 && used / size >= NEARLY_FULL && used < size && !reserve) {
    findings.push(
      finding('lease-nearly-full', 'warning', {
        what: `${used} of this host's ${size} IPv4 addresses are in use`,
        why: 'nothing is in reserve: the next containers wait until a peer gives a block',
        fix: 'fabric ps --prune; see fabric status leases for who holds free blocks',
      }),
    );
  }
  for (const peer of peers.filter(({ state }) => state === 'dead')) {
    const blocks = rows.filter((row) => row.peer === peer.id);
    if (blocks.length === 0) continue;
    const untilText = blocks.find(({ expiresAt }) => expiresAt !== null)?.expiresAt ?? null;
    findings.push(
      finding('lease-stranded', 'warning', {
        what: `${blocks.length} address blocks belong to ${peer.nickname}, which is dead`,
        why: `nobody else may allocate from them${untilText === null ? '' : ` before ${untilText}`}: it may come back`,
        fix: `If it is gone for good: fabric rmpeer ${peer.nickname}${untilText === null ? '' : '; else others take them over after that time'}`,
      }),
    );
  }
  return findings;
}

function dials({ targets }: StatusReading): readonly Finding[] {
  return targets.flatMap(({ host, error }) =>
    error === null
      ? []
      : [
          finding('dial-failing', 'warning', {
            what: `this host was told to dial ${host}, and can not`,
            why: error,
            fix: `If it is no longer there: fabric forget ${host}`,
          }),
        ],
  );
}

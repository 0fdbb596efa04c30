// What `fabric doctor` found, for people: the verdict first, then each finding with its cure, then what was measured.

import { EXAMINED_MAX } from '../daemon/examine-routes.ts';
import type { Finding } from '../doctor/finding.ts';
import type { PeerReading, Readings } from '../doctor/readings.ts';
import { printable } from './table.ts';

/** A clock that is off by more is told in seconds. */
const FAR_OFF_MS = 10_000;

export function doctorText(findings: readonly Finding[], readings: Readings): string {
  const lines = [verdict(findings)];
  for (const { code, severity, what, why, fix } of findings) {
    lines.push(
      '',
      `  ${severity}: ${printable(what)}  [${code}]`,
      `    why: ${printable(why)}`,
      `    do:  ${printable(fix)}`,
    );
  }
  return [...lines, '', ...measured(readings)].join('\n');
}

function verdict(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'healthy: nothing to mend';
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const parts = [plural(errors, 'error'), plural(findings.length - errors, 'warning')].filter((part) => part !== '');
  return `${errors > 0 ? 'NOT HEALTHY' : 'works, but could be better'}: ${parts.join(', ')}`;
}

function plural(count: number, noun: string): string {
  return count === 0 ? '' : `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function measured({ machine, underlay, peers, daemon }: Readings): readonly string[] {
  const known = daemon?.status.peers.length ?? 0;
  const speeds = Object.entries(machine.sealBitsPerSecond).map(([cipher, bps]) => `${cipher} ${gigabits(bps)}`);
  const uplinks = underlay.interfaces.map(({ name, mtu }) => `${name} (MTU ${mtu})`);
  return [
    `kernel      ${machine.kernelRelease}`,
    `encryption  ${speeds.join(', ')} Gbit/s per core`,
    `underlay    ${uplinks.length === 0 ? 'none' : uplinks.join(', ')}`,
    ...(peers.length === EXAMINED_MAX && known > EXAMINED_MAX
      ? [`examined    ${EXAMINED_MAX} of ${known} peers, those in trouble first; another one: fabric doctor PEER`]
      : []),
    ...peers.map((peer) => `peer        ${printable(peer.nickname)}: ${aboutPeer(peer).join(', ')}`),
  ];
}

function gigabits(bitsPerSecond: number): string {
  return (bitsPerSecond / 1e9).toFixed(1);
}

function aboutPeer({
  tcpOutFault,
  tcpInFault,
  udpOut,
  udpIn,
  relay,
  icmp,
  tunnelMtu,
  ...rest
}: PeerReading): readonly string[] {
  return [
    ...(rest.linked ? [] : ['no link']),
    `TCP ${ways(tcpOutFault === undefined ? null : tcpOutFault === null, tcpInFault === undefined ? null : tcpInFault === null)}`,
    relay === null ? `UDP ${ways(udpOut, udpIn)}` : `UDP by ${printable(relay)}`,
    icmp.rttMs === null ? 'no ping' : `ping ${icmp.rttMs.toFixed(1)} ms`,
    ...(tunnelMtu === null ? [] : [`path ${tunnelMtu} bytes`]),
    ...clock(rest),
  ];
}

function clock({ clockSkewMs, clockErrorMs }: Pick<PeerReading, 'clockSkewMs' | 'clockErrorMs'>): readonly string[] {
  if (clockSkewMs === null) return [];
  const isFarOff = Math.abs(clockSkewMs) >= FAR_OFF_MS;
  const [unit, perUnitMs] = isFarOff ? (['s', 1_000] as const) : (['ms', 1] as const);
  return [`clock ${signed(clockSkewMs / perUnitMs)} ${unit} (± ${Math.ceil((clockErrorMs ?? 0) / perUnitMs)})`];
}

/** Null: nobody knows. */
function ways(out: boolean | null, back: boolean | null): string {
  if (out === true && back === true) return 'both ways';
  const word = (passes: boolean | null): string => (passes === null ? 'unknown' : passes ? 'passes' : 'BLOCKED');
  return `out ${word(out)}, in ${word(back)}`;
}

function signed(ms: number): string {
  const rounded = Math.round(ms);
  return rounded > 0 ? `+${rounded}` : String(rounded);
}

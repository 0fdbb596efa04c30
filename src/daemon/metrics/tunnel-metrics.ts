// Metrics of frames and tunnels: what was carried, to whom, what was dropped and why, how handshakes go (docs/metrics.md).

import type { TunnelRow } from '../status-types.ts';
import { ifMember } from './host-metrics.ts';
import type { MemberFacts, MetricFacts } from './metric-facts.ts';
import type { MetricSet, Row, SourcedRow } from './metric-set.ts';
import { labelled } from './peer-series.ts';

type Counted = 'txBytes' | 'rxBytes' | 'txFrames' | 'rxFrames';

const COUNTERS: readonly (readonly [name: string, what: string, field: Counted])[] = [
  ['transmit_bytes_total', 'Inner bytes of frames sent', 'txBytes'],
  ['receive_bytes_total', 'Inner bytes of frames received', 'rxBytes'],
  ['transmit_frames_total', 'Frames sent', 'txFrames'],
  ['receive_frames_total', 'Frames received', 'rxFrames'],
];

export function defineTunnelMetrics(set: MetricSet): void {
  set.gauges(
    {
      name: 'fabric_tunnels',
      help: 'Tunnels by state and datapath',
      labels: ['state', 'datapath'],
      rows: ifMember(({ tunnels }) => tallied(tunnels)),
    },
    {
      name: 'fabric_peer_tunnel_up',
      help: '1 when the tunnel to a peer is established',
      labels: ['peer', 'nickname'],
      rows: perPeer(({ state }) => (state === 'established' ? 1 : 0)),
    },
    {
      name: 'fabric_peer_handshake_seconds',
      help: 'Round trip of the last handshake with a peer, its computation included',
      labels: ['peer', 'nickname'],
      rows: perPeer(({ rttMs }) => (rttMs === null ? null : rttMs / 1000)),
    },
  );
  set.counters(
    ...COUNTERS.map(([name, what, field]) => ({
      name: `fabric_peer_${name}`,
      help: `${what}, by peer`,
      labels: ['peer', 'nickname'],
      rows: perPeer((tunnel) => tunnel[field]),
    })),
    {
      name: 'fabric_handshake_initiations_total',
      help: 'Handshake initiations sent, repeated tries included',
      rows: ifMember(({ handshakes }) => [[{}, handshakes.initiations]]),
    },
    {
      name: 'fabric_handshakes_total',
      help: 'Handshakes by how they ended: established, rekeyed, or given up without an answer',
      labels: ['result'],
      rows: ifMember(({ handshakes: { established, rekeyed, gaveUp } }) => [
        [{ result: 'established' }, established],
        [{ result: 'rekeyed' }, rekeyed],
        [{ result: 'given-up' }, gaveUp],
      ]),
    },
  );
  set.sums(
    ...COUNTERS.map(([name, what, field]) => ({
      name: `fabric_${name}`,
      help: `${what}, all peers together`,
      rows: ({ member }: MetricFacts): readonly SourcedRow[] =>
        (member?.tunnels ?? []).map((tunnel) => [tunnel.peer, {}, tunnel[field]]),
    })),
    {
      name: 'fabric_drops_total',
      help: 'Frames and datagrams that went no further, by reason (docs/drops.md)',
      labels: ['reason'],
      rows: ({ member }) => (member === null ? [] : drops(member)),
    },
    {
      name: 'fabric_frames_from_bridge_total',
      help: 'Frames that entered the datapath from the bridge',
      rows: ({ member }) => (member === null ? [] : [['', {}, member.datapath.framesIn]]),
    },
    {
      name: 'fabric_frames_to_bridge_total',
      help: 'Frames that the datapath delivered to the bridge',
      rows: ({ member }) => (member === null ? [] : [['', {}, member.datapath.framesOut]]),
    },
    {
      name: 'fabric_relayed_datagrams_total',
      help: 'Datagrams inside of relayed ones, by what this host is to them: relay, sender or receiver',
      labels: ['role'],
      rows: ({ member }) => (member === null ? [] : relayed(member.datapath, 'Datagrams')),
    },
    {
      name: 'fabric_relayed_bytes_total',
      help: 'Their bytes, without what the relay adds',
      labels: ['role'],
      rows: ({ member }) => (member === null ? [] : relayed(member.datapath, 'Bytes')),
    },
  );
}

function relayed({ relayed: counts }: MemberFacts['datapath'], unit: 'Datagrams' | 'Bytes'): readonly SourcedRow[] {
  return [
    ['', { role: 'relay' }, counts[`forwarded${unit}`]],
    ['', { role: 'sender' }, counts[`sent${unit}`]],
    ['', { role: 'receiver' }, counts[`received${unit}`]],
  ];
}

function tallied(tunnels: readonly TunnelRow[]): readonly Row[] {
  const counts = new Map<string, number>();
  for (const { state, datapath } of tunnels) {
    const key = `${state} ${datapath}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return [...counts].map(([key, count]): Row => {
    const [state, datapath] = key.split(' ') as [string, string];
    return [{ state, datapath }, count];
  });
}

/** Null: nothing is known of that peer. */
function perPeer(value: (tunnel: TunnelRow) => number | null) {
  return ifMember(({ tunnels }) =>
    labelled(tunnels).flatMap((tunnel): readonly Row[] => {
      const { peer, nickname } = tunnel;
      const known = value(tunnel);
      return known === null ? [] : [[{ peer, nickname }, known]];
    }),
  );
}

function drops({ tunnels, datapath, otherDrops }: MemberFacts): readonly SourcedRow[] {
  const sources: readonly (readonly [string, Readonly<Record<string, number>>])[] = [
    ['', datapath.drops],
    ['control', otherDrops],
    ...tunnels.map(({ peer, drops: ofPeer }) => [peer, ofPeer] as const),
  ];
  return sources.flatMap(([source, counts]) =>
    Object.entries(counts).map(([reason, count]): SourcedRow => [source, { reason }, count]),
  );
}

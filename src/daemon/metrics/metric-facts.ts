// What one scrape shows, gathered from the live parts: plain values, all from one moment. Nothing here walks over what grows with
// the number of containers: a scrape costs by hosts, not by routes, names or leases of others.

import type { NameCounters } from '../../dns/name-service.ts';
import type { GossipStats } from '../../gossip/gossip-options.ts';
import type { Mesh } from '../../host/mesh/mesh.ts';
import { type ProcessUsage, processUsage } from '../../host/process-usage.ts';
import type { IpamStats } from '../../ipam/types.ts';
import type { DatapathStats } from '../../router/datapath.ts';
import type { HandshakeCounts } from '../../router/tunnel-options.ts';
import type { Member } from '../member.ts';
import { tunnelRows } from '../status.ts';
import type { Health, PeerRow, TunnelRow } from '../status-types.ts';

/** What is there once this host is a member of its cluster. */
export interface MemberFacts {
  readonly peers: Readonly<Record<PeerRow['state'], number>>;
  readonly tunnels: readonly TunnelRow[];
  readonly datapath: Pick<DatapathStats, 'framesIn' | 'framesOut' | 'drops' | 'relayed'>;
  readonly handshakes: HandshakeCounts;
  /** By the names that status gives them: `handshake-…`, `vxlan-…`, `examine-…`. */
  readonly otherDrops: Readonly<Record<string, number>>;
  readonly gossip: GossipStats;
  readonly behindSeconds: number;
  readonly leases: IpamStats;
  readonly attachments: number;
  readonly reservations: number;
  readonly routes: { readonly all: number; readonly doubted: number };
  readonly names: { readonly serving: boolean; readonly counters: NameCounters };
  /** Null where no process beside the daemon moves the frames. */
  readonly engine: ProcessUsage | null;
}

export interface MetricFacts {
  readonly version: string;
  readonly nickname: string;
  readonly peer: string;
  readonly datapath: string;
  readonly health: Health;
  readonly meshLinks: number;
  readonly meshDrops: Readonly<Record<string, number>>;
  readonly httpRefused: Readonly<Record<string, number>>;
  readonly member: MemberFacts | null;
}

export function memberFacts(member: Member): MemberFacts {
  const { pid } = member.slot;
  const engine = pid === null ? null : processUsage(pid);
  const peers = { alive: 0, suspect: 0, dead: 0 };
  for (const [id] of member.directory.peers()) {
    if (id !== member.attachments.self) peers[member.neighbourhood.liveness.view(id)?.state ?? 'dead']++;
  }
  const { framesIn, framesOut, drops, relayed } = member.slot.stats();
  const { state, counters } = member.names.status();
  return {
    peers,
    tunnels: tunnelRows(member),
    datapath: { framesIn, framesOut, drops, relayed },
    handshakes: member.tunnels.handshakes(),
    otherDrops: {
      ...prefixed('handshake-', member.tunnels.drops()),
      ...prefixed('vxlan-', member.vxlan?.drops() ?? {}),
      ...prefixed('examine-', member.examiner.drops),
    },
    gossip: member.gossip.stats(),
    behindSeconds: member.neighbourhood.lag.behindMs / 1000,
    leases: member.ipam.stats(),
    attachments: member.attachmentEntries.size,
    reservations: member.reservations.all().length,
    routes: { all: member.routes.size, doubted: member.routes.doubted().length },
    names: { serving: state === 'serving', counters },
    engine,
  };
}

export function meshFacts(mesh: Mesh | null): Pick<MetricFacts, 'meshLinks' | 'meshDrops'> {
  return { meshLinks: mesh?.links().length ?? 0, meshDrops: mesh?.drops() ?? {} };
}

function prefixed(prefix: string, counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(counts).map(([reason, count]) => [`${prefix}${reason}`, count]));
}

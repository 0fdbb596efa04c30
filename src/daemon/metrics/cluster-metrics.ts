// Metrics of what holds the cluster together: hosts, mesh, gossip, addresses, routes and names (docs/metrics.md).

import { byReason, ifMember } from './host-metrics.ts';
import type { MetricSet, Row } from './metric-set.ts';

export function defineClusterMetrics(set: MetricSet): void {
  set.gauges(
    {
      name: 'fabric_peers',
      help: 'Other hosts of the cluster, by state',
      labels: ['state'],
      rows: ifMember(({ peers }) => Object.entries(peers).map(([state, count]): Row => [{ state }, count])),
    },
    {
      name: 'fabric_mesh_links',
      help: 'Links to other hosts over which gossip and leases are spoken',
      rows: ({ meshLinks }) => [[{}, meshLinks]],
    },
    {
      name: 'fabric_gossip_states',
      help: 'Hosts whose records this host holds, itself included',
      rows: ifMember(({ gossip }) => [[{}, gossip.authors]]),
    },
    {
      name: 'fabric_gossip_state_bytes',
      help: "Size of all hosts' records together",
      rows: ifMember(({ gossip }) => [[{}, gossip.stateBytes]]),
    },
    {
      name: 'fabric_gossip_missing_states',
      help: 'Hosts of which a neighbour holds newer records than this host',
      rows: ifMember(({ gossip }) => [[{}, gossip.missing]]),
    },
    {
      name: 'fabric_gossip_behind_seconds',
      help: 'For how long something has been missing; 0 when nothing is',
      rows: ifMember(({ behindSeconds }) => [[{}, behindSeconds]]),
    },
    {
      name: 'fabric_lease_addresses',
      help: 'Addresses that this host owns and may give out, by family and whether a container has them',
      labels: ['family', 'use'],
      rows: ifMember(({ leases }) =>
        leases.families.flatMap(({ family, used, usable }): readonly Row[] => [
          [{ family: `ipv${family}`, use: 'used' }, used],
          [{ family: `ipv${family}`, use: 'free' }, Math.max(0, usable - used)],
        ]),
      ),
    },
    {
      name: 'fabric_routes',
      help: 'MACs of the overlay that some host claims',
      rows: ifMember(({ routes }) => [[{}, routes.all]]),
    },
    {
      name: 'fabric_routes_doubted',
      help: 'Claims on a MAC or an address that are not believed',
      rows: ifMember(({ routes }) => [[{}, routes.doubted]]),
    },
    {
      name: 'fabric_dns_serving',
      help: '1 when names of containers are served on all addresses of the gateway',
      rows: ifMember(({ names }) => [[{}, names.serving ? 1 : 0]]),
    },
  );
  set.counters(
    {
      name: 'fabric_mesh_drops_total',
      help: 'What arrived at the mesh port and was not taken, by reason',
      labels: ['reason'],
      rows: ({ meshDrops }) => byReason(meshDrops),
    },
    {
      name: 'fabric_gossip_bytes_total',
      help: 'Bytes of gossip messages',
      labels: ['direction'],
      rows: ifMember(({ gossip }) => [
        [{ direction: 'sent' }, gossip.bytesSent],
        [{ direction: 'received' }, gossip.bytesReceived],
      ]),
    },
    {
      name: 'fabric_gossip_messages_total',
      help: 'Gossip messages by kind',
      labels: ['direction', 'kind'],
      rows: ifMember(({ gossip }) => [
        ...ofKinds('sent', gossip.messagesSent),
        ...ofKinds('received', gossip.messagesReceived),
      ]),
    },
    {
      name: 'fabric_gossip_drops_total',
      help: 'Gossip that was not taken, by reason',
      labels: ['reason'],
      rows: ifMember(({ gossip }) => byReason(gossip.drops)),
    },
    {
      name: 'fabric_lease_drops_total',
      help: 'Lease messages and records that were not taken, by reason (docs/leases.md)',
      labels: ['reason'],
      rows: ifMember(({ leases }) => byReason(leases.drops)),
    },
    {
      name: 'fabric_dns_events_total',
      help: 'What the name server counts, by kind (docs/dns.md)',
      labels: ['kind'],
      rows: ifMember(({ names }) => Object.entries(names.counters).map(([kind, count]): Row => [{ kind }, count])),
    },
  );
}

function ofKinds(direction: string, counts: Readonly<Record<string, number>>): readonly Row[] {
  return Object.entries(counts).map(([kind, count]): Row => [{ direction, kind }, count]);
}

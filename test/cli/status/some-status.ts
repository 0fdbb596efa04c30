// A status of a host with one peer, for tests of how it is shown; tests change what they are about.

import type { Status, TunnelRow } from '../../../src/daemon/status-types.ts';

export const other = 'bb'.repeat(16);

export const tunnel: TunnelRow = {
  peer: other,
  nickname: 'two',
  endpoint: '192.0.2.12:6783',
  relay: null,
  nat: 'none',
  state: 'established',
  encrypted: true,
  datapath: 'pcap',
  cipher: 'aes-256-gcm',
  mtu: 1500,
  rttMs: 1.234,
  txBytes: 2048,
  rxBytes: 10,
  txFrames: 2,
  rxFrames: 1,
  drops: { replayed: 2, 'no-endpoint': 3 },
  reason: null,
};

export const nameServer: Status['nameServer'] = {
  state: 'serving',
  domain: 'fabric.internal',
  addresses: ['10.32.0.1'],
  upstreams: ['192.0.2.53:53'],
  reason: null,
  counters: {},
};

export function status(change: Partial<Status> = {}): Status {
  return {
    apiVersion: 'fabric/v1',
    health: { ok: true, problems: [], notices: [] },
    self: {
      id: 'aa'.repeat(16),
      nickname: 'one',
      version: '0.1.0',
      clusterId: 'cc'.repeat(16),
      uptimeMs: 65_000,
      addresses: ['10.32.0.2/12'],
    },
    token: { generation: 1, graceEndsAt: null },
    certificate: null,
    datapath: {
      name: 'pcap',
      reason: null,
      lacks: [],
      mtu: 1418,
      encryption: 'required',
      framesIn: 0,
      framesOut: 0,
      drops: {},
    },
    networks: [
      {
        name: 'fabric',
        id: 0,
        range: '10.32.0.0/12',
        range6: null,
        gateway: '10.32.0.1',
        domain: 'fabric.internal',
        bridge: 'fabric0',
        internal: false,
        state: 'active',
        up: true,
        hosts: [],
        creator: null,
      },
    ],
    peers: [{ id: other, nickname: 'two', endpoint: '192.0.2.12:6783', state: 'alive', lastSeenMs: 120 }],
    tunnels: [tunnel],
    routes: [
      {
        network: 'fabric',
        mac: '02:00:00:00:00:01',
        ips: ['10.32.0.5/12'],
        peer: 'aa'.repeat(16),
        local: true,
        sequence: 0,
        state: 'active',
        reason: null,
      },
      {
        network: 'fabric',
        mac: '02:00:00:00:00:02',
        ips: ['10.40.0.5/12'],
        peer: other,
        local: false,
        sequence: 1,
        state: 'refused',
        reason: 'it does not own that address',
      },
    ],
    leases: [
      {
        network: 'fabric',
        cidr: '10.40.0.0/13',
        peer: other,
        epoch: 1,
        used: null,
        size: 524_288,
        state: 'foreign',
        expiresAt: null,
      },
    ],
    attachments: [
      {
        network: 'fabric',
        containerId: 'c0ffee0123456789',
        ifname: 'eth0',
        mac: '02:00:00:00:00:01',
        ips: ['10.32.0.5/12'],
        name: 'web',
        hostIfname: 'fab1',
        state: 'attached',
        owner: 'cni:fabric',
        namespacePath: '/run/netns/web',
        namespaceId: '4:99',
      },
    ],
    reservations: [],
    dns: [{ name: 'db.fabric.internal', ips: ['10.40.0.5/12'], peer: other, network: 'fabric' }],
    nameServer,
    docker: { state: 'off', networks: 0, waiting: 0, reason: null, counters: {} },
    http: { state: 'serving', address: '127.0.0.1:6784', reason: null },
    targets: [],
    ...change,
  };
}

// Readings of a host where all is well, for tests that break one thing at a time.

import type { DaemonReading, PeerReading, Readings, StatusReading } from '../../src/doctor/readings.ts';

export const OWN_ID = 'aa'.repeat(16);
export const PEER_ID = 'bb'.repeat(16);

export const STATUS: StatusReading = {
  health: { problems: [], notices: [] },
  self: { id: OWN_ID, nickname: 'a', clusterId: 'cc'.repeat(16) },
  datapath: { name: 'engine', reason: null, lacks: ['ipsec-mb'], mtu: 1418 },
  networks: [{ range: '10.32.0.0/12', range6: 'fd00:1:2::/48', bridge: 'fabric0' }],
  peers: [{ id: PEER_ID, nickname: 'b', endpoint: '192.0.2.12:6783', state: 'alive', lastSeenMs: 10 }],
  tunnels: [{ peer: PEER_ID, nickname: 'b', state: 'established', mtu: 1500, reason: null }],
  leases: [
    { cidr: '10.32.0.0/24', peer: OWN_ID, used: 12, size: 256, state: 'active', expiresAt: null },
    { cidr: '10.32.1.0/24', peer: OWN_ID, used: 0, size: 256, state: 'spare', expiresAt: null },
    { cidr: '10.40.0.0/24', peer: PEER_ID, used: null, size: 256, state: 'foreign', expiresAt: null },
  ],
  targets: [{ host: '192.0.2.12:6783', error: null }],
};

export const DAEMON: DaemonReading = { status: STATUS, port: 6783 };

export const PEER: PeerReading = {
  id: PEER_ID,
  nickname: 'b',
  ip: '192.0.2.12',
  port: 6783,
  linked: true,
  tcpOutFault: null,
  tcpInFault: null,
  udpOut: true,
  udpIn: true,
  clockSkewMs: 3,
  clockErrorMs: 1,
  relay: null,
  tunnelMtu: 1500,
  icmp: { rttMs: 0.3, triedBytes: 1500, verdict: 'passes', mtu: null },
};

export const HEALTHY: Readings = {
  machine: {
    kernelRelease: '6.12.0',
    missingCapabilities: [],
    missingModules: [],
    hasTun: true,
    hasIpv6: true,
    sysctlReadOnly: false,
    neighbourTables: [
      { family: 4, entries: 8, entriesMax: 1_024, refused: 0 },
      { family: 6, entries: 700, entriesMax: 1_024, refused: 0 },
    ],
    nftFault: null,
    hasAes: true,
    sealBitsPerSecond: { 'aes-256-gcm': 2e10, 'chacha20-poly1305': 8e9 },
  },
  underlay: {
    interfaces: [{ name: 'eth0', mtu: 1500, offloadsOff: [] }],
    overlappingRoutes: [],
    duplicates: [],
    strictReversePath: [],
    takenPorts: [],
  },
  packetFilter: { hasOwnTables: true, forwardDrops: [], inputDrops: [], legacyDrops: [], bridgeNetfilter: true },
  daemon: DAEMON,
  peers: [PEER],
};

// Facts of a host of a small cluster, as a scrape gathers them; tests change what they are about.

import type { MemberFacts, MetricFacts } from '../../../src/daemon/metrics/metric-facts.ts';
import type { TunnelRow } from '../../../src/daemon/status-types.ts';
import { NOTHING_RELAYED } from '../../../src/router/datapath.ts';

export function tunnel(peer: string, change: Partial<TunnelRow> = {}): TunnelRow {
  return {
    peer,
    nickname: `host-${peer}`,
    endpoint: '192.0.2.2:6783',
    relay: null,
    nat: 'none',
    state: 'established',
    encrypted: true,
    datapath: 'engine',
    cipher: 'aes-256-gcm',
    mtu: 1500,
    rttMs: 12,
    txBytes: 1000,
    rxBytes: 2000,
    txFrames: 10,
    rxFrames: 20,
    drops: { replayed: 1 },
    reason: null,
    ...change,
  };
}

const MEMBER: MemberFacts = {
  peers: { alive: 2, suspect: 0, dead: 1 },
  tunnels: [tunnel('bb'), tunnel('cc', { state: 'idle', rttMs: null })],
  datapath: {
    framesIn: 30,
    framesOut: 40,
    drops: { 'no-members': 5 },
    relayed: { ...NOTHING_RELAYED, forwardedDatagrams: 3, forwardedBytes: 4200 },
  },
  handshakes: { initiations: 4, established: 2, rekeyed: 1, gaveUp: 1 },
  otherDrops: { 'handshake-mac1': 7 },
  gossip: {
    authors: 3,
    links: 2,
    stateBytes: 4000,
    ownVersion: 9,
    missing: 1,
    messagesSent: { root: 5 },
    messagesReceived: { root: 6 },
    bytesSent: 500,
    bytesReceived: 600,
    drops: { malformed: 1 },
  },
  behindSeconds: 0.5,
  leases: {
    drops: { stale: 1 },
    claims: 3,
    claimsPending: 0,
    ownRecords: 1,
    gifts: 0,
    decisions: 0,
    voters: 3,
    leaseMs: 86_400_000,
    families: [
      { family: 4, used: 3, usable: 256 },
      { family: 6, used: 3, usable: 2 ** 64 },
    ],
  },
  attachments: 2,
  reservations: 1,
  routes: { all: 6, doubted: 1 },
  names: {
    serving: true,
    counters: {
      queries: 9,
      own: 8,
      malformed: 0,
      strangers: 0,
      unserved: 0,
      cached: 0,
      forwarded: 1,
      mismatched: 0,
      timedOut: 0,
      refusedBusy: 0,
      noServer: 0,
    },
  },
  engine: { threads: [{ name: 'fabric-engine', cpuSeconds: 1.25 }], memoryBytes: 8 << 20 },
};

export function someFacts(change: Partial<MemberFacts> = {}): MetricFacts {
  return {
    version: '0.1.0',
    nickname: 'one "quoted"',
    peer: 'aa',
    datapath: 'engine',
    health: {
      ok: false,
      problems: [{ code: 'datapath', what: 'w', why: 'y', fix: 'f' }],
      notices: [{ code: 'peer-dead', what: 'w', why: 'y', fix: 'f' }],
    },
    meshLinks: 2,
    meshDrops: { 'hung-up': 1 },
    httpRefused: { host: 3 },
    member: { ...MEMBER, ...change },
  };
}

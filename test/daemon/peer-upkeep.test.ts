import { expect, test } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import { type BootId, DEFAULT_VNI, type PeerId, type Vni } from '../../src/base/ids.ts';
import type { PeerRecord } from '../../src/base/records.ts';
import { PeerUpkeep } from '../../src/daemon/peer-upkeep.ts';
import { PeerLiveness } from '../../src/gossip/peer-liveness.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import type { TableChange } from '../../src/router/datapath.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

const self = 'aa'.repeat(16) as PeerId;
const other = 'bb'.repeat(16) as PeerId;

function record(change: Partial<PeerRecord> = {}): PeerRecord {
  return {
    nickname: 'b',
    version: '0.1.0',
    protocolMin: 1,
    protocolMax: 1,
    bootId: '1111111111111111' as BootId,
    identityKey: new Uint8Array(32).fill(1),
    staticKey: new Uint8Array(32).fill(2),
    endpoints: [makeEndpoint('192.0.2.2', 6783)!],
    networks: [DEFAULT_VNI],
    ...change,
  };
}

function setUp() {
  const clock = new ManualClock();
  const records = new Map<PeerId, PeerRecord>([[self, record({ nickname: 'a' })]]);
  const calls: string[] = [];
  const told: string[] = [];
  let flood: readonly PeerId[] = [];
  let floods = 0;
  const liveness = new PeerLiveness({
    clock,
    changed: (peer, view, before) => upkeep.livenessChanged(peer, view, before),
  });
  const upkeep: PeerUpkeep = new PeerUpkeep({
    timers: systemTimers,
    self,
    log: new RecordingLog(),
    tell: ({ kind, what }) => told.push(`${kind}: ${what}`),
    neighbourhood: {
      liveness,
      met: (peer) => liveness.known(peer),
      rumours: { forget: (peer) => liveness.forget(peer) },
    },
    directory: {
      peer: (peer) => records.get(peer) ?? null,
      nameOf: (peer) => records.get(peer)?.nickname ?? peer,
      peers: () => [...records],
    },
    tunnels: {
      renew: (peer) => calls.push(`renew ${peer}`),
      setPeer: (peer) => calls.push(`set ${peer}`),
      removePeer: (peer) => calls.push(`remove ${peer}`),
    },
    routes: () => [{ reconsider: (peer) => calls.push(`reconsider ${peer}`) }],
    floodLists: () => [upkeep.floodListOf(DEFAULT_VNI)],
    vxlan: null,
    slot: {
      applyTables: (changes: readonly TableChange[]) => {
        for (const change of changes) {
          if (change.kind !== 'flood') continue;
          flood = change.peers;
          floods++;
        }
      },
    },
    mesh: { setKnownPeers: (peers) => calls.push(`dial ${peers.map(({ peer }) => peer).join(' ')}`) },
  });
  return { clock, records, calls, told, liveness, upkeep, flood: () => flood, floods: () => floods };
}

test('broadcast reaches a peer whose link came up before its record', () => {
  const { records, liveness, upkeep, flood } = setUp();
  liveness.linkUp(other);
  expect(flood()).toEqual([]);
  records.set(other, record());
  upkeep.recordChanged(other, null);
  expect(flood()).toEqual([other]);
});

test('broadcast goes to suspects, not to the dead, nor to hosts without the network', () => {
  const { clock, records, liveness, upkeep, flood } = setUp();
  liveness.linkUp(other);
  records.set(other, record());
  upkeep.recordChanged(other, null);
  liveness.linkDown(other);
  expect(flood()).toEqual([other]);
  clock.advance(60_000);
  liveness.tick();
  expect(flood()).toEqual([]);
  liveness.linkUp(other);
  expect(flood()).toEqual([other]);
  records.set(other, record({ networks: [7 as Vni] }));
  upkeep.recordChanged(other, record());
  expect(flood()).toEqual([]);
});

test('routes and flood lists are looked at again only when a peer dies or lives again, or has other networks', () => {
  const { clock, records, calls, liveness, upkeep, floods } = setUp();
  const judgements = () => [floods(), calls.filter((call) => call.startsWith('reconsider')).length];
  records.set(other, record());
  upkeep.recordChanged(other, null);
  liveness.linkUp(other);
  liveness.linkDown(other);
  liveness.linkUp(other);
  upkeep.recordChanged(other, record());
  expect(judgements()).toEqual([1, 0]);
  liveness.linkDown(other);
  clock.advance(60_000);
  liveness.tick();
  expect(judgements()).toEqual([2, 1]);
  liveness.linkUp(other);
  expect(judgements()).toEqual([3, 2]);
  upkeep.recordChanged(other, record({ networks: [] }));
  expect(judgements()).toEqual([4, 2]);
  upkeep.stop();
});

test('a peer that restarted gets new sessions, one that only moved keeps them', () => {
  const { records, calls, upkeep } = setUp();
  records.set(other, record({ endpoints: [makeEndpoint('192.0.2.9', 6783)!] }));
  upkeep.recordChanged(other, record());
  expect(calls.filter((call) => call.startsWith('renew'))).toEqual([]);
  records.set(other, record({ bootId: '2222222222222222' as BootId }));
  upkeep.recordChanged(other, record());
  expect(calls.filter((call) => call.startsWith('renew'))).toEqual([`renew ${other}`]);
});

test('what a peer does is told in words, but not that gossip names one of which nothing is known', () => {
  const { records, told, liveness, upkeep } = setUp();
  records.set(other, record({ nickname: 'b' }));
  upkeep.recordChanged(other, null);
  expect(told).toEqual(['peer-new: host b belongs to the cluster']);
  liveness.linkUp(other);
  liveness.goodbye(other);
  upkeep.tunnelTurned(other, { to: 'established' });
  upkeep.tunnelTurned(other, { to: 'failed', reason: 'no answer' });
  upkeep.tunnelTurned(other, { to: 'relayed', relay: self });
  upkeep.tunnelTurned(other, { to: 'direct', nat: 'none' });
  upkeep.tunnelTurned(other, { to: 'direct', nat: 'both' });
  records.delete(other);
  upkeep.recordGone(other, record({ nickname: 'b' }));
  expect(told.slice(1)).toEqual([
    'peer-alive: host b answers',
    'peer-dead: host b was stopped',
    'tunnel-established: the tunnel to b is up',
    'tunnel-failed: no tunnel to b: no answer',
    'tunnel-relayed: the tunnel to b goes by a',
    'tunnel-direct: the tunnel to b needs no relay any more',
    'tunnel-direct: the tunnel to b needs no relay any more: direct through NAT of both hosts',
    'peer-gone: host b belongs to the cluster no more',
  ]);
  upkeep.stop();
});

test('our own record concerns nobody', () => {
  const { calls, upkeep } = setUp();
  upkeep.recordChanged(self, null);
  expect(calls).toEqual([]);
});

test('the dialler is told once for many records, without ourselves', async () => {
  const { records, calls, upkeep } = setUp();
  const third = 'cc'.repeat(16) as PeerId;
  for (const peer of [other, third]) {
    records.set(peer, record());
    upkeep.recordChanged(peer, null);
  }
  await new Promise((resolve) => setImmediate(resolve));
  expect(calls.filter((call) => call.startsWith('dial'))).toEqual([`dial ${other} ${third}`]);
});

test('a host that left for good has no tunnel, no liveness and no copies any more', () => {
  const { records, calls, liveness, upkeep, flood } = setUp();
  liveness.linkUp(other);
  records.set(other, record());
  upkeep.recordChanged(other, null);
  records.delete(other);
  upkeep.recordGone(other, record({ nickname: 'b' }));
  expect(calls).toContain(`remove ${other}`);
  expect(liveness.view(other)).toBeNull();
  expect(flood()).toEqual([]);
  upkeep.stop();
});

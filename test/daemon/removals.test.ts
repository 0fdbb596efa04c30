import { expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import type { PeerId } from '../../src/base/ids.ts';
import type { PeerRecord, RemovalRecord } from '../../src/base/records.ts';
import { Removals } from '../../src/daemon/removals.ts';
import { REVOKED_MAX } from '../../src/gossip/token-records.ts';
import type { LeaseRow } from '../../src/ipam/types.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

const SELF = '11'.repeat(16) as PeerId;
const LOST = '22'.repeat(16) as PeerId;
const TWIN = '23'.repeat(16) as PeerId;
const OTHER = '33'.repeat(16) as PeerId;

function setUp() {
  const did: string[] = [];
  const published: RemovalRecord[] = [];
  const linked = new Set<PeerId>();
  const disk = { isFull: false };
  const nicknames = new Map([
    [SELF, 'me'],
    [LOST, 'lost'],
    [TWIN, 'twin'],
    [OTHER, 'twin'],
  ]);
  let rows = [{ peer: LOST, cidr: parseCidr('10.32.4.0/22')! } as LeaseRow];
  let stopped: FabricError | null = null;
  const removals = new Removals({
    self: SELF,
    log: new RecordingLog(),
    mesh: { linkedPeers: () => [...linked], shutOut: (peer) => void did.push(`shut out ${peer.slice(0, 2)}`) },
    revoked: () => void did.push('replace the token'),
    own: { publishRemoval: (record) => void published.push(record) },
    parts: {
      directory: {
        peers: () => [...nicknames].map(([peer, nickname]) => [peer, { nickname } as PeerRecord] as const),
        peer: (peer) => (nicknames.has(peer) ? ({ nickname: nicknames.get(peer)! } as PeerRecord) : null),
        nameOf: (peer) => nicknames.get(peer) ?? peer,
        ban: (peer) => void did.push(`ban ${peer.slice(0, 2)}`),
      },
      spaces: {
        leases: () => rows,
        peerRemoved: (peer, by) => {
          if (disk.isFull) throw new FabricError('limit', { what: 'the disk is full' });
          did.push(`inherit ${peer.slice(0, 2)} at ${by.slice(0, 2)}`);
          if (by === SELF) rows = [];
        },
        setAllocating: (error) => {
          stopped = error;
        },
      },
      tunnels: { removePeer: (peer) => void did.push(`end tunnel ${peer.slice(0, 2)}`) },
      neighbourhood: { liveness: { view: () => ({ state: 'dead', reason: 'silent', lastSeenAtMs: null }) } },
    },
  });
  return { removals, did, published, linked, nicknames, disk, stopped: () => stopped };
}

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof FabricError) return error.code;
    throw error;
  }
  return 'ok';
}

test.each([
  ['its nickname', 'lost'],
  ['its id', LOST],
  ['the beginning of its id', '222222'],
])('a host is removed by %s: published first, then shut out everywhere, and its blocks are named', (_how, name) => {
  const { removals, did, published } = setUp();
  expect(removals.remove(name)).toEqual({ peer: LOST, nickname: 'lost', blocks: ['10.32.4.0/22'] });
  expect(published).toEqual([{ peer: LOST, nickname: 'lost', revoked: false }]);
  expect(did).toEqual(['ban 22', 'end tunnel 22', 'shut out 22', 'inherit 22 at 11']);
  expect(removals.isRemoved(LOST)).toBe(true);
  expect(removals.refusalOf(LOST)).toMatchObject({ code: 'peer-removed', what: `refused peer ${LOST} (lost)` });
  expect(removals.refusalOf(OTHER)).toBeNull();
});

test.each([
  ['nobody', 'nobody', 'peer-unknown'],
  ['too short a beginning', '22', 'peer-unknown'],
  ['two hosts of one name', 'twin', 'usage'],
  ['itself', 'me', 'usage'],
])('a host refuses to remove %s', (_who, name, code) => {
  const { removals, published } = setUp();
  expect(codeOf(() => removals.remove(name))).toBe(code);
  expect(published).toEqual([]);
});

test('a full disk keeps a host from taking addresses over, not from shutting the removed one out', () => {
  const { removals, did, disk } = setUp();
  const record = { peer: LOST, nickname: 'lost', revoked: true };
  disk.isFull = true;
  expect(codeOf(() => removals.heard(OTHER, record))).toBe('limit');
  expect(did).toEqual(['replace the token', 'ban 22', 'end tunnel 22', 'shut out 22']);
  disk.isFull = false;
  removals.heard(OTHER, record);
  expect(did.slice(4)).toEqual(['inherit 22 at 33']);
});

test('a host that is linked is alive, and is not removed', () => {
  const { removals, linked, did } = setUp();
  linked.add(LOST);
  expect(codeOf(() => removals.remove('lost'))).toBe('peer-alive');
  linked.delete(LOST);
  expect(codeOf(() => removals.remove('lost'))).toBe('ok');
  expect(did.length).toBeGreaterThan(0);
});

test('a host in wrong hands is revoked alive: shut out as any removed one, and the token is to be replaced', () => {
  const { removals, did, published, linked } = setUp();
  linked.add(LOST);
  expect(removals.revoke('lost')).toEqual({ peer: LOST, nickname: 'lost', blocks: ['10.32.4.0/22'] });
  expect(published).toEqual([{ peer: LOST, nickname: 'lost', revoked: true }]);
  expect(did).toEqual(['replace the token', 'ban 22', 'end tunnel 22', 'shut out 22', 'inherit 22 at 11']);
  expect([removals.isRevoked(LOST), removals.isRevoked(OTHER)]).toEqual([true, false]);
  expect(removals.revoked()).toEqual([LOST]);
  expect(removals.refusalOf(LOST)?.why).toContain('revoked it at me');
});

test('a host that is linked and says nothing of itself is revoked by its id', () => {
  const { removals, linked } = setUp();
  const mute = '44'.repeat(16) as PeerId;
  expect(codeOf(() => removals.revoke(mute))).toBe('peer-unknown');
  linked.add(mute);
  expect(removals.revoke(mute)).toMatchObject({ peer: mute, nickname: '' });
});

test('hosts that took each other’s ids for nicknames are revoked all the same', () => {
  const { removals, nicknames } = setUp();
  nicknames.set(LOST, OTHER).set(OTHER, LOST);
  expect(removals.revoke(LOST).peer).toBe(LOST);
  expect(removals.revoke(OTHER).peer).toBe(OTHER);
});

test('a host that was removed can be revoked later, here and elsewhere; the other way round nothing changes', () => {
  const { removals, did } = setUp();
  removals.heard(OTHER, { peer: LOST, nickname: 'lost', revoked: false });
  expect(removals.revoked()).toEqual([]);
  removals.heard(TWIN, { peer: LOST, nickname: 'lost', revoked: true });
  removals.heard(OTHER, { peer: LOST, nickname: 'lost', revoked: false });
  expect(removals.revoked()).toEqual([LOST]);
  expect(did.filter((what) => what === 'replace the token')).toHaveLength(1);
});

test('no more hosts are revoked than a record can name', () => {
  const { removals, published } = setUp();
  for (let index = 0; index < REVOKED_MAX; index++) {
    const peer = index.toString(16).padStart(32, '0') as PeerId;
    removals.heard(OTHER, { peer, nickname: '', revoked: true });
  }
  expect(codeOf(() => removals.revoke('lost'))).toBe('limit');
  expect(published).toEqual([]);
});

test('what other hosts say is carried out once, and each may take over', () => {
  const { removals, did } = setUp();
  removals.heard(OTHER, { peer: LOST, nickname: 'lost', revoked: false });
  removals.heard(OTHER, { peer: LOST, nickname: 'lost', revoked: false });
  removals.heard(TWIN, { peer: LOST, nickname: 'lost', revoked: false });
  expect(did.filter((what) => !what.startsWith('inherit'))).toEqual(['ban 22', 'end tunnel 22', 'shut out 22']);
  expect(did).toContain('inherit 22 at 33');
  expect(did).toContain('inherit 22 at 23');
});

test('a host that was removed itself gives out no address any more, and says why', () => {
  const { removals, did, stopped } = setUp();
  expect(removals.ownFault).toBeNull();
  removals.heard(OTHER, { peer: SELF, nickname: 'me', revoked: false });
  expect(stopped()?.code).toBe('peer-removed');
  expect(removals.ownFault?.what).toBe('this host was removed from its cluster');
  expect(did).toEqual([]);
});

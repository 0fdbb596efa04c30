import { expect, test } from 'vitest';
import { equalBytes } from '../../src/base/bytes.ts';
import { DEFAULT_VNI, type PeerId, type TokenId } from '../../src/base/ids.ts';
import { Directory } from '../../src/daemon/directory.ts';
import {
  attachmentKey,
  encodeAttachment,
  encodeLease,
  encodePeer,
  encodeRemoval,
  leaseKey,
  PEER_KEY,
  removalKey,
} from '../../src/gossip/record-codec.ts';
import { encodeRotation, encodeSeals, rotationKey, sealsKey } from '../../src/gossip/token-records.ts';
import { attachmentRecord, IDENTITY_KEY, leaseRecord, peerRecord, SELF } from './own-map.ts';

const author = SELF;
const lease = leaseRecord('10.32.0.0/24');
const web = attachmentRecord('02:00:00:00:00:01');
const BROKEN = new Uint8Array([255, 255, 255]);

function setUp() {
  const events: string[] = [];
  const directory = new Directory((peer, key) => peer === author && equalBytes(key, IDENTITY_KEY), {
    peerChanged: (_peer, before) => events.push(`peer ${before?.nickname ?? 'new'}`),
    peerGone: (_peer, { nickname }) => events.push(`peer gone: ${nickname}`),
    leaseAdded: (_peer, { cidr }) => events.push(`lease ${cidr}`),
    leaseGone: (_peer, { cidr }) => events.push(`lease gone ${cidr}`),
    attachmentAdded: (_peer, { ips }) => events.push(`claim ${ips.join()}`),
    attachmentGone: (_peer, { ips }) => events.push(`claim gone ${ips.join()}`),
    nameAdded: (_peer, { name }) => events.push(`name ${name}`),
    nameGone: (_peer, { name }) => events.push(`name gone ${name}`),
    voted: () => undefined,
    removed: (_by, { peer, nickname }) => events.push(`removed ${nickname} ${peer}`),
    networkMade: (_by, { network, name }) => events.push(`network ${network} ${name}`),
    networkRemoved: (_by, network) => events.push(`network gone ${network}`),
    rotated: (_by, { generation, id }) => events.push(`rotated ${generation} ${id}`),
    sealed: (_by, { generation, part, seals }) => events.push(`sealed ${generation} ${part} for ${seals.length}`),
    certified: (_by, attestation) => events.push(`certified ${attestation?.length ?? 'no more'}`),
  });
  const apply = (key: string, value: Uint8Array | null) => directory.apply(author, [{ key, value }]);
  return { directory, events, apply };
}

test('a host appears, changes and goes', () => {
  const { directory, events, apply } = setUp();
  apply(PEER_KEY, encodePeer(peerRecord()));
  expect(directory.peer(author)).toEqual(peerRecord());
  apply(PEER_KEY, encodePeer(peerRecord({ nickname: 'b' })));
  expect(directory.peers().map(([peer, { nickname }]) => [peer, nickname])).toEqual([[author, 'b']]);
  apply(PEER_KEY, null);
  apply(PEER_KEY, null);
  expect(directory.peers()).toEqual([]);
  expect(events).toEqual(['peer new', 'peer a', 'peer gone: b']);
});

test('the identity key of a host that is gone is kept: chains of gifts need it', () => {
  const { directory, apply } = setUp();
  apply(PEER_KEY, encodePeer(peerRecord()));
  apply(PEER_KEY, null);
  expect(directory.identityKeyOf(author)).toEqual(IDENTITY_KEY);
  expect(directory.identityKeyOf('00'.repeat(16) as PeerId)).toBeNull();
});

test('a record with a key that is not its author’s is ignored and counted; the one before stands', () => {
  const { directory, events, apply } = setUp();
  apply(PEER_KEY, encodePeer(peerRecord()));
  apply(PEER_KEY, encodePeer(peerRecord({ nickname: 'x', identityKey: new Uint8Array(32) })));
  expect([directory.peer(author)?.nickname, directory.undecodable, events]).toEqual(['a', 1, ['peer new']]);
});

test('leases and claims are told as they come and as they were when they go', () => {
  const { directory, events, apply } = setUp();
  apply(leaseKey(lease), encodeLease(lease));
  apply(attachmentKey(DEFAULT_VNI, web.mac), encodeAttachment(web));
  apply(attachmentKey(DEFAULT_VNI, web.mac), encodeAttachment({ ...web, ips: ['10.32.0.9'] }));
  expect(directory.attachments(author).map(({ ips }) => ips)).toEqual([['10.32.0.9']]);
  apply(attachmentKey(DEFAULT_VNI, web.mac), null);
  apply(leaseKey(lease), null);
  apply(leaseKey(lease), null);
  expect(events).toEqual([
    'lease 10.32.0.0/24',
    'claim 10.32.0.5',
    'claim 10.32.0.9',
    'claim gone 10.32.0.9',
    'lease gone 10.32.0.0/24',
  ]);
});

test.each([
  [PEER_KEY, encodePeer(peerRecord()), 'peer gone: a'],
  [leaseKey(lease), encodeLease(lease), 'lease gone 10.32.0.0/24'],
  [attachmentKey(DEFAULT_VNI, web.mac), encodeAttachment(web), 'claim gone 10.32.0.5'],
])('a value of %s that no longer decodes takes the old one away and is counted', (key, value, gone) => {
  const { directory, events, apply } = setUp();
  apply(key, value);
  apply(key, BROKEN);
  expect(events.at(-1)).toBe(gone);
  expect(directory.undecodable).toBe(1);
  apply(key, BROKEN);
  expect(events).toHaveLength(2);
});

test('kinds of records from newer versions are passed over', () => {
  const { directory, events, apply } = setUp();
  apply('weather/today', new Uint8Array([1]));
  expect([events, directory.undecodable]).toEqual([[], 0]);
});

test('a banned host is gone, and nothing of it is believed again but the leases that it gave', () => {
  const { directory, events, apply } = setUp();
  apply(PEER_KEY, encodePeer(peerRecord()));
  apply(attachmentKey(web.network, web.mac), encodeAttachment(web));
  apply(leaseKey(lease), encodeLease(lease));
  events.length = 0;
  directory.ban(author);
  directory.ban(author);
  expect(events).toEqual([`claim gone ${web.ips.join()}`, 'peer gone: a']);
  apply(PEER_KEY, encodePeer(peerRecord({ nickname: 'again' })));
  apply(attachmentKey(web.network, web.mac), encodeAttachment(web));
  const late = leaseRecord('10.32.1.0/24');
  apply(leaseKey(late), encodeLease(late));
  expect(events.slice(2)).toEqual(['lease 10.32.1.0/24']);
  expect([directory.peers(), directory.attachments(author)]).toEqual([[], []]);
});

test('tokens are read last of all, also of a removed host, and are not withdrawn', () => {
  const { directory, events, apply } = setUp();
  const rotation = { generation: 2, id: '0123456789abcdef' as TokenId, graceMs: 0, excluded: [] };
  const seals = { generation: 2, id: rotation.id, part: 0, ephemeralKey: new Uint8Array(32), seals: [] };
  const entries: [string, Uint8Array][] = [
    [rotationKey(rotation), encodeRotation(rotation)],
    [sealsKey(seals), encodeSeals(seals)],
    [sealsKey(seals), BROKEN],
  ];
  const gossip = { authors: () => [author], entries: () => entries };
  directory.load(gossip);
  directory.loadRemovals(gossip);
  expect(events).toEqual([]);
  directory.ban(author);
  directory.loadTokens(gossip);
  apply(rotationKey(rotation), null);
  expect(events).toEqual([`rotated 2 ${rotation.id}`, 'sealed 2 0 for 0']);
  expect(directory.undecodable).toBe(1);
});

test('removals are read apart from all else, and are not withdrawn', () => {
  const { directory, events, apply } = setUp();
  const removal = { peer: SELF, nickname: 'lost', revoked: false };
  const entries: [string, Uint8Array][] = [
    [removalKey(SELF), encodeRemoval(removal)],
    [leaseKey(lease), encodeLease(lease)],
    [removalKey(SELF).slice(0, -1), encodeRemoval(removal)],
  ];
  const gossip = { authors: () => [author], entries: () => entries };
  directory.load(gossip);
  expect(events).toEqual(['lease 10.32.0.0/24']);
  directory.loadRemovals(gossip);
  expect(events.slice(1)).toEqual([`removed lost ${SELF}`]);
  expect(directory.undecodable).toBe(1);
  apply(removalKey(SELF), null);
  expect(events).toHaveLength(2);
});

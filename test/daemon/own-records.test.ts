import { expect, test } from 'vitest';
import { DEFAULT_VNI, type Mac } from '../../src/base/ids.ts';
import { OwnRecords } from '../../src/daemon/own-records.ts';
import { attachmentKey, decodePeer, leaseKey, PEER_KEY, voteKey } from '../../src/gossip/record-codec.ts';
import { attachmentRecord, leaseRecord, lonelyGossip, peerRecord, SELF } from './own-map.ts';

const web = attachmentRecord('02:00:00:00:00:01');
const db = attachmentRecord('02:00:00:00:00:02', ['10.32.0.6']);

function setUp() {
  const gossip = lonelyGossip();
  let wrote = 0;
  const records = new OwnRecords(gossip, SELF, { wrote: () => wrote++, failed: () => undefined });
  return { gossip, records, wrote: () => wrote, keys: () => gossip.entries(SELF).map(([key]) => key) };
}

test('a record that stands already is not written again: no version, no message', () => {
  const { gossip, records, wrote } = setUp();
  records.publishPeer(peerRecord());
  const version = gossip.stats().ownVersion;
  records.publishPeer(peerRecord());
  expect([gossip.stats().ownVersion, wrote()]).toEqual([version, 1]);
  records.publishPeer(peerRecord({ nickname: 'b' }));
  expect(decodePeer(gossip.get(SELF, PEER_KEY)!)?.nickname).toBe('b');
  expect(wrote()).toBe(2);
});

test('claims that change together are one version of our records', () => {
  const { records, keys, wrote } = setUp();
  records.changeAttachments([
    { kind: 'publish', record: web },
    { kind: 'publish', record: db },
    { kind: 'withdraw', network: DEFAULT_VNI, mac: web.mac },
  ]);
  expect(keys()).toEqual([attachmentKey(DEFAULT_VNI, db.mac)]);
  expect(wrote()).toBe(1);
});

test('claims come and go one by one; withdrawing what is not there changes nothing', () => {
  const { records, wrote, keys } = setUp();
  for (const record of [web, db]) records.changeAttachments([{ kind: 'publish', record }]);
  records.changeAttachments([{ kind: 'withdraw', network: DEFAULT_VNI, mac: web.mac }]);
  expect(keys()).toEqual([attachmentKey(DEFAULT_VNI, db.mac)]);
  records.changeAttachments([{ kind: 'withdraw', network: DEFAULT_VNI, mac: '02:00:00:00:00:99' as Mac }]);
  expect(wrote()).toBe(3);
});

test('replacing leases adds, keeps and removes in one version, and touches nothing else', () => {
  const { gossip, records, keys } = setUp();
  records.publishPeer(peerRecord());
  records.changeAttachments([{ kind: 'publish', record: web }]);
  const [first, second, third] = ['10.32.0.0/24', '10.32.1.0/24', '10.32.2.0/24'].map((cidr) => leaseRecord(cidr));
  records.replaceLeases([first!, second!]);
  const version = gossip.stats().ownVersion;
  records.replaceLeases([second!, third!]);
  expect(gossip.stats().ownVersion).toBe(version + 1);
  expect(keys().sort()).toEqual(
    [attachmentKey(DEFAULT_VNI, web.mac), leaseKey(second!), leaseKey(third!), PEER_KEY].sort(),
  );
});

test('one block under two epochs is two records', () => {
  const { records, keys } = setUp();
  records.replaceLeases([leaseRecord('10.32.0.0/24', 2), leaseRecord('10.32.0.0/24', 4)]);
  expect(keys()).toHaveLength(2);
});

test('replacing attachments leaves leases alone', () => {
  const { records, keys } = setUp();
  records.replaceLeases([leaseRecord('10.32.0.0/24')]);
  records.changeAttachments([{ kind: 'publish', record: web }]);
  records.replaceAttachments([db]);
  expect(keys().sort()).toEqual([attachmentKey(DEFAULT_VNI, db.mac), leaseKey(leaseRecord('10.32.0.0/24'))].sort());
});

test('a host that leaves for good leaves only what proves its gifts, and what it has decided with others', () => {
  const { records, keys } = setUp();
  records.publishPeer(peerRecord());
  records.changeAttachments([{ kind: 'publish', record: web }]);
  records.replaceLeases([leaseRecord('10.32.0.0/24')]);
  records.replaceVotes(DEFAULT_VNI, new Map([['0', Uint8Array.of(1)]]));
  records.withdrawAllButLeases();
  expect(keys()).toEqual([leaseKey(leaseRecord('10.32.0.0/24')), voteKey(DEFAULT_VNI, '0')]);
});

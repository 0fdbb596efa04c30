import { expect, test } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import type { Mac, PeerId } from '../../src/base/ids.ts';
import type { AttachmentRecord } from '../../src/base/records.ts';
import { Directory } from '../../src/daemon/directory.ts';
import { OwnPresence } from '../../src/daemon/own-presence.ts';
import { OwnRecords } from '../../src/daemon/own-records.ts';
import { ATTACHMENT_PREFIX, decodeAttachment } from '../../src/gossip/record-codec.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { attachmentRecord, lonelyGossip, peerRecord, SELF } from './own-map.ts';

const web = attachmentRecord('02:00:00:00:00:01');
const db = attachmentRecord('02:00:00:00:00:02', ['10.32.0.6']);
const gone = attachmentRecord('02:00:00:00:00:03', ['10.32.0.7']);

/** A host whose kernel has `here`; what is due `soon` waits for the test. */
function setUp(here: readonly AttachmentRecord[]) {
  const gossip = lonelyGossip();
  const soon: (() => void)[] = [];
  const routed = new Set<Mac>();
  const nothing = () => undefined;
  const directory = new Directory(() => true, {
    peerChanged: nothing,
    peerGone: nothing,
    leaseAdded: nothing,
    leaseGone: nothing,
    attachmentAdded: (_author, { mac }) => routed.add(mac),
    removed: () => undefined,
    voted: () => undefined,
    attachmentGone: (_author, { mac }) => routed.delete(mac),
    nameAdded: nothing,
    nameGone: nothing,
  });
  const records = new OwnRecords(gossip, SELF, nothing);
  const presence = new OwnPresence({
    self: SELF,
    log: new RecordingLog(),
    timers: {
      nowMs: () => 0,
      after: () => nothing,
      soon: (run) => {
        soon.push(run);
        return nothing;
      },
    },
    records,
    gossip,
    directory,
    claims: {
      claim: (_author: PeerId, { mac }: AttachmentRecord) => routed.add(mac),
      withdraw: (_author, _network, mac) => routed.delete(mac),
    },
    peerRecord: peerRecord(),
    endpoints: async () => [makeEndpoint('192.0.2.1', 6783)!],
    leases: () => [],
    votes: () => new Map(),
    isOurs: (claim) => here.includes(claim) || here.some(({ mac }) => mac === claim.mac),
  });
  return {
    presence,
    routed,
    /** Gossip took a state of ours that holds exactly these claims, and tells it in its order. */
    adopt: (claims: readonly AttachmentRecord[]) => {
      presence.adoptNewer(7);
      const before = gossip.entries(SELF, ATTACHMENT_PREFIX).map(([key]) => [key, null] as const);
      records.replaceAttachments(claims);
      const changes = new Map([...before, ...gossip.entries(SELF, ATTACHMENT_PREFIX)]);
      directory.apply(
        SELF,
        Array.from(changes, ([key, value]) => ({ key, value })),
      );
    },
    settle: () => {
      for (const run of soon.splice(0)) run();
    },
    published: () => gossip.entries(SELF, ATTACHMENT_PREFIX).map(([key, value]) => decodeAttachment(key, value)?.mac),
  };
}

test('a claim of this run outlives the adoption of a newer state that lacks it', () => {
  const { presence, adopt, settle, published, routed } = setUp([web, db]);
  adopt([web]); // so that the directory knows it too, as after a restart
  presence.publishClaim(web);
  adopt([db]);
  expect([...routed]).toEqual([db.mac]);
  settle();
  expect(published()).toEqual([web.mac, db.mac]);
  expect([...routed].sort()).toEqual([web.mac, db.mac]);
});

test('claims of what is not here go when a newer state brings them back', () => {
  const { adopt, settle, published } = setUp([db]);
  adopt([db, gone]);
  settle();
  expect(published()).toEqual([db.mac]);
});

test('what was withdrawn before the adoption settles stays withdrawn', () => {
  const { presence, adopt, settle, published, routed } = setUp([db]);
  presence.publishClaim(web);
  adopt([db]);
  presence.withdrawClaim(web.mac);
  settle();
  expect(published()).toEqual([db.mac]);
  expect([...routed]).toEqual([db.mac]);
});

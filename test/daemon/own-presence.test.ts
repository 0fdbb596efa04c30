import { describe, expect, test, vi } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import { FabricError } from '../../src/base/errors.ts';
import type { BootId, Mac, PeerId } from '../../src/base/ids.ts';
import { type NatFacts, NOT_BEHIND_NAT } from '../../src/base/nat-facts.ts';
import type { AttachmentRecord, PeerRecord } from '../../src/base/records.ts';
import { Directory } from '../../src/daemon/directory.ts';
import { OwnPresence } from '../../src/daemon/own-presence.ts';
import { OwnRecords } from '../../src/daemon/own-records.ts';
import {
  BESIDE_PREFIX,
  besideKey,
  decodeReplacedBoot,
  encodeReplacedBoot,
  REPLACED_BOOT_KEY,
} from '../../src/gossip/life-records.ts';
import {
  ATTACHMENT_PREFIX,
  decodeAttachment,
  decodePeer,
  encodePeer,
  PEER_KEY,
} from '../../src/gossip/record-codec.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { attachmentRecord, lonelyGossip, peerRecord, SELF } from './own-map.ts';

const web = attachmentRecord('02:00:00:00:00:01');
const db = attachmentRecord('02:00:00:00:00:02', ['10.32.0.6']);
const gone = attachmentRecord('02:00:00:00:00:03', ['10.32.0.7']);

/** A host whose kernel has `here`, and whose earlier run published `earlier`; what is due `soon` waits for the test. */
function setUp(here: readonly AttachmentRecord[], earlier: Partial<PeerRecord> = {}) {
  const gossip = lonelyGossip();
  const soon: (() => void)[] = [];
  const clones: BootId[] = [];
  let failures = 0;
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
    networkMade: nothing,
    networkRemoved: nothing,
    rotated: nothing,
    sealed: nothing,
    certified: nothing,
  });
  const records = new OwnRecords(gossip, SELF, { wrote: nothing, failed: nothing });
  records.publishPeer(peerRecord(earlier));
  const presence = new OwnPresence({
    self: SELF,
    log: new RecordingLog(),
    timers: {
      nowMs: () => 0,
      after: (ms, run) => {
        if (ms <= 1_000) soon.push(run);
        return nothing;
      },
      soon: () => nothing,
    },
    records,
    gossip,
    directory,
    take: (changes) => directory.apply(SELF, changes),
    claims: {
      claim: (_author: PeerId, { mac }: AttachmentRecord) => routed.add(mac),
      withdraw: (_author, _network, mac) => routed.delete(mac),
    },
    peerRecord: peerRecord(),
    sequenceOf: () => 3,
    networks: () => [web.network],
    endpoints: async () => [makeEndpoint('192.0.2.1', 6783)!],
    leases: () => [],
    votes: () => new Map(),
    cloned: (boot) => clones.push(boot),
    failed: () => failures++,
    isOurs: (claim) => here.includes(claim) || here.some(({ mac }) => mac === claim.mac),
  });
  return {
    presence,
    routed,
    gossip,
    clones,
    failures: () => failures,
    /** Gossip took a state of ours that the run `boot` wrote over one of `replaced`. */
    adoptRun: (boot: BootId, replaced: BootId | null) => {
      const run = encodePeer(peerRecord({ bootId: boot }));
      const before = replaced === null ? null : encodeReplacedBoot(replaced);
      gossip.batch(
        new Map([
          [PEER_KEY, run],
          [REPLACED_BOOT_KEY, before],
        ]),
      );
      presence.adoptNewer(gossip.version(SELF));
    },
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
    /** What our record says of a NAT. */
    publishedNat: () => decodePeer(gossip.get(SELF, PEER_KEY)!)?.nat,
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
  const { adopt, settle, published, routed } = setUp([db]);
  adopt([db, gone]);
  settle();
  expect(published()).toEqual([db.mac]);
  expect([...routed]).toEqual([db.mac]); // or a device that comes back would be taken for announced
});

test('what was withdrawn before the adoption settles stays withdrawn', () => {
  const { presence, adopt, settle, published, routed } = setUp([db]);
  presence.publishClaim(web);
  adopt([db]);
  presence.withdrawClaim(web.network, web.mac);
  settle();
  expect(published()).toEqual([db.mac]);
  expect([...routed]).toEqual([db.mac]);
});

test('what could not be written on a full disk is said a second later', () => {
  const { presence, adopt, settle, published, failures } = setUp([web]);
  presence.publishClaim(web);
  adopt([]);
  const write = vi.spyOn(OwnRecords.prototype, 'replaceLeases');
  write.mockImplementationOnce(() => {
    throw new FabricError('limit', { what: 'the disk is full' });
  });
  settle();
  expect([published(), failures()]).toEqual([[], 1]);
  settle();
  expect([published(), failures()]).toEqual([[web.mac], 1]);
});

describe('the same identity in another process', () => {
  const OURS = peerRecord().bootId;
  const OTHER = 'aaaaaaaaaaaaaaaa' as BootId;
  const THIRD = 'bbbbbbbbbbbbbbbb' as BootId;

  test('an older run of this host is none: its records are replaced, and that is said', async () => {
    const { presence, gossip, clones, adoptRun, settle } = setUp([]);
    await presence.refresh();
    adoptRun(OTHER, THIRD);
    settle();
    await presence.refresh();
    expect(clones).toEqual([]);
    expect(decodePeer(gossip.get(SELF, PEER_KEY)!)?.bootId).toBe(OURS);
    expect(decodeReplacedBoot(gossip.get(SELF, REPLACED_BOOT_KEY)!)).toBe(OTHER);
  });

  test('who replaced the record of this very run lives: it is a clone, and hears of us once', async () => {
    const { presence, gossip, clones, adoptRun, settle } = setUp([]);
    await presence.refresh();
    adoptRun(OTHER, OURS);
    settle();
    await presence.refresh();
    expect(clones).toEqual([OTHER]);
    expect(decodeReplacedBoot(gossip.get(SELF, REPLACED_BOOT_KEY)!)).toBe(OTHER);
    adoptRun(OTHER, OURS);
    settle();
    await Promise.resolve();
    expect(clones).toEqual([OTHER, OTHER]);
    expect(decodePeer(gossip.get(SELF, PEER_KEY)!)?.bootId).toBe(OTHER);
    adoptRun(THIRD, OURS);
    settle();
    await presence.refresh();
    expect(decodePeer(gossip.get(SELF, PEER_KEY)!)?.bootId).toBe(OURS);
  });

  test('a clone that says no more whose place it took is told once more, and told for good', async () => {
    const { presence, gossip, clones, adoptRun, settle } = setUp([]);
    await presence.refresh();
    adoptRun(OTHER, OURS);
    settle();
    await presence.refresh();
    // What it wrote at the same time, of which ours was lost.
    gossip.remove(besideKey({ self: OURS, other: OTHER }));
    adoptRun(OTHER, OURS);
    settle();
    expect(gossip.entries(SELF, BESIDE_PREFIX).map(([key]) => key)).toEqual([besideKey({ self: OURS, other: OTHER })]);
    const version = gossip.version(SELF);
    presence.adoptNewer(version);
    settle();
    await Promise.resolve();
    expect(gossip.version(SELF)).toBe(version);
    expect(new Set(clones)).toEqual(new Set([OTHER]));
  });

  test('a run that says that it lives beside ours is a clone, whatever else it says', async () => {
    const { presence, gossip, clones } = setUp([]);
    await presence.start();
    gossip.put(besideKey({ self: THIRD, other: OTHER }), new Uint8Array(0));
    presence.adoptNewer(gossip.version(SELF));
    expect(clones).toEqual([]);
    gossip.put(besideKey({ self: OTHER, other: OURS }), new Uint8Array(0));
    presence.adoptNewer(gossip.version(SELF));
    expect(clones).toEqual([OTHER]);
  });

  test('what earlier runs said of others beside them is gone at the next start', async () => {
    const { presence, gossip } = setUp([]);
    gossip.put(besideKey({ self: THIRD, other: OTHER }), new Uint8Array(0));
    await presence.start();
    expect(gossip.entries(SELF, BESIDE_PREFIX)).toEqual([]);
  });

  test('a state from before this was recorded accuses nobody', async () => {
    const { presence, clones, adoptRun } = setUp([]);
    await presence.refresh();
    adoptRun(OTHER, null);
    expect(clones).toEqual([]);
  });
});

test('a claim is published with its mobility sequence', () => {
  const { presence, gossip } = setUp([web]);
  presence.publishClaim(web);
  const [[key, value] = ['', new Uint8Array()]] = gossip.entries(SELF, ATTACHMENT_PREFIX);
  expect(decodeAttachment(key, value)).toMatchObject({ mac: web.mac, sequence: 3 });
});

test('where a NAT puts this host is published, and no longer when there is none', async () => {
  const { presence, publishedNat } = setUp([]);
  const facts: NatFacts = { ...NOT_BEHIND_NAT, observed: [makeEndpoint('203.0.113.7', 40_001)!] };
  await presence.refresh();
  expect(publishedNat()).toBeUndefined();
  presence.natChanged(facts);
  expect(publishedNat()).toEqual(facts);
  await presence.refresh();
  expect(publishedNat()).toEqual(facts);
  presence.natChanged(NOT_BEHIND_NAT);
  expect(publishedNat()).toBeUndefined();
  presence.natChanged({ ...NOT_BEHIND_NAT, symmetric: true });
  expect(publishedNat()).toMatchObject({ observed: [], symmetric: true });
});

test('what an earlier run published of a NAT stands until this one knows better', async () => {
  const nat: NatFacts = { ...NOT_BEHIND_NAT, symmetric: true };
  const { presence, publishedNat } = setUp([], { nat });
  await presence.refresh();
  expect(publishedNat()).toEqual(nat);
});

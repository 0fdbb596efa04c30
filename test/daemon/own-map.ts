// A record that decodes, for tests of what the daemon makes of records; and gossip with one host, whose map they fill.

import { makeEndpoint } from '../../src/base/endpoint.ts';
import { type BootId, type ClusterId, DEFAULT_VNI, type GiftId, type Mac, type PeerId } from '../../src/base/ids.ts';
import { peerIdOf } from '../../src/base/membership.ts';
import type { AttachmentRecord, LeaseRecord, PeerRecord } from '../../src/base/records.ts';
import { Gossip } from '../../src/gossip/gossip.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const SEED = new Uint8Array(32).fill(7);
export const IDENTITY_KEY = nodeCrypto.ed25519Public(SEED);
export const SELF: PeerId = peerIdOf(IDENTITY_KEY, nodeCrypto);

export function peerRecord(change: Partial<PeerRecord> = {}): PeerRecord {
  return {
    nickname: 'a',
    version: '0.1.0',
    protocolMin: 1,
    protocolMax: 1,
    bootId: '0123456789abcdef' as BootId,
    identityKey: IDENTITY_KEY,
    staticKey: new Uint8Array(32).fill(2),
    endpoints: [makeEndpoint('192.0.2.1', 6783)!],
    networks: [DEFAULT_VNI],
    ...change,
  };
}

export function leaseRecord(cidr: string, epoch = 2): LeaseRecord {
  return {
    network: DEFAULT_VNI,
    cidr,
    owner: SELF,
    epoch,
    giftId: 'cd'.repeat(16) as GiftId,
    donor: 'ee'.repeat(16) as PeerId,
    signature: new Uint8Array(64).fill(3),
  };
}

export function attachmentRecord(mac: string, ips: readonly string[] = ['10.32.0.5']): AttachmentRecord {
  return { network: DEFAULT_VNI, mac: mac as Mac, ips, sequence: 0, name: 'web', kind: 'container' };
}

/** The gossip of a host that is alone. */
export function lonelyGossip(): Gossip {
  return new Gossip({
    self: { peer: SELF, identityKey: IDENTITY_KEY, sign: (bytes) => nodeCrypto.ed25519Sign(SEED, bytes) },
    clusterId: '50d29b384ad967ffbb493979ea75db4f' as ClusterId,
    clock: new ManualClock(),
    random: new SeededRandom(5),
    crypto: nodeCrypto,
    store: new MemoryStore(),
    log: new RecordingLog(),
    acceptAuthor: () => true,
    events: { changed: () => undefined, ownStateNewer: () => undefined, ownStateForgotten: () => undefined },
  });
}

// Who the hosts of a large simulated mesh are, and what each of them says of itself: a peer record, a lease and its containers, as
// a member would publish them.

import { utf8 } from '../../../src/base/bytes.ts';
import {
  type BootId,
  type ClusterId,
  DEFAULT_VNI,
  type GiftId,
  type Mac,
  type PeerId,
  type TokenId,
} from '../../../src/base/ids.ts';
import { VERSION } from '../../../src/daemon/version.ts';
import { type AuthorState, peerIdOf, signState } from '../../../src/gossip/author-state.ts';
import { GOSSIP_LIMITS } from '../../../src/gossip/limits.ts';
import { FIRST_VERSION, nextVersion } from '../../../src/gossip/own-map.ts';
import {
  attachmentKey,
  encodeAttachment,
  encodeLease,
  encodePeer,
  leaseKey,
  PEER_KEY,
} from '../../../src/gossip/record-codec.ts';
import { quickCrypto } from '../../fakes/quick-crypto.ts';
import type { SeededRandom } from '../../fakes/seeded-random.ts';

export const CLUSTER = '5ca1ab1e'.repeat(4) as ClusterId;
/** All hosts hold the same one. */
export const TOKENS = [{ id: 'feedfeedfeedfeed' as TokenId, generation: 1 }];
export const GENESIS = utf8('the genesis of a simulated mesh');

export interface MeshIdentity {
  readonly peer: PeerId;
  readonly identityKey: Uint8Array;
  readonly sign: (message: Uint8Array) => Uint8Array;
}

export function meshIdentity(random: SeededRandom): MeshIdentity {
  const seed = random.bytes(32);
  const identityKey = quickCrypto.ed25519Public(seed);
  return {
    peer: peerIdOf(quickCrypto, identityKey),
    identityKey,
    sign: (message) => quickCrypto.ed25519Sign(seed, message),
  };
}

/** The first version of a host with that many containers. */
export function firstState(identity: MeshIdentity, index: number, containers: number): AuthorState {
  const { peer, identityKey, sign } = identity;
  const batch = new Map<string, Uint8Array>();
  const block = [10, 64 + (index >> 9), (index >> 1) & 255] as const;
  const low = (index & 1) * 128;
  batch.set(
    PEER_KEY,
    encodePeer({
      nickname: `host-${index}`,
      version: VERSION,
      protocolMin: 1,
      protocolMax: 1,
      bootId: index.toString(16).padStart(16, '0') as BootId,
      identityKey,
      staticKey: quickCrypto.sha256(identityKey),
      endpoints: [{ ip: `10.200.${index >> 8}.${index & 255}`, port: 6783 }],
      networks: [DEFAULT_VNI],
    }),
  );
  const lease = {
    network: DEFAULT_VNI,
    cidr: `${block.join('.')}.${low}/25`,
    owner: peer,
    epoch: 2,
    giftId: peer.toString() as GiftId,
    donor: peer,
    signature: new Uint8Array(64),
  };
  batch.set(leaseKey(lease), encodeLease(lease));
  for (let container = 0; container < containers; container++) {
    const bytes = [2, index >> 8, index & 255, 0, 0, container];
    const mac = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
    const ips = [`${block.join('.')}.${low + 1 + container}`];
    batch.set(
      attachmentKey(DEFAULT_VNI, mac),
      encodeAttachment({ network: DEFAULT_VNI, mac, ips, sequence: 0, name: `web-${container}`, kind: 'container' }),
    );
  }
  const { delta: _, ...version } = nextVersion(FIRST_VERSION, batch, GOSSIP_LIMITS)!;
  return signState(quickCrypto, CLUSTER, sign, { ...version, author: peer, identityKey });
}

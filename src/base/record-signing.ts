// The exact bytes that are signed for a lease and for a genesis. They are laid out by hand, not taken from protobuf,
// because a signature needs one canonical form that no library version changes; each layout opens with a label of its
// own, so that a signature made for one purpose never verifies for another. All numbers are in network order.

import { ByteWriter, fromHex, utf8 } from './bytes.ts';
import { assert } from './errors.ts';
import type { Genesis, LeaseRecord } from './records.ts';

const LEASE_LABEL = utf8('fabric lease v1\0');
const GENESIS_LABEL = utf8('fabric genesis v1\0');

/**
 * What a donor signs with its identity key when it gives a block away:
 *
 *     label | network 4 | owner 16 | epoch 8 | giftId 16 | donor 16 | CIDR text (length 2)
 *
 * The record is valid by type: `epoch` is a safe integer and ids are canonical hex; anything else is a bug and throws.
 */
export function leaseSigningBytes(lease: Omit<LeaseRecord, 'signature'>): Uint8Array {
  return new ByteWriter(128)
    .bytes(LEASE_LABEL)
    .u32(lease.network)
    .bytes(id16(lease.owner))
    .u64(lease.epoch)
    .bytes(id16(lease.giftId))
    .bytes(id16(lease.donor))
    .text16(lease.cidr)
    .finish();
}

/**
 * What the creator of a cluster signs once, for the cluster's whole life:
 *
 *     label | genesisId 16 | clusterId 16 | creator 16 | creatorKey 32 | leasePrefix 1 | leasePrefix6 1 | mtu 2
 *           | range text (length 2) | range6 text (length 2, empty for none)
 */
export function genesisSigningBytes(genesis: Omit<Genesis, 'signature'>): Uint8Array {
  assert(genesis.creatorKey.length === 32, 'a creator key has 32 bytes');
  return new ByteWriter(192)
    .bytes(GENESIS_LABEL)
    .bytes(id16(genesis.genesisId))
    .bytes(id16(genesis.clusterId))
    .bytes(id16(genesis.creator))
    .bytes(genesis.creatorKey)
    .u8(genesis.leasePrefix)
    .u8(genesis.leasePrefix6)
    .u16(genesis.mtu)
    .text16(genesis.range)
    .text16(genesis.range6 ?? '')
    .finish();
}

function id16(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  assert(bytes !== null && bytes.length === 16, 'an identifier has 16 bytes in hex');
  return bytes;
}

// A claim is a lease record whose form was checked against the network's plan, with its block parsed. Whether it is true is
// decided elsewhere: lease-view.ts for what others say, estate.ts for what concerns us.

import { addressBits, type Cidr, cidrContains, parseCidr } from '../base/address.ts';
import { toHex } from '../base/bytes.ts';
import { parseGiftId, parsePeerId } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import { type AddressPlan, familyPlan } from './plan.ts';

export interface Claim {
  readonly record: LeaseRecord;
  readonly cidr: Cidr;
  /** Equal exactly for equal records. */
  readonly key: string;
  /** The voters decided it (docs/leases.md): no record of anybody, and of two claims of one epoch it comes first. */
  readonly decided?: true;
}

/** Two thousand years of a gift per minute; keeps epochs inside 32 bits for every encoding. */
export const EPOCH_MAX = 0xffff_ffff;
/** A gift to us above this is not taken: its donor is broken or hostile, and we could not pass the block on for ever. */
export const EPOCH_TAKEN_MAX = 0x7fff_ffff;
const SIGNATURE_BYTES = 64;

/** Null when the record is malformed, of another network or outside its range. The signature is not looked at. */
export function parseClaim(record: LeaseRecord, plan: AddressPlan): Claim | null {
  if (record.network !== plan.network || record.signature.length !== SIGNATURE_BYTES) return null;
  if (parsePeerId(record.owner) === null || parsePeerId(record.donor) === null) return null;
  if (parseGiftId(record.giftId) === null) return null;
  if (!Number.isInteger(record.epoch) || record.epoch < 1 || record.epoch > EPOCH_MAX) return null;
  const cidr = parseCidr(record.cidr);
  if (cidr === null || cidr.prefix > addressBits(cidr.family)) return null;
  const family = familyPlan(plan, cidr.family);
  if (family === null || !cidrContains(family.range, cidr)) return null;
  const key = `${record.cidr} ${record.epoch} ${record.giftId} ${record.donor} ${record.owner} ${toHex(record.signature)}`;
  return { record, cidr, key };
}

/**
 * The order in which claims on one address follow each other: by epoch. Equal epochs come only from a donor that gave one
 * address twice (its state was restored from an old copy); then the lower gift id counts, everywhere.
 */
export function isNewer(a: Claim, b: Claim): boolean {
  if (a.record.epoch !== b.record.epoch) return a.record.epoch > b.record.epoch;
  return a.record.giftId < b.record.giftId;
}

/** Ascending epochs; of equal ones the lower gift id first, because the first valid claim of an epoch stands. */
export function byEpoch(a: Claim, b: Claim): number {
  if (a.record.epoch !== b.record.epoch) return a.record.epoch - b.record.epoch;
  if (a.record.giftId !== b.record.giftId) return a.record.giftId < b.record.giftId ? -1 : 1;
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

// Chooses and hands out one address: from the open blocks, then from a spare one, then what rests; out of given blocks, or one
// wanted address, of which the owner is asked where it is not ours. What can't be answered yet is `wait`: space is asked for.

import {
  addressBits,
  type Cidr,
  cidrHasIp,
  cidrOf,
  cidrsOverlap,
  formatCidr,
  formatIp,
  type IpAddress,
} from '../base/address.ts';
import { utf8 } from '../base/bytes.ts';
import type { Clock } from '../base/capabilities.ts';
import { assert, type FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import {
  exhausted,
  inUse,
  invalid,
  limit,
  rangesExhausted,
  usedElsewhere,
  wantedRefused,
} from './allocation-errors.ts';
import { candidatesWithin } from './candidates.ts';
import type { Estate } from './estate.ts';
import type { Holdings } from './holdings.ts';
import type { LeaseView } from './lease-view.ts';
import { isAllocatable } from './plan.ts';
import type { Failure, Need, SpaceRequests } from './space-requests.ts';
import type { AllocationRequest, AllocationResult } from './types.ts';

const OWNER_BYTES_MAX = 1024;
/** A failed round answers allocations for this long; after it they start a new one. */
const FAILURE_FRESH_MS = 3000;
const NOT_READY =
  'a block of this host turned up just now: it may have been given on, or voters have not heard of it yet';

export interface AllocationOptions {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly estate: Estate;
  readonly view: LeaseView;
  readonly holdings: readonly Holdings[];
  readonly requests: SpaceRequests;
}

export class Allocation {
  readonly #options: AllocationOptions;

  constructor(options: AllocationOptions) {
    this.#options = options;
  }

  /** Idempotent: an owner that holds an address of the family (or the wanted one) gets it again. */
  allocate({ owner, family, wanted, within }: AllocationRequest): AllocationResult {
    assert(owner.length > 0 && utf8(owner).length <= OWNER_BYTES_MAX, 'an address has an owner of 1 to 1,024 bytes');
    const side = this.#options.holdings.find((candidate) => candidate.plan.family === family);
    if (side === undefined) {
      return {
        status: 'failed',
        error: invalid(`no IPv${family} address can be chosen`, `the network has no IPv${family} range`),
      };
    }
    if (wanted !== undefined) return this.#allocateWanted(side, owner, wanted);
    if (within !== undefined) return this.#allocateWithin(side, owner, within);
    const held = this.held({ owner, family });
    if (held !== null) return { status: 'ok', ip: held };
    if (side.pool.full) return { status: 'failed', error: limit(family) };
    const value = this.#takeFree(side, owner);
    if (value === null) return this.#askAndWait(side);
    return { status: 'ok', ip: { family, value } };
  }

  /** The address that this owner holds already and that answers the request; null when it would be a new one. */
  held({ owner, family, wanted, within }: AllocationRequest): IpAddress | null {
    const side = this.#options.holdings.find((candidate) => candidate.plan.family === family);
    const value = side?.pool.addressesOf(owner).find((candidate) => {
      const isIn = within === undefined || within.some((block) => cidrHasIp(block, { family, value: candidate }));
      return side.owns(candidate) && isIn && (wanted === undefined || wanted.value === candidate);
    });
    return value === undefined ? null : { family, value };
  }

  /** Why this host has no address left, in words. */
  exhausted(side: Holdings): FabricError {
    const { family } = side.plan;
    const state = this.#options.requests.state(needKey(side));
    const failures = state.state === 'failed' ? state.failures : [];
    return exhausted({ family, self: this.#options.self, regions: this.#options.view.regions(family), failures });
  }

  #allocateWanted(side: Holdings, owner: string, ip: IpAddress): AllocationResult {
    const family = side.plan.family;
    const failed = (error: FabricError): AllocationResult => ({ status: 'failed', error });
    if (ip.family !== family || !isAllocatable(side.plan, ip.value)) {
      const why = `the range is ${formatCidr(side.plan.range)} without its network, gateway and broadcast address`;
      return failed(invalid(`${formatIp(ip)} can't be given to a container`, why));
    }
    const holder = side.pool.holderOf(ip.value);
    if (holder !== null && holder !== owner) return failed(inUse(ip, holder));
    if (side.owns(ip.value)) {
      if (side.isSettling(ip.value)) return { status: 'wait', why: NOT_READY };
      const other = holder === null ? side.pool.userElsewhere(ip.value) : null;
      if (other !== null) return failed(usedElsewhere(ip, other));
      if (holder === null && side.pool.full) return failed(limit(family));
      if (holder === null) side.pool.take(owner, ip.value);
      return { status: 'ok', ip };
    }
    const need: Need = { key: formatIp(ip), family, wish: 'exact', exact: cidrOf(ip, addressBits(family)) };
    const holderPeer = this.#options.view.ownerOf(ip);
    return this.#await(need, (failures) => wantedRefused(ip, holderPeer, failures));
  }

  /** From what is ours of these blocks; else an address of theirs is asked of its owner, one after the other. */
  #allocateWithin(side: Holdings, owner: string, within: readonly Cidr[]): AllocationResult {
    const { family } = side.plan;
    const misfit = within.find((block) => block.family !== family || !cidrsOverlap(block, side.plan.range));
    if (misfit !== undefined) {
      const why = `the range is ${formatCidr(side.plan.range)}`;
      return { status: 'failed', error: invalid(`no address can be chosen in ${formatCidr(misfit)}`, why) };
    }
    const held = this.held({ owner, family, within });
    if (held !== null) return { status: 'ok', ip: held };
    if (side.pool.full) return { status: 'failed', error: limit(family) };
    const value = side.pool.findFree(side.ownedWithin(within));
    if (value !== null) {
      side.pool.take(owner, value);
      return { status: 'ok', ip: { family, value } };
    }
    const settling = side.settling();
    if (within.some((block) => settling.some((piece) => cidrsOverlap(piece, block)))) {
      return { status: 'wait', why: NOT_READY };
    }
    const failures: FabricError[] = [];
    for (const candidate of candidatesWithin(
      side.plan,
      within,
      this.#options.view.regions(family),
      this.#options.self,
    )) {
      if (side.pool.holderOf(candidate.value) !== null) continue;
      const result = this.#allocateWanted(side, owner, candidate);
      if (result.status !== 'failed') return result;
      failures.push(result.error);
    }
    return { status: 'failed', error: rangesExhausted(within, failures.at(-1) ?? null) };
  }

  /** From open blocks, then from spare ones, then the address that was freed longest ago. */
  #takeFree(side: Holdings, owner: string): bigint | null {
    const fresh = side.pool.takeNext(owner, side.open(), { resting: false });
    if (fresh !== null) return fresh;
    while (side.openNext()) {
      const opened = side.pool.takeNext(owner, side.open(), { resting: false });
      if (opened !== null) return opened; // else all of the block may be in use on a host that is gone
    }
    return side.pool.takeNext(owner, side.open(), { resting: true });
  }

  #askAndWait(side: Holdings): AllocationResult {
    if (side.settling().length > 0) return { status: 'wait', why: NOT_READY };
    const need = needOf(side, side.hasNothing() ? 'share' : 'any');
    return this.#await(need, () => this.exhausted(side));
  }

  /** Asks unless a round failed just now. */
  #await(need: Need, error: (failures: readonly Failure[]) => FabricError): AllocationResult {
    const before = this.#options.requests.state(need.key);
    const fresh =
      before.state === 'failed' &&
      before.failures.length > 0 &&
      this.#options.clock.monotonicMs() - before.sinceMs < FAILURE_FRESH_MS;
    if (fresh) return { status: 'failed', error: error(before.failures) };
    if (!this.#options.requests.want(need, { now: true })) return { status: 'failed', error: limit(need.family) };
    const after = this.#options.requests.state(need.key);
    if (after.state === 'failed') return { status: 'failed', error: error(after.failures) };
    return { status: 'wait', why: 'a peer is being asked for address space' };
  }
}

/** The one need of a family: `share` when it owns nothing, `block` in good time, `any` when nothing is free. */
export function needOf(side: Holdings, wish: Need['wish']): Need {
  return { key: needKey(side), family: side.plan.family, wish, exact: null };
}

export function needKey(side: Holdings): string {
  return `IPv${side.plan.family}`;
}

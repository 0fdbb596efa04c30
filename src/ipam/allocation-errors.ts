// The refusals of address management in words: what happened, why (with who owns what), what to do.

import { type Cidr, type Family, formatCidr, formatIp, type IpAddress } from '../base/address.ts';
import { explain, FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import { type OwnedRegion, summarise } from './lease-view.ts';
import type { Failure } from './space-requests.ts';

const OWNERS_SHOWN_MAX = 5;

const REASONS: Readonly<Record<Failure['reason'], string>> = {
  'none-free': 'has no free address to give',
  'in-use': 'says that it is in use',
  'not-owner': 'does not own it',
  paused: 'has stopped allocating',
  limit: 'refuses to cut its space into more pieces',
  'no-answer': 'did not answer',
  'not-linked': 'is not connected',
};

export function exhausted(options: {
  readonly family: Family;
  readonly self: PeerId;
  readonly regions: readonly OwnedRegion[];
  readonly failures: readonly Failure[];
}): FabricError {
  const { family, self, regions, failures } = options;
  const asked =
    failures.length === 0
      ? 'no peer is connected that could give some'
      : failures.map(({ donor, reason }) => `${donor} ${REASONS[reason]}`).join(', ');
  return new FabricError('address-exhausted', {
    what: `no free IPv${family} address is left on this host`,
    why: `${asked}; ${describeOwners(regions, self)}`,
    fix: 'Stop unused containers, connect hosts that own free space (`fabric status leases`), take back the space of hosts that are gone for good (`fabric rmpeer`), or make a cluster with a larger --range',
  });
}

/** `last`: why the last address that was asked for was not given; null when nobody is known to own any. */
export function rangesExhausted(within: readonly Cidr[], last: FabricError | null): FabricError {
  return new FabricError('address-exhausted', {
    what: `no free address was found in ${within.map(formatCidr).join(', ')}`,
    why: last === null ? 'all that this host owns of it are in use' : explain(last.explanation),
    fix: 'Give a larger range, or stop containers that have its addresses (`fabric status leases` shows who owns what)',
  });
}

export function stillAsking(family: Family): FabricError {
  return new FabricError('address-exhausted', {
    what: `this host has no free IPv${family} address yet`,
    why: 'a peer is being asked for address space',
    fix: 'Wait a second; `fabric status leases` shows who owns what',
  });
}

export function wantedRefused(ip: IpAddress, holder: PeerId | null, failures: readonly Failure[]): FabricError {
  const last = failures.at(-1);
  if (last?.reason === 'in-use') return inUse(ip, `peer ${last.donor}`);
  const who = holder === null ? 'another host' : `peer ${holder}`;
  return new FabricError('address-foreign', {
    what: `${formatIp(ip)} belongs to ${who}, which did not give it`,
    why: last === undefined ? 'it is not connected' : `it ${REASONS[last.reason]}`,
    fix: 'Choose an address of this host (`fabric status leases`), try again when that peer is connected, or, if it is off for good, run `fabric rmpeer` for it',
  });
}

export function inUse(ip: IpAddress, holder: string): FabricError {
  return new FabricError('address-in-use', {
    what: `${formatIp(ip)} is in use`,
    why: `${holder} holds it`,
    fix: 'Choose another address, or detach the container that has it',
  });
}

/** `user` lost it to us, and may run on, cut off from everyone. */
export function usedElsewhere(ip: IpAddress, user: PeerId): FabricError {
  return new FabricError('address-in-use', {
    what: `${formatIp(ip)} is in use`,
    why: `a container of ${user} had it when that host was heard of last`,
    fix: `Choose another address; if that host is off for good, run 'fabric rmpeer ${user}'`,
  });
}

export function invalid(what: string, why: string): FabricError {
  return new FabricError('address-invalid', { what, why, fix: 'Choose an address inside the range of the network' });
}

export function limit(family: Family): FabricError {
  return new FabricError('limit', {
    what: `this host holds as many IPv${family} addresses or open requests as it can`,
    fix: 'Run `fabric ps --prune`, or use another host',
  });
}

function describeOwners(regions: readonly OwnedRegion[], self: PeerId): string {
  const byOwner = new Map<PeerId, OwnedRegion[]>();
  for (const region of regions) byOwner.set(region.owner, [...(byOwner.get(region.owner) ?? []), region]);
  const owners = [...byOwner].slice(0, OWNERS_SHOWN_MAX);
  const text = owners.map(([owner, blocks]) => `${owner === self ? 'this host' : owner} owns ${summarise(blocks)}`);
  return byOwner.size > OWNERS_SHOWN_MAX ? `${text.join('; ')}; …` : text.join('; ');
}

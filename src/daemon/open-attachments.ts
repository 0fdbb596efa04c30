// Makes the parts that hold what this host attached and reserved, from the member's facts and options.

import { DEFAULT_VNI } from '../base/ids.ts';
import type { Routes } from '../router/routes.ts';
import { AddressReservations } from './address-reservations.ts';
import type { AttachmentPorts } from './attachment-ports.ts';
import { AttachmentStore } from './attachment-store.ts';
import { Attachments } from './attachments.ts';
import type { Directory } from './directory.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';

/** What the member adds to its options and facts. */
export type AttachmentWiring = Pick<
  AttachmentPorts,
  | 'self'
  | 'allocate'
  | 'release'
  | 'publish'
  | 'withdraw'
  | 'macTaken'
  | 'addressObstacle'
  | 'readiness'
  | 'nameService'
> & { readonly directory: Pick<Directory, 'peer'>; readonly routes: Pick<Routes, 'holderOfFreeAddress'> };

/** Throws FabricError-free assertions on damaged entries. */
export function openAttachments(
  options: MemberOptions,
  facts: NetworkFacts,
  { directory, routes, ...wiring }: AttachmentWiring,
) {
  const { store, clock, timers, random, crypto, log, tell, host, settings, genesis, kernelBootId } = options;
  const network = {
    range: facts.v4.range,
    range6: facts.v6?.range ?? null,
    gateway: facts.gateway,
    gateway6: facts.gateway6,
    bridge: settings.bridge,
    mtu: genesis.mtu,
  };
  const entries = new AttachmentStore(store);
  const { allocate, release, readiness } = wiring;
  const reservations = new AddressReservations({ store, log, kernelBootId, network, allocate, release, readiness });
  const freeAddressHolder = (ip: string): string | null => {
    const holder = routes.holderOfFreeAddress(DEFAULT_VNI, ip);
    return holder === null ? null : `${directory.peer(holder.author)?.nickname ?? holder.author} (${holder.mac})`;
  };
  const ports = {
    ...wiring,
    freeAddressHolder,
    clock,
    timers,
    random,
    crypto,
    log,
    tell,
    entries,
    host,
    network,
    openNamespace: options.openNamespace,
  };
  return { entries, reservations, attachments: new Attachments(ports, reservations) };
}

// Makes the names of a member from its options, facts and the parts that know what counts.

import { DEFAULT_VNI, type PeerId } from '../base/ids.ts';
import type { Routes } from '../router/routes.ts';
import type { Tunnels } from '../router/tunnels.ts';
import type { AttachmentStore } from './attachment-store.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';
import { Names } from './names.ts';
import type { OwnRecords } from './own-records.ts';

export interface NameWiring {
  readonly records: OwnRecords;
  readonly routes: Pick<Routes, 'ownerOfMac'>;
  isAlive(peer: PeerId): boolean;
  /** Made after the names. */
  tunnels(): Pick<Tunnels, 'status'>;
  attachments(): Pick<AttachmentStore, 'all'>;
}

export function openNames(options: MemberOptions, facts: NetworkFacts, wiring: NameWiring): Names {
  const { identity, settings, clock, timers, random, log, nameSockets = null } = options;
  const { records, routes, isAlive, tunnels, attachments } = wiring;
  return new Names({
    self: identity.keys.peer,
    facts,
    settings: settings.dns,
    sockets: nameSockets,
    clock,
    timers,
    random,
    log,
    records,
    holderOf: (mac) => routes.ownerOfMac(DEFAULT_VNI, mac),
    isAlive,
    rttMs: (peer) => tunnels().status(peer)?.handshakeRttMs ?? null,
    localAddresses: () =>
      new Set(
        attachments()
          .all()
          .flatMap(({ ips }) => ips),
      ),
  });
}

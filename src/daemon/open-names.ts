// Makes the names of a member from its options and the parts that know what counts.

import type { PeerId, Vni } from '../base/ids.ts';
import type { Tunnels } from '../router/tunnels.ts';
import { type AttachmentEntry, type AttachmentStore, networkOfEntry } from './attachment-store.ts';
import type { MemberOptions } from './member-options.ts';
import { Names } from './names.ts';
import type { NetworkPresence } from './network-presence.ts';
import type { Networks } from './networks.ts';
import type { OwnRecords } from './own-records.ts';

export interface NameWiring {
  readonly records: OwnRecords;
  readonly networks: Pick<Networks, 'get' | 'named'>;
  readonly presence: Pick<NetworkPresence, 'members'>;
  isAlive(peer: PeerId): boolean;
  /** Made after the names. */
  tunnels(): Pick<Tunnels, 'status'>;
  attachments(): Pick<AttachmentStore, 'all'>;
}

export function openNames(options: MemberOptions, wiring: NameWiring): Names {
  const { identity, settings, clock, timers, random, log, nameSockets = null } = options;
  const { records, networks, presence, isAlive, tunnels, attachments } = wiring;
  return new Names({
    self: identity.keys.peer,
    networks: {
      served: () => {
        const here = presence.members().flatMap((id) => networks.get(id)?.facts ?? []);
        return here.filter(({ internal }) => !internal);
      },
      named: (name) => networks.named(name).facts,
      get: (id) => networks.get(id)?.facts ?? null,
      ofContainer: (network, ip) => networksOfContainer(attachments().all(), network, ip),
    },
    settings: settings.dns,
    sockets: nameSockets,
    clock,
    timers,
    random,
    log,
    records,
    holderOf: (network, mac) => networks.get(network)?.routes.ownerOfMac(network, mac) ?? null,
    isAlive,
    rttMs: (peer) => tunnels().status(peer)?.handshakeRttMs ?? null,
  });
}

/** Attachments of one container have its id, or its namespace: runtimes that call a plugin for each network give the same ones. */
function networksOfContainer(entries: readonly AttachmentEntry[], network: Vni, ip: string): readonly Vni[] | null {
  const asking = entries.find((entry) => networkOfEntry(entry) === network && entry.ips.includes(ip));
  if (asking === undefined) return null;
  const isSame = ({ key, namespaceDev, namespaceIno }: AttachmentEntry): boolean =>
    key.containerId === asking.key.containerId ||
    (namespaceIno !== '' && namespaceDev === asking.namespaceDev && namespaceIno === asking.namespaceIno);
  return [...new Set(entries.filter(isSame).map(networkOfEntry))];
}

// The Docker plugin's port on this host: endpoints are attachments without a namespace of ours, addresses are reservations that
// outlive a boot, because Docker remembers its networks, too. Both carry the owner `docker`, by which they are found again.

import { type Cidr, cidrContains, cidrLast, cidrSubtract } from '../base/address.ts';
import { toHex } from '../base/bytes.ts';
import type { Random } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { Vni } from '../base/ids.ts';
import type {
  AddressBook,
  DockerBackend,
  Endpoint,
  EndpointService,
  EndpointState,
  FabricNetwork,
} from '../docker-plugin/backend.ts';
import type { AddressReservations } from './address-reservations.ts';
import type { AttachmentEntry, AttachmentState, AttachmentStore } from './attachment-store.ts';
import type { Attachments } from './attachments.ts';
import type { NetworkFacts } from './genesis.ts';
import type { NetworkPresence } from './network-presence.ts';
import type { Networks } from './networks.ts';

const OWNER = 'docker';
/** Reservations have no interface; the key wants a name all the same. */
const NO_INTERFACE = 'ipam';
const STATES: Readonly<Record<AttachmentState, EndpointState>> = {
  attaching: 'making',
  attached: 'ready',
  detaching: 'leaving',
};

export interface DockerBackendParts {
  readonly networks: {
    find(name: string): { readonly facts: NetworkFacts } | null;
    named(name: string): { readonly facts: NetworkFacts };
  } & Pick<Networks, 'maintainLeases'>;
  readonly networkPresence: Pick<NetworkPresence, 'enter' | 'left'>;
  readonly attachments: Pick<Attachments, 'attach' | 'detach' | 'rename'>;
  readonly attachmentEntries: Pick<AttachmentStore, 'all'>;
  readonly reservations: Pick<AddressReservations, 'all' | 'reserve' | 'release'>;
}

export interface DockerHost extends DockerBackend {
  /** Null: there is no network of that name. */
  networkIdOf(name: string): Vni | null;
  /** What is called `name` and by further names from now on; nothing when the endpoint is gone. */
  rename(endpointId: string, name: string, aliases: readonly string[]): Promise<void>;
}

export function dockerBackend(parts: DockerBackendParts, random: Random): DockerHost {
  const { attachments, attachmentEntries } = parts;
  const entryOf = (id: string): AttachmentEntry | undefined =>
    attachmentEntries.all().find(({ key, owner }) => owner === OWNER && key.containerId === id);
  const endpoints: EndpointService = {
    all: () => attachmentEntries.all().filter(isDockers).map(endpointOf),
    find: (id) => {
      const entry = entryOf(id);
      return entry === undefined || entry.state === 'detaching' || entry.ips.length === 0 ? null : endpointOf(entry);
    },
    create: async ({ id, network, ifname, ips, mac }, cancelled) => {
      const attachment = await attachments.attach(
        {
          network,
          containerId: id,
          ifname,
          namespace: null,
          owner: OWNER,
          addresses: { ips, ranges: [], reserved: true },
          foreignIpam: null,
          mac,
          name: '',
          defaultRoute: false,
          routes: [],
        },
        cancelled,
      );
      return { id, network, ifname, mac: attachment.mac, ips, state: 'ready' };
    },
    remove: async (id) => {
      const entry = entryOf(id);
      if (entry !== undefined) await attachments.detach(entry.key);
    },
  };
  return {
    network: (name) => fabricNetwork(name, parts.networks.named(name).facts),
    networkIdOf: (name) => parts.networks.find(name)?.facts.id ?? null,
    addresses: addressBook(parts, random),
    endpoints,
    rename: async (id, name, aliases) => {
      const entry = entryOf(id);
      if (entry !== undefined) await attachments.rename(entry.key, name, aliases);
    },
  };
}

function addressBook({ reservations, networks }: DockerBackendParts, random: Random): AddressBook {
  const ours = () => reservations.all().filter(isDockers);
  return {
    all: () => ours().flatMap(({ key, ips }) => ips.map((ip) => ({ network: key.network, ip }))),
    reserve: async ({ network, pool, wanted }, cancelled) => {
      const { range } = networks.named(network).facts.v4;
      const [given] = await reservations.reserve(
        {
          network,
          containerId: `${OWNER}-${toHex(random.bytes(8))}`,
          ifname: NO_INTERFACE,
          owner: OWNER,
          namespace: null,
          addresses: wanted === null ? { ips: [], ranges: [choices(pool, range)] } : { ips: [wanted], ranges: [] },
          outlivesBoot: true,
        },
        cancelled,
      );
      const ip = given?.address.split('/')[0];
      if (ip === undefined) throw new FabricError('internal', { what: 'a reservation gave no address' });
      return ip;
    },
    release: async ({ network, ip }) => {
      const entry = ours().find(({ key, ips }) => key.network === network && ips.includes(ip));
      if (entry !== undefined) await reservations.release(entry.key);
    },
  };
}

/** Without the first and the last address of a subnet: people don't expect them on a container, though nothing is in the way. */
function choices(pool: Cidr, range: Cidr): readonly Cidr[] {
  if (pool.family === 6 || pool.prefix > 30 || pool.prefix <= range.prefix) return [pool];
  const edges = [pool.base, cidrLast(pool)].map((base): Cidr => ({ family: 4, base, prefix: 32 }));
  const [first, last] = edges as [Cidr, Cidr];
  return cidrSubtract(pool, first).flatMap((block) =>
    cidrContains(block, last) ? cidrSubtract(block, last) : [block],
  );
}

function isDockers({ owner }: { readonly owner: string }): boolean {
  return owner === OWNER;
}

function endpointOf({ key, mac, ips, state }: AttachmentEntry): Endpoint {
  return { id: key.containerId, network: key.network, ifname: key.ifname, mac, ips, state: STATES[state] };
}

/** An internal network has a gateway, too: Docker's IPAM asks for one of every pool. */
function fabricNetwork(name: string, { id, internal, v4, v6, gateway, gateway6 }: NetworkFacts): FabricNetwork {
  return { id, name, range: v4.range, range6: v6?.range ?? null, gateway, gateway6, isInternal: internal };
}

// A host with all parts of an attachment in memory, for the tests of Attachments.

import { parseCidr } from '../../src/base/address.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../../src/base/ids.ts';
import type { AttachmentRecord } from '../../src/base/records.ts';
import type { AttachRequest } from '../../src/cni-plugin/backend.ts';
import { AddressReservations } from '../../src/daemon/address-reservations.ts';
import type { AddressWish, AttachmentNetwork } from '../../src/daemon/attachment-ports.ts';
import { AttachmentStore } from '../../src/daemon/attachment-store.ts';
import { Attachments } from '../../src/daemon/attachments.ts';
import type { News } from '../../src/daemon/events/event-kinds.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import { FaultPoints } from '../fakes/fault-points.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { FakeHostNetwork } from './fake-host-network.ts';

export const never = new AbortController().signal;
export const key = { network: 'fabric', containerId: 'c1', ifname: 'eth0' };
export const turn = () => new Promise((resolve) => setImmediate(resolve));

export function request(change: Partial<AttachRequest> = {}): AttachRequest {
  return {
    ...key,
    namespace: { pid: 1, fd: 2, dev: 3n, ino: 4n, path: '/run/netns/c1' },
    owner: 'cni:fabric',
    addresses: { ips: [], ranges: [] },
    foreignIpam: null,
    mac: null,
    name: 'web',
    defaultRoute: true,
    routes: [],
    ...change,
  };
}

/** A network beside the default one, `blue`. */
export const BLUE_VNI = 7 as Vni;
/** Where this world's address management keeps who holds what. */
const LEASES = 'world/leases';

/** A host with all parts of an attachment in memory. `snapshot` and `host` are what a restart finds; `points` sees every effect. */
export function setUp({
  snapshot = new MemoryStore().snapshot(),
  range6 = true,
  host = new FakeHostNetwork(),
  kernelBootId = 'boot-1',
  points = new FaultPoints(),
} = {}) {
  const disk = new MemoryStore(snapshot);
  const store = points.over('store', disk, ['put', 'delete']);
  const addresses = new Map(disk.entries(LEASES).map(([ip, owner]) => [ip, new TextDecoder().decode(owner)]));
  const claims = new Map<Mac, AttachmentRecord>();
  const open = new Set<number>();
  const told: News[] = [];
  let next = 2 + addresses.size;
  const world = {
    allocate: async ({ owner, family, wanted }: AddressWish) => {
      const ip = wanted ?? (family === 4 ? `10.32.0.${next++}` : `fd00::${next++}`);
      addresses.set(ip, owner);
      return ip;
    },
    openNamespace: () => {
      const fd = open.size + 10;
      open.add(fd);
      return { fd, close: () => void open.delete(fd) };
    },
    enter: async (_network: Vni): Promise<void> => undefined,
    macHolder: (_mac: Mac): string | null => null,
    macReleased: async (_mac: Mac): Promise<void> => undefined,
    heldMove: (_what: string): string | null => null,
    hasMoved: (_ip: string) => false,
    freeAddressHolder: (_ip: string): string | null => null,
    obstacle: null as string | null,
    unready: null as { reason: string; degraded: boolean } | null,
  };
  const entries = new AttachmentStore(store);
  const log = new RecordingLog();
  const addressing = {
    range: parseCidr('10.32.0.0/12')!,
    range6: range6 ? parseCidr('fd00::/48')! : null,
    gateway: '10.32.0.1',
    gateway6: range6 ? 'fd00::1' : null,
  };
  const leases = {
    allocate: async (wish: AddressWish) => {
      const ip = await world.allocate(wish);
      disk.unsynced(() => disk.put(LEASES, ip, utf8(wish.owner)));
      return ip;
    },
    release: (owner: string) => {
      const held = [...addresses].filter(([, holder]) => holder === owner);
      for (const [ip] of held) addresses.delete(ip);
      disk.unsynced(() => {
        for (const [ip] of held) disk.delete(LEASES, ip);
      });
    },
  };
  const mesh = {
    publish: async (record: AttachmentRecord) => void claims.set(record.mac, record),
    withdraw: async (mac: Mac) => void claims.delete(mac),
  };
  const { allocate, release } = points.over('leases', leases, ['allocate', 'release']);
  const { publish, withdraw } = points.over('mesh', mesh, ['publish', 'withdraw']);
  const network: AttachmentNetwork = {
    id: DEFAULT_VNI,
    addressing,
    bridge: 'fabric0',
    allocate,
    release,
    publish,
    withdraw,
    macHolder: (mac) => world.macHolder(mac),
    macReleased: (mac) => world.macReleased(mac),
    heldMove: (what) => world.heldMove(what),
    hasMoved: (ip) => world.hasMoved(ip),
    freeAddressHolder: (ip) => world.freeAddressHolder(ip),
  };
  const blue: AttachmentNetwork = {
    ...network,
    id: BLUE_VNI,
    addressing: { range: parseCidr('10.128.0.0/16')!, range6: null, gateway: '10.128.0.1', gateway6: null },
    bridge: `fabn${BLUE_VNI}`,
    allocate: (wish) => allocate({ ...wish, wanted: wish.wanted ?? `10.128.0.${next++}` }),
  };
  const own = {
    networkNamed: (name: string) => {
      if (name === 'fabric') return network;
      if (name === 'blue') return blue;
      throw new FabricError('network-unknown', { what: `there is no network ${name}` });
    },
    networkOf: (id: Vni) => [network, blue].find((one) => one.id === id) ?? null,
    readiness: () => world.unready,
    left: () => undefined,
  };
  const reservations = new AddressReservations({ ...own, store, log, kernelBootId });
  const attachments = new Attachments(
    {
      ...own,
      timers: systemTimers,
      self: 'aa'.repeat(16) as PeerId,
      clock: new ManualClock(),
      random: new SeededRandom(7),
      crypto: nodeCrypto,
      log,
      tell: (news) => void told.push(news),
      entries,
      host: points.over('host', host, ['addContainer', 'addressContainer', 'removeContainer', 'adoptContainer']),
      openNamespace: () => world.openNamespace(),
      mtu: 1418,
      enter: (network) => world.enter(network),
      findNetwork: (name) =>
        name === 'fabric' || name === 'blue'
          ? {
              id: name === 'blue' ? BLUE_VNI : DEFAULT_VNI,
              addressObstacle: () => world.obstacle,
              nameService: () => null,
            }
          : null,
    },
    reservations,
  );
  const leftOver = () => ({
    entries: entries.size,
    claims: claims.size,
    addresses: addresses.size,
    ports: host.ports.size,
    namespaces: open.size,
  });
  return { store: disk, host, claims, addresses, entries, attachments, reservations, world, told, leftOver };
}

// Addresses without an interface of ours: what this host reserved as the IPAM plugin of another CNI plugin ("ipam": {"type":
// "fabric"} behind bridge, macvlan, …). No kernel object tells when such a container is gone, so a reservation is freed by DEL,
// by GC, by `fabric ps --prune`, and when the host booted since: no network namespace survives that. Invariant: the entry is
// durable before an address is taken and goes after it, so that a crash at any step leaves a record of what to free.

import type { Log, Store } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { Vni } from '../base/ids.ts';
import type { AddressService, AttachedAddress, AttachmentKey, ReserveRequest } from '../cni-plugin/backend.ts';
import { describeAddress, planAddresses, takeAddresses } from './address-choice.ts';
import type { AddressPorts, NetworkFinder } from './attachment-ports.ts';
import { attachmentKeyText, networkOfEntry } from './attachment-store.ts';

const SPACE = 'reservations';
/** Ours: as many as a lease block of the default size holds, sixteen times over. */
const RESERVATIONS_MAX = 4096;

export interface ReservationEntry {
  readonly key: AttachmentKey;
  /** As in AttachmentEntry. */
  readonly vni?: Vni;
  readonly owner: string;
  /** Canonical text; empty while they are being taken. */
  readonly ips: readonly string[];
  /** Device and inode of the namespace, decimal; empty when the caller could not open it. */
  readonly namespaceDev: string;
  readonly namespaceIno: string;
  readonly namespacePath: string;
  /** Of the kernel that ran then; empty: kept whatever booted since. */
  readonly kernelBootId: string;
}

export interface ReservationPorts extends NetworkFinder<AddressPorts> {
  readonly store: Store;
  readonly log: Log;
  /** /proc/sys/kernel/random/boot_id: another value means that the host booted since. */
  readonly kernelBootId: string;
  readiness(): { readonly reason: string } | null;
  /** A reservation in the network is gone. */
  left(network: Vni): void;
}

export class AddressReservations implements AddressService {
  readonly #ports: ReservationPorts;
  readonly #entries = new Map<string, ReservationEntry>();

  constructor(ports: ReservationPorts) {
    this.#ports = ports;
    for (const [text, bytes] of ports.store.entries(SPACE)) {
      this.#entries.set(text, JSON.parse(new TextDecoder().decode(bytes)) as ReservationEntry);
    }
  }

  all(): readonly ReservationEntry[] {
    return [...this.#entries.values()];
  }

  async reserve(request: ReserveRequest, cancelled: AbortSignal): Promise<readonly AttachedAddress[]> {
    this.#refuse(request);
    const network = this.#ports.networkNamed(request.network);
    const plan = planAddresses(request.addresses, network.addressing);
    const entry: ReservationEntry = {
      key: { network: request.network, containerId: request.containerId, ifname: request.ifname },
      vni: network.id,
      owner: request.owner,
      ips: [],
      namespaceDev: String(request.namespace?.dev ?? ''),
      namespaceIno: String(request.namespace?.ino ?? ''),
      namespacePath: request.namespace?.path ?? '',
      kernelBootId: request.outlivesBoot === true ? '' : this.#ports.kernelBootId,
    };
    this.#put(entry);
    try {
      const ips = await takeAddresses(network, addressOwner(entry.key), plan, cancelled);
      this.#put({ ...entry, ips });
      return ips.map((ip) => describeAddress(ip, network.addressing));
    } catch (error) {
      this.#release(entry.key);
      throw error;
    }
  }

  async release(key: AttachmentKey): Promise<void> {
    this.#release(key);
  }

  find(key: AttachmentKey): readonly AttachedAddress[] | null {
    const entry = this.#entries.get(attachmentKeyText(key));
    const network = entry === undefined ? null : this.#ports.networkOf(networkOfEntry(entry));
    if (entry === undefined || network === null) return null;
    return entry.ips.map((ip) => describeAddress(ip, network.addressing));
  }

  listOwned(owner: string): readonly AttachmentKey[] {
    return this.all()
      .filter((entry) => entry.owner === owner)
      .map(({ key }) => key);
  }

  /** At start: frees what a crash left half taken, and everything of before the host's last boot. */
  reconcile(): void {
    for (const { key, ips, kernelBootId } of this.all()) {
      const isOfThisBoot = kernelBootId === '' || kernelBootId === this.#ports.kernelBootId;
      if (ips.length > 0 && isOfThisBoot) continue;
      this.#ports.log.info('freeing a reservation', {
        container: key.containerId,
        ips: ips.join(' '),
        reason: ips.length === 0 ? 'its ADD was never finished' : 'the host booted since',
      });
      this.#release(key);
    }
  }

  #refuse(request: ReserveRequest): void {
    const unready = this.#ports.readiness();
    if (unready !== null) {
      throw new FabricError('daemon-unreachable', { what: 'this host can reserve nothing now', why: unready.reason });
    }
    if (this.#entries.has(attachmentKeyText(request))) {
      throw new FabricError('attachment-exists', {
        what: `${request.containerId} already has addresses for ${request.ifname} on network ${request.network}`,
        fix: 'DEL it before another ADD',
      });
    }
    if (this.#entries.size >= RESERVATIONS_MAX) {
      throw new FabricError('limit', {
        what: `${RESERVATIONS_MAX} address reservations are held on this host`,
        fix: 'Run fabric ps --prune, or have the runtime call GC',
      });
    }
  }

  #release(key: AttachmentKey): void {
    const entry = this.#entries.get(attachmentKeyText(key));
    if (entry === undefined) return;
    const network = networkOfEntry(entry);
    this.#ports.store.unsynced(() => this.#put({ ...entry, ips: [] })); // a crash before the end leaves what reconcile() frees
    this.#ports.networkOf(network)?.release(addressOwner(entry.key));
    this.#delete(entry.key);
    this.#ports.left(network);
  }

  #put(entry: ReservationEntry): void {
    const text = attachmentKeyText(entry.key);
    this.#ports.store.put(SPACE, text, new TextEncoder().encode(JSON.stringify(entry)));
    this.#entries.set(text, entry);
  }

  #delete(key: AttachmentKey): void {
    const text = attachmentKeyText(key);
    this.#ports.store.delete(SPACE, text);
    this.#entries.delete(text);
  }
}

/** Apart from attachments and the host's own: no network name holds a colon. */
function addressOwner(key: AttachmentKey): string {
  return `ipam:${attachmentKeyText(key)}`;
}

// Makes and removes one container's attachment, step by step. Invariants: the durable entry exists before anything of the
// attachment does and goes last, so that a crash at any step leaves a record of what to undo; addresses are released only once
// the interface is off the bridge; an attach that fails or whose caller hung up leaves nothing.
//
//   ours:     entry ─▶ addresses ─▶ claim, interface ─▶ attached
//   foreign:  entry ─▶ interface ─▶ plugin chooses ─▶ reserved, or seen to be free ─▶ claim, addressed ─▶ attached

import { cidrHasIp, cidrOf, formatIp, type IpAddress, parseInterfaceAddress, parseIp } from '../base/address.ts';
import { toHex, utf8 } from '../base/bytes.ts';
import { assert, FabricError } from '../base/errors.ts';
import { type Mac, macFromBytes } from '../base/ids.ts';
import { linkLocalOf } from '../base/link-local.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type {
  Attachment,
  AttachmentKey,
  AttachRequest,
  ForeignIpam,
  GivenAddress,
  WantedRoute,
} from '../cni-plugin/backend.ts';
import type { ContainerInterfaceConfig, ForeignAddress } from '../host/host-network.ts';
import { isHoldable } from '../router/free-claims.ts';
import { describeAddress, planAddresses, stopIfCancelled, takeAddresses } from './address-choice.ts';
import type { AttachmentNetwork, AttachmentPorts } from './attachment-ports.ts';
import { type AttachmentEntry, attachmentKeyText, describeEntry, networkOfEntry } from './attachment-store.ts';
import { Departures } from './departures.ts';

/** Of one network: a Linux bridge has 1,024 ports; the overlay port and host0 take two. */
export const ATTACHMENTS_MAX = 1021;

/** Errors that tell of another who has the wanted MAC or address. */
const DUPLICATES: readonly string[] = ['address-in-use', 'address-held'];

/** Where one attach stands: its entry as it is in the store, and the namespace while it is open. */
interface Attempt {
  entry: AttachmentEntry;
  /** Null: the runtime moves the interface. */
  readonly namespaceFd: number | null;
  readonly cancelled: AbortSignal;
  readonly network: AttachmentNetwork;
}

export class Attacher {
  readonly departures = new Departures();
  readonly #ports: AttachmentPorts;

  constructor(ports: AttachmentPorts) {
    this.#ports = ports;
  }

  /** One at a time per key: the caller queues. Rejects as CniBackend.attach. */
  async attach(request: AttachRequest, cancelled: AbortSignal): Promise<Attachment> {
    try {
      return await this.#attach(request, cancelled);
    } catch (error) {
      const isDuplicate = error instanceof FabricError && DUPLICATES.includes(error.code);
      if (isDuplicate) this.#ports.tell({ kind: 'duplicate', what: error.message, subject: request.containerId });
      throw error;
    }
  }

  async #attach(request: AttachRequest, cancelled: AbortSignal): Promise<Attachment> {
    const { entries, log, tell } = this.#ports;
    const network = this.#ports.networkNamed(request.network);
    await this.#refuse(request, network);
    const plan = request.foreignIpam === null ? planAddresses(request.addresses, network.addressing) : [];
    for (const { wanted } of plan) if (wanted !== null) refuseHeld(network, wanted);
    if (request.mac !== null) {
      refuseHeld(network, request.mac);
      await network.macReleased(request.mac);
    }
    const { mac } = request;
    await this.departures.over({ hostIfname: this.#hostIfname(request), ...placeOf(request), mac, ips: [] });
    stopIfCancelled(cancelled);
    const namespace = request.namespace === null ? null : this.#ports.openNamespace(request.namespace);
    try {
      const entry = this.#newEntry(request, network);
      const attempt: Attempt = { entry, namespaceFd: namespace?.fd ?? null, cancelled, network };
      entries.putStep(attempt.entry);
      try {
        const attachment =
          request.foreignIpam === null
            ? await this.#withOurs(attempt, plan, request.addresses.reserved === true)
            : await this.#withForeign(attempt, request.foreignIpam, request.routes);
        log.info('container attached', { container: request.containerId, ips: attempt.entry.ips.join(' ') });
        tell({ kind: 'attached', what: `${describeEntry(attempt.entry)} is attached`, subject: request.containerId });
        return attachment;
      } catch (error) {
        await this.#undo(attempt.entry, error);
        throw error;
      }
    } finally {
      namespace?.close();
    }
  }

  /**
   * The interface first, then the claim, then the addresses, at last the entry. The kernel frees the interface behind that
   * ({@link departures}). Idempotent.
   */
  async remove(entry: AttachmentEntry): Promise<void> {
    const removed = this.#remove(entry);
    this.departures.add(
      entry,
      removed.catch(() => undefined),
    );
    await removed;
  }

  async #remove(entry: AttachmentEntry): Promise<void> {
    const { hostIfname, mac, ips } = entry;
    const id = networkOfEntry(entry);
    const network = this.#ports.networkOf(id);
    const { gone } = await this.#ports.host.removeContainer({ network: id, hostIfname, mac, ips });
    this.departures.add(entry, gone);
    // Synced, and all before it. What comes behind it a power cut may take, and all that it stood for along with it.
    await network?.withdraw(mac);
    network?.release(attachmentKeyText(entry.key));
    this.#ports.entries.deleteStep(entry.key);
    this.#ports.left(id);
  }

  async #withOurs(attempt: Attempt, plan: ReturnType<typeof planAddresses>, areReserved: boolean): Promise<Attachment> {
    const { host } = this.#ports;
    const owner = attachmentKeyText(attempt.entry.key);
    const ips = areReserved
      ? plan.flatMap(({ wanted }) => wanted ?? [])
      : await takeAddresses(attempt.network, owner, plan, attempt.cancelled);
    // Nothing is awaited from here to the entry: two that come with one reserved address can't both have it.
    if (areReserved) this.#refuseTaken(attempt.network, ips);
    this.#update(attempt, { ips });
    await this.#ports.enter(attempt.network.id);
    await this.departures.over(attempt.entry);
    const announce = ips.some((ip) => attempt.network.hasMoved(ip));
    const made = await this.#claimWhile(attempt, () =>
      host.addContainer({ ...interfaceConfig(attempt.entry, attempt.namespaceFd), announce }),
    );
    stopIfCancelled(attempt.cancelled);
    return this.#finish(attempt, made);
  }

  async #withForeign(attempt: Attempt, ipam: ForeignIpam, routes: readonly WantedRoute[]): Promise<Attachment> {
    const { host } = this.#ports;
    const bare = { ...attempt.entry, routes: [], defaultRoute: false };
    await this.#ports.enter(attempt.network.id);
    const made = await host.addContainer(interfaceConfig(bare, attempt.namespaceFd));
    stopIfCancelled(attempt.cancelled);
    const given = await ipam.obtain();
    stopIfCancelled(attempt.cancelled);
    const foreign = given.addresses.map(readGiven);
    const outside = await this.#reserveForeign(attempt, foreign, ipam.plugin);
    // Nothing is awaited from here to the claim: two attaches can't both find an address free.
    for (const ip of outside) this.#refuseHeld(attempt.network, ip, ipam.plugin);
    this.#update(attempt, { foreign, ips: foreign.map(({ ip }) => ip), routes: [...given.routes, ...routes] });
    const announce = attempt.entry.ips.some((ip) => attempt.network.hasMoved(ip));
    const set = await this.#claimWhile(attempt, () =>
      host.addressContainer({ ...interfaceConfig(attempt.entry, attempt.namespaceFd), announce }),
    );
    stopIfCancelled(attempt.cancelled);
    return this.#finish(attempt, { ...made, routes: set.routes });
  }

  /**
   * Publishes the claim while the kernel works: neither needs the other, and nothing is answered before both are done. When one
   * fails, the other has ended before anything is undone.
   */
  async #claimWhile<T>({ network, entry }: Attempt, work: () => Promise<T>): Promise<T> {
    const [claimed, worked] = await Promise.allSettled([network.publish(recordOf(entry)), work()]);
    if (claimed.status === 'rejected') throw claimed.reason;
    if (worked.status === 'rejected') throw worked.reason;
    return worked.value;
  }

  /**
   * An address of the network's range is reserved like any other, by its owner's gift where another host has it, so that nobody
   * hands it out again. One outside belongs to no lease and must lead nowhere else from this host. Resolves with the latter.
   */
  async #reserveForeign(
    { entry, cancelled, network }: Attempt,
    foreign: readonly ForeignAddress[],
    plugin: string,
  ): Promise<readonly string[]> {
    const owner = attachmentKeyText(entry.key);
    const outside: string[] = [];
    for (const { ip, prefix } of foreign) {
      const address = parseIp(ip);
      assert(address !== null, 'a given address was read already');
      if (isInRange(network, address)) {
        await network.allocate({ owner, family: address.family, wanted: ip });
      } else {
        outside.push(ip);
        if (!isHoldable(address)) {
          throw new FabricError('address-invalid', {
            what: `${ip}, which ${plugin} chose, is no address of an interface`,
          });
        }
        const others = await this.#ports.host.overlappingRoutes(cidrOf(address, prefix));
        if (others.length > 0) {
          throw new FabricError('range-overlap', {
            what: `${ip}/${prefix}, which ${plugin} chose, collides with a route of this host`,
            why: others.join(', '),
            fix: `Give ${plugin} another subnet`,
          });
        }
      }
      stopIfCancelled(cancelled);
    }
    return outside;
  }

  /** Whoever leaves has no address any more: {@link departures} wait for its interface. */
  #refuseTaken(network: AttachmentNetwork, wanted: readonly string[]): void {
    const holder = this.#entriesOf(network).find(
      ({ ips, state }) => state !== 'detaching' && ips.some((ip) => wanted.includes(ip)),
    );
    if (holder === undefined) return;
    throw new FabricError('address-in-use', {
      what: `${wanted.join(' ')} is in use`,
      why: `${describeEntry(holder)} on this host has it`,
      fix: 'Choose another address, or remove the container that has it',
    });
  }

  /** Whoever claims such an address first has it. */
  #refuseHeld(network: AttachmentNetwork, ip: string, plugin: string): void {
    const entry = this.#entriesOf(network).find(({ ips }) => ips.includes(ip));
    const holder = entry === undefined ? network.freeAddressHolder(ip) : `${entry.key.containerId} on this host`;
    if (holder === null) return;
    throw new FabricError('address-in-use', {
      what: `${ip}, which ${plugin} chose, is in use`,
      why: `${holder} holds it`,
      fix: `Give ${plugin} a range on each host that no other host uses`,
    });
  }

  #finish(attempt: Attempt, made: Awaited<ReturnType<AttachmentPorts['host']['addContainer']>>): Attachment {
    const { entry, network } = attempt;
    const result: Attachment = {
      ...entry.key,
      mac: entry.mac,
      addresses: entry.ips.map((ip) => {
        const given = foreignOf(entry).find((address) => address.ip === ip);
        const ours = describeAddress(ip, network.addressing);
        if (given === undefined) return ours;
        return { address: `${ip}/${given.prefix}`, gateway: given.gateway ?? ours.gateway };
      }),
      routes: made.routes,
      name: entry.name,
      mtu: this.#ports.mtu,
      bridge: { name: network.bridge, mac: made.bridgeMac },
      host: { name: entry.hostIfname, mac: made.hostMac },
      namespacePath: entry.namespacePath,
    };
    attempt.entry = { ...attempt.entry, state: 'attached', result };
    this.#ports.entries.putStep(attempt.entry);
    return result;
  }

  #update(attempt: Attempt, change: Partial<AttachmentEntry>): void {
    attempt.entry = { ...attempt.entry, ...change };
    this.#ports.entries.putStep(attempt.entry);
  }

  async #refuse(request: AttachRequest, network: AttachmentNetwork): Promise<void> {
    const { entries } = this.#ports;
    const unready = this.#ports.readiness();
    if (unready !== null)
      throw new FabricError('daemon-unreachable', { what: 'this host can attach nothing now', why: unready.reason });
    const known = entries.get(request);
    if (known !== undefined) await this.#replaceDead(known);
    if (entries.countOf(network.id) >= ATTACHMENTS_MAX) {
      throw new FabricError('limit', {
        what: `${ATTACHMENTS_MAX} containers are attached to the network ${request.network}`,
        why: 'a Linux bridge has 1,024 ports',
      });
    }
  }

  /** A namespace that vanished takes its interface along: what remains of that attachment makes room for the new one. */
  async #replaceDead(known: AttachmentEntry): Promise<void> {
    const { host, log } = this.#ports;
    const isAlive = async () =>
      (await host.listContainerPorts()).some(({ hostIfname, alive }) => hostIfname === known.hostIfname && alive);
    const { containerId, ifname, network } = known.key;
    if (known.state === 'attached' && (await isAlive())) {
      throw new FabricError('attachment-exists', {
        what: `${containerId} already has ${ifname} on network ${network}`,
        fix: 'Detach it first (CNI DEL or fabric detach), or give the interface another name (--ifname)',
      });
    }
    log.info('attached anew: the interface of the last time is gone', { container: containerId, ifname });
    await this.remove(known);
  }

  /** The first error is the one to report; one of the undoing is logged, and reconciliation tries again. */
  async #undo(entry: AttachmentEntry, cause: unknown): Promise<void> {
    try {
      await this.remove(entry);
    } catch (error) {
      const reason = (error as Error).message;
      this.#ports.log.error('undoing a failed attach failed', {
        container: entry.key.containerId,
        reason,
        cause: String(cause),
      });
    }
  }

  #newEntry(request: AttachRequest, network: AttachmentNetwork): AttachmentEntry {
    return {
      key: { network: request.network, containerId: request.containerId, ifname: request.ifname },
      vni: network.id,
      owner: request.owner,
      state: 'attaching',
      mac: this.#chooseMac(request.mac, network),
      hostIfname: this.#hostIfname(request),
      name: request.name,
      ...(request.aliases === undefined ? {} : { aliases: request.aliases }),
      ips: [],
      ...placeOf(request),
      namespacePath: request.namespace?.path ?? '',
      defaultRoute: request.defaultRoute,
      routes: request.routes,
      result: null,
    };
  }

  /** Of no other interface of this host either, whatever its network: the packet filter knows a MAC by itself. */
  #chooseMac(requested: Mac | null, network: AttachmentNetwork): Mac {
    const { entries } = this.#ports; // also those whose claim is not published yet
    const holderOf = (mac: Mac): string | null => {
      const entry = entries.withMac(mac);
      return entry === undefined ? network.macHolder(mac) : `${describeEntry(entry)} on this host`;
    };
    if (requested !== null) {
      const holder = holderOf(requested);
      if (holder === null) return requested;
      throw new FabricError('address-in-use', {
        what: `the MAC ${requested} is in use`,
        why: `${holder} has it`,
        fix: 'Detach the container that has it, or choose another MAC',
      });
    }
    for (;;) {
      const bytes = this.#ports.random.bytes(6);
      bytes[0] = (bytes[0]! & 0xfc) | 0x02; // locally administered, not a group
      const mac = macFromBytes(bytes);
      if (holderOf(mac) === null) return mac;
    }
  }

  /** Stable for the same attachment, at most 15 bytes: 48 bits of hash behind a prefix of ours. */
  #hostIfname(key: AttachmentKey): string {
    return `fab${toHex(this.#ports.crypto.sha256(utf8(attachmentKeyText(key)))).slice(0, 12)}`;
  }

  #entriesOf({ id }: AttachmentNetwork): readonly AttachmentEntry[] {
    return this.#ports.entries.all().filter((entry) => networkOfEntry(entry) === id);
  }
}

/** What moves too often is had by two, and the later one waits (RFC 7432 §15.1). */
function refuseHeld(network: AttachmentNetwork, what: string): void {
  const why = network.heldMove(what);
  if (why === null) return;
  throw new FabricError('address-held', {
    what: `${what} may not move here now`,
    why,
    fix: `Find out which two hosts both want it; if its moves are in order: fabric unhold ${what}`,
  });
}

function placeOf({ namespace }: AttachRequest): Pick<AttachmentEntry, 'namespaceDev' | 'namespaceIno'> {
  return { namespaceDev: String(namespace?.dev ?? ''), namespaceIno: String(namespace?.ino ?? '') };
}

function isInRange({ addressing: { range, range6 } }: AttachmentNetwork, ip: IpAddress): boolean {
  const block = ip.family === 4 ? range : range6;
  return block !== null && cidrHasIp(block, ip);
}

/** What the host network is told of an attachment. */
export function interfaceConfig(entry: AttachmentEntry, namespaceFd: number | null): ContainerInterfaceConfig {
  return {
    network: networkOfEntry(entry),
    namespaceFd,
    ifname: entry.key.ifname,
    hostIfname: entry.hostIfname,
    mac: entry.mac,
    ips: entry.ips,
    foreign: foreignOf(entry),
    defaultRoute: entry.defaultRoute,
    routes: entry.routes,
  };
}

export function recordOf(entry: AttachmentEntry): AttachmentRecord {
  return {
    network: networkOfEntry(entry),
    mac: entry.mac,
    ips: [...entry.ips, linkLocalOf(entry.mac)],
    sequence: 0,
    name: entry.name,
    ...(entry.aliases === undefined ? {} : { aliases: entry.aliases }),
    kind: 'container',
  };
}

/** Entries of versions before foreign IPAM have none. */
function foreignOf({ foreign }: AttachmentEntry): readonly ForeignAddress[] {
  return foreign ?? [];
}

function readGiven({ address, gateway }: GivenAddress): ForeignAddress {
  const parsed = parseInterfaceAddress(address);
  if (parsed === null)
    throw new FabricError('address-invalid', { what: `${address} is no address with prefix length` });
  return { ip: formatIp(parsed.ip), prefix: parsed.prefix, gateway };
}

// Containers on this host: attach, detach, check, and reconciliation with what the kernel shows. Invariants: an attachment's
// durable entry exists before anything of it does and goes last; addresses are released only once the interface is off the
// bridge; at most one operation runs per attachment; a failed or cancelled attach leaves nothing.

import { type Cidr, formatIp, parseInterfaceAddress, parseIp } from '../base/address.ts';
import { toHex, utf8 } from '../base/bytes.ts';
import type { Clock, Crypto, Log, Random, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME, DEFAULT_VNI, type Mac, macFromBytes, type PeerId } from '../base/ids.ts';
import { linkLocalOf } from '../base/link-local.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type {
  Attachment,
  AttachmentFinding,
  AttachmentKey,
  AttachRequest,
  CniBackend,
  NamespaceHandle,
} from '../cni-plugin/backend.ts';
import type { HostNetwork } from '../host/host-network.ts';
import { type AttachmentEntry, type AttachmentStore, attachmentKeyText } from './attachment-store.ts';
import { pause } from './pause.ts';

/** A Linux bridge has 1,024 ports; the overlay port and host0 take two. */
const ATTACHMENTS_MAX = 1021;
/** After a reboot a thousand may be gone; each removal waits some 20 ms for the kernel. */
const FREED_AT_ONCE = 16;

/** A namespace that was opened for an operation; the descriptor is closed by `close`. */
export interface OpenNamespace {
  readonly fd: number;
  close(): void;
}

export interface AttachmentPorts {
  readonly self: PeerId;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly crypto: Crypto;
  readonly log: Log;
  readonly entries: AttachmentStore;
  readonly host: HostNetwork;
  readonly network: {
    readonly range: Cidr;
    readonly range6: Cidr | null;
    readonly gateway: string;
    readonly gateway6: string | null;
    readonly bridge: string;
    readonly mtu: number;
  };
  /** Checks pid, device and inode and opens the namespace in this process; throws `namespace-invalid`. */
  openNamespace(handle: NamespaceHandle): OpenNamespace;
  /** Durable before it resolves; idempotent per owner and family. Rejects with `address-…`. */
  allocate(request: {
    readonly owner: string;
    readonly family: 4 | 6;
    readonly wanted: string | null;
  }): Promise<string>;
  /** Frees all addresses of an owner; durable when it returns. */
  release(owner: string): void;
  /** Puts the claim into this host's gossip map and our own tables. */
  publish(record: AttachmentRecord): void;
  withdraw(mac: Mac): void;
  /** True when another claim holds this MAC. */
  macTaken(mac: Mac): boolean;
  /** Why nothing can be attached now; null: it can. */
  readiness(): { readonly reason: string; readonly degraded: boolean } | null;
}

export class Attachments implements CniBackend {
  readonly self: PeerId;
  readonly #ports: AttachmentPorts;
  /** The tail of the queue of operations per attachment. */
  readonly #busy = new Map<string, Promise<unknown>>();
  #refusal: string | null = null;

  constructor(ports: AttachmentPorts) {
    this.#ports = ports;
    this.self = ports.self;
  }

  readiness(): { readonly reason: string; readonly degraded: boolean } | null {
    return this.#refusal === null ? this.#ports.readiness() : { reason: this.#refusal, degraded: false };
  }

  /** With a reason nothing is attached from now on; null takes that back. What is under way goes on. */
  refuse(reason: string | null): void {
    this.#refusal = reason;
  }

  /** Resolves when no operation is under way any more, after `withinMs` at the latest. */
  async idle(withinMs: number): Promise<void> {
    const deadline = pause(this.#ports.timers, withinMs).then(() => true as const);
    while (this.#busy.size > 0) {
      if ((await Promise.race([Promise.allSettled(this.#busy.values()), deadline])) === true) return;
    }
  }

  find(key: AttachmentKey): Attachment | null {
    return this.#ports.entries.get(key)?.result ?? null;
  }

  listOwned(owner: string): readonly AttachmentKey[] {
    return this.#ports.entries
      .all()
      .filter((entry) => entry.owner === owner)
      .map((entry) => entry.key);
  }

  attach(request: AttachRequest, cancelled: AbortSignal): Promise<Attachment> {
    const key: AttachmentKey = request;
    return this.#alone(key, () => this.#attach(request, cancelled));
  }

  detach(key: AttachmentKey): Promise<void> {
    return this.#alone(key, () => this.#detach(key));
  }

  async check(key: AttachmentKey, namespace: NamespaceHandle): Promise<readonly AttachmentFinding[]> {
    const entry = this.#ports.entries.get(key);
    if (entry?.state !== 'attached') return [{ what: `${attachmentKeyText(key)} is not attached` }];
    const opened = this.#ports.openNamespace(namespace);
    try {
      const findings = await this.#ports.host.checkContainer({
        namespaceFd: opened.fd,
        ifname: entry.key.ifname,
        hostIfname: entry.hostIfname,
        mac: entry.mac,
        ips: entry.ips,
        defaultRoute: entry.defaultRoute,
        routes: entry.routes,
      });
      return findings.map((what) => ({ what }));
    } finally {
      opened.close();
    }
  }

  /**
   * Brings entries and kernel together: undoes what was half done, adopts what runs, frees what vanished, removes ports that
   * no entry knows. At start (`starting`) every live port is set up anew; later only what vanished is freed.
   */
  async reconcile({ starting }: { readonly starting: boolean }): Promise<void> {
    const { entries, host } = this.#ports;
    const before = entries.all(); // before the kernel is asked: what is attached meanwhile is not in its answer
    const ports = new Map((await host.listContainerPorts()).map((port) => [port.hostIfname, port]));
    const gone: AttachmentEntry[] = [];
    for (const entry of before) {
      if (!starting && (entry.state !== 'attached' || this.#busy.has(attachmentKeyText(entry.key)))) continue;
      const runs = entry.state === 'attached' && ports.get(entry.hostIfname)?.alive === true;
      if (runs && (!starting || (await this.#adopt(entry)))) continue;
      gone.push(entry);
    }
    await manyAtOnce(gone, (entry) => this.#freeVanished(entry));
    if (!starting) return;
    for (const { hostIfname } of before) ports.delete(hostIfname);
    await manyAtOnce([...ports.keys()], (hostIfname) => this.#removeUnknown(hostIfname));
  }

  /** False when its container ended while it was being adopted. */
  async #adopt(entry: AttachmentEntry): Promise<boolean> {
    const { host } = this.#ports;
    try {
      await host.adoptContainer({ hostIfname: entry.hostIfname, mac: entry.mac, ips: entry.ips });
    } catch (error) {
      const ports = await host.listContainerPorts();
      if (ports.some(({ hostIfname, alive }) => hostIfname === entry.hostIfname && alive)) throw error;
      return false;
    }
    this.#ports.publish(recordOf(entry));
    return true;
  }

  #freeVanished(entry: AttachmentEntry): Promise<void> {
    return this.#alone(entry.key, async () => {
      if (this.#ports.entries.get(entry.key) !== entry) return; // detached, or attached anew, meanwhile
      const { key, ips } = entry;
      this.#ports.log.info('attachment vanished, freeing it', { container: key.containerId, ips: ips.join(' ') });
      try {
        await this.#detach(key);
      } catch (error) {
        const reason = (error as Error).message; // its entry stays, so the next start tries again; others go on
        this.#ports.log.error('a vanished attachment could not be freed', { container: key.containerId, reason });
      }
    });
  }

  #removeUnknown(hostIfname: string): Promise<void> {
    this.#ports.log.warn('removing an interface of ours that no attachment knows', { interface: hostIfname });
    return this.#ports.host.removeContainer({ hostIfname, mac: null, ips: [] });
  }

  async #attach(request: AttachRequest, cancelled: AbortSignal): Promise<Attachment> {
    const { entries, network } = this.#ports;
    if (request.network !== DEFAULT_NETWORK_NAME) {
      throw new FabricError('usage', {
        what: `there is no network ${request.network}`,
        fix: `Use the default one, ${DEFAULT_NETWORK_NAME}`,
      });
    }
    if (request.ipamPlugin !== null) {
      throw new FabricError('not-implemented', { what: 'addresses from a foreign IPAM plugin are not there yet' });
    }
    const unready = this.readiness();
    if (unready !== null)
      throw new FabricError('daemon-unreachable', { what: 'this host can attach nothing now', why: unready.reason });
    if (entries.get(request) !== undefined) {
      throw new FabricError('attachment-exists', {
        what: `${request.containerId} already has ${request.ifname} on network ${request.network}`,
        fix: 'Detach it first (CNI DEL or fabric detach)',
      });
    }
    if (entries.size >= ATTACHMENTS_MAX) {
      throw new FabricError('limit', {
        what: `${ATTACHMENTS_MAX} containers are attached`,
        why: 'a Linux bridge has 1,024 ports',
      });
    }
    const wanted = this.#wantedAddresses(request.ips);
    const namespace = this.#ports.openNamespace(request.namespace);
    try {
      let entry: AttachmentEntry = {
        key: { network: request.network, containerId: request.containerId, ifname: request.ifname },
        owner: request.owner,
        state: 'attaching',
        mac: this.#chooseMac(request.mac),
        hostIfname: this.#hostIfname(request),
        name: request.name,
        ips: [],
        namespaceDev: String(request.namespace.dev),
        namespaceIno: String(request.namespace.ino),
        namespacePath: request.namespace.path,
        defaultRoute: request.defaultRoute,
        routes: request.routes,
        result: null,
      };
      entries.put(entry);
      try {
        const addressOwner = attachmentKeyText(entry.key);
        const ips: string[] = [];
        for (const { family, ip } of wanted) {
          ips.push(await this.#ports.allocate({ owner: addressOwner, family, wanted: ip }));
          stopIfCancelled(cancelled);
        }
        entry = { ...entry, ips };
        entries.put(entry);
        this.#ports.publish(recordOf(entry));
        const made = await this.#ports.host.addContainer({
          namespaceFd: namespace.fd,
          ifname: entry.key.ifname,
          hostIfname: entry.hostIfname,
          mac: entry.mac,
          ips,
          defaultRoute: entry.defaultRoute,
          routes: entry.routes,
        });
        stopIfCancelled(cancelled);
        const result: Attachment = {
          ...entry.key,
          mac: entry.mac,
          addresses: ips.map((ip) => this.#withPrefix(ip)),
          routes: made.routes,
          name: entry.name,
          mtu: network.mtu,
          bridge: { name: network.bridge, mac: made.bridgeMac },
          host: { name: entry.hostIfname, mac: made.hostMac },
          namespacePath: entry.namespacePath,
        };
        entry = { ...entry, state: 'attached', result };
        entries.put(entry);
        this.#ports.log.info('container attached', { container: entry.key.containerId, ips: ips.join(' ') });
        return result;
      } catch (error) {
        await this.#undo(entry, error);
        throw error;
      }
    } finally {
      namespace.close();
    }
  }

  /** The first error is the one to report; one of the undoing is logged and reconciliation tries again at the next start. */
  async #undo(entry: AttachmentEntry, cause: unknown): Promise<void> {
    try {
      await this.#remove(entry);
    } catch (error) {
      const reason = (error as Error).message;
      this.#ports.log.error('undoing a failed attach failed', {
        container: entry.key.containerId,
        reason,
        cause: String(cause),
      });
    }
  }

  async #detach(key: AttachmentKey): Promise<void> {
    const entry = this.#ports.entries.get(key);
    if (entry === undefined) return;
    if (entry.state !== 'detaching') this.#ports.entries.put({ ...entry, state: 'detaching' });
    await this.#remove(entry);
    this.#ports.log.info('container detached', { container: key.containerId, ips: entry.ips.join(' ') });
  }

  async #remove(entry: AttachmentEntry): Promise<void> {
    await this.#ports.host.removeContainer({ hostIfname: entry.hostIfname, mac: entry.mac, ips: entry.ips });
    this.#ports.withdraw(entry.mac);
    this.#ports.release(attachmentKeyText(entry.key));
    this.#ports.entries.delete(entry.key);
  }

  /** One address of each family that the network has, unless some were asked for. */
  #wantedAddresses(texts: readonly string[]): readonly { family: 4 | 6; ip: string | null }[] {
    if (texts.length === 0) {
      const v4 = { family: 4 as const, ip: null };
      return this.#ports.network.range6 === null ? [v4] : [v4, { family: 6 as const, ip: null }];
    }
    return texts.map((text) => {
      const ip = text.includes('/') ? (parseInterfaceAddress(text)?.ip ?? null) : parseIp(text);
      if (ip === null) throw new FabricError('address-invalid', { what: `${text} is no IP address` });
      return { family: ip.family, ip: formatIp(ip) };
    });
  }

  #chooseMac(requested: Mac | null): Mac {
    const entries = this.#ports.entries.all(); // also those whose claim is not published yet
    const taken = (mac: Mac): boolean => this.#ports.macTaken(mac) || entries.some((entry) => entry.mac === mac);
    if (requested !== null) {
      if (taken(requested)) {
        throw new FabricError('address-in-use', { what: `the MAC ${requested} is in use on this network` });
      }
      return requested;
    }
    for (;;) {
      const bytes = this.#ports.random.bytes(6);
      bytes[0] = (bytes[0]! & 0xfc) | 0x02; // locally administered, not a group
      const mac = macFromBytes(bytes);
      if (!taken(mac)) return mac;
    }
  }

  /** Stable for the same attachment, at most 15 bytes: 48 bits of hash behind a prefix of ours. */
  #hostIfname(key: AttachmentKey): string {
    return `fab${toHex(this.#ports.crypto.sha256(utf8(attachmentKeyText(key)))).slice(0, 12)}`;
  }

  #withPrefix(ip: string): { address: string; gateway: string } {
    const { range, range6, gateway, gateway6 } = this.#ports.network;
    return ip.includes(':')
      ? { address: `${ip}/${range6!.prefix}`, gateway: gateway6! }
      : { address: `${ip}/${range.prefix}`, gateway };
  }

  /** Queues behind whatever runs for the same attachment. */
  async #alone<T>(key: AttachmentKey, work: () => Promise<T>): Promise<T> {
    const text = attachmentKeyText(key);
    const before = this.#busy.get(text);
    const mine = (async () => {
      if (before !== undefined) await before.catch(() => undefined); // its caller gets its error
      return work();
    })();
    this.#busy.set(text, mine);
    try {
      return await mine;
    } finally {
      if (this.#busy.get(text) === mine) this.#busy.delete(text);
    }
  }
}

export function recordOf(entry: AttachmentEntry): AttachmentRecord {
  return {
    network: DEFAULT_VNI,
    mac: entry.mac,
    ips: [...entry.ips, linkLocalOf(entry.mac)],
    sequence: 0,
    name: entry.name,
    kind: 'container',
  };
}

function stopIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new FabricError('timeout', { what: 'the caller hung up before the attach was done' });
}

/** Rejects with the first error, after the batch that it happened in. */
async function manyAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += FREED_AT_ONCE) {
    const results = await Promise.allSettled(items.slice(from, from + FREED_AT_ONCE).map(work));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}

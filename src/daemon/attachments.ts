// Containers on this host: attach, detach, check, and reconciliation with what the kernel shows. Invariants: an attachment's
// durable entry exists before anything of it does and goes last; addresses are released only once the interface is off the
// bridge; at most one operation runs per attachment; a failed or cancelled attach leaves nothing.

import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type {
  AddressService,
  Attachment,
  AttachmentFinding,
  AttachmentKey,
  AttachRequest,
  CniBackend,
  NameService,
  NamespaceHandle,
} from '../cni-plugin/backend.ts';
import { ATTACHMENTS_MAX, Attacher, interfaceConfig, recordOf } from './attacher.ts';
import type { AttachmentPorts } from './attachment-ports.ts';
import { type AttachmentEntry, attachmentKeyText, describeEntry, networkOfEntry } from './attachment-store.ts';
import { pause } from './pause.ts';

/** After a reboot a thousand may be gone. */
const FREED_AT_ONCE = 16;

export class Attachments implements CniBackend {
  readonly self: PeerId;
  readonly addresses: AddressService;
  readonly #ports: AttachmentPorts;
  readonly #attacher: Attacher;
  /** The tail of the queue of operations per attachment. */
  readonly #busy = new Map<string, Promise<unknown>>();
  #refusal: string | null = null;

  constructor(ports: AttachmentPorts, addresses: AddressService) {
    this.#ports = ports;
    this.addresses = addresses;
    this.#attacher = new Attacher(ports);
    this.self = ports.self;
  }

  readiness(name: string): { readonly reason: string; readonly degraded: boolean } | null {
    const unready = this.#refusal === null ? this.#ports.readiness() : { reason: this.#refusal, degraded: false };
    if (unready !== null) return unready;
    const network = this.#ports.findNetwork(name);
    if (network === null) return { reason: `there is no network ${name}`, degraded: false };
    const isFull = this.#ports.entries.countOf(network.id) >= ATTACHMENTS_MAX;
    const reason = isFull ? `${ATTACHMENTS_MAX} containers are attached` : network.addressObstacle();
    return reason === null ? null : { reason, degraded: false };
  }

  nameService(network: string): NameService | null {
    return this.#ports.findNetwork(network)?.nameService() ?? null;
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
    return this.#alone(key, () => {
      // Looked at when its turn comes: what it waited for may have been the last before a stop.
      if (this.#refusal !== null) {
        throw new FabricError('daemon-unreachable', { what: 'this host can attach nothing now', why: this.#refusal });
      }
      return this.#attacher.attach(request, cancelled);
    });
  }

  /** Gives an attachment these names in place of those that it has, and announces them. False when there is none. */
  rename(key: AttachmentKey, name: string, aliases: readonly string[]): Promise<boolean> {
    return this.#alone(key, async () => {
      const entry = this.#ports.entries.get(key);
      if (entry?.state !== 'attached' || entry.result === null) return false;
      const renamed: AttachmentEntry = { ...entry, name, aliases, result: { ...entry.result, name } };
      this.#ports.entries.putStep(renamed);
      await this.#ports.networkOf(networkOfEntry(renamed))?.publish(recordOf(renamed));
      return true;
    });
  }

  detach(key: AttachmentKey): Promise<void> {
    return this.#alone(key, () => this.#detach(key));
  }

  async check(key: AttachmentKey, namespace: NamespaceHandle): Promise<readonly AttachmentFinding[]> {
    const entry = this.#ports.entries.get(key);
    if (entry?.state !== 'attached') return [{ what: `${attachmentKeyText(key)} is not attached` }];
    const opened = this.#ports.openNamespace(namespace);
    try {
      const findings = await this.#ports.host.checkContainer(interfaceConfig(entry, opened.fd));
      return findings.map((what) => ({ what }));
    } finally {
      opened.close();
    }
  }

  /**
   * Brings entries and kernel together: undoes what was half done, adopts what runs, frees what vanished, removes ports that
   * no entry knows. At start (`starting`) every live port is set up anew; later what vanished is freed, and an undoing or a
   * detach that failed is tried again.
   */
  async reconcile({ starting }: { readonly starting: boolean }): Promise<void> {
    const { entries, host } = this.#ports;
    const before = entries.all(); // before the kernel is asked: what is attached meanwhile is not in its answer
    const ports = new Map((await host.listContainerPorts()).map((port) => [port.hostIfname, port]));
    const gone: AttachmentEntry[] = [];
    for (const entry of before) {
      if (!starting && this.#busy.has(attachmentKeyText(entry.key))) continue;
      const known = this.#ports.networkOf(networkOfEntry(entry)) !== null;
      const runs = known && entry.state === 'attached' && ports.get(entry.hostIfname)?.alive === true;
      if (runs && (!starting || (await this.#adopt(entry)))) continue;
      gone.push(entry);
    }
    await manyAtOnce(gone, (entry) => this.#freeVanished(entry));
    if (!starting) return;
    for (const { hostIfname } of before) ports.delete(hostIfname);
    await manyAtOnce([...ports.keys()], (hostIfname) => this.#removeUnknown(hostIfname));
    await this.#attacher.departures.allOver();
  }

  /** False when its container ended while it was being adopted. */
  async #adopt(entry: AttachmentEntry): Promise<boolean> {
    const { host } = this.#ports;
    try {
      const { hostIfname, mac, ips } = entry;
      await host.adoptContainer({ network: networkOfEntry(entry), hostIfname, mac, ips });
    } catch (error) {
      const ports = await host.listContainerPorts();
      if (ports.some(({ hostIfname, alive }) => hostIfname === entry.hostIfname && alive)) throw error;
      return false;
    }
    await this.#ports.networkOf(networkOfEntry(entry))?.publish(recordOf(entry));
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

  async #removeUnknown(hostIfname: string): Promise<void> {
    this.#ports.log.warn('removing an interface of ours that no attachment knows', { interface: hostIfname });
    const { gone } = await this.#ports.host.removeContainer({ network: null, hostIfname, mac: null, ips: [] });
    await gone;
  }

  async #detach(key: AttachmentKey): Promise<void> {
    const entry = this.#ports.entries.get(key);
    if (entry === undefined) return;
    if (entry.state !== 'detaching') this.#ports.entries.putStep({ ...entry, state: 'detaching' });
    await this.#attacher.remove(entry);
    this.#ports.log.info('container detached', { container: key.containerId, ips: entry.ips.join(' ') });
    const { containerId } = key;
    this.#ports.tell({ kind: 'detached', what: `${describeEntry(entry)} is detached`, subject: containerId });
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

/** Rejects with the first error, after the batch that it happened in. */
async function manyAtOnce<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += FREED_AT_ONCE) {
    const results = await Promise.allSettled(items.slice(from, from + FREED_AT_ONCE).map(work));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}

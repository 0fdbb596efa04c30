// The host's own place in the overlay: an address of its lease on host0, announced like a container's. On by default; `hide`
// takes it away and `expose` brings it back, both remembered. The address stays reserved while hidden.

import type { Log, Random, Store, Timers } from '../base/capabilities.ts';
import { DEFAULT_VNI, type Mac, macFromBytes, parseMac } from '../base/ids.ts';
import { linkLocalOf } from '../base/link-local.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type { HostNetwork } from '../host/host-network.ts';
import { pause } from './pause.ts';

const SPACE = 'host-place';
const MAC_KEY = 'mac';
/** The owner string of the host's addresses; no attachment's key has this form. */
export const HOST_OWNER = 'host';

/** An allocation waits 10 s by itself; then the next one starts soon. */
const RETRY_MS = 2_000;

export interface HostPlacePorts {
  readonly store: Store;
  readonly random: Random;
  readonly log: Log;
  readonly timers: Timers;
  readonly host: HostNetwork;
  readonly hasIpv6: boolean;
  readonly nickname: string;
  /** Between two tries of an expose at start; default 2 s. */
  readonly retryMs?: number;
  allocate(request: { readonly owner: string; readonly family: 4 | 6; readonly wanted: null }): Promise<string>;
  /** Frees those addresses of an owner that belong to other hosts now. */
  releaseLost(owner: string): void;
  publish(record: AttachmentRecord): Promise<void>;
  withdraw(mac: Mac): Promise<void>;
}

export class HostPlace {
  readonly #ports: HostPlacePorts;
  readonly mac: Mac;
  /** The host's addresses while it is exposed, canonical text. */
  ips: readonly string[] = [];
  /** Why the host has no address although it should; null: it has, maybe from a daemon before, or is hidden. */
  obstacle: string | null = null;
  /** False once hidden: an expose that still waits for its address then ends without one. */
  #wanted = false;
  /** An expose that is tried until it succeeds is under way. */
  #isWaiting = false;

  constructor(ports: HostPlacePorts) {
    this.#ports = ports;
    this.mac = rememberedMac(ports.store, ports.random);
  }

  /** Idempotent; resolves to the addresses, to none when the host was hidden meanwhile. */
  async expose(): Promise<readonly string[]> {
    const { host, nickname, hasIpv6 } = this.#ports;
    this.#wanted = true;
    const ip = await this.#ports.allocate({ owner: HOST_OWNER, family: 4, wanted: null });
    const ip6 = hasIpv6 ? await this.#ports.allocate({ owner: HOST_OWNER, family: 6, wanted: null }) : null;
    if (!this.#wanted) return [];
    await host.exposeHost({ mac: this.mac, ip, ip6 });
    if (!this.#wanted) {
      await host.hideHost();
      return [];
    }
    this.ips = ip6 === null ? [ip] : [ip, ip6];
    await this.#ports.publish({
      network: DEFAULT_VNI,
      mac: this.mac,
      ips: [...this.ips, linkLocalOf(this.mac)],
      sequence: 0,
      name: nickname,
      kind: 'host',
    });
    this.obstacle = null;
    return this.ips;
  }

  /**
   * {@link expose}, tried again until it succeeds or is no longer wanted; meanwhile {@link obstacle} says why, unless the host has
   * an address from a daemon before, which it will most probably be given again. Resolves after `waitMs` at the latest: usually it is
   * done at once, but a joiner's first lease may take longer than a launch should wait.
   */
  async exposeAtStart(waitMs: number): Promise<void> {
    const { host, timers } = this.#ports;
    if (host.exposed === null) this.obstacle = 'the host waits for its address';
    this.#wanted = true;
    await Promise.race([this.#exposeUntilDone(), pause(timers, waitMs)]);
  }

  /** Addresses of ours are another host's now: others take their place, unless the host is hidden or waits for some anyway. */
  renumber(): void {
    this.#ports.releaseLost(HOST_OWNER);
    if (!this.#wanted || this.#isWaiting) return;
    this.obstacle = 'the host waits for an address in the place of one that belongs to another host';
    void this.#exposeUntilDone();
  }

  /** Gives up an expose that still waits; the interface stays as it is. */
  stop(): void {
    this.#wanted = false;
  }

  async #exposeUntilDone(): Promise<void> {
    this.#isWaiting = true;
    while (this.#wanted) {
      try {
        await this.expose();
        break;
      } catch (error) {
        if (!this.#wanted) break;
        this.obstacle = (error as Error).message;
        this.#ports.log.error('the host has no address on the overlay', { reason: this.obstacle });
      }
      await pause(this.#ports.timers, this.#ports.retryMs ?? RETRY_MS);
    }
    this.#isWaiting = false;
  }

  async hide(): Promise<void> {
    this.#wanted = false;
    this.obstacle = null;
    await this.#ports.withdraw(this.mac);
    this.ips = [];
    await this.#ports.host.hideHost();
  }
}

function rememberedMac(store: Store, random: Random): Mac {
  const known = store.get(SPACE, MAC_KEY);
  const mac = known === undefined ? null : parseMac(new TextDecoder().decode(known));
  if (mac !== null) return mac;
  const bytes = random.bytes(6);
  bytes[0] = (bytes[0]! & 0xfc) | 0x02; // locally administered, not a group
  const fresh = macFromBytes(bytes);
  store.put(SPACE, MAC_KEY, new TextEncoder().encode(fresh));
  return fresh;
}

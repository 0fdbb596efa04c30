// Addresses on their way through Docker. Docker asks for an address before it says for which endpoint, gives it back after the
// endpoint is gone, and asks anew when a container restarts, without a word of which container it is. So an address that is
// given back waits: the next question gets it again, which is how `docker restart` keeps a container's address. Of several, that
// of a container which Docker has started before goes first; a container that was removed asks no more.
//
//   asked for ──▶ reserved ──▶ an endpoint's ──▶ waiting ──▶ free
//                    ╰──────────────────────────────╯ ╰──▶ asked for again
//
// An endpoint that is leaving has no address any more: what takes it over waits for the interface (EndpointService.create).
// Invariant: whatever Docker, its daemon or ours forgot, an address without an endpoint is free HOLD_MS later, unless a network
// has it as auxiliary address. Nothing here is durable: the book is, and after a restart all waits begin anew.

import { type Cidr, cidrHasIp, parseIp } from '../base/address.ts';
import type { Cancel, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { AddressBook, Endpoint, EndpointService, HeldAddress } from './backend.ts';

/** A restart takes a fraction of a second; of a container that ends again and again, Docker's pauses double from 0.1 s. */
export const HOLD_MS = 10_000;
/** Of several that were given back within this time, containers restart side by side: first come, first served. */
const SIDE_BY_SIDE_MS = 3_000;

export interface HeldAddressesPorts {
  readonly book: AddressBook;
  readonly endpoints: Pick<EndpointService, 'all'>;
  readonly timers: Timers;
  /** True for an address that a Docker network keeps for something that is no container. */
  isAuxiliary(address: HeldAddress): boolean;
  /** An address could not be given back; it is tried again. */
  failed(reason: string): void;
}

/** For an endpoint that Docker has asked for it; for another question, because Docker gave it back; or just held. */
type WaitFor = 'endpoint' | 'question' | 'nothing';

interface Wait {
  readonly address: HeldAddress;
  readonly sinceMs: number;
  waitsFor: WaitFor;
  /** Who had it, where Docker has told. */
  readonly containerId: string | null;
}

export class HeldAddresses {
  readonly #ports: HeldAddressesPorts;
  /** Oldest first. */
  readonly #waits = new Map<string, Wait>();
  #cancel: Cancel | null = null;

  constructor(ports: HeldAddressesPorts) {
    this.#ports = ports;
    this.look();
  }

  /** Rejects as {@link AddressBook.reserve}. */
  async request(
    request: { readonly network: string; readonly pool: Cidr; readonly wanted: string | null },
    cancelled: AbortSignal,
  ): Promise<string> {
    const { network, pool, wanted } = request;
    if (wanted !== null && this.#has({ network, ip: wanted })) {
      this.#refuseInUse({ network, ip: wanted });
      this.#wait({ network, ip: wanted }, 'endpoint');
      return wanted;
    }
    const again = wanted === null ? this.#offered(network, pool) : null;
    if (again !== null) {
      this.#wait(again, 'endpoint');
      return again.ip;
    }
    const ip = await this.#ports.book.reserve(request, cancelled);
    this.#wait({ network, ip }, 'endpoint');
    return ip;
  }

  /** For an endpoint that comes with an address of Docker's own choice, too. Rejects with `address-in-use` and as `reserve`. */
  async take({ network, ip }: HeldAddress, pool: Cidr, cancelled: AbortSignal): Promise<void> {
    this.#refuseInUse({ network, ip });
    if (!this.#has({ network, ip })) await this.#ports.book.reserve({ network, pool, wanted: ip }, cancelled);
    this.#wait({ network, ip }, 'endpoint');
  }

  /** Docker gives it back. Of an endpoint that is still there, and of an address that is not Docker's, it changes nothing. */
  release(address: HeldAddress): void {
    if (!this.#has(address) || this.#isInUse(address)) return;
    this.#wait(address, 'question', this.#waits.get(keyOf(address))?.containerId ?? null);
  }

  endpointMade(addresses: readonly HeldAddress[]): void {
    for (const address of addresses) this.#waits.delete(keyOf(address));
  }

  /**
   * An endpoint with these addresses is leaving or gone; `containerId` is null where Docker has not told whose it was. Nobody else is
   * offered them before Docker has given them back: Docker would give back what is another's by then. Idempotent.
   */
  endpointEnds(addresses: readonly HeldAddress[], containerId: string | null): void {
    for (const address of addresses) {
      const waits = this.#waits.has(keyOf(address));
      if (!waits && this.#has(address) && !this.#isInUse(address)) this.#wait(address, 'nothing', containerId);
    }
  }

  /** Its container is removed: it does not come back for its addresses. */
  containerGone(containerId: string): void {
    for (const wait of this.#waits.values()) if (wait.containerId === containerId) wait.waitsFor = 'nothing';
  }

  /** Docker has no network of that name any more: what its containers gave back is free at once, unless one is still leaving. */
  networkGone(network: string): void {
    for (const [key, { address, waitsFor, containerId }] of this.#waits) {
      if (address.network !== network || !(waitsFor === 'question' || containerId !== null)) continue;
      if (this.#isLeaving(address)) continue;
      this.#waits.delete(key);
      void this.#free(address);
    }
  }

  /** Addresses that no endpoint has. */
  get size(): number {
    return this.#waits.size;
  }

  /** Frees what waits too long, and finds what is held without an endpoint: its interface vanished, or somebody forgot it. */
  look(): void {
    const { book, timers } = this.#ports;
    const nowMs = timers.nowMs();
    const known = new Set<string>();
    for (const address of book.all()) {
      const key = keyOf(address);
      known.add(key);
      if (this.#isInUse(address) || this.#ports.isAuxiliary(address)) this.#waits.delete(key);
      else if (!this.#waits.has(key)) this.#wait(address, 'nothing');
    }
    for (const [key, { address, sinceMs }] of [...this.#waits]) {
      if (known.has(key) && nowMs - sinceMs < HOLD_MS) continue;
      this.#waits.delete(key);
      if (!known.has(key)) continue;
      if (this.#isLeaving(address)) this.#wait(address, 'nothing');
      else void this.#free(address);
    }
    this.#schedule();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #wait(address: HeldAddress, waitsFor: WaitFor, containerId: string | null = null): void {
    const key = keyOf(address);
    this.#waits.delete(key);
    this.#waits.set(key, { address, sinceMs: this.#ports.timers.nowMs(), waitsFor, containerId });
    this.#schedule();
  }

  #schedule(): void {
    const { timers } = this.#ports;
    const [oldest] = this.#waits.values();
    if (oldest === undefined) return;
    this.#cancel ??= timers.after(Math.max(0, oldest.sinceMs + HOLD_MS - timers.nowMs()), () => {
      this.#cancel = null;
      this.look();
    });
  }

  async #free(address: HeldAddress): Promise<void> {
    try {
      await this.#ports.book.release(address);
    } catch (error) {
      this.#ports.failed((error as Error).message);
      this.#wait(address, 'nothing');
    }
  }

  /** Which address a container that restarts had: the last one, or the first of those that restart side by side. */
  #offered(network: string, pool: Cidr): HeldAddress | null {
    const nowMs = this.#ports.timers.nowMs();
    const fitting = [...this.#waits.values()].filter(({ address, waitsFor }) => {
      const ip = parseIp(address.ip);
      return waitsFor === 'question' && address.network === network && ip !== null && cidrHasIp(pool, ip);
    });
    const known = fitting.filter(({ containerId }) => containerId !== null);
    const likely = known.length > 0 ? known : fitting;
    const sideBySide = likely.find(({ sinceMs }) => nowMs - sinceMs <= SIDE_BY_SIDE_MS);
    return (sideBySide ?? likely.at(-1))?.address ?? null;
  }

  #refuseInUse(address: HeldAddress): void {
    if (!this.#isInUse(address)) return;
    throw new FabricError('address-in-use', { what: `${address.ip} is in use by another container of this host` });
  }

  #isInUse(address: HeldAddress): boolean {
    return this.#endpointsWith(address).some(({ state }) => state !== 'leaving');
  }

  #isLeaving(address: HeldAddress): boolean {
    return this.#endpointsWith(address).length > 0 && !this.#isInUse(address);
  }

  #endpointsWith({ network, ip }: HeldAddress): readonly Endpoint[] {
    return this.#ports.endpoints.all().filter((endpoint) => endpoint.network === network && endpoint.ips.includes(ip));
  }

  #has({ network, ip }: HeldAddress): boolean {
    return this.#ports.book.all().some((held) => held.network === network && held.ip === ip);
  }
}

function keyOf({ network, ip }: HeldAddress): string {
  return `${network} ${ip}`;
}

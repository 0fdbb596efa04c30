// One network as this host knows it: its facts, the leases of its range, what its claims make reachable, and who waits for an
// address. The default network and named ones are the same to everybody who uses this.

import type { IpAddress } from '../base/address.ts';
import type { Cancel, Clock, Timers } from '../base/capabilities.ts';
import type { FabricError } from '../base/errors.ts';
import type { Mac, PeerId, Vni } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import type { Ipam } from '../ipam/ipam.ts';
import type { TableChange } from '../router/datapath.ts';
import type { Routes } from '../router/routes.ts';
import { Allocator } from './allocator.ts';
import type { AddressWish } from './attachment-ports.ts';
import type { NetworkFacts } from './genesis.ts';
import { openRoutes } from './open-routes.ts';

/** A host that let a MAC go says so by gossip, a moment after its DEL has answered. */
const RELEASE_WAIT_MS = 1_000;

export interface NetworkPorts {
  readonly self: PeerId;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly facts: NetworkFacts;
  /** Interface name of its bridge on this host, also while there is none. */
  readonly bridge: string;
  /** `changed`: an allocation that waits may have an answer, and owners may be others. */
  openIpam(changed: () => void): Ipam;
  isAlive(peer: PeerId): boolean;
  /** Changes of its tables. */
  apply(changes: readonly TableChange[]): void;
  /** A MAC or address that was at another host before is at this one now. */
  moved(what: string, at: PeerId): void;
  /** The leases changed; what depends on them here was done. */
  leasesSettled(): void;
  /** The leases have something to do now. */
  wakeLeases(): void;
}

export class Network {
  readonly id: Vni;
  readonly facts: NetworkFacts;
  readonly bridge: string;
  readonly ipam: Ipam;
  readonly routes: Routes;
  readonly #ports: NetworkPorts;
  readonly #allocator: Allocator;
  /** Who waits for a MAC looks whether it is free. */
  readonly #waiting = new Set<() => void>();
  #reconsider: Cancel | null = null;
  /** Hosts that a lease record named since claims were judged last. */
  readonly #concerned = new Set<PeerId>();
  #judge: Cancel | null = null;

  constructor(ports: NetworkPorts) {
    const { self, facts, bridge, timers } = ports;
    this.#ports = ports;
    this.id = facts.id;
    this.facts = facts;
    this.bridge = bridge;
    this.ipam = ports.openIpam(() => this.#leasesChanged());
    this.routes = openRoutes(ports, facts, {
      self,
      ownerOf: (ip: IpAddress) => this.ipam.ownerOf(ip),
      isAlive: (peer) => ports.isAlive(peer),
      apply: (changes) => ports.apply(changes),
      moved: (_network, what, at) => ports.moved(what, at),
    });
    this.#allocator = new Allocator(timers, (request) => {
      const result = this.ipam.allocate(request);
      ports.wakeLeases();
      return result;
    });
  }

  /** Resolves to canonical text, durable with the next synced write; waits for a peer's gift where that is needed. */
  allocate(wish: AddressWish): Promise<string> {
    return this.#allocator.allocate(wish);
  }

  /** Resolves once no container of another live host has the MAC, after {@link RELEASE_WAIT_MS} at the latest. */
  macReleased(mac: Mac): Promise<void> {
    const isReleased = (): boolean => this.routes.placeElsewhere(this.id, mac) === null;
    if (isReleased()) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        this.#waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (isReleased()) done();
      };
      const cancel = this.#ports.timers.after(RELEASE_WAIT_MS, done);
      this.#waiting.add(look);
    });
  }

  /** A host withdrew its claim on a MAC. */
  withdraw(author: PeerId, mac: Mac): void {
    this.routes.withdraw(author, this.id, mac);
    for (const look of [...this.#waiting]) look();
  }

  /** Nobody waits for an address any more. */
  stopAllocating(refusal: FabricError): void {
    this.#allocator.stop(refusal);
  }

  /** Ends what it would do later. */
  stop(): void {
    this.#reconsider?.();
    this.#judge?.();
  }

  /** A lease record of another host came or went: what it owns and what its donor owns may be another; once per turn. */
  leaseHeard({ owner, donor }: Pick<LeaseRecord, 'owner' | 'donor'>): void {
    this.#concerned.add(owner).add(donor);
    this.#judge ??= this.#ports.timers.soon(() => {
      this.#judge = null;
      this.routes.ownersChanged(this.#concerned);
      this.#concerned.clear();
    });
  }

  /** Claims may be valid now that were not; once per turn, because leases change in bursts. */
  #leasesChanged(): void {
    this.#reconsider ??= this.#ports.timers.soon(() => {
      this.#reconsider = null;
      this.routes.reconsiderAll();
      this.#allocator.changed();
      this.#ports.leasesSettled();
    });
  }
}

// What must hold at every moment, whatever happened: looked at several times per simulated second, against the kernels (what
// containers really use) and the disks, not against what daemons say of each other. A Violation names hosts and addresses.

import { cidrHasIp, formatCidr, formatIp } from '../../src/base/address.ts';
import type { PeerId } from '../../src/base/ids.ts';
import type { Cluster } from './cluster.ts';
import type { SimHost } from './sim-host.ts';

/** An invariant does not hold. */
export class Violation extends Error {}

/** Allocation is stopped under these: what the host believes to own may be behind, and does no harm. */
const STOPPED = new Set(['syncing', 'identity-clone', 'lease-expired']);
const MISSING_MAX = 100_000;
const RESERVATIONS_MAX = 100_000;

export class Checkers {
  readonly #cluster: Cluster;
  /** The highest version that each author was seen to write. */
  readonly #written = new Map<PeerId, number>();
  checks = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Throws the first Violation. */
  check(): void {
    this.checks++;
    const [failure] = this.#cluster.failures;
    if (failure !== undefined) throw failure;
    this.#addressesHaveOneUser();
    this.#reservationsLieInLeases();
    this.#leasesAreDisjoint();
    this.#recordsComeFromTheirAuthors();
    this.#memoryIsBounded();
  }

  /** Containers that run keep their addresses also while their daemon is dead. */
  #addressesHaveOneUser(): void {
    const users = new Map<string, string>();
    for (const { name, nic, kernel } of this.#cluster.hosts) {
      if (!nic.up) continue;
      const host0 = kernel.exposed === null ? [] : [{ hostIfname: 'host0', ips: ipsOf(kernel.exposed) }];
      for (const { hostIfname, ips } of [...kernel.containers.values(), ...host0]) {
        for (const ip of ips) {
          const other = users.get(ip);
          if (other !== undefined) throw new Violation(`${ip} is used by ${other} and by ${hostIfname} on ${name}`);
          users.set(ip, `${hostIfname} on ${name}`);
        }
      }
    }
  }

  #reservationsLieInLeases(): void {
    for (const host of this.#cluster.members()) {
      const { ipam } = host.daemon!.member!;
      const reservations = ipam.reservations();
      if (reservations.length > RESERVATIONS_MAX) throw new Violation(`${host.name} keeps too many reservations`);
      // What a vote took while the host was gone it gave out when it was its own, and it reports it. Whether another one uses the
      // address meanwhile is looked at above.
      const disputed = ipam.leases().filter(({ state }) => state === 'disputed');
      const outside = reservations.find(
        ({ conflict, ip }) => conflict && !disputed.some(({ cidr }) => cidrHasIp(cidr, ip)),
      );
      if (outside !== undefined && !host.hasOldState) {
        throw new Violation(`${host.name} gave ${formatIp(outside.ip)} to ${outside.owner} outside of its leases`);
      }
    }
  }

  #leasesAreDisjoint(): void {
    const owned = this.#allocating().flatMap((host) =>
      host
        .daemon!.member!.ipam.leases()
        .filter(({ peer, state }) => peer === host.daemon!.keys.peer && state !== 'incoming' && state !== 'disputed')
        .map(({ cidr }) => ({
          host,
          cidr,
          end: cidr.base + (1n << BigInt((cidr.family === 4 ? 32 : 128) - cidr.prefix)),
        })),
    );
    owned.sort((a, b) => a.cidr.family - b.cidr.family || (a.cidr.base < b.cidr.base ? -1 : 1));
    for (let i = 1; i < owned.length; i++) {
      const [before, after] = [owned[i - 1]!, owned[i]!];
      if (before.cidr.family === after.cidr.family && before.end > after.cidr.base && before.host !== after.host) {
        const blocks = `${formatCidr(before.cidr)} of ${before.host.name} and ${formatCidr(after.cidr)} of ${after.host.name}`;
        throw new Violation(`${blocks} overlap`);
      }
    }
  }

  /** Nobody holds more of an author than the author wrote; equal versions are compared when views have converged. */
  #recordsComeFromTheirAuthors(): void {
    const members = this.#cluster.members();
    for (const { daemon, hasOldState } of members) {
      const { peer } = daemon!.keys;
      const version = daemon!.member!.gossip.version(peer);
      const before = this.#written.get(peer) ?? 0;
      if (version < before && !hasOldState)
        throw new Violation(`${peer} went back from version ${before} to ${version}`);
      this.#written.set(peer, Math.max(before, version));
    }
    for (const { name, daemon } of members) {
      for (const { daemon: author, hasOldState } of members) {
        if (hasOldState || author === daemon) continue;
        const version = daemon!.member!.gossip.version(author!.keys.peer);
        if (version > this.#written.get(author!.keys.peer)!) {
          throw new Violation(`${name} holds version ${version} of ${author!.keys.peer}, which never wrote it`);
        }
      }
    }
  }

  #memoryIsBounded(): void {
    for (const { name, daemon } of this.#cluster.members()) {
      const { missing } = daemon!.member!.gossip.stats();
      if (missing > MISSING_MAX) throw new Violation(`${name} looks for ${missing} states`);
    }
  }

  #allocating(): readonly SimHost[] {
    return this.#cluster.members().filter(({ daemon }) => {
      const obstacle = daemon!.member!.ipam.obstacle();
      return obstacle === null || !STOPPED.has(obstacle.code);
    });
  }
}

function ipsOf({ ip, ip6 }: { readonly ip: string; readonly ip6: string | null }): readonly string[] {
  return ip6 === null ? [ip] : [ip, ip6];
}

// What must hold at every moment, whatever happened: looked at several times per simulated second, against the kernels (what
// containers really use) and the disks, not against what daemons say of each other. A Violation names hosts and addresses.

import { cidrHasIp, formatCidr, formatIp, type IpAddress } from '../../src/base/address.ts';
import { equalBytes, toHex } from '../../src/base/bytes.ts';
import { DEFAULT_VNI, type PeerId } from '../../src/base/ids.ts';
import type { Ipam } from '../../src/ipam/ipam.ts';
import type { LeaseRow } from '../../src/ipam/types.ts';
import { HOP_LIMIT } from '../../src/router/wire-format.ts';
import type { Cluster } from './cluster.ts';
import type { SimDaemon } from './sim-daemon.ts';
import type { SimHost } from './sim-host.ts';

/** An invariant does not hold. */
export class Violation extends Error {}

/** A host's leases of one network. */
type Space = readonly [SimHost, Ipam];

/** Allocation is stopped under these: what the host believes to own may be behind, and does no harm. */
const STOPPED = new Set(['syncing', 'identity-clone', 'lease-expired']);
const MISSING_MAX = 100_000;
const RESERVATIONS_MAX = 100_000;

export class Checkers {
  readonly #cluster: Cluster;
  /** The highest version that each author was seen to write. */
  readonly #written = new Map<PeerId, number>();
  /** What hosts held when it was last compared with what these members have written. */
  readonly #checkedRoots = new Map<SimHost, Uint8Array>();
  #checkedMembers: readonly (SimDaemon | null)[] = [];
  checks = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Throws the first Violation. */
  check(): void {
    this.checks++;
    const [failure] = this.#cluster.failures;
    if (failure !== undefined) throw failure;
    const members = this.#cluster.members();
    const spaces = spacesOf(members);
    this.#addressesHaveOneUser();
    this.#reservationsLieInLeases(spaces);
    this.#leasesAreDisjoint(spaces);
    this.#recordsComeFromTheirAuthors(members);
    this.#memoryIsBounded(members);
    this.#relayingEnds(members);
  }

  /** Containers that run keep their addresses also while their daemon is dead. */
  #addressesHaveOneUser(): void {
    const users = new Map<string, string>();
    for (const { name, nic, kernel } of this.#cluster.hosts) {
      if (!nic.up) continue;
      const host0 =
        kernel.exposed === null ? [] : [{ hostIfname: 'host0', network: DEFAULT_VNI, ips: ipsOf(kernel.exposed) }];
      for (const { hostIfname, network, ips } of [...kernel.containers.values(), ...host0]) {
        for (const ip of ips) {
          const key = `${network} ${ip}`;
          const other = users.get(key);
          if (other !== undefined) throw new Violation(`${ip} is used by ${other} and by ${hostIfname} on ${name}`);
          users.set(key, `${hostIfname} on ${name}`);
        }
      }
    }
  }

  #reservationsLieInLeases(spaces: readonly Space[]): void {
    for (const [host, ipam] of spaces) {
      const reservations = ipam.reservations();
      if (reservations.length > RESERVATIONS_MAX) throw new Violation(`${host.name} keeps too many reservations`);
      // What a vote took while the host was gone it gave out when it was its own, and it reports it. Whether another one uses the
      // address meanwhile is looked at above.
      const outside = reservations.find(({ conflict, ip }) => conflict && !isDisputed(ipam.ownLeases(), ip));
      if (outside !== undefined && !host.hasOldState) {
        throw new Violation(`${host.name} gave ${formatIp(outside.ip)} to ${outside.owner} outside of its leases`);
      }
    }
  }

  #leasesAreDisjoint(spaces: readonly Space[]): void {
    const owned = spaces.filter(isAllocating).flatMap(([host, ipam]) =>
      ipam
        .ownLeases()
        .filter(({ state }) => state !== 'disputed')
        .map(({ network, cidr }) => ({
          host,
          network,
          cidr,
          end: cidr.base + (1n << BigInt((cidr.family === 4 ? 32 : 128) - cidr.prefix)),
        })),
    );
    owned.sort(
      (a, b) => a.network - b.network || a.cidr.family - b.cidr.family || (a.cidr.base < b.cidr.base ? -1 : 1),
    );
    for (let i = 1; i < owned.length; i++) {
      const [before, after] = [owned[i - 1]!, owned[i]!];
      const isAlike = before.network === after.network && before.cidr.family === after.cidr.family;
      if (isAlike && before.end > after.cidr.base && before.host !== after.host) {
        const blocks = `${formatCidr(before.cidr)} of ${before.host.name} and ${formatCidr(after.cidr)} of ${after.host.name}`;
        throw new Violation(`${blocks} overlap`);
      }
    }
  }

  /** Nobody holds more of an author than the author wrote; equal versions are compared when views have converged. */
  #recordsComeFromTheirAuthors(members: readonly SimHost[]): void {
    if (
      members.length !== this.#checkedMembers.length ||
      members.some((host, i) => host.daemon !== this.#checkedMembers[i])
    ) {
      this.#checkedRoots.clear();
      this.#checkedMembers = members.map(({ daemon }) => daemon);
    }
    for (const { daemon, hasOldState } of members) {
      const { peer } = daemon!.keys;
      const version = daemon!.member!.gossip.version(peer);
      const before = this.#written.get(peer) ?? 0;
      if (version < before && !hasOldState)
        throw new Violation(`${peer} went back from version ${before} to ${version}`);
      this.#written.set(peer, Math.max(before, version));
    }
    const honest = members
      .filter(({ hasOldState }) => !hasOldState)
      .map(({ daemon }) => [daemon!.keys.peer, this.#written.get(daemon!.keys.peer)!] as const);
    const checked = new Set<string>();
    for (const host of members) {
      const { gossip } = host.daemon!.member!;
      const root = gossip.digestRoot();
      const seen = this.#checkedRoots.get(host);
      if (seen !== undefined && equalBytes(seen, root)) continue; // it holds what it held, and authors only write more
      this.#checkedRoots.set(host, root);
      const held = toHex(root);
      if (checked.has(held)) continue; // it holds what another one was just found to hold
      checked.add(held);
      for (const [author, written] of honest) {
        if (author === host.peer) continue;
        const version = gossip.version(author);
        if (version > written) {
          throw new Violation(`${host.name} holds version ${version} of ${author}, which never wrote it`);
        }
      }
    }
  }

  #memoryIsBounded(members: readonly SimHost[]): void {
    for (const { name, daemon } of members) {
      const { missing } = daemon!.member!.gossip;
      if (missing > MISSING_MAX) throw new Violation(`${name} looks for ${missing} states`);
    }
  }

  #relayingEnds(members: readonly SimHost[]): void {
    for (const { name, daemon } of members) {
      const { passedMost } = daemon!.datapath;
      if (passedMost > HOP_LIMIT)
        throw new Violation(`${name} passed on what had been passed on ${passedMost - 1} times`);
    }
  }
}

/** The leases of every network that each host knows. */
function spacesOf(hosts: readonly SimHost[]): readonly Space[] {
  return hosts.flatMap((host) => host.daemon!.member!.networks.all().map(({ ipam }) => [host, ipam] as const));
}

function isAllocating([, ipam]: Space): boolean {
  const obstacle = ipam.obstacle();
  return obstacle === null || !STOPPED.has(obstacle.code);
}

function isDisputed(leases: readonly LeaseRow[], ip: IpAddress): boolean {
  return leases.some(({ cidr, state }) => state === 'disputed' && cidrHasIp(cidr, ip));
}

function ipsOf({ ip, ip6 }: { readonly ip: string; readonly ip6: string | null }): readonly string[] {
  return ip6 === null ? [ip] : [ip, ip6];
}

// What must hold once nothing is broken any more: all hosts hold the same records, know who lives and who is dead, are linked,
// agree on who owns every block, on networks, tokens and who was removed, and route every running container. Says the first thing
// that is not so yet.

import { formatIp, parseIp } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import { VIEW_LIMITS } from '../../src/host/mesh/active-view.ts';
import type { Cluster } from './cluster.ts';
import type { SimHost } from './sim-host.ts';

/** Null when all hosts agree with each other and with the truth. */
export function disagreement(cluster: Cluster): string | null {
  const hosts = cluster.hosts.slice(0, cluster.schedule.hosts);
  const down = hosts.find(({ daemon }) => daemon?.started !== true);
  if (down !== undefined) return `${down.name} is no member: ${down.daemon?.failure ?? 'it still starts'}`;
  return (
    records(hosts) ??
    words(hosts) ??
    liveness(cluster, hosts) ??
    owners(hosts) ??
    routes(hosts) ??
    devices(cluster, hosts)
  );
}

function records(hosts: readonly SimHost[]): string | null {
  const roots = new Map<string, string>();
  for (const { name, daemon } of hosts) roots.set(toHex(daemon!.member!.gossip.digestRoot()), name);
  return roots.size <= 1
    ? null
    : `hosts hold ${roots.size} different sets of records: ${[...roots.values()].join(', ')}`;
}

/** What operators said of the whole cluster means the same everywhere, also to a host that has heard it in an earlier run. */
function words(hosts: readonly SimHost[]): string | null {
  const removable = hosts.flatMap(({ formerPeers }) => formerPeers);
  const heard = new Map<string, string>();
  for (const { name, disk, daemon } of hosts) {
    const { admission, networks } = daemon!.member!;
    const removed = removable.filter((peer) => admission.removals.isRemoved(peer)).sort();
    const known = networks.registry.all().map(({ record }) => record.name);
    const { generation, secret } = disk.identity!.token;
    heard.set(`token ${generation} ${toHex(secret).slice(0, 8)}, removed ${removed}, networks ${known}`, name);
  }
  if (heard.size <= 1) return null;
  return `hosts have heard different things: ${[...heard].map(([what, name]) => `${name}: ${what}`).join('; ')}`;
}

function liveness(cluster: Cluster, hosts: readonly SimHost[]): string | null {
  const live = cluster.livePeers();
  for (const { name, daemon } of hosts) {
    const { member, keys, links } = daemon!;
    if (member!.cloneFault !== null) return `${name} believes that it has a clone`;
    const others = member!.directory.peers().filter(([peer]) => peer !== keys.peer).length; // the dead are among them
    const wanted = Math.min(live.size - 1, others > VIEW_LIMITS.fullMeshMax ? VIEW_LIMITS.linksMin : others);
    if (links.length < wanted) return `${name} has ${links.length} links of ${wanted}`;
    for (const [peer] of member!.directory.peers()) {
      if (peer === keys.peer) continue;
      const state = member!.neighbourhood.liveness.view(peer)?.state ?? 'alive';
      if (state !== (live.has(peer) ? 'alive' : 'dead')) return `${name} says that ${peer} is ${state}`;
    }
  }
  return null;
}

/** All hosts name the same owner for each block that any host lists. */
function owners(hosts: readonly SimHost[]): string | null {
  const [first] = hosts;
  if (first === undefined) return null;
  for (const { network, cidr } of first.daemon!.member!.spaces.leases()) {
    const ip = { family: cidr.family, value: cidr.base };
    const named = new Set(hosts.map(({ daemon }) => daemon!.member!.networks.get(network)?.ipam.ownerOf(ip)));
    if (named.size !== 1) return `hosts name ${named.size} owners of ${cidr.base.toString(16)}/${cidr.prefix}`;
  }
  return null;
}

/** Every container that runs and has not lost its address is routed to its host by everyone, and nothing else is attached. */
function routes(hosts: readonly SimHost[]): string | null {
  for (const { name, kernel, containers, daemon, index } of hosts) {
    const entries = daemon!.member!.attachmentEntries.all();
    const attached = new Set(
      entries.map(({ key, hostIfname }) => (kernel.containers.has(hostIfname) ? key.containerId : '')),
    );
    const lost = [...containers].find((container) => !attached.has(container));
    if (lost !== undefined) return `${name} has lost ${lost}, which its caller believes attached`;
    if (kernel.containers.size !== entries.length) {
      return `${name} runs ${kernel.containers.size} containers and has ${entries.length} entries`;
    }
    const { peer } = daemon!.keys;
    for (const { network, mac, ips } of kernel.containers.values()) {
      const reservations = daemon!.member!.networks.get(network)!.ipam.reservations();
      if (reservations.some(({ conflict, ip }) => conflict && ips.includes(formatIp(ip)))) continue; // reported as lost by vote
      for (const other of hosts) {
        const { member, datapath } = other.daemon!;
        if (!member!.networkPresence.isUp(network)) continue; // it leads nowhere in it
        const place = datapath.placeOf(mac, network);
        const wanted = other.index === index ? 'local' : peer;
        if (place !== wanted) return `${other.name} leads ${mac} of h${index} to ${place}`;
        const { ipam } = member!.networks.get(network)!;
        const strange = ips.find((ip) => ipam.ownerOf(parseIp(ip)!) !== peer);
        if (strange !== undefined) return `${other.name} says that ${strange} is not ${name}'s`;
      }
    }
  }
  return null;
}

/** Everyone's tables lead to a device where it speaks. */
function devices(cluster: Cluster, hosts: readonly SimHost[]): string | null {
  for (const [mac, index] of cluster.devices) {
    const { name, daemon } = hosts[index]!;
    for (const other of hosts) {
      const place = other.daemon!.datapath.placeOf(mac);
      const wanted = other.index === index ? 'local' : daemon!.keys.peer;
      if (place !== wanted) return `${other.name} leads the device ${mac} of ${name} to ${place}`;
    }
  }
  return null;
}

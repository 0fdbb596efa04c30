// What the words behind `fabric capture` mean: a peer or a container to begin with, or nothing of that; the rest is a pcap filter.
// Pure.

import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME, parseMac } from '../base/ids.ts';
import type { Status } from '../daemon/status-types.ts';

export interface CaptureTarget {
  /** The container's end on this host; null: the network's own ports. */
  readonly hostIfname: string | null;
  /** Of the network. */
  readonly bridge: string;
  /** A pcap expression; empty: everything. */
  readonly filter: string;
  /** For people. */
  readonly description: string;
}

/** libpcap makes a program of each; the kernel takes 4,096 instructions. */
const MACS_MAX = 256;
const ID_PREFIX_MIN = 6;

type CapturedStatus = Pick<Status, 'networks' | 'peers' | 'attachments' | 'routes'>;

/** `networkName`: what is of that network only; null: a container of any, or all of the default one. */
export function captureTarget(
  words: readonly string[],
  status: CapturedStatus,
  networkName: string | null,
): CaptureTarget {
  const { name: network, bridge } = findNetwork(networkName, status);
  const [first, ...rest] = words;
  if (first !== undefined) {
    const attachment = findAttachment(first, status, networkName);
    if (attachment !== null) {
      const { hostIfname, name, containerId } = attachment;
      const description = `container ${name === '' ? containerId : name}`;
      return { hostIfname, bridge, filter: rest.join(' '), description };
    }
    const peer = findPeer(first, status);
    if (peer !== null) {
      const filter = combine(framesOf(peer, network, status), rest.join(' '));
      return { hostIfname: null, bridge, filter, description: `frames from and to ${peer.nickname}` };
    }
  }
  return { hostIfname: null, bridge, filter: words.join(' '), description: 'frames from and to other hosts' };
}

function findNetwork(name: string | null, { networks }: CapturedStatus): Status['networks'][number] {
  if (networks.length === 0) {
    throw new FabricError('daemon-unreachable', {
      what: 'there is nothing to capture yet',
      why: 'this host has not joined its cluster',
      fix: 'See fabric status',
    });
  }
  const network = networks.find((each) => each.name === (name ?? DEFAULT_NETWORK_NAME));
  if (network === undefined) {
    throw new FabricError('network-unknown', { what: `there is no network ${name}`, fix: 'See fabric network ls' });
  }
  if (!network.up) {
    throw new FabricError('network-unknown', {
      what: `nothing of the network ${name} passes this host`,
      why: 'no container of this host is in it',
      fix: `Capture on a host that has one: fabric network inspect ${name}`,
    });
  }
  return network;
}

/** By name, container id or its beginning, address or MAC. */
function findAttachment(
  word: string,
  { attachments }: CapturedStatus,
  network: string | null,
): Status['attachments'][number] | null {
  const those = attachments.filter((attachment) => network === null || attachment.network === network);
  const isIt = ({ name, containerId, ips, mac }: Status['attachments'][number]): boolean =>
    name === word ||
    containerId === word ||
    (word.length >= ID_PREFIX_MIN && containerId.startsWith(word)) ||
    mac === word.toLowerCase() ||
    ips.some((ip) => ip.split('/')[0] === word);
  return one(word, 'container', those.filter(isIt));
}

function findPeer(word: string, { peers }: CapturedStatus): Status['peers'][number] | null {
  const isIt = ({ id, nickname }: Status['peers'][number]): boolean =>
    nickname === word || id === word || (word.length >= ID_PREFIX_MIN && id.startsWith(word));
  return one(word, 'peer', peers.filter(isIt));
}

function one<T>(word: string, kind: string, found: readonly T[]): T | null {
  if (found.length > 1) {
    throw new FabricError('usage', { what: `${word} is more than one ${kind}`, fix: 'Give its id' });
  }
  return found[0] ?? null;
}

function framesOf({ id, nickname }: Status['peers'][number], network: string, { routes }: CapturedStatus): string {
  const those = routes.filter((route) => route.peer === id && route.network === network);
  const macs = those.flatMap(({ mac }) => parseMac(mac) ?? []);
  if (macs.length === 0) {
    throw new FabricError('usage', {
      what: `${nickname} has no MAC on the network ${network}`,
      fix: 'See fabric status routes',
    });
  }
  if (macs.length > MACS_MAX) {
    throw new FabricError('limit', {
      what: `${nickname} has ${macs.length} MACs, a filter takes ${MACS_MAX}`,
      fix: 'Capture all and filter by address: fabric capture host ADDRESS',
    });
  }
  return macs.map((mac) => `ether host ${mac}`).join(' or ');
}

function combine(ours: string, theirs: string): string {
  return theirs === '' ? ours : `(${ours}) and (${theirs})`;
}

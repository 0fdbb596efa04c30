// What the words behind `fabric capture` mean: a peer or a container to begin with, or nothing of that; the rest is a pcap filter.
// Pure.

import { FabricError } from '../base/errors.ts';
import { parseMac } from '../base/ids.ts';
import type { Status } from '../daemon/status-types.ts';

export interface CaptureTarget {
  /** The container's end on this host; null: the overlay's own ports. */
  readonly hostIfname: string | null;
  /** A pcap expression; empty: everything. */
  readonly filter: string;
  /** For people. */
  readonly description: string;
}

/** libpcap makes a program of each; the kernel takes 4,096 instructions. */
const MACS_MAX = 256;
const ID_PREFIX_MIN = 6;

type CapturedStatus = Pick<Status, 'peers' | 'attachments' | 'routes'>;

export function captureTarget(words: readonly string[], status: CapturedStatus): CaptureTarget {
  const [first, ...rest] = words;
  if (first !== undefined) {
    const attachment = findAttachment(first, status);
    if (attachment !== null) {
      const { hostIfname, name, containerId } = attachment;
      return { hostIfname, filter: rest.join(' '), description: `container ${name === '' ? containerId : name}` };
    }
    const peer = findPeer(first, status);
    if (peer !== null) {
      const filter = combine(framesOf(peer, status), rest.join(' '));
      return { hostIfname: null, filter, description: `frames from and to ${peer.nickname}` };
    }
  }
  return { hostIfname: null, filter: words.join(' '), description: 'frames from and to other hosts' };
}

/** By name, container id or its beginning, address or MAC. */
function findAttachment(word: string, { attachments }: CapturedStatus): Status['attachments'][number] | null {
  const isIt = ({ name, containerId, ips, mac }: Status['attachments'][number]): boolean =>
    name === word ||
    containerId === word ||
    (word.length >= ID_PREFIX_MIN && containerId.startsWith(word)) ||
    mac === word.toLowerCase() ||
    ips.some((ip) => ip.split('/')[0] === word);
  return one(word, 'container', attachments.filter(isIt));
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

function framesOf({ id, nickname }: Status['peers'][number], { routes }: CapturedStatus): string {
  const macs = routes.flatMap(({ peer, mac }) => (peer === id ? (parseMac(mac) ?? []) : []));
  if (macs.length === 0) {
    throw new FabricError('usage', { what: `${nickname} has no MAC on the overlay`, fix: 'See fabric status routes' });
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

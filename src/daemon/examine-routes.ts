// The local API's call behind `fabric doctor`: what only the daemon can find out about peers, with their help.

import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { PeerRecord } from '../base/records.ts';
import type { Examination } from './examiner.ts';
import { findHost } from './host-names.ts';
import type { ApiRoutes } from './local-api.ts';
import type { Member } from './member.ts';

/** More are a matter of one's own script: each is asked and waited for. Those in trouble come first. */
export const EXAMINED_MAX = 64;

export interface ExaminedPeer extends Examination {
  readonly id: PeerId;
  readonly nickname: string;
  /** Where its link leads, else what it advertises first; null: nobody knows an address. */
  readonly ip: string | null;
  readonly port: number | null;
}

export interface ExamineAnswer {
  /** Of mesh and tunnels on this host. */
  readonly port: number;
  readonly peers: readonly ExaminedPeer[];
}

export interface ExamineFacts {
  readonly member: Pick<Member, 'examiner' | 'directory' | 'attachments' | 'neighbourhood' | 'tunnels'>;
  port(): number;
  linkedAt(peer: PeerId): { readonly ip: string; readonly port: number } | null;
}

export function examineRoutes(facts: ExamineFacts): ApiRoutes {
  return { 'POST /v1/examine': ({ body }) => examine(facts, wishOf(body)) };
}

async function examine({ member, port, linkedAt }: ExamineFacts, wish: string | null): Promise<ExamineAnswer> {
  const { directory, examiner, attachments } = member;
  const others = directory.peers().filter(([peer]) => peer !== attachments.self);
  const all = others.sort(([a], [b]) => trouble(member, b) - trouble(member, a));
  const id = wish === null ? null : hostOf(all, wish);
  const chosen = id === null ? all : all.filter(([peer]) => peer === id);
  const peers = await Promise.all(
    chosen.slice(0, EXAMINED_MAX).map(async ([id, { nickname, endpoints }]): Promise<ExaminedPeer> => {
      const place = linkedAt(id) ?? endpoints[0] ?? null;
      return { id, nickname, ip: place?.ip ?? null, port: place?.port ?? null, ...(await examiner.examine(id)) };
    }),
  );
  return { port: port(), peers };
}

/** The more, the sooner it is examined: what does not work with a live host says more than that a dead one is dead. */
function trouble({ neighbourhood, tunnels }: ExamineFacts['member'], peer: PeerId): number {
  const state = neighbourhood.liveness.view(peer)?.state;
  if (state === 'dead') return 1;
  return state === 'suspect' || tunnels.status(peer)?.state === 'failed' ? 2 : 0;
}

function hostOf(all: readonly (readonly [PeerId, PeerRecord])[], name: string): PeerId {
  return findHost(name, {
    ids: all.map(([peer]) => peer),
    nicknames: all.map(([peer, { nickname }]) => [peer, nickname] as const),
  });
}

function wishOf(body: unknown): string | null {
  const { peer = null } = (body ?? {}) as { readonly peer?: unknown };
  if (peer === null || (typeof peer === 'string' && /^[^\s]{1,64}$/.test(peer))) return peer;
  throw new FabricError('usage', { what: 'the peer is malformed' });
}

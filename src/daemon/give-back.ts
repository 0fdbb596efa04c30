// Address blocks of a host that ends go to a peer, so that nobody has to miss them: all of them with `fabric reset`, those
// without an address in use with `fabric stop --leave`. A gift is durable before it is sent; who ends waits until the peer has
// published that it has it.

import type { Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { LeaseRecord } from '../base/records.ts';
import type { Mesh } from '../host/mesh/mesh.ts';
import { HOST_OWNER } from './host-place.ts';
import type { Member } from './member.ts';
import { pause } from './pause.ts';

const CONFIRM_MS = 5_000;
/** Redials of known peers come within a few seconds of a start. */
export const LINK_MS = 5_000;
const POLL_MS = 50;

interface Ending {
  readonly member: Member;
  readonly mesh: Pick<Mesh, 'link' | 'links'>;
  readonly timers: Timers;
  /** False after `fabric hide`. */
  readonly exposed: boolean;
}

/**
 * `fabric stop --leave`: what holds a container's address stays ours, all else goes to a peer; without containers the host's own
 * address is freed first, so that nothing stays. Rejects with `peer-unreachable` or `timeout` when no peer takes it; the host
 * is a member as before then. Nothing happens on the only host of a cluster.
 */
export async function giveUnusedBack({ member, mesh, timers, exposed }: Ending): Promise<void> {
  if (hasNobody(member, mesh)) return;
  const heir = await firstLinked(mesh, timers, LINK_MS);
  if (heir === null) {
    throw new FabricError('peer-unreachable', {
      what: 'no peer takes the address blocks of this host',
      why: 'none is linked now',
      fix: 'Connect one first, or stop without --leave: the blocks stay ours then',
    });
  }
  const isEmpty = member.attachmentEntries.all().length === 0 && member.reservations.all().length === 0;
  if (isEmpty) {
    await member.place.hide();
    member.ipam.release(HOST_OWNER);
  }
  if (await isTakenOver({ member, timers }, member.spaces.giveUnused(heir))) return;
  member.resumeAllocating();
  if (isEmpty && exposed) await member.place.exposeAtStart(0);
  throw notConfirmed(member, heir, 'Try again, or stop without --leave');
}

/** No other host is linked or believed alive. */
export function hasNobody(member: Member, mesh: Ending['mesh']): boolean {
  return member.directory
    .peers()
    .every(([peer]) => peer === member.attachments.self || !(mesh.link(peer) !== null || member.isAlive(peer)));
}

/** A host that was launched a moment ago has no link yet. */
export async function firstLinked(mesh: Ending['mesh'], timers: Timers, waitMs: number): Promise<PeerId | null> {
  const deadlineMs = timers.nowMs() + waitMs;
  for (;;) {
    const peer = mesh.links()[0]?.peer ?? null;
    if (peer !== null || timers.nowMs() >= deadlineMs) return peer;
    await pause(timers, POLL_MS);
  }
}

/** False when the new owner has not confirmed all of these gifts in time. */
export async function isTakenOver(
  { member, timers }: Pick<Ending, 'member' | 'timers'>,
  given: readonly LeaseRecord[],
): Promise<boolean> {
  const deadlineMs = timers.nowMs() + CONFIRM_MS;
  while (!given.every((record) => member.spaces.isConfirmed(record))) {
    if (timers.nowMs() > deadlineMs) return false;
    await pause(timers, POLL_MS);
  }
  return true;
}

export function notConfirmed({ directory }: Pick<Member, 'directory'>, heir: PeerId, fix: string): FabricError {
  return new FabricError('timeout', {
    what: 'the address blocks of this host were not taken over in time',
    why: `${directory.nameOf(heir)} has not confirmed them`,
    fix,
  });
}

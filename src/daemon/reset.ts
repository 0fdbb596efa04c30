// Leaving a cluster for good: containers are cut off, addresses freed, blocks given to a peer that confirms them, records
// withdrawn. With --force also when nobody takes the blocks: they come back by `rmpeer` then.

import type { Log, Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { HostNetwork } from '../host/host-network.ts';
import type { Mesh } from '../host/mesh/mesh.ts';
import { nodeCrypto } from '../host/node-crypto.ts';
import { StateDir } from '../host/state-dir.ts';
import { firstLinked, hasNobody, isTakenOver, LINK_MS, notConfirmed } from './give-back.ts';
import { HOST_OWNER } from './host-place.ts';
import type { Member } from './member.ts';
import { pause } from './pause.ts';

/** How long attaches and detaches under way may take to end. */
const IDLE_MS = 5_000;
const WITHDRAWAL_MS = 50;

interface Leaving {
  readonly member: Member;
  readonly mesh: Pick<Mesh, 'link' | 'links'>;
  readonly log: Log;
  readonly timers: Timers;
  readonly force: boolean;
  /** False after `fabric hide`. */
  readonly exposed: boolean;
}

/**
 * Rejects with `peer-unreachable` or `timeout` when blocks of ours would be lost and `force` does not say so be it; the host
 * is a member as before then, though its containers are cut off.
 */
export async function leaveCluster({ member, mesh, log, timers, force, exposed }: Leaving): Promise<void> {
  const isAlone = hasNobody(member, mesh);
  const heir = isAlone ? null : await firstLinked(mesh, timers, force ? 0 : LINK_MS);
  if (heir === null && !isAlone && !force) {
    throw new FabricError('peer-unreachable', {
      what: 'no peer takes the address blocks of this host',
      why: 'none is linked now',
      fix: 'Connect one first, or say --force and run fabric rmpeer on another host later',
    });
  }
  member.attachments.refuse('this host is leaving its cluster');
  try {
    await member.attachments.idle(IDLE_MS);
    for (const entry of member.attachmentEntries.all()) await member.attachments.detach(entry.key);
    for (const { key } of member.reservations.all()) await member.reservations.release(key);
    await member.place.hide();
    member.ipam.release(HOST_OWNER);
    if (heir !== null && !(await isTakenOver({ member, timers }, member.spaces.surrender(heir)))) {
      if (!force)
        throw notConfirmed(member, heir, 'Try again, or say --force and run fabric rmpeer on another host later');
      log.warn('leaving although nobody confirmed the address blocks', { peer: heir });
    }
    member.withdrawRecords();
  } catch (error) {
    if (!force) {
      member.attachments.refuse(null);
      member.resumeAllocating();
      if (exposed) await member.place.exposeAtStart(0);
      throw error;
    }
    log.warn('leaving although not all was given back', { reason: (error as Error).message });
  }
  member.gossip.pushNow();
  await pause(timers, WITHDRAWAL_MS); // the withdrawal leaves before the goodbye closes the links
}

/** `fabric reset` without a running daemon: nobody can be told, so it wants --force when there is a cluster to tell. */
export async function resetOffline({
  stateDir,
  runDir,
  force,
}: {
  stateDir: string;
  runDir: string;
  force: boolean;
}): Promise<void> {
  const state = StateDir.open({ path: stateDir, crypto: nodeCrypto });
  try {
    if (!force && hasMembership(state)) {
      throw new FabricError('daemon-unreachable', {
        what: `no fabric daemon runs with ${runDir}, so the address blocks can't be given back`,
        fix: 'Start it with fabric launch and reset then, or say --force and run fabric rmpeer on another host',
      });
    }
    await endEngine(runDir);
    await makeHostNetwork(stateDir).then((host) => host.remove());
    state.erase();
  } finally {
    state.close();
  }
}

/**
 * After a daemon's `reset`, which erases its state once nothing of fabric's is left in the kernel: where the state is still there,
 * the rest is removed now. Rejects with what is left, why, and how it goes.
 */
export async function finishReset(where: { stateDir: string; runDir: string }): Promise<void> {
  if (StateDir.holdsState(where.stateDir)) await resetOffline({ ...where, force: true });
}

/** Damaged state counts as membership: only --force gives it up. */
function hasMembership(state: StateDir): boolean {
  try {
    return state.resume() !== null;
  } catch (error) {
    if (error instanceof FabricError) return true;
    throw error;
  }
}

/** Ends the engine that a daemon left behind; true when there was one. */
export async function endEngine(runDir: string): Promise<boolean> {
  const { endEngineOf } = await import('./open-datapath.ts');
  return endEngineOf(runDir);
}

async function makeHostNetwork(stateDir: string): Promise<HostNetwork> {
  const { openHostNetwork } = await import('./open-host-network.ts');
  return openHostNetwork(stateDir);
}

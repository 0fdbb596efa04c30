// Is the network healthy, and if not, what is wrong, why, and what to do: judged from facts that status shows anyway.

import type { Mesh } from '../host/mesh/mesh.ts';
import type { Member } from './member.ts';
import type { DockerFacts, Problem } from './status-types.ts';

/** The one that stays notices its freedom at its next start only. */
export const CLONE_FIX =
  "Run 'fabric reset --force' on the copy, then 'fabric stop' and 'fabric launch' on the original";

/** A lost datagram or two are tried again in less. */
const UNANSWERED_MS = 5_000;

export function findProblems(member: Member | null, mesh: Mesh | null): readonly Problem[] {
  if (member === null) return [notJoined(mesh)];
  const problems: Problem[] = [];
  const add = (code: string, what: string, why: string, fix: string) => problems.push({ code, what, why, fix });
  const { cloneFault, networkFault, slot, place } = member;
  if (cloneFault !== null) {
    add('identity-clone', 'this host allocates no addresses', cloneFault, CLONE_FIX);
  }
  if (networkFault !== null) {
    add('kernel-network', "the host's network is not as fabric needs it", networkFault, 'See the log; fabric retries');
  }
  for (const { ifname, mac, peer } of member.host.blockedPorts()) {
    const name = peer === null ? null : (member.directory.peer(peer)?.nickname ?? peer);
    add(
      'bridge-loop',
      `the port ${ifname} of the bridge is blocked`,
      name === null
        ? 'it was when this daemon started'
        : `a frame of ${mac}, which is on ${name}, entered there: a loop`,
      `Take it out (ip link set ${ifname} nomaster), or undo the loop and open it: bridge link set dev ${ifname} state 3`,
    );
  }
  if (slot.failure !== null) {
    add('datapath', 'no frame crosses between hosts', slot.failure, 'See the log; fabric retries by itself');
  }
  const obstacle = cloneFault === null ? member.ipam.obstacle() : null;
  if (obstacle !== null) {
    const {
      what,
      why = 'no free address in the blocks of this host',
      fix = 'Detach containers, or connect peers that own free blocks',
    } = obstacle.explanation;
    add(obstacle.code, what, why, fix);
  }
  if (place.obstacle !== null) {
    add(
      'host-address',
      'this host has no address on the overlay',
      place.obstacle,
      'Run fabric expose, or fabric hide to do without',
    );
  }
  const { fault, loop } = member.names.status();
  if (fault !== null) {
    add('name-server', 'names of containers are not served', fault, 'Free the port, fabric retries; or use --no-dns');
  }
  if (loop !== null) {
    add('name-server-loop', 'only names of containers are answered', loop, 'Name other servers with --dns-upstream');
  }
  for (const tunnel of member.tunnels.statuses()) {
    const unanswered = tunnel.state === 'failed' || (tunnel.unansweredMs ?? 0) >= UNANSWERED_MS;
    if (!unanswered || !member.isAlive(tunnel.peer)) continue;
    const nickname = member.directory.peer(tunnel.peer)?.nickname ?? tunnel.peer;
    add(
      'tunnel-failed',
      `no tunnel to ${nickname}`,
      tunnel.reason ?? 'its handshakes are not answered',
      `Let UDP ${tunnel.endpoint?.port ?? 6783} pass both ways; which way is blocked says: fabric doctor ${nickname}`,
    );
  }
  for (const route of member.routes.list()) {
    if (route.state !== 'refused' && route.state !== 'duplicate') continue;
    const claim = `${route.mac} ${route.ips.join(' ')}`;
    add(
      'claim-refused',
      `a claim of ${route.peer} is not believed`,
      `${claim}: ${route.reason}`,
      'See fabric status routes',
    );
  }
  return problems;
}

export function dockerProblems({ state, reason }: DockerFacts): readonly Problem[] {
  if (state !== 'failed') return [];
  const fix = 'Free the socket and run fabric setup docker, or fabric setup docker --remove to do without';
  return [{ code: 'docker', what: 'Docker finds no plugin of fabric', why: reason ?? 'unknown', fix }];
}

function notJoined(mesh: Mesh | null): Problem {
  const failing = mesh?.targets().find(({ lastError }) => lastError !== null);
  const error = failing?.lastError;
  if (failing === undefined || error == null) {
    return {
      code: 'joining',
      what: 'this host has not joined its cluster yet',
      why: 'no answer so far',
      fix: 'Wait, or check --join',
    };
  }
  return { code: error.code, what: error.what, why: error.why, fix: error.fix };
}

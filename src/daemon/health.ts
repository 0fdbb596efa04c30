// Is this host healthy, and if not, what is wrong, why, and what to do: judged from facts that status shows anyway. A problem
// keeps this host from what it is for; a notice is worth knowing though it works. Hosts that are off are notices: whoever stops
// one for the night does not want all others to cry. What mends itself within moments is neither.

import type { Clock } from '../base/capabilities.ts';
import { formatEndpoint, MESH_PORT_DEFAULT } from '../base/endpoint.ts';
import type { Mesh } from '../host/mesh/mesh.ts';
import { MOVES_MAX, MOVES_WINDOW_MS } from '../router/moves.ts';
import type { Route } from '../router/routes.ts';
import { type CertificateHealthFacts, certificateNotices, certificateProblems } from './certificate-problems.ts';
import { firstFew } from './first-few.ts';
import { type LeaseFacts, leaseProblems } from './lease-problems.ts';
import type { Member } from './member.ts';
import { withNicknames } from './nicknames.ts';
import type { DockerFacts, Health, HttpFacts, Problem } from './status-types.ts';

/** The one that stays notices its freedom at its next start only. */
export const CLONE_FIX =
  "Run 'fabric reset --force' on the copy, then 'fabric stop' and 'fabric launch' on the original";

/** Gossip brings a new token in less. */
export const OUTDATED_MS = 10_000;
/** A lost datagram or two are tried again in less. */
const UNANSWERED_MS = 5_000;
/** A claim may come before the record that shows its author to own the address; gossip brings both within a second. */
export const DOUBT_MS = 3_000;

export interface HealthFacts {
  /** Null until containers can be attached. */
  readonly member: Member | null;
  /** This host belongs to its cluster. */
  readonly joined: boolean;
  readonly mesh: Mesh | null;
  readonly http: HttpFacts;
  readonly docker: DockerFacts;
  /** Of --ca, --cert and --key. */
  readonly files: CertificateHealthFacts['files'];
  /** Of this host. */
  readonly nickname: string;
  /** Since this daemon started. */
  readonly uptimeMs: number;
}

/** Of a host that belongs to its cluster. */
export const STARTING: Problem = {
  code: 'starting',
  what: 'this host takes no containers yet',
  why: 'its network is being set up, and what ran before is being adopted',
  fix: 'Wait some seconds; if it lasts, see the log',
};

export class HealthJudge {
  readonly #clock: Clock;
  /** When each claim that is in doubt now was seen so first. */
  #doubted: ReadonlyMap<string, number> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A fresh picture at each call. Called at least once a second, it knows how long a claim has been in doubt. */
  judge({ member, joined, mesh, http, docker, files, nickname, uptimeMs }: HealthFacts): Health {
    const certificates: CertificateHealthFacts = {
      files,
      certificates: member?.admission.certificates ?? null,
      nowMs: this.#clock.wallMs(),
      nameOf: (peer) => member?.directory.nameOf(peer) ?? peer,
    };
    const problems = [
      ...(member === null ? [joined ? STARTING : notJoined(mesh)] : this.#problems(member, uptimeMs)),
      ...tokenProblems(member, mesh),
      ...certificateProblems(certificates),
      ...dockerProblems(docker),
    ];
    const notices = [...findNotices(member, http), ...namesakes(member, nickname), ...certificateNotices(certificates)];
    return { ok: problems.length === 0, problems, notices };
  }

  #problems(member: Member, uptimeMs: number): readonly Problem[] {
    const lasting = this.#lasting(member.networks.all().flatMap(({ routes }) => routes.doubted()));
    return [
      ...ownProblems(member),
      ...leaseProblems(member.networks.all(), {
        leaseMs: member.ipam.stats().leaseMs,
        peers: otherHosts(member),
        uptimeMs,
        labelOf: (network) => member.networks.labelOf(network),
      }),
      ...tunnelProblems(member),
      ...lasting.map((route) => claimProblem(route, member)),
      ...heldMoves(member, this.#clock.monotonicMs()),
      ...networkProblems(member),
    ];
  }

  /** Those in doubt for {@link DOUBT_MS}. */
  #lasting(routes: readonly Route[]): readonly Route[] {
    const nowMs = this.#clock.monotonicMs();
    const keyOf = ({ peer, network, mac }: Route): string => `${peer} ${network} ${mac}`;
    this.#doubted = new Map(routes.map((route) => [keyOf(route), this.#doubted.get(keyOf(route)) ?? nowMs]));
    return routes.filter((route) => nowMs - this.#doubted.get(keyOf(route))! >= DOUBT_MS);
  }
}

function ownProblems(member: Member): readonly Problem[] {
  const problems: Problem[] = [];
  const add = (code: string, what: string, why: string, fix: string) => problems.push({ code, what, why, fix });
  const { cloneFault, networkFault, slot, place } = member;
  const unwritten = member.store.writeFault?.() ?? null;
  if (unwritten !== null) {
    const { what, why = what, fix = 'Mend the disk' } = unwritten;
    add(
      'state-unwritable',
      'no container can be attached: this host can remember nothing new',
      `${what}: ${why}`,
      `${fix} there (df); what runs goes on`,
    );
  }
  if (cloneFault !== null) {
    add('identity-clone', 'this host allocates no addresses', cloneFault, CLONE_FIX);
  }
  if (networkFault !== null) {
    add('kernel-network', "the host's network is not as fabric needs it", networkFault, 'See the log; fabric retries');
  }
  for (const { ifname, mac, peer } of member.host.blockedPorts()) {
    const name = peer === null ? null : member.directory.nameOf(peer);
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
    add(
      obstacle.code,
      what,
      withNicknames(why, (peer) => member.directory.nameOf(peer)),
      fix,
    );
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
  return problems;
}

function dockerProblems({ state, reason }: DockerFacts): readonly Problem[] {
  if (state !== 'failed') return [];
  const fix = 'Free the socket and run fabric setup docker, or fabric setup docker --remove to do without';
  return [{ code: 'docker', what: 'Docker finds no plugin of fabric', why: reason ?? 'unknown', fix }];
}

function otherHosts({ directory, attachments, neighbourhood: { liveness } }: Member): LeaseFacts['peers'] {
  return directory
    .peers()
    .filter(([id]) => id !== attachments.self)
    .map(([id, { nickname }]) => {
      return { id, nickname, state: liveness.view(id)?.state ?? 'alive', lastSeenMs: liveness.lastSeenMs(id) };
    });
}

function tunnelProblems(member: Member): readonly Problem[] {
  return member.tunnels.statuses().flatMap(({ peer, state, reason, endpoint, unansweredMs }) => {
    const isUnanswered = state === 'failed' || (unansweredMs ?? 0) >= UNANSWERED_MS;
    if (!isUnanswered || !member.isAlive(peer)) return [];
    const name = member.directory.nameOf(peer);
    return {
      code: 'tunnel-failed',
      what: `no tunnel to ${name}`,
      why: reason ?? 'its handshakes are not answered',
      fix: `Let UDP ${endpoint?.port ?? MESH_PORT_DEFAULT} pass both ways; which way is blocked says: fabric doctor ${name}`,
    };
  });
}

/**
 * Whoever is let in by somebody learns the current token from there within seconds. If not, those who let it in were away as long as it was,
 * and the hosts that have the token are dead for all of them.
 */
export function tokenProblems(member: Member | null, mesh: Mesh | null): readonly Problem[] {
  const outdatedMs = member?.admission.rotations.facts().outdatedMs ?? null;
  if (member === null || outdatedMs === null) return [];
  const isAlone = mesh?.linkedPeers().length === 0;
  const { self } = member.attachments;
  const misses =
    outdatedMs >= OUTDATED_MS && member.directory.peers().some(([id]) => id !== self && !member.isAlive(id));
  if (!isAlone && !misses) return [];
  return [
    {
      code: 'token-outdated',
      what: isAlone
        ? 'no host of the cluster lets this one in'
        : 'hosts that have the current token do not let this one in',
      why: "the cluster's token was replaced twice while this host was away",
      fix: "Take the output of 'fabric token' on another host into a file; here 'fabric stop', then 'fabric launch --token-file FILE'",
    },
  ];
}

function claimProblem(route: Route, member: Member): Problem {
  return {
    code: 'claim-refused',
    what: `a claim of ${member.directory.nameOf(route.peer)} is not believed: ${route.mac}`,
    why: withNicknames(`${route.ips.join(' ')}: ${route.reason}`, (peer) => member.directory.nameOf(peer)),
    fix: 'See fabric status routes',
  };
}

/** Those in which this host has a part: each of the two tells its own operator. */
function heldMoves(member: Member, nowMs: number): readonly Problem[] {
  const { self } = member.attachments;
  return member.networks
    .all()
    .flatMap(({ routes }) => routes.moves.held())
    .filter(({ at, from }) => at === self || from === self)
    .map(({ what, network, at, from, untilMs }) => ({
      code: 'move-held',
      what: `${what} of the network ${member.networks.labelOf(network)} is on two hosts: it is held on ${member.directory.nameOf(at)}`,
      why: `it moved ${MOVES_MAX} times within ${MOVES_WINDOW_MS / 1000} s, last from ${member.directory.nameOf(from)}; it may move again in ${Math.ceil((untilMs - nowMs) / 1000)} s`,
      fix: `End one of the two, or undo the loop between the bridges; then: fabric unhold ${what}`,
    }));
}

function findNotices(member: Member | null, http: HttpFacts): readonly Problem[] {
  const silent = member === null ? null : silentHosts(member);
  const taken: Problem = {
    code: 'http-port',
    what: 'metrics, health and status are not served by HTTP',
    why: http.reason ?? 'the port could not be opened',
    fix: 'Free the port, fabric retries; or choose another with --http',
  };
  return [...(silent === null ? [] : [silent]), ...(http.state === 'failed' ? [taken] : [])];
}

/** Of this host, among those that live: one that was set up anew mostly has the name of its dead self. */
export function namesakes(member: Member | null, nickname: string): readonly Problem[] {
  if (member === null) return [];
  const { self } = member.attachments;
  const same = member.directory
    .peers()
    .filter(([peer, record]) => peer !== self && record.nickname === nickname && member.isAlive(peer))
    .map(([peer]) => peer);
  if (same.length === 0) return [];
  return [
    {
      code: 'nickname-shared',
      what: `another host is called ${nickname}, too`,
      why: `${firstFew(same)}; a command that is given the name can't tell which one is meant, and wants an id`,
      fix: 'Give this host a name of its own: kill $(cat /var/lib/fabric/fabric.pid), then fabric launch --nickname NAME',
    },
  ];
}

/** One notice for all of them, so that a thousand are one line. */
function silentHosts(member: Member): Problem | null {
  const dead = member.directory.peers().flatMap(([peer, { nickname }]) => {
    if (peer === member.attachments.self || member.isAlive(peer)) return [];
    return `${nickname} (${member.neighbourhood.liveness.view(peer)?.reason === 'goodbye' ? 'it was stopped' : 'silent'})`;
  });
  if (dead.length === 0) return null;
  return {
    code: 'peer-dead',
    what: 'not all hosts of the cluster answer',
    why: firstFew(dead),
    fix: `Start fabric there, or check TCP 6783 on the way; if one is gone for good: fabric rmpeer HOST${reclaims(member)}`,
  };
}

function reclaims(member: Member): string {
  return member.ipam.stats().leaseMs === 0
    ? ''
    : '; without it others take over what fabric status leases shows with a time, then';
}

function notJoined(mesh: Mesh | null): Problem {
  const targets = mesh?.targets() ?? [];
  if (targets.length > 0 && targets.every(({ state }) => state === 'self')) {
    return {
      code: 'join-self',
      what: 'this host was told to join itself',
      why: `${targets.map(({ host, port }) => formatEndpoint({ ip: host, port })).join(' and ')} is this very host`,
      fix: 'Give --join the address of another host; the first one of a cluster is launched without --join',
    };
  }
  const failing = targets.find(({ lastError }) => lastError !== null);
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

function networkProblems({ networks }: Member): readonly Problem[] {
  const disputed = networks.all().filter(({ id }) => networks.stateOf(id) === 'disputed');
  return disputed.map(({ id }) => ({
    code: 'network-disputed',
    what: `no frame of the network ${networks.labelOf(id)} crosses between hosts`,
    why: `two networks claim its id ${id}`,
    fix: 'Detach its containers and remove it, then create it anew',
  }));
}

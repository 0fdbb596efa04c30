// Schedules that take rare orders of events to their end: each holds back, cuts off or stops just what it needs. VotingCluster's checks
// look on; with the product as it is nothing happens. Test code only.

import { cidrHasIp } from '../../../src/base/address.ts';
import { COALESCE_ABOVE } from '../../../src/ipam/estate.ts';
import { decodeVoteMessage, type VoteMessage } from '../../../src/ipam/reclaim/vote-message.ts';
import type { ClusterOptions } from '../sim-cluster.ts';
import { LEASE_MS, VotingCluster } from './voting-cluster.ts';

function electedCluster(hosts: number, options: Partial<ClusterOptions> = {}): VotingCluster {
  const cluster = new VotingCluster({ hosts, ...options });
  cluster.elect();
  cluster.pass(1.5 * LEASE_MS);
  return cluster;
}

function votersOf(cluster: VotingCluster): readonly number[] {
  const lists = [...cluster.decisions.values()].flatMap((value) => (value.kind === 'voters' ? [value.voters] : []));
  return lists.at(-1)!.map((peer) => cluster.indexOf(peer));
}

type Message = VotingCluster['inFlight'][number];

function kindOf({ payload }: Message): VoteMessage['kind'] | null {
  return payload.kind === 'lease' ? (decodeVoteMessage(payload.bytes)?.kind ?? null) : null;
}

/** Delivers everything but what is held, which stays on its way. */
function drainBut(cluster: VotingCluster, isHeld: (message: Message) => boolean): void {
  for (let round = 0; round < 20; round++) {
    const held = cluster.inFlight.filter(isHeld);
    cluster.inFlight = cluster.inFlight.filter((message) => !isHeld(message));
    const isOver = cluster.inFlight.length === 0;
    while (cluster.inFlight.length > 0 && !cluster.inFlight.some(isHeld)) cluster.deliver();
    cluster.inFlight.push(...held);
    if (isOver) return;
  }
}

/** An owner's renewals arrive; their promises only after most of the lease, and then it is cut off. */
export function latePromises(): void {
  const cluster = electedCluster(4);
  const owner = [0, 1, 2, 3].find((host) => !votersOf(cluster).includes(host))!;
  for (let second = 0; second < 16; second++) {
    cluster.advance(1_000);
    drainBut(cluster, (message) => message.to === owner && kindOf(message) === 'promise');
  }
  const promises = cluster.inFlight;
  cluster.inFlight = [];
  cluster.cutOff(owner);
  cluster.pass(24_000);
  cluster.cut.clear();
  cluster.inFlight = promises;
  while (cluster.inFlight.length > 0) cluster.deliver();
  cluster.cutOff(owner);
  cluster.pass(2 * LEASE_MS);
}

/** A voter has answered a ballot against an owner, which then comes back and reaches that voter and one more. */
export function ownerReturnsWhileValueTravels(restore = false): void {
  const cluster = electedCluster(4);
  const [first, second, third] = votersOf(cluster) as [number, number, number];
  const owner = [0, 1, 2, 3].find((host) => ![first, second, third].includes(host))!;
  const isAccept = (message: Message): boolean => kindOf(message) === 'accept';
  const copy = cluster.hosts[second]!.store.snapshot();
  cluster.cutOff(owner);
  cluster.pass(0.7 * LEASE_MS);
  cluster.cut.add(`${first}-${third}`);
  for (let second = 0; second < LEASE_MS / 1_000 && cluster.inFlight.length === 0; second++) {
    cluster.advance(1_000);
    drainBut(cluster, isAccept);
    cluster.checkVoting();
  }
  if (cluster.inFlight.length === 0) throw new Error('the story needs a value on its way');
  if (restore) {
    cluster.crash(second, copy);
    cluster.hosts[second]!.maps = new Map(cluster.hosts[third]!.maps); // it hears from a peer before it acts
    cluster.start(second);
    drainBut(cluster, isAccept);
  }
  for (const voter of [second, third]) cluster.cut.delete(`${voter}-${owner}`);
  for (const voter of [second, third]) cluster.cut.delete(`${owner}-${voter}`);
  for (const voter of [second, third]) {
    cluster.reconcile(voter, owner);
    cluster.guard(owner, (ipam) => ipam.linked(cluster.hosts[voter]!.id));
  }
  drainBut(cluster, isAccept);
  cluster.checkVoting();
  cluster.pass(10_000);
}

/** The same, and the disk of that voter was set back meanwhile to a copy from before the ballot. */
export function votersDiskIsSetBack(): void {
  ownerReturnsWhileValueTravels(true);
}

/** A block is given by an owner that dies, to a host that is cut off from all voters by then. */
export function giftThatNoVoterHeardOf(): void {
  const cluster = electedCluster(7);
  const [donor, taker] = [5, 6];
  const [block] = cluster.usableBlocks(donor);
  const wanted = { family: 4, value: block!.base + 9n } as const;
  for (const other of [0, 1, 2, 3, 4]) cluster.cut.add(`${donor}-${other}`).add(`${other}-${donor}`);
  cluster.pass(0.6 * LEASE_MS);
  for (const other of [0, 1, 2, 3, 4]) cluster.cut.add(`${taker}-${other}`).add(`${other}-${taker}`);
  cluster.allocate(taker, 'gift', 4, wanted);
  cluster.drain();
  if (cluster.hosts[taker]!.ipam!.ownerOf(wanted) !== cluster.hosts[taker]!.id)
    throw new Error('the story needs a gift');
  cluster.pass(LEASE_MS);
  const lost = cluster.reclaims.some(({ titles }) => titles.some(({ cidr }) => cidrHasIp(cidr, wanted)));
  if (!lost) throw new Error('the story needs a reclaim');
}

/** Every voter starts anew right after it has promised. */
export function votersRestart(): void {
  const cluster = electedCluster(4);
  const owner = [0, 1, 2, 3].find((host) => !votersOf(cluster).includes(host))!;
  cluster.cutOff(owner);
  for (const voter of votersOf(cluster)) {
    cluster.crash(voter);
    cluster.start(voter);
    cluster.drain();
  }
  cluster.pass(3 * LEASE_MS);
}

/** A virtual machine stands still while its blocks go to another host, and goes on before it can hear of it. */
export function stoppedMachine(): void {
  const cluster = electedCluster(4);
  const owner = [0, 1, 2, 3].find((host) => !votersOf(cluster).includes(host))!;
  cluster.cutOff(owner);
  cluster.stop(owner);
  cluster.pass(3 * LEASE_MS);
  cluster.goOn(owner);
  cluster.pass(5_000);
}

/** A former owner comes back. */
export function formerOwnerReturns(): void {
  const cluster = electedCluster(4);
  cluster.allocate(3, 'old');
  cluster.cutOff(3);
  cluster.pass(3 * LEASE_MS);
  cluster.cut.clear();
  for (const host of [0, 1, 2]) cluster.reconcile(host, 3);
  cluster.pass(10_000);
}

/** The same with so many gifts that the host joins their records. */
export function manyGiftsThatNoVoterHeardOf(): void {
  const cluster = electedCluster(7);
  const [donor, taker] = [5, 6];
  const [block] = cluster.usableBlocks(donor);
  for (const other of [0, 1, 2, 3, 4]) cluster.cut.add(`${donor}-${other}`).add(`${other}-${donor}`);
  cluster.pass(0.6 * LEASE_MS);
  for (const other of [0, 1, 2, 3, 4]) cluster.cut.add(`${taker}-${other}`).add(`${other}-${taker}`);
  for (let i = 0; i < COALESCE_ABOVE + 16; i++) {
    cluster.allocate(taker, `gift${i}`, 4, { family: 4, value: block!.base + 16n + BigInt(i) });
    cluster.drain();
  }
  cluster.pass(LEASE_MS);
  if (cluster.reclaims.length === 0) throw new Error('the story needs a reclaim');
  for (const host of cluster.hosts) host.held.clear();
  cluster.cut.clear();
  for (const other of [0, 1, 2, 3, 4]) cluster.reconcile(other, taker);
  cluster.pass(20_000);
}

/** Two networks of one range, made by different hosts: one of the two is gone, and its blocks in one are the other’s in the other. */
export function hostOfTwoNetworksIsGone(): void {
  const cluster = electedCluster(4, { namedRange: '10.32.0.0/20' });
  cluster.crash(0);
  cluster.pass(3 * LEASE_MS);
  const networks = new Set(cluster.reclaims.flatMap(({ titles }) => titles.map(({ network }) => network)));
  if (networks.size !== 2) throw new Error('the story needs blocks of two networks that are reclaimed');
}

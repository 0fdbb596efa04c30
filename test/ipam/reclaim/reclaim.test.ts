import { describe, expect, test } from 'vitest';
import { type Cidr, cidrContains, formatIp, type IpAddress } from '../../../src/base/address.ts';
import { encodeState, STATE_ENTRY } from '../../../src/ipam/reclaim/published.ts';
import { errorOf, ipamOf } from '../scenario.ts';
import { LEASE_MS, VotingCluster } from './voting-cluster.ts';

function electedCluster(hosts = 4): VotingCluster {
  const cluster = new VotingCluster({ hosts });
  cluster.elect();
  cluster.pass(1.5 * LEASE_MS); // voters say nothing for a lease after they were chosen
  return cluster;
}

/** An address in the first block of a host. */
function addressOf(cluster: VotingCluster, host: number): IpAddress {
  const [block] = cluster.usableBlocks(host);
  return { family: 4, value: block!.base };
}

/** Who owns the address, as each of the hosts says. */
function ownersSaid(cluster: VotingCluster, ip: IpAddress, hosts: readonly number[]): readonly number[] {
  return hosts.map((host) => cluster.indexOf(ipamOf(cluster, host).ownerOf(ip)!));
}

describe('a host that is gone', () => {
  test('loses its blocks after its lease, to one heir, and all agree', () => {
    const cluster = electedCluster();
    const lost = addressOf(cluster, 3);
    cluster.crash(3);
    cluster.pass(0.7 * LEASE_MS); // its last renewal was a quarter of a lease ago, or less
    expect(cluster.reclaims).toEqual([]);
    cluster.pass(LEASE_MS);
    expect(cluster.reclaims.map(({ owner }) => cluster.indexOf(owner))).toEqual([3]);
    const heir = cluster.indexOf(cluster.reclaims[0]!.heir);
    expect(ownersSaid(cluster, lost, [0, 1, 2])).toEqual([heir, heir, heir]);
  });

  test('and comes back finds its blocks gone, reports what it had handed out, and gets others', () => {
    const cluster = electedCluster();
    cluster.allocate(3, 'old');
    cluster.crash(3);
    cluster.pass(3 * LEASE_MS);
    cluster.start(3);
    expect(cluster.usableBlocks(3)).toEqual([]);
    cluster.pass(10_000);
    expect(cluster.hosts[3]!.conflicts.map(({ owner }) => owner)).toEqual(['old']);
    expect(cluster.allocate(3, 'new')).toBe('ok');
  });

  test('keeps the addresses of its containers from the heir, and from hosts to which the heir gives a part of the blocks', () => {
    const cluster = electedCluster();
    cluster.allocate(3, 'old');
    const old = cluster.hosts[3]!.held.get('old')!;
    cluster.crash(3);
    cluster.pass(3 * LEASE_MS);
    const heir = cluster.indexOf(cluster.reclaims[0]!.heir);
    const third = [0, 1, 2].find((host) => host !== heir)!;
    for (const host of [third, heir]) {
      expect(cluster.allocate(host, 'other', 4, old)).toBe('wait');
      cluster.pass(10_000);
      expect(ownersSaid(cluster, old, [0, 1, 2])).toEqual([host, host, host]);
      expect(cluster.allocate(host, 'other', 4, old)).toBe('address-in-use');
      const { why, fix } = errorOf(ipamOf(cluster, host), 'other', formatIp(old)).explanation;
      expect(why).toContain(cluster.hosts[3]!.id);
      expect(fix).toContain(`fabric rmpeer ${cluster.hosts[3]!.id}`);
    }
  });

  test('leaves blocks that are full of its containers’ addresses: the heir goes on with its others, and gives none of those away', () => {
    const cluster = new VotingCluster({ hosts: 4, range: '10.32.0.0/22', leasePrefix: 28 });
    cluster.elect();
    cluster.pass(1.5 * LEASE_MS);
    for (let i = 0; i < 60; i++) expect(cluster.allocate(0, `old${i}`)).toBe('ok');
    const old = new Set([...cluster.hosts[0]!.held.values()].map(({ value }) => value));
    cluster.crash(0);
    cluster.pass(3 * LEASE_MS);
    const heir = cluster.indexOf(cluster.reclaims[0]!.heir);
    const owned = ipamOf(cluster, heir).stats().families[0]!.usable;
    for (let i = 0; i < owned - old.size; i++) {
      cluster.drain();
      expect([i, cluster.allocate(heir, `new${i}`)]).toEqual([i, 'ok']);
    }
    const news = [...cluster.hosts[heir]!.held.values()].map(({ value }) => value);
    expect(news.filter((value) => old.has(value))).toEqual([]);
  });

  test('and that had not used any of its blocks asks for others at once when it is back', () => {
    const cluster = electedCluster();
    cluster.crash(3);
    cluster.pass(3 * LEASE_MS);
    cluster.start(3);
    cluster.pass(10_000);
    expect(cluster.usableBlocks(3).length).toBeGreaterThan(0);
    expect(ipamOf(cluster, 3).obstacle()).toBeNull();
  });

  test('and comes back in time keeps them', () => {
    const cluster = electedCluster();
    const mine = addressOf(cluster, 3);
    cluster.crash(3);
    cluster.pass(LEASE_MS / 2);
    cluster.start(3);
    cluster.pass(3 * LEASE_MS);
    expect(cluster.reclaims).toEqual([]);
    expect(ownersSaid(cluster, mine, [0, 1, 2, 3])).toEqual([3, 3, 3, 3]);
  });
});

describe('a host that is gone and had blocks in two networks', () => {
  test('loses those of both by one decision, and nobody else loses any', () => {
    const cluster = new VotingCluster({ hosts: 4, namedRange: '10.64.0.0/20' });
    const named = cluster.namedPlan!.network;
    cluster.elect();
    cluster.pass(1.5 * LEASE_MS);
    const lost = cluster.usableBlocks(3, named);
    const kept = [0, 1, 2].map((host) => cluster.usableBlocks(host, named));
    cluster.crash(3);
    cluster.pass(2 * LEASE_MS);
    expect(cluster.reclaims).toHaveLength(1);
    const [reclaim] = cluster.reclaims;
    expect(new Set(reclaim!.titles.map(({ network }) => network))).toEqual(new Set([cluster.plan.network, named]));
    const heir = cluster.indexOf(reclaim!.heir);
    const usable = [0, 1, 2].map((host) => cluster.usableBlocks(host, named));
    for (const [host, blocks] of kept.entries()) {
      const wanted = host === heir ? [...blocks, ...lost] : blocks;
      const isUsable = (cidr: Cidr): boolean => usable[host]!.some((block) => cidrContains(block, cidr));
      expect(wanted.map(isUsable)).toEqual(wanted.map(() => true));
    }
    for (const { base } of lost) {
      const owners = [0, 1, 2].map((host) => cluster.hosts[host]!.named!.ownerOf({ family: 4, value: base }));
      expect(owners.map((owner) => cluster.indexOf(owner!))).toEqual([heir, heir, heir]);
    }
  });

  test('gives nothing out in either when it is cut off for longer than its lease', () => {
    const cluster = new VotingCluster({ hosts: 4, namedRange: '10.64.0.0/20' });
    cluster.elect();
    cluster.pass(1.5 * LEASE_MS);
    cluster.cutOff(3);
    const allocate = (owner: string) => cluster.hosts[3]!.named!.allocate({ owner, family: 4 }).status;
    expect(allocate('before')).toBe('ok');
    cluster.pass(2 * LEASE_MS);
    expect([allocate('before'), allocate('after')]).toEqual(['ok', 'wait']);
  });
});

describe('a host that is cut off', () => {
  test('goes on for a lease, stops before anybody takes its blocks over, and keeps what it has handed out', () => {
    const cluster = electedCluster();
    cluster.cutOff(3);
    cluster.pass(LEASE_MS / 2);
    expect(cluster.allocate(3, 'a')).toBe('ok');
    cluster.pass(2 * LEASE_MS);
    expect(cluster.reclaims).toHaveLength(1);
    expect(cluster.allocate(3, 'b')).toBe('wait');
    expect(cluster.allocate(3, 'a')).toBe('ok');
    expect(ipamOf(cluster, 3).obstacle()?.code).toBe('lease-expired');
  });

  test('with most of the voters on the other side: both sides go on for a lease, then one of them', () => {
    const cluster = electedCluster(5);
    for (const a of [0, 1]) for (const b of [2, 3, 4]) cluster.cut.add(`${a}-${b}`).add(`${b}-${a}`);
    cluster.pass(LEASE_MS / 2);
    for (const host of cluster.hosts.keys()) expect(cluster.allocate(host, `half${host}`)).toBe('ok');
    cluster.pass(3 * LEASE_MS);
    expect([0, 1].map((host) => cluster.allocate(host, `late${host}`))).toEqual(['wait', 'wait']);
    expect(new Set(cluster.reclaims.map(({ owner }) => cluster.indexOf(owner)))).toEqual(new Set([0, 1]));
    cluster.cut.clear();
    for (const a of [0, 1]) for (const b of [2, 3, 4]) cluster.reconcile(a, b);
    cluster.pass(20_000);
    for (const host of cluster.hosts.keys()) expect(cluster.allocate(host, `again${host}`)).toBe('ok');
  });
});

describe('who never loses its blocks by vote', () => {
  /** In how long a host says that another one's blocks may go: null for never. */
  const expiryOf = (cluster: VotingCluster, at: number, host: number) =>
    ipamOf(cluster, at)
      .leases()
      .find(({ peer }) => peer === cluster.hosts[host]!.id)?.expiresAt;

  test('a host that went before there were voters; the others say so', () => {
    const cluster = new VotingCluster({ hosts: 4 });
    cluster.crash(3);
    cluster.elect();
    cluster.pass(4 * LEASE_MS);
    expect(cluster.decisions.size).toBeGreaterThan(0);
    expect(cluster.reclaims).toEqual([]);
    expect(expiryOf(cluster, 0, 3)).toBeNull();
  });

  test('a host of a cluster most of whose voters were removed', () => {
    const cluster = electedCluster(4);
    const lists = [...cluster.decisions.values()].flatMap((value) => (value.kind === 'voters' ? [value.voters] : []));
    const voters = lists.at(-1)!.map((peer) => cluster.indexOf(peer));
    const [kept] = voters;
    const other = [0, 1, 2, 3].find((host) => !voters.includes(host))!;
    cluster.crash(other);
    cluster.tick(1_000);
    expect(expiryOf(cluster, kept!, other)).not.toBeNull();
    for (const host of voters.slice(1)) cluster.remove(host, kept!);
    cluster.pass(3 * LEASE_MS);
    expect(expiryOf(cluster, kept!, other)).toBeNull();
  });
});

describe('a host that is not confirmed', () => {
  test('gives nothing away, also to who has a link to it', () => {
    const cluster = electedCluster();
    const lists = [...cluster.decisions.values()].flatMap((value) => (value.kind === 'voters' ? [value.voters] : []));
    const voters = lists.at(-1)!.map((peer) => cluster.indexOf(peer));
    const owner = 0; // whose title nobody has to confirm
    const near = [1, 2, 3].find((host) => !voters.includes(host))!;
    const far = voters.filter((host) => host !== owner);
    const wanted = addressOf(cluster, owner);
    cluster.crash(owner);
    for (const voter of far) cluster.cut.add(`${voter}-${owner}`).add(`${owner}-${voter}`);
    cluster.start(owner);
    cluster.pass(2_000);
    expect(ipamOf(cluster, owner).obstacle()?.code).toBe('lease-expired');
    cluster.allocate(near, 'a', 4, { ...wanted, value: wanted.value + 9n });
    cluster.pass(2_000);
    expect(ipamOf(cluster, owner).stats().gifts).toBe(0);
  });

  test('because its disk is of before there were voters, but its published records are not, gives out nothing', () => {
    const cluster = new VotingCluster({ hosts: 2 });
    expect(cluster.allocate(1, 'a')).toBe('ok');
    const value = encodeState({ enrolled: true, mark: { slot: 0, change: 0 } });
    ipamOf(cluster, 1).observeVote(cluster.hosts[1]!.id, { network: cluster.plan.network, entry: STATE_ENTRY, value });
    expect(cluster.allocate(1, 'b')).toBe('wait');
    expect(ipamOf(cluster, 1).obstacle()?.code).toBe('lease-expired');
  });
});

describe('too few voters', () => {
  test('two hosts neither reclaim nor stop', () => {
    const cluster = electedCluster(2);
    cluster.cutOff(1);
    cluster.pass(5 * LEASE_MS);
    expect(cluster.decisions.size).toBe(0);
    for (const host of [0, 1]) expect(cluster.allocate(host, `c${host}`)).toBe('ok');
  });

  test('an operator’s word about the others lets the last host go on', () => {
    const cluster = electedCluster(3);
    for (const host of [1, 2]) cluster.crash(host);
    cluster.pass(2 * LEASE_MS);
    expect(cluster.allocate(0, 'a')).toBe('wait');
    for (const host of [1, 2]) cluster.remove(host, 0);
    cluster.pass(3_000);
    expect(cluster.allocate(0, 'a')).toBe('ok');
    cluster.crash(0);
    cluster.start(0);
    expect(cluster.allocate(0, 'b')).toBe('ok');
  });
});

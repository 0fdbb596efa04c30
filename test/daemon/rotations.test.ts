import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import type { TokenId } from '../../src/base/ids.ts';
import type { Token } from '../../src/base/token.ts';
import { type TestHost, World } from './rotations-world.ts';

const HOUR_MS = 3_600_000;
/** Longer than all that hosts wait for each other. */
const SETTLED_MS = 30_000;

function worldOf(count: number, seed = 1) {
  const world = new World(seed);
  const hosts = Array.from({ length: count }, () => world.add());
  world.meet();
  return { world, hosts };
}

/** The one token that all of them use. */
function tokenOf(hosts: readonly TestHost[]): Token {
  const tokens = new Set(hosts.map(({ keyring }) => keyring.current.id));
  expect(tokens.size, 'hosts agree on one token').toBe(1);
  return hosts[0]!.keyring.current.token;
}

/** Whether each lets the other in by some token of its own. */
function meets(a: TestHost, b: TestHost): boolean {
  const lets = (host: TestHost, guest: TestHost) =>
    guest.keyring.generations.some(
      ({ id }) => host.keyring.find(id) !== undefined && host.rotations.admits(guest.peer, { id }),
    );
  return lets(a, b) && lets(b, a);
}

describe('a rotation', () => {
  test('brings every member the same new token, also one that was away', () => {
    const { world, hosts } = worldOf(4);
    const [a, , , late] = hosts as [TestHost, TestHost, TestHost, TestHost];
    late.up = false;
    a.rotations.rotate({ graceMs: HOUR_MS });
    world.meet();
    expect(late.generation).toBe(1);
    expect(meets(a, late)).toBe(true);
    late.restart();
    expect(tokenOf(hosts).generation).toBe(2);
  });

  test('is known by its own host after a crash between disk and word', () => {
    const { world, hosts } = worldOf(3);
    const [a] = hosts as [TestHost];
    a.failing = new Error('power cut');
    expect(() => a.rotations.rotate({ graceMs: 0 })).toThrow('power cut');
    expect(a.kept).toMatchObject({ untold: true, token: { generation: 2 } });
    a.restart();
    world.pass(1_000);
    expect(tokenOf(hosts)).toEqual(a.kept.token);
    expect(a.kept.untold).toBe(false);
  });

  test('lets unknown hosts in by the old token during its grace only, and gives them the new one', () => {
    const { world, hosts } = worldOf(2);
    const [a] = hosts as [TestHost];
    const old = world.token;
    a.rotations.rotate({ graceMs: HOUR_MS });
    world.meet();
    const joiner = world.add(old);
    expect(meets(a, joiner)).toBe(true);
    world.pass(SETTLED_MS);
    expect(tokenOf([...hosts, joiner]).generation).toBe(2);
    world.timers.advance(HOUR_MS);
    const stranger = new World(99).add(old);
    expect(a.rotations.admits(stranger.peer, stranger.keyring.current)).toBe(false);
    expect(a.rotations.refusalOf(stranger.peer, stranger.keyring.current)).toMatchObject({ code: 'token-refused' });
    expect(a.rotations.admits(joiner.peer, joiner.keyring.generations[0]!)).toBe(true);
    expect(a.cuts).toEqual([]);
  });

  test('without a grace cuts off whom only the old token let in', () => {
    const { world, hosts } = worldOf(2);
    const [a, b] = hosts as [TestHost, TestHost];
    const guest = world.add(world.token, 1);
    a.known.set(guest.peer, guest.known.get(a.peer) ?? b.known.get(a.peer)!);
    b.known.delete(guest.peer);
    b.rotations.rotate({ graceMs: 0 });
    world.meet();
    world.pass(1_000);
    expect(a.cuts).toEqual([guest.peer]);
  });

  test('without a grace cuts off who was let in so late that nothing of it has been heard yet', () => {
    const { world, hosts } = worldOf(2);
    const [a, b] = hosts as [TestHost, TestHost];
    const guest = new World(99).add(world.token);
    a.strangers.add(guest.peer);
    a.strangers.add(b.peer);
    b.rotations.rotate({ graceMs: 0 });
    world.meet();
    world.pass(1_000);
    expect(a.cuts).toEqual([guest.peer]);
  });

  test.each([-1, Number.NaN, 31 * 24 * HOUR_MS])('refuses a grace of %d ms', (graceMs) => {
    const [a] = worldOf(1).hosts as [TestHost];
    expect(() => a.rotations.rotate({ graceMs })).toThrow(FabricError);
    expect(a.generation).toBe(1);
  });

  test('twice while a host is away leaves nothing by which it gets in', () => {
    const { world, hosts } = worldOf(3);
    const [a, b, late] = hosts as [TestHost, TestHost, TestHost];
    late.up = false;
    for (const host of [a, b]) {
      host.rotations.rotate({ graceMs: HOUR_MS });
      world.meet();
    }
    expect(tokenOf([a, b]).generation).toBe(3);
    expect(meets(a, late) || meets(b, late)).toBe(false);
    late.rotations.toldOutdated();
    world.timers.advance(7_000);
    late.rotations.toldOutdated();
    expect(late.rotations.facts().outdatedMs).toBe(7_000);
    late.keyring.replaceAll(a.keyring.current.token);
    late.restart();
    expect(meets(a, late)).toBe(true);
    expect(late.rotations.facts().outdatedMs).toBeNull();
  });

  test.each(Array.from({ length: 20 }, (_, seed) => seed + 1))(
    'on both sides of a partition ends in one token with nobody locked out, seed %d',
    (seed) => {
      const { world, hosts } = worldOf(5, seed);
      const [a, b, c, d, e] = hosts as [TestHost, TestHost, TestHost, TestHost, TestHost];
      world.split([a, b], [c, d, e]);
      a.rotations.rotate({ graceMs: HOUR_MS });
      c.rotations.rotate({ graceMs: HOUR_MS });
      world.meet();
      const newcomers = [world.add(a.keyring.current.token, 0), world.add(d.keyring.current.token, 1)];
      expect(tokenOf([a, b])).not.toEqual(tokenOf([c, d, e]));
      for (const one of [a, b]) for (const other of [c, d, e]) expect(meets(one, other)).toBe(true);
      world.heal();
      world.pass(SETTLED_MS);
      expect(tokenOf([...hosts, ...newcomers]).generation).toBe(2);
    },
  );
});

describe('a revocation', () => {
  test('replaces the token at once, for all but the revoked', () => {
    const { world, hosts } = worldOf(4);
    const [a, b, c, lost] = hosts as [TestHost, TestHost, TestHost, TestHost];
    a.revoke(lost.peer);
    world.pass(SETTLED_MS);
    expect(tokenOf([a, b, c]).generation).toBe(2);
    expect(lost.generation).toBe(1);
    const back = new World(7).add(lost.keyring.current.token);
    for (const host of [a, b, c]) expect(host.rotations.admits(back.peer, back.keyring.current)).toBe(false);
  });

  test('said again, there or elsewhere, replaces nothing: a host that was away for all of it comes back', () => {
    const { world, hosts } = worldOf(4);
    const [a, b, lost, late] = hosts as [TestHost, TestHost, TestHost, TestHost];
    late.up = false;
    for (const host of [a, a, b]) host.revoke(lost.peer);
    world.pass(SETTLED_MS);
    expect(tokenOf([a, b]).generation).toBe(2);
    late.restart();
    expect(tokenOf([a, b, late]).generation).toBe(2);
  });

  test('heard without its rotation makes the first living member replace the token', () => {
    const { world, hosts } = worldOf(4);
    const [a, b, c, lost] = hosts as [TestHost, TestHost, TestHost, TestHost];
    lost.up = false;
    for (const host of [a, b, c]) host.hearRevocation(lost.peer);
    world.pass(SETTLED_MS);
    expect(tokenOf([a, b, c]).generation).toBe(2);
    expect([a, b, c].filter(({ said }) => said.size > 0)).toHaveLength(1);
  });

  test.each(Array.from({ length: 20 }, (_, seed) => seed + 1))(
    'beside a rotation in another half, which gave the revoked host the token: it is replaced once more, seed %d',
    (seed) => {
      const { world, hosts } = worldOf(5, seed);
      const [a, b, c, d, lost] = hosts as [TestHost, TestHost, TestHost, TestHost, TestHost];
      world.split([a, b], [c, d, lost]);
      c.rotations.rotate({ graceMs: HOUR_MS });
      world.meet();
      a.revoke(lost.peer);
      expect(lost.generation).toBe(2);
      world.heal();
      world.pass(SETTLED_MS);
      const token = tokenOf([a, b, c, d]);
      expect(lost.keyring.generations.map(({ token: held }) => held)).not.toContainEqual(token);
    },
  );

  test.each(Array.from({ length: 10 }, (_, seed) => seed + 1))(
    'of each other in two halves: both are out, and neither knows the token, seed %d',
    (seed) => {
      const { world, hosts } = worldOf(5, seed);
      const [a, b, c, d, e] = hosts as [TestHost, TestHost, TestHost, TestHost, TestHost];
      world.split([a, b, c], [d, e]);
      a.revoke(d.peer);
      d.revoke(a.peer);
      world.split([b, c, e], [a], [d]);
      world.meet();
      world.pass(SETTLED_MS);
      const token = tokenOf([b, c, e]);
      for (const host of [b, c, e]) expect([...host.revokedPeers].sort()).toEqual([a.peer, d.peer].sort());
      for (const out of [a, d])
        expect(out.keyring.generations.map(({ token: held }) => held)).not.toContainEqual(token);
    },
  );

  test('a revoked host that hears of it lets things be', () => {
    const { world, hosts } = worldOf(3);
    const [, , lost] = hosts as [TestHost, TestHost, TestHost];
    world.split(hosts.slice(0, 2), [lost]);
    lost.hearRevocation(lost.peer);
    world.pass(SETTLED_MS);
    expect(lost.generation).toBe(1);
    expect(lost.said.size).toBe(0);
  });

  test('said by its rotation alone, while its own word is under way: the revoked host gets neither in nor the next token', () => {
    const { world, hosts } = worldOf(3);
    const [a, late, lost] = hosts as [TestHost, TestHost, TestHost];
    world.split([a], [late, lost]);
    a.revoke(lost.peer);
    a.rotations.rotate({ graceMs: HOUR_MS });
    for (const record of a.said.values()) {
      if ('rotation' in record) late.rotations.heardRotation(a.peer, record.rotation);
      else late.rotations.heardSeals(a.peer, record.seals);
    }
    expect(late.generation).toBe(3);
    world.pass(SETTLED_MS);
    expect(lost.generation).toBe(1);
    expect(late.said.size).toBe(0);
    expect(late.keyring.generations.filter((one) => late.rotations.admits(lost.peer, one))).toEqual([
      late.keyring.current,
    ]);
  });

  test('reaches everybody although the revoked host had announced as many tokens as are remembered', () => {
    const { world, hosts } = worldOf(4);
    const [a, b, c, lost] = hosts as [TestHost, TestHost, TestHost, TestHost];
    for (let i = 0; i < 200; i++) {
      const id = i.toString(16).padStart(16, '0') as TokenId;
      const rotation = { generation: 2 + (i % 64), id, graceMs: HOUR_MS, excluded: [] };
      lost.said.set(`rotation ${i}`, { rotation });
    }
    world.meet();
    a.revoke(lost.peer);
    world.pass(SETTLED_MS);
    expect(tokenOf([a, b, c]).generation).toBe(2);
    expect([a, b, c].filter(({ said }) => said.size > 0)).toHaveLength(1);
  });

  test('what a revoked host says of tokens does not count', () => {
    const { world, hosts } = worldOf(3);
    const [a, b, lost] = hosts as [TestHost, TestHost, TestHost];
    a.revoke(lost.peer);
    lost.rotations.rotate({ graceMs: HOUR_MS });
    lost.rotations.rotate({ graceMs: HOUR_MS });
    lost.rotations.rotate({ graceMs: HOUR_MS });
    world.pass(SETTLED_MS);
    expect(tokenOf([a, b]).generation).toBe(2);
  });
});

// Nothing leaks, whatever breaks where: every effect of ADD, DEL and GC is killed before and after, made to fail, and left by its
// caller. After a restart, or what the daemon does every minute, and the DEL that a runtime sends after a failed ADD, nothing
// is left; in between no address is free whose interface exists, and nothing exists that the durable state does not know.

import { describe, expect, test } from 'vitest';
import type { Fault } from '../fakes/fault-points.ts';
import { AS_IPAM, CrashWorld, FOREIGN, OURS } from './crash-world.ts';

const SECOND = { CNI_CONTAINERID: 'c2' };
const NOTHING = {
  entries: 0,
  claims: 0,
  addresses: 0,
  ports: 0,
  namespaces: 0,
  reservations: 0,
  'addresses of the foreign plugin': 0,
};

interface Scenario {
  readonly config: object;
  /** What was done before, without faults. */
  prepare(world: CrashWorld): Promise<void>;
  readonly verb: string;
  readonly more?: object;
}

const nothing = async (): Promise<void> => undefined;

async function added(world: CrashWorld, config: object, env = {}): Promise<void> {
  const { outcome } = await world.call('ADD', config, env);
  expect(outcome.exitCode, outcome.stdout).toBe(0);
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  ADD: { config: OURS, prepare: nothing, verb: 'ADD' },
  'ADD with a foreign IPAM plugin': { config: FOREIGN, prepare: nothing, verb: 'ADD' },
  'ADD after the namespace vanished': {
    config: OURS,
    prepare: async (world) => {
      await added(world, OURS);
      world.host.ports.clear();
    },
    verb: 'ADD',
  },
  'ADD as an IPAM plugin': { config: AS_IPAM, prepare: nothing, verb: 'ADD' },
  DEL: { config: OURS, prepare: (world) => added(world, OURS), verb: 'DEL' },
  'DEL with a foreign IPAM plugin': { config: FOREIGN, prepare: (world) => added(world, FOREIGN), verb: 'DEL' },
  'DEL as an IPAM plugin': { config: AS_IPAM, prepare: (world) => added(world, AS_IPAM), verb: 'DEL' },
  'GC of two': {
    config: OURS,
    prepare: async (world) => {
      await added(world, OURS);
      await added(world, OURS, SECOND);
    },
    verb: 'GC',
    more: { 'cni.dev/valid-attachments': [] },
  },
};

async function effectsOf(scenario: Scenario): Promise<readonly string[]> {
  const world = new CrashWorld();
  await scenario.prepare(world);
  world.points.arm(-1, 'fails');
  await world.call(scenario.verb, { ...scenario.config, ...scenario.more });
  expect(world.points.names.length).toBeGreaterThan(1);
  return [...world.points.names];
}

/** Runs the scenario once for each of its effects, which meets the fault; `then` says what must hold. */
async function atEach(
  scenario: Scenario,
  faultOf: (world: CrashWorld) => Fault,
  then: (world: CrashWorld, where: string) => Promise<void>,
): Promise<void> {
  const effects = await effectsOf(scenario);
  for (const [number, name] of effects.entries()) {
    const world = new CrashWorld();
    await scenario.prepare(world);
    world.points.arm(number, faultOf(world));
    const { outcome } = await world.call(scenario.verb, { ...scenario.config, ...scenario.more });
    const where = `effect ${number + 1} of ${effects.length}, ${name}: ${outcome.stdout}`;
    expect(world.faults(), where).toEqual([]);
    await then(world, where);
  }
}

async function deletedByTheRuntime(world: CrashWorld, scenario: Scenario): Promise<void> {
  for (const env of [{}, SECOND]) {
    const { outcome } = await world.call('DEL', scenario.config, env);
    expect(outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  }
}

describe.each(Object.entries(SCENARIOS))('%s', (_name, scenario) => {
  test.each(['killed before', 'killed after'] as const)('L7 the daemon is %s each of its effects', async (fault) => {
    await atEach(
      scenario,
      () => fault,
      async (world, where) => {
        await world.restart();
        expect(world.faults(), where).toEqual([]);
        const { entries, claims, ports } = world.leftOver();
        expect([claims, ports], where).toEqual([entries, entries]);
        await deletedByTheRuntime(world, scenario);
        expect(world.leftOver(), where).toEqual(NOTHING);
        await added(world, scenario.config);
      },
    );
  });

  test.each(['killed before', 'killed after'] as const)(
    'L1 the power is cut, %s each of its effects',
    async (fault) => {
      await atEach(
        scenario,
        () => fault,
        async (world, where) => {
          await world.reboot();
          expect(world.leftOver(), where).toEqual({ ...NOTHING, 'addresses of the foreign plugin': world.held.size });
        },
      );
    },
  );

  test('L7 each of its effects fails once', async () => {
    await atEach(
      scenario,
      () => 'fails',
      async (world, where) => {
        await world.reconcile();
        await deletedByTheRuntime(world, scenario);
        expect(world.leftOver(), where).toEqual(NOTHING);
      },
    );
  });

  test('L7 from each of its effects on everything fails, for a while', async () => {
    await atEach(
      scenario,
      () => 'fails from here',
      async (world, where) => {
        world.points.heal();
        await world.reconcile();
        await deletedByTheRuntime(world, scenario);
        expect(world.leftOver(), where).toEqual(NOTHING);
        await added(world, scenario.config);
      },
    );
  });
});

describe.each(['ADD', 'ADD after the namespace vanished', 'ADD as an IPAM plugin'])('%s', (name) => {
  const scenario = SCENARIOS[name]!;
  test('L9 the plugin is killed before each effect: all is undone without any DEL', async () => {
    await atEach(
      scenario,
      (world) => () => world.caller.abort(),
      async (world, where) => expect(world.leftOver(), where).toEqual(NOTHING),
    );
  });
});

test('L9 with a foreign IPAM plugin: only what that plugin holds is left to the DEL', async () => {
  const scenario = SCENARIOS['ADD with a foreign IPAM plugin']!;
  await atEach(
    scenario,
    (world) => () => world.caller.abort(),
    async (world, where) => {
      const held = { 'addresses of the foreign plugin': world.held.size };
      expect(world.leftOver(), where).toEqual({ ...NOTHING, ...held });
    },
  );
});

test.each(['DEL', 'DEL as an IPAM plugin', 'GC of two'])(
  'L9 a plugin killed during %s: it is done all the same',
  async (name) => {
    await atEach(
      SCENARIOS[name]!,
      (world) => () => world.caller.abort(),
      async (world, where) => expect(world.leftOver(), where).toEqual(NOTHING),
    );
  },
);

import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import type { Mac } from '../../src/base/ids.ts';
import { key, never, request, setUp, turn } from './attachments-world.ts';

const NOTHING = { entries: 0, claims: 0, addresses: 0, ports: 0, namespaces: 0 };

describe('attach', () => {
  test('answers what CNI needs, announces the claim and is durable', async () => {
    const { attachments, claims, entries, host, leftOver } = setUp();
    const result = await attachments.attach(request({ routes: [{ dst: '192.0.2.0/24', gw: null }] }), never);
    expect(result).toMatchObject({
      ...key,
      addresses: [
        { address: '10.32.0.2/12', gateway: '10.32.0.1' },
        { address: 'fd00::3/48', gateway: 'fd00::1' },
      ],
      routes: [{ dst: '192.0.2.0/24', gw: '10.32.0.1' }],
      name: 'web',
      mtu: 1418,
      bridge: { name: 'fabric0' },
      namespacePath: '/run/netns/c1',
    });
    expect(Number.parseInt(result.mac.slice(0, 2), 16) & 3).toBe(2);
    expect(result.host.name).toMatch(/^fab[0-9a-f]{12}$/);
    expect(host.ports.has(result.host.name)).toBe(true);
    expect(claims.get(result.mac)).toMatchObject({
      kind: 'container',
      name: 'web',
      ips: ['10.32.0.2', 'fd00::3', expect.stringMatching(/^fe80::/)],
    });
    expect(entries.get(key)?.state).toBe('attached');
    expect(attachments.find(key)).toEqual(result);
    expect(leftOver().namespaces).toBe(0);
  });

  test('a network without IPv6 gives one address', async () => {
    const { attachments } = setUp({ range6: false });
    const { addresses } = await attachments.attach(request(), never);
    expect(addresses.map(({ address }) => address)).toEqual(['10.32.0.2/12']);
  });

  test('wanted addresses are taken with or without prefix length, and no others', async () => {
    const { attachments } = setUp();
    const { addresses } = await attachments.attach(
      request({ addresses: { ips: ['10.32.0.77/12', 'FD00:0::7'], ranges: [] } }),
      never,
    );
    expect(addresses.map(({ address }) => address)).toEqual(['10.32.0.77/12', 'fd00::7/48']);
  });

  test('the claim is announced before the interface exists', async () => {
    const { attachments, host, claims } = setUp();
    let claimed = 0;
    host.before.addContainer = () => {
      claimed = claims.size;
    };
    await attachments.attach(request(), never);
    expect(claimed).toBe(1);
  });

  test.each([
    ['an unknown network', { network: 'red' }, 'network-unknown'],
    ['an address that is none', { addresses: { ips: ['10.32.0.300'], ranges: [] } }, 'address-invalid'],
  ] as const)('%s is refused and leaves nothing', async (_name, change, code) => {
    const { attachments, leftOver } = setUp();
    await expect(attachments.attach(request(change), never)).rejects.toMatchObject({ code });
    expect(leftOver()).toEqual(NOTHING);
  });

  test('a host that is not ready attaches nothing and says why', async () => {
    const { attachments, world, leftOver } = setUp();
    world.unready = { reason: 'the datapath does not work', degraded: true };
    await expect(attachments.attach(request(), never)).rejects.toThrow(/the datapath does not work/);
    expect(leftOver()).toEqual(NOTHING);
  });

  test('a second attach of the same interface is refused, the first one stays', async () => {
    const { attachments, leftOver } = setUp();
    await attachments.attach(request(), never);
    await expect(attachments.attach(request(), never)).rejects.toMatchObject({ code: 'attachment-exists' });
    expect(leftOver()).toMatchObject({ entries: 1, claims: 1, addresses: 2, ports: 1 });
  });

  test('a MAC in use is refused, also one whose attach is still under way', async () => {
    const { attachments, world, told } = setUp();
    const mac = '02:11:22:33:44:55' as Mac;
    world.macHolder = (candidate) => (candidate === '02:00:00:00:00:99' ? 'the host b' : null);
    await expect(attachments.attach(request({ mac: '02:00:00:00:00:99' as Mac }), never)).rejects.toMatchObject({
      code: 'address-in-use',
      explanation: { why: 'the host b has it' },
    });
    expect(told).toMatchObject([{ kind: 'duplicate', subject: 'c1' }]);
    const first = attachments.attach(request({ mac }), never);
    await expect(attachments.attach(request({ mac, containerId: 'c2' }), never)).rejects.toMatchObject({
      code: 'address-in-use',
    });
    expect((await first).mac).toBe(mac);
  });

  test('T1 STATUS is told when no address is free, or no port', async () => {
    const { attachments, world } = setUp({ range6: false });
    expect(attachments.readiness('fabric')).toBeNull();
    world.obstacle = 'no free IPv4 address is left on this host';
    expect(attachments.readiness('fabric')).toEqual({ reason: world.obstacle, degraded: false });
    world.obstacle = null;
    for (let i = 0; i < 1021; i++) await attachments.attach(request({ containerId: `n${i}` }), never);
    expect(attachments.readiness('fabric')).toEqual({ reason: '1021 containers are attached', degraded: false });
    expect(attachments.readiness('blue')).toBeNull();
    expect(attachments.readiness('red')).toEqual({ reason: 'there is no network red', degraded: false });
  });

  test('no more containers than a bridge has ports', async () => {
    const { attachments } = setUp({ range6: false });
    for (let i = 0; i < 1021; i++) await attachments.attach(request({ containerId: `n${i}` }), never);
    await expect(attachments.attach(request(), never)).rejects.toMatchObject({ code: 'limit' });
  });
});

describe('A3 P4 a failed attach leaves nothing', () => {
  test('the namespace is not what the caller opened', async () => {
    const { attachments, world, leftOver } = setUp();
    world.openNamespace = () => {
      throw new FabricError('namespace-invalid', { what: 'reused' });
    };
    await expect(attachments.attach(request(), never)).rejects.toMatchObject({ code: 'namespace-invalid' });
    expect(leftOver()).toEqual(NOTHING);
  });

  test.each([
    ['the first address', 4],
    ['the second address', 6],
  ] as const)('%s is not there', async (_name, failing) => {
    const { attachments, world, leftOver } = setUp();
    const allocate = world.allocate;
    world.allocate = async (wish) => {
      if (wish.family === failing) throw new FabricError('address-exhausted', { what: 'none left' });
      return allocate(wish);
    };
    await expect(attachments.attach(request(), never)).rejects.toMatchObject({ code: 'address-exhausted' });
    expect(leftOver()).toEqual(NOTHING);
  });

  test('the kernel refuses the interface', async () => {
    const { attachments, host, leftOver } = setUp();
    host.before.addContainer = () => {
      throw new FabricError('interface-exists', { what: 'eth0 is there' });
    };
    await expect(attachments.attach(request(), never)).rejects.toMatchObject({ code: 'interface-exists' });
    expect(leftOver()).toEqual(NOTHING);
  });

  test.each([['allocate'], ['addContainer']])('the caller hangs up during %s', async (step) => {
    const { attachments, world, host, leftOver } = setUp();
    const caller = new AbortController();
    const allocate = world.allocate;
    if (step === 'allocate') {
      world.allocate = (wish) => {
        caller.abort();
        return allocate(wish);
      };
    } else host.before.addContainer = () => caller.abort();
    await expect(attachments.attach(request(), caller.signal)).rejects.toMatchObject({ code: 'timeout' });
    expect(leftOver()).toEqual(NOTHING);
  });

  test('the first error is reported even when undoing fails; a restart undoes the rest', async () => {
    const { attachments, host, store, leftOver } = setUp();
    host.before.addContainer = () => {
      throw new FabricError('netlink', { what: 'first' });
    };
    host.before.removeContainer = () => {
      throw new FabricError('netlink', { what: 'second' });
    };
    await expect(attachments.attach(request(), never)).rejects.toThrow('first');
    expect(leftOver()).toMatchObject({ entries: 1, namespaces: 0 });
    const after = setUp({ snapshot: store.snapshot() });
    await after.attachments.reconcile({ starting: true });
    expect(after.leftOver()).toEqual(NOTHING);
  });
});

describe('detach', () => {
  test('D6 takes everything away, the interface before the address; repeats are no error', async () => {
    const { attachments, host, addresses, leftOver } = setUp();
    await attachments.attach(request(), never);
    let heldWhileRemoved = 0;
    host.before.removeContainer = () => {
      heldWhileRemoved = addresses.size;
    };
    await attachments.detach(key);
    expect(heldWhileRemoved).toBe(2);
    expect(leftOver()).toEqual(NOTHING);
    await attachments.detach(key);
  });

  test('one that fails keeps the addresses and can be repeated', async () => {
    const { attachments, host, entries, addresses, leftOver } = setUp();
    await attachments.attach(request(), never);
    host.before.removeContainer = () => {
      throw new FabricError('netlink', { what: 'busy' });
    };
    await expect(attachments.detach(key)).rejects.toThrow('busy');
    expect([entries.get(key)?.state, addresses.size]).toEqual(['detaching', 2]);
    delete host.before.removeContainer;
    await attachments.detach(key);
    expect(leftOver()).toEqual(NOTHING);
  });

  test('waits for the attach of the same interface and then undoes it', async () => {
    const { attachments, host, leftOver } = setUp();
    let go: () => void = () => undefined;
    host.before.addContainer = () => new Promise((resolve) => (go = resolve));
    const attached = attachments.attach(request(), never);
    const detached = attachments.detach(key);
    const again = attachments.attach(request({ name: 'second' }), never);
    await turn();
    expect(host.calls.filter((call) => call.startsWith('removeContainer'))).toEqual([]);
    delete host.before.addContainer;
    go();
    await attached;
    await detached;
    await again;
    expect(attachments.find(key)?.name).toBe('second');
    expect(leftOver()).toMatchObject({ entries: 1, claims: 1, addresses: 2, ports: 1 });
  });

  test('containers do not wait for each other', async () => {
    const { attachments, host } = setUp();
    host.before.addContainer = () =>
      host.calls.filter((call) => call.startsWith('addContainer')).length === 1
        ? new Promise(() => undefined)
        : undefined;
    void attachments.attach(request(), never);
    await turn();
    await attachments.attach(request({ containerId: 'c2' }), never);
  });
});

describe('check and list', () => {
  test('findings of the kernel, and of an interface that is not attached', async () => {
    const { attachments, host, leftOver } = setUp();
    const namespace = request().namespace!;
    expect(await attachments.check(key, namespace)).toEqual([{ what: expect.stringContaining('is not attached') }]);
    await attachments.attach(request(), never);
    expect(await attachments.check(key, namespace)).toEqual([]);
    host.findings = ['eth0 is down'];
    expect(await attachments.check(key, namespace)).toEqual([{ what: 'eth0 is down' }]);
    expect(leftOver().namespaces).toBe(0);
  });

  test('each owner sees its own attachments only', async () => {
    const { attachments } = setUp();
    await attachments.attach(request(), never);
    await attachments.attach(request({ containerId: 'c2', owner: 'cli' }), never);
    expect(attachments.listOwned('cli').map(({ containerId }) => containerId)).toEqual(['c2']);
    expect(attachments.listOwned('cni:fabric').map(({ containerId }) => containerId)).toEqual(['c1']);
  });
});

describe('reconcile', () => {
  test('a restart adopts what runs, frees what vanished and removes what nobody knows', async () => {
    const first = setUp();
    const running = await first.attachments.attach(request(), never);
    const vanished = await first.attachments.attach(request({ containerId: 'c2' }), never);
    const halfDead = await first.attachments.attach(request({ containerId: 'c3' }), never);
    first.host.ports.delete(vanished.host.name);
    first.host.show(halfDead.host.name, { alive: false });
    first.host.show('fab0123456789ab');
    const host = first.host;
    host.calls.length = 0;
    const after = setUp({ snapshot: first.store.snapshot(), host });
    await after.attachments.reconcile({ starting: true });
    expect(host.calls.filter((call) => call.startsWith('adopt'))).toEqual(['adoptContainer 10.32.0.2 fd00::3']);
    expect(host.calls.filter((call) => call.startsWith('remove'))).toHaveLength(3);
    expect([...host.ports.keys()]).toEqual([running.host.name]);
    expect([...after.claims.keys()]).toEqual([running.mac]);
    expect(after.entries.all().map((entry) => entry.key.containerId)).toEqual(['c1']);
    expect(after.attachments.find(key)).toEqual(running);
  });

  test('what runs is adopted before anything is freed, and many are freed at once', async () => {
    const first = setUp();
    await first.attachments.attach(request({ containerId: 'c9' }), never);
    for (const containerId of ['c1', 'c2', 'c3']) {
      const { host } = await first.attachments.attach(request({ containerId }), never);
      first.host.ports.delete(host.name);
    }
    const after = setUp({ snapshot: first.store.snapshot(), host: first.host });
    let removing = 0;
    let letGo: () => void = () => undefined;
    const allRemove = new Promise<void>((resolve) => (letGo = resolve));
    first.host.calls.length = 0;
    first.host.before.removeContainer = async () => {
      if (++removing === 3) letGo();
      await allRemove;
    };
    await after.attachments.reconcile({ starting: true });
    expect(first.host.calls.findIndex((call) => call.startsWith('adopt'))).toBe(1);
    expect(after.entries.size).toBe(1);
  });

  test('a container that ends while it is being adopted is freed, and the start goes on', async () => {
    const first = setUp();
    const ended = await first.attachments.attach(request(), never);
    const running = await first.attachments.attach(request({ containerId: 'c2' }), never);
    const second = setUp({ snapshot: first.store.snapshot(), host: first.host });
    first.host.before.adoptContainer = () => {
      if (!first.host.ports.delete(ended.host.name)) return;
      throw new FabricError('attachment-unknown', { what: 'its interface is gone' });
    };
    await second.attachments.reconcile({ starting: true });
    expect(second.entries.all().map(({ key: { containerId } }) => containerId)).toEqual(['c2']);
    expect([...second.claims.keys()]).toEqual([running.mac]);
  });

  test('an adoption that fails although the container runs stops the start', async () => {
    const first = setUp();
    await first.attachments.attach(request(), never);
    const second = setUp({ snapshot: first.store.snapshot(), host: first.host });
    first.host.before.adoptContainer = () => {
      throw new FabricError('netlink', { what: 'no memory' });
    };
    await expect(second.attachments.reconcile({ starting: true })).rejects.toMatchObject({ code: 'netlink' });
    expect(second.entries.size).toBe(1);
  });

  test('while running, only what vanished is freed; attaches under way are left alone', async () => {
    const { attachments, host, entries } = setUp();
    const gone = await attachments.attach(request(), never);
    host.ports.delete(gone.host.name);
    let go: () => void = () => undefined;
    host.before.addContainer = () => new Promise((resolve) => (go = resolve));
    const slow = attachments.attach(request({ containerId: 'c2' }), never);
    await turn();
    await attachments.reconcile({ starting: false });
    expect(entries.all().map((entry) => entry.key.containerId)).toEqual(['c2']);
    go();
    await slow;
    await attachments.reconcile({ starting: false });
    expect(entries.size).toBe(1);
  });

  test('a container attached while the kernel was being asked is not taken for vanished', async () => {
    const { attachments, host, entries } = setUp();
    const list = host.listContainerPorts.bind(host);
    host.listContainerPorts = async () => {
      const answer = await list();
      await attachments.attach(request(), never);
      return answer;
    };
    await attachments.reconcile({ starting: false });
    expect(entries.get(key)?.state).toBe('attached');
  });

  test('a container detached and attached anew while the kernel was being asked stays', async () => {
    const { attachments, host, entries } = setUp();
    await attachments.attach(request(), never);
    const list = host.listContainerPorts.bind(host);
    host.listContainerPorts = async () => {
      await attachments.detach(key);
      const answer = await list();
      await attachments.attach(request(), never);
      return answer;
    };
    await attachments.reconcile({ starting: false });
    expect(entries.get(key)?.state).toBe('attached');
    expect(host.ports.size).toBe(1);
  });
});

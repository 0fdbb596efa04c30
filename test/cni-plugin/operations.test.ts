import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { CNI_VERSIONS } from '../../src/cni-plugin/version.ts';
import { addEnv, CONFIG, FakeBackend, NAMESPACE, run } from './fake-backend.ts';

const V11 = { ...CONFIG, cniVersion: '1.1.0' };
const delEnv = (changes: Record<string, string> = {}) => addEnv({ CNI_COMMAND: 'DEL', ...changes });
const checkEnv = addEnv({ CNI_COMMAND: 'CHECK' });

describe('errors', () => {
  test('F1 F3 exit is not 0, stdout is the error object, stderr is clean', async () => {
    const { outcome, json } = await run(new FakeBackend(), addEnv(), { ...CONFIG, name: '' });
    expect(outcome).toMatchObject({ exitCode: 1, stderr: '' });
    expect(json).toEqual({ cniVersion: '1.0.0', code: 7, msg: 'missing network name' });
  });

  test.each([
    ['address-exhausted', 103],
    ['address-in-use', 104],
    ['address-foreign', 105],
    ['address-invalid', 7],
    ['interface-exists', 102],
    ['namespace-invalid', 4],
    ['netlink', 106],
    ['timeout', 11],
    ['state-damaged', 110],
  ] as const)('F2 FabricError %s is code %d, with what, why and fix', async (errorCode, code) => {
    const backend = new FakeBackend();
    backend.failAttach = new FabricError(errorCode, { what: 'W', why: 'Y', fix: 'F' });
    expect((await run(backend, addEnv())).json).toEqual({ cniVersion: '1.0.0', code, msg: 'W', details: 'Y. F' });
  });

  test('a bug is code 100 and not a crash', async () => {
    const backend = new FakeBackend();
    backend.failAttach = new Error('oops');
    expect((await run(backend, addEnv())).json).toMatchObject({ code: 100, details: 'oops' });
  });
});

describe('ADD', () => {
  test('A1 fails if the interface exists', async () => {
    const backend = new FakeBackend();
    backend.failAttach = new FabricError('interface-exists', { what: 'eth0 exists' });
    expect((await run(backend, addEnv())).json.code).toBe(102);
    expect(backend.detached).toEqual([]);
  });

  test("A2 refuses a NETNS equal to the plugin's own, checked first", async () => {
    const backend = new FakeBackend();
    const own = { callerNamespace: { dev: NAMESPACE.dev, ino: NAMESPACE.ino } };
    expect((await run(backend, addEnv(), CONFIG, own)).json.code).toBe(4);
    expect(backend.requests).toEqual([]);
    const other = { callerNamespace: { dev: NAMESPACE.dev, ino: NAMESPACE.ino + 1n } };
    expect((await run(backend, addEnv(), CONFIG, other)).outcome.exitCode).toBe(0);
  });

  test.each(['1', 'true', 'TRUE'])("A2 CNI_NETNS_OVERRIDE=%s allows the plugin's own NETNS", async (value) => {
    const own = { callerNamespace: { dev: NAMESPACE.dev, ino: NAMESPACE.ino } };
    const { outcome } = await run(new FakeBackend(), addEnv({ CNI_NETNS_OVERRIDE: value }), CONFIG, own);
    expect(outcome.exitCode).toBe(0);
  });

  test('a NETNS that can not be opened: code 4 with the reason', async () => {
    const { json } = await run(new FakeBackend(), addEnv(), CONFIG, {
      namespace: null,
      namespaceFault: 'No such file',
    });
    expect(json).toMatchObject({ code: 4, details: 'No such file' });
  });

  test('A5 P1 repeated for the same (network, container, ifname) is an error and leaks nothing', async () => {
    const backend = new FakeBackend();
    await run(backend, addEnv());
    expect((await run(backend, addEnv())).json.code).toBe(101);
    expect(backend.attached.size).toBe(1);
    expect(backend.detached).toEqual([]);
  });

  test('A6 another ifname or network of the same container is another attachment', async () => {
    const backend = new FakeBackend();
    await run(backend, addEnv());
    expect((await run(backend, addEnv({ CNI_IFNAME: 'eth1' }))).outcome.exitCode).toBe(0);
    expect((await run(backend, addEnv(), { ...CONFIG, network: 'blue' })).outcome.exitCode).toBe(0);
    expect(backend.attached.size).toBe(3);
  });

  test('L9 whose caller hung up rolls back', async () => {
    const backend = new FakeBackend();
    const caller = new AbortController();
    backend.attachGate = Promise.resolve().then(() => caller.abort());
    const { json } = await run(backend, addEnv(), CONFIG, { signal: caller.signal });
    expect(json.code).toBe(11);
    expect(backend.attached.size).toBe(0);
  });

  test('whose rollback fails says both', async () => {
    const backend = new FakeBackend();
    const caller = new AbortController();
    backend.attachGate = Promise.resolve().then(() => caller.abort());
    backend.stuck.add('c1');
    const { json } = await run(backend, addEnv(), CONFIG, { signal: caller.signal });
    expect(json).toMatchObject({ code: 11, details: 'also: c1 is stuck' });
  });
});

describe('DEL', () => {
  test('D1 F3 removes, prints nothing, succeeds when repeated', async () => {
    const backend = new FakeBackend();
    await run(backend, addEnv());
    for (let i = 0; i < 2; i++) {
      expect((await run(backend, delEnv())).outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    }
    expect(backend.attached.size).toBe(0);
  });

  test.each([
    ['an unknown container', delEnv({ CNI_CONTAINERID: 'unknown' }), CONFIG],
    ['empty NETNS', delEnv({ CNI_NETNS: '' }), CONFIG],
    ['a NETNS that is gone', delEnv(), CONFIG],
    ['a broken prevResult', delEnv(), { ...CONFIG, prevResult: 7 }],
    ['broken wishes', delEnv(), { ...CONFIG, runtimeConfig: 7, args: [], dns: 1, defaultRoute: 0 }],
    ['ipRanges', delEnv(), { ...CONFIG, runtimeConfig: { ipRanges: [[]] } }],
  ])('D2 D3 D5 succeeds for %s', async (_, env, config) => {
    const backend = new FakeBackend();
    const { outcome } = await run(backend, env, config, { namespace: null, namespaceFault: 'gone' });
    expect(outcome.exitCode).toBe(0);
    expect(backend.detached.length).toBe(1);
  });

  test('a DEL that fails says so, that the runtime repeats it', async () => {
    const backend = new FakeBackend();
    backend.stuck.add('c1');
    expect((await run(backend, delEnv())).json.code).toBe(106);
  });
});

describe('CHECK', () => {
  async function attachedWithResult(): Promise<{ backend: FakeBackend; prevResult: Record<string, unknown> }> {
    const backend = new FakeBackend();
    const { json } = await run(backend, addEnv());
    return { backend, prevResult: json };
  }

  test('K1 needs prevResult: code 7', async () => {
    const { backend } = await attachedWithResult();
    expect((await run(backend, checkEnv)).json).toMatchObject({ code: 7, msg: 'required prevResult missing' });
  });

  test('K4 F3 prints nothing when all is well', async () => {
    const { backend, prevResult } = await attachedWithResult();
    const { outcome } = await run(backend, checkEnv, { ...CONFIG, prevResult });
    expect(outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  test('K3 tolerates what later plugins in the chain added and changed', async () => {
    const { backend, prevResult } = await attachedWithResult();
    const [bridge, host, container] = prevResult.interfaces as object[];
    const interfaces = [bridge, host, { ...container, mac: '02:00:00:00:00:77' }, { name: 'ifb0' }];
    const ips = [...(prevResult.ips as object[]), { address: '192.0.2.1/24', interface: 3 }];
    const changed = { ...prevResult, interfaces, ips, routes: [], dns: {}, extra: 1 };
    expect((await run(backend, checkEnv, { ...CONFIG, prevResult: changed })).outcome.exitCode).toBe(0);
  });

  test('K2 reports what the kernel shows wrong and what prevResult lacks, all at once', async () => {
    const { backend, prevResult } = await attachedWithResult();
    backend.findings = [{ what: 'eth0 is down' }, { what: 'no route to 0.0.0.0/0' }];
    const { json } = await run(backend, checkEnv, {
      ...CONFIG,
      prevResult: { ...prevResult, ips: [], interfaces: [] },
    });
    expect(json).toMatchObject({
      code: 112,
      details:
        "prevResult lacks the container's interface eth0; prevResult lacks the address 10.32.0.2/12; " +
        'prevResult lacks the address fd00::2/48; eth0 is down; no route to 0.0.0.0/0',
    });
  });

  test('of what is not attached: code 3', async () => {
    expect((await run(new FakeBackend(), checkEnv, { ...CONFIG, prevResult: {} })).json.code).toBe(3);
  });

  test.each([
    { ips: [{ address: 'x' }] },
    { ips: [{ address: '10.0.0.1/8', interface: 5 }] },
    { ips: [{ address: '10.0.0.1/8', gateway: 'x' }] },
    { interfaces: 7 },
    { routes: [{ dst: 1 }] },
  ])('prevResult %j is malformed: code 7', async (prevResult) => {
    const { backend } = await attachedWithResult();
    expect((await run(backend, checkEnv, { ...CONFIG, prevResult })).json.code).toBe(7);
  });
});

describe('GC', () => {
  const gcEnv = { CNI_COMMAND: 'GC', CNI_PATH: '/opt/cni/bin' };
  const keep = { containerID: 'c2', ifname: 'eth0' };

  async function threeAttached(): Promise<FakeBackend> {
    const backend = new FakeBackend();
    for (const id of ['c1', 'c2', 'c3']) await run(backend, addEnv({ CNI_CONTAINERID: id }), V11);
    return backend;
  }

  test.each(['cni.dev/valid-attachments', 'cni.dev/attachments'])('G1 G2 with %s removes all others', async (key) => {
    const backend = await threeAttached();
    expect((await run(backend, gcEnv, { ...V11, [key]: [keep] })).outcome).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
    expect([...backend.attached.keys()]).toEqual(['fabric/c2/eth0']);
  });

  test('with an empty or null list removes all', async () => {
    for (const list of [[], null]) {
      const backend = await threeAttached();
      await run(backend, gcEnv, { ...V11, 'cni.dev/valid-attachments': list });
      expect(backend.attached.size).toBe(0);
    }
  });

  test('without any list is refused: code 7, nothing removed', async () => {
    const backend = await threeAttached();
    expect((await run(backend, gcEnv, V11)).json.code).toBe(7);
    expect(backend.attached.size).toBe(3);
  });

  test('leaves what another CNI network attached to the same fabric network', async () => {
    const backend = await threeAttached();
    await run(backend, addEnv({ CNI_CONTAINERID: 'c9' }), { ...V11, name: 'other', network: 'fabric' });
    await run(backend, gcEnv, { ...V11, 'cni.dev/valid-attachments': [] });
    expect([...backend.attached.keys()]).toEqual(['fabric/c9/eth0']);
  });

  test('G3 goes on past errors and reports all', async () => {
    const backend = await threeAttached();
    backend.stuck.add('c1').add('c3');
    await run(backend, addEnv({ CNI_CONTAINERID: 'c4' }), V11);
    const { json } = await run(backend, gcEnv, { ...V11, 'cni.dev/valid-attachments': [keep] });
    expect(json).toMatchObject({ code: 113, details: 'c1 is stuck; c3 is stuck' });
    expect(backend.attached.has('fabric/c4/eth0')).toBe(false);
  });

  test.each([[7], [{}], [{ containerID: 'a' }]])('a malformed list %j removes nothing: code 7', async (list) => {
    const backend = await threeAttached();
    expect((await run(backend, gcEnv, { ...V11, 'cni.dev/valid-attachments': list })).json.code).toBe(7);
    expect(backend.attached.size).toBe(3);
  });
});

describe('STATUS', () => {
  const env = { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' };
  test('prints nothing when ADD would work', async () => {
    expect((await run(new FakeBackend(), env, V11)).outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  test.each([
    ['T1 50 when ADD could not work', false, 50],
    ['T2 51 when existing containers are degraded too', true, 51],
  ])('%s', async (_, degraded, code) => {
    const backend = new FakeBackend();
    backend.notReady = { reason: 'pool exhausted', degraded };
    expect((await run(backend, env, V11)).json).toMatchObject({ code, details: 'pool exhausted' });
  });
});

describe('VERSION', () => {
  test.each([
    ['echoes cniVersion', '{"cniVersion":"0.4.0"}', '0.4.0'],
    ['echoes a version that it does not serve', '{"cniVersion":"9.0.0"}', '9.0.0'],
    ['V1 works with empty stdin', '', '1.1.0'],
    ['works with anything on stdin', '[', '1.1.0'],
  ])('%s', async (_, stdin, cniVersion) => {
    const { outcome, json } = await run(new FakeBackend(), { CNI_COMMAND: 'VERSION' }, stdin);
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    expect(json).toEqual({ cniVersion, supportedVersions: CNI_VERSIONS });
  });
});

import { describe, expect, test } from 'vitest';
import { addEnv, CONFIG, FakeBackend, run } from './fake-backend.ts';

const BRIDGE = { ...CONFIG, type: 'bridge', name: 'lan', ipam: { type: 'fabric' } };
const V11 = { ...BRIDGE, cniVersion: '1.1.0' };
const delEnv = addEnv({ CNI_COMMAND: 'DEL' });

describe('C12 our address management behind another plugin', () => {
  test.each([
    [
      '1.0.0',
      {
        ips: [
          { address: '10.32.1.2/12', gateway: '10.47.255.254' },
          { address: 'fd00:1::2/48', gateway: 'fd00::1' },
        ],
        routes: [{ dst: '192.0.2.0/24' }],
      },
    ],
    [
      '0.4.0',
      { ips: [{ version: '4', address: '10.32.1.2/12' }, { version: '6' }], routes: [{ dst: '192.0.2.0/24' }] },
    ],
    ['0.2.0', { ip4: { ip: '10.32.1.2/12', routes: [{ dst: '192.0.2.0/24' }] }, ip6: { ip: 'fd00:1::2/48' } }],
  ])('ADD answers addresses alone, in the form of %s', async (cniVersion, expected) => {
    const backend = new FakeBackend();
    const config = { ...BRIDGE, cniVersion, ipam: { type: 'fabric', routes: [{ dst: '192.0.2.0/24' }] } };
    const { json, outcome } = await run(backend, addEnv(), config);
    expect(outcome.exitCode).toBe(0);
    expect(json).toMatchObject({ cniVersion, ...expected });
    expect(json).not.toHaveProperty('interfaces');
    expect(backend.attached.size).toBe(0);
    expect(backend.addresses.requests[0]).toMatchObject({ owner: 'cni:lan', containerId: 'c1', ifname: 'eth0' });
  });

  test('requested addresses and ranges are handed on', async () => {
    const backend = new FakeBackend();
    await run(backend, addEnv({ CNI_ARGS: 'IP=10.32.7.7' }), {
      ...BRIDGE,
      ipam: { type: 'fabric', subnet: '10.33.0.0/16' },
    });
    expect(backend.addresses.requests[0]?.addresses).toMatchObject({ ips: ['10.32.7.7'], ranges: [[{ prefix: 16 }]] });
  });

  test('a repeated ADD is an error and keeps what the first one has', async () => {
    const backend = new FakeBackend();
    await run(backend, addEnv(), BRIDGE);
    expect((await run(backend, addEnv(), BRIDGE)).json.code).toBe(101);
    expect(backend.addresses.reserved.size).toBe(1);
  });

  test('an ADD whose caller hung up gives back', async () => {
    const backend = new FakeBackend();
    const caller = new AbortController();
    backend.addresses.gate = Promise.resolve().then(() => caller.abort());
    expect((await run(backend, addEnv(), BRIDGE, { signal: caller.signal })).json.code).toBe(11);
    expect(backend.addresses.reserved.size).toBe(0);
  });

  test('DEL frees, repeated too, without namespace; an attachment of the same name stays', async () => {
    const backend = new FakeBackend();
    await run(backend, addEnv());
    await run(backend, addEnv(), BRIDGE);
    for (let i = 0; i < 2; i++) {
      const { outcome } = await run(backend, delEnv, BRIDGE, { namespace: null, namespaceFault: 'gone' });
      expect(outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    }
    expect([backend.addresses.reserved.size, backend.attached.size]).toEqual([0, 1]);
  });

  test('CHECK: reserved, and still in prevResult', async () => {
    const backend = new FakeBackend();
    const env = addEnv({ CNI_COMMAND: 'CHECK' });
    expect((await run(backend, env, BRIDGE)).json.code).toBe(3);
    const { json } = await run(backend, addEnv(), BRIDGE);
    expect((await run(backend, env, BRIDGE)).outcome).toEqual({ exitCode: 0, stdout: '', stderr: '' });
    expect((await run(backend, env, { ...BRIDGE, prevResult: json })).outcome.exitCode).toBe(0);
    expect((await run(backend, env, { ...BRIDGE, prevResult: { ips: [] } })).json).toMatchObject({
      code: 112,
      details: 'prevResult lacks the address 10.32.1.2/12; prevResult lacks the address fd00:1::2/48',
    });
  });

  test('GC frees what the runtime does not list, goes on past errors, and leaves other networks alone', async () => {
    const backend = new FakeBackend();
    for (const id of ['c1', 'c2', 'c3']) await run(backend, addEnv({ CNI_CONTAINERID: id }), V11);
    await run(backend, addEnv({ CNI_CONTAINERID: 'c4' }), { ...V11, name: 'other' });
    backend.addresses.stuck.add('c1');
    const config = { ...V11, 'cni.dev/valid-attachments': [{ containerID: 'c2', ifname: 'eth0' }] };
    const { json } = await run(backend, { CNI_COMMAND: 'GC', CNI_PATH: '/opt/cni/bin' }, config);
    expect(json).toMatchObject({ code: 113, details: 'c1 is stuck' });
    expect([...backend.addresses.reserved.values()].map(({ containerId }) => containerId)).toEqual(['c1', 'c2', 'c4']);
  });

  test('STATUS says when no address could be given', async () => {
    const backend = new FakeBackend();
    const env = { CNI_COMMAND: 'STATUS', CNI_PATH: '/opt/cni/bin' };
    expect((await run(backend, env, V11)).outcome.exitCode).toBe(0);
    backend.notReady = { reason: 'pool exhausted', degraded: false };
    expect((await run(backend, env, V11)).json).toMatchObject({ code: 50, details: 'pool exhausted' });
  });
});

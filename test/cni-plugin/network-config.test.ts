import { describe, expect, test } from 'vitest';
import { addEnv, CONFIG, FakeBackend, run } from './fake-backend.ts';

async function code(config: unknown, verb = 'ADD'): Promise<number> {
  return (await run(new FakeBackend(), addEnv({ CNI_COMMAND: verb }), config)).json.code ?? 0;
}

describe('stdin', () => {
  test.each(['', '{', '[]', 'null', '"x"', '12', '{"name":"a"} x', '\u0000'])(
    'S1 %j is no configuration: code 6',
    async (text) => {
      expect(await code(text)).toBe(6);
    },
  );

  test('S1 bytes that are no UTF-8: code 6', async () => {
    expect(await code(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d))).toBe(6);
  });

  test.each([
    ['missing', undefined],
    ['empty', ''],
    ['null', null],
    ['with a slash', 'a/b'],
    ['with a leading dash', '-a'],
    ['a number', 7],
  ])('E4 network name %s: code 7', async (_, name) => {
    expect(await code({ ...CONFIG, name })).toBe(7);
  });

  test.each(['9.9.9', '1.0', '0.2.1', 'latest', 'v1.0.0', '1.0.0 '])(
    'S2 unsupported cniVersion %j: code 1',
    async (cniVersion) => {
      expect(await code({ ...CONFIG, cniVersion })).toBe(1);
    },
  );

  test('cniVersion that is no string: code 6', async () => {
    expect(await code({ ...CONFIG, cniVersion: 1 })).toBe(6);
  });

  test.each([
    ['CHECK', '0.3.1', 1],
    ['CHECK', '0.1.0', 1],
    ['CHECK', '0.4.0', 7],
    ['GC', '1.0.0', 1],
    ['GC', '0.4.0', 1],
    ['STATUS', '1.0.0', 1],
    ['STATUS', '1.1.0', 0],
  ])('S3 %s with cniVersion %s: code %d', async (verb, cniVersion, expected) => {
    expect(await code({ ...CONFIG, cniVersion }, verb)).toBe(expected);
  });

  test('S5 missing cniVersion means 0.1.0', async () => {
    const { json } = await run(new FakeBackend(), addEnv(), { name: 'fabric', type: 'fabric' });
    expect(json).toMatchObject({ cniVersion: '0.1.0', ip4: { ip: '10.32.0.2/12' } });
  });

  test('S4 keys are matched without regard to case', async () => {
    const backend = new FakeBackend();
    const config = {
      CNIVERSION: '1.0.0',
      Name: 'fabric',
      Network: 'blue',
      RuntimeConfig: { IPs: ['10.32.0.9'], MAC: '02:00:00:00:00:99' },
      DNS: { NameServers: ['10.0.0.1'] },
    };
    const { json } = await run(backend, addEnv(), config);
    expect(json).toMatchObject({ cniVersion: '1.0.0', dns: { nameservers: ['10.0.0.1'] } });
    expect(backend.requests[0]).toMatchObject({
      network: 'blue',
      addresses: { ips: ['10.32.0.9'] },
      mac: '02:00:00:00:00:99',
    });
  });

  test('of several spellings of a key the last one counts', async () => {
    expect(await code('{"cniVersion":"1.0.0","NAME":"a/b","name":"fabric"}')).toBe(0);
    expect(await code('{"cniVersion":"1.0.0","name":"fabric","NAME":"a/b"}')).toBe(7);
  });

  test('three keys are a complete configuration, of the network fabric', async () => {
    const backend = new FakeBackend();
    const { outcome } = await run(backend, addEnv());
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    expect(backend.requests[0]).toMatchObject({ network: 'fabric', owner: 'cni:fabric', addresses: { ips: [] } });
  });

  test('unknown keys and keys of the shim are passed over', async () => {
    expect(await code({ ...CONFIG, runDir: '/a', stateDir: '/b', capabilities: { ips: true }, foo: [1] })).toBe(0);
  });

  test('network that is no name: code 7', async () => {
    expect(await code({ ...CONFIG, network: '../x' })).toBe(7);
  });

  test.each([
    ['args', 7],
    ['runtimeConfig', []],
    ['runtimeConfig', { ips: 'x' }],
    ['runtimeConfig', { ips: [1] }],
    ['runtimeConfig', { mac: 2 }],
    ['runtimeConfig', { aliases: 'x' }],
    ['dns', []],
    ['dns', { nameservers: [1] }],
    ['ipam', 'x'],
    ['ipam', { type: 1 }],
    ['ipam', { type: '../evil' }],
    ['prevResult', []],
    ['defaultRoute', 'yes'],
  ])('%s of the wrong type (%j): code 7 and nothing attached', async (key, value) => {
    const backend = new FakeBackend();
    const { json } = await run(backend, addEnv(), { ...CONFIG, [key]: value });
    expect(json.code).toBe(7);
    expect(backend.requests).toEqual([]);
  });
});

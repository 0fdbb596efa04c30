import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import type { CniOutcome, PluginCall, PluginExec } from '../../src/cni-plugin/ipam-plugin.ts';
import { addEnv, CONFIG, FakeBackend, run } from './fake-backend.ts';

const HOST_LOCAL = { ...CONFIG, ipam: { type: 'host-local', subnet: '10.32.9.0/24' } };
const GRANT = JSON.stringify({
  cniVersion: '1.0.0',
  ips: [{ address: '10.32.9.7/24', gateway: '10.32.9.1' }],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '192.0.2.0/24', gw: '10.32.9.2' }],
});

/** A foreign plugin that answers ADD with `grant` and everything else with nothing; keeps the verbs that it ran. */
function plugin(grant: string | CniOutcome = GRANT): { exec: PluginExec; verbs: string[]; calls: PluginCall[] } {
  const verbs: string[] = [];
  const calls: PluginCall[] = [];
  const exec: PluginExec = async (call) => {
    const verb = call.env.CNI_COMMAND ?? '';
    verbs.push(verb);
    calls.push(call);
    if (verb !== 'ADD') return { exitCode: 0, stdout: '', stderr: '' };
    return typeof grant === 'string' ? { exitCode: 0, stdout: grant, stderr: '' } : grant;
  };
  return { exec, verbs, calls };
}

describe('C11 delegation to another IPAM plugin', () => {
  test('ADD: its addresses and routes, not ours; it gets our configuration', async () => {
    const backend = new FakeBackend();
    const { exec, calls } = plugin();
    const { json } = await run(backend, addEnv(), HOST_LOCAL, { exec });
    expect(json).toMatchObject({ ips: [{ address: '10.32.9.7/24' }] });
    expect(backend.requests[0]).toMatchObject({ foreignIpam: { plugin: 'host-local' }, routes: [] });
    expect(backend.given).toEqual([
      {
        addresses: [{ address: '10.32.9.7/24', gateway: null }],
        routes: [
          { dst: '0.0.0.0/0', gw: null },
          { dst: '192.0.2.0/24', gw: '10.32.9.2' },
        ],
      },
    ]);
    expect(calls).toMatchObject([{ plugin: 'host-local', env: { CNI_COMMAND: 'ADD' } }]);
    expect(JSON.parse(new TextDecoder().decode(calls[0]?.stdin))).toEqual(HOST_LOCAL);
  });

  test('its ranges are its own business', async () => {
    const { exec } = plugin();
    const config = { ...HOST_LOCAL, runtimeConfig: { ipRanges: [[{ subnet: '10.32.9.0/24' }]] } };
    expect((await run(new FakeBackend(), addEnv(), config, { exec })).outcome.exitCode).toBe(0);
  });

  test('an older result form is understood', async () => {
    const { exec } = plugin('{"ip4":{"ip":"10.32.9.8/24","gateway":"10.32.9.1","routes":[{"dst":"0.0.0.0/0"}]}}');
    const backend = new FakeBackend();
    await run(backend, addEnv(), { ...HOST_LOCAL, cniVersion: '0.2.0' }, { exec });
    expect(backend.given).toEqual([
      { addresses: [{ address: '10.32.9.8/24', gateway: null }], routes: [{ dst: '0.0.0.0/0', gw: null }] },
    ]);
  });

  test.each([
    ['host-local, named in ipam', 'host-local', { subnet: '10.32.9.0/24', gateway: '10.32.9.1' }, '10.32.9.1'],
    ['host-local, named in a range', 'host-local', { ranges: [[{ Gateway: '10.32.9.1' }]] }, '10.32.9.1'],
    ['host-local, its own idea', 'host-local', { subnet: '10.32.9.0/24' }, null],
    ['static', 'static', {}, '10.32.9.1'],
    ['dhcp', 'dhcp', {}, '10.32.9.1'],
  ])('gateway: %s', async (_, type, ipam, gateway) => {
    const backend = new FakeBackend();
    const { exec } = plugin();
    await run(backend, addEnv(), { ...CONFIG, ipam: { type, ...ipam } }, { exec });
    expect(backend.given[0]?.addresses).toEqual([{ address: '10.32.9.7/24', gateway }]);
  });

  test('ADD whose attach fails before the plugin ran asks it for nothing', async () => {
    const backend = new FakeBackend();
    backend.failAttach = new FabricError('netlink', { what: 'no veth' });
    const { exec, verbs } = plugin();
    expect((await run(backend, addEnv(), HOST_LOCAL, { exec })).json.code).toBe(106);
    expect(verbs).toEqual([]);
  });

  test('ADD whose addresses are refused gives them back', async () => {
    const backend = new FakeBackend();
    backend.failAddressed = new FabricError('address-in-use', { what: '10.32.9.7 is in use' });
    const { exec, verbs } = plugin();
    expect((await run(backend, addEnv(), HOST_LOCAL, { exec })).json).toMatchObject({ code: 104 });
    expect(verbs).toEqual(['ADD', 'DEL']);
  });

  test('ADD that is given up after the plugin ran gives the address back', async () => {
    const backend = new FakeBackend();
    const caller = new AbortController();
    backend.attachGate = Promise.resolve().then(() => caller.abort());
    const { exec, verbs } = plugin();
    expect((await run(backend, addEnv(), HOST_LOCAL, { exec, signal: caller.signal })).json.code).toBe(11);
    expect(verbs).toEqual(['ADD', 'DEL']);
    expect(backend.attached.size).toBe(0);
  });

  test('ADD repeated does not touch the reservation of the first', async () => {
    const backend = new FakeBackend();
    const { exec, verbs } = plugin();
    await run(backend, addEnv(), HOST_LOCAL, { exec });
    expect((await run(backend, addEnv(), HOST_LOCAL, { exec })).json.code).toBe(101);
    expect(verbs).toEqual(['ADD']);
  });

  test("the plugin's own error keeps its code and names it; nothing is attached", async () => {
    const backend = new FakeBackend();
    const { exec, verbs } = plugin({ exitCode: 1, stdout: '{"code":11,"msg":"busy","details":"later"}', stderr: '' });
    expect((await run(backend, addEnv(), HOST_LOCAL, { exec })).json).toMatchObject({
      code: 11,
      msg: 'IPAM plugin host-local failed on ADD: busy',
      details: 'later',
    });
    expect(verbs).toEqual(['ADD', 'DEL']);
    expect(backend.attached.size).toBe(0);
  });

  test.each([
    ['nothing', '', 114],
    ['no JSON', 'hello', 114],
    ['no address', '{"cniVersion":"1.0.0"}', 114],
    ['an unknown version', '{"cniVersion":"7"}', 114],
    ['a wrong address', '{"cniVersion":"1.0.0","ips":[{"address":"x"}]}', 7],
  ])('an answer of %s is an error and its reservation is given back', async (_, answer, code) => {
    const { exec, verbs } = plugin(answer);
    expect((await run(new FakeBackend(), addEnv(), HOST_LOCAL, { exec })).json.code).toBe(code);
    expect(verbs).toEqual(['ADD', 'DEL']);
  });

  test('DEL detaches and runs its DEL, also when detaching fails', async () => {
    for (const stuck of [false, true]) {
      const backend = new FakeBackend();
      if (stuck) backend.stuck.add('c1');
      const { exec, verbs } = plugin();
      const { outcome } = await run(backend, addEnv({ CNI_COMMAND: 'DEL' }), HOST_LOCAL, { exec });
      expect(outcome.exitCode).toBe(stuck ? 1 : 0);
      expect(verbs).toEqual(['DEL']);
      expect(backend.detached.length).toBe(1);
    }
  });

  test('a deferred DEL, with nobody to run it, detaches alone: the shim ran its DEL', async () => {
    const backend = new FakeBackend();
    expect((await run(backend, addEnv({ CNI_COMMAND: 'DEL' }), HOST_LOCAL)).outcome.exitCode).toBe(0);
    expect(backend.detached.length).toBe(1);
  });

  test('CHECK, GC and STATUS run it too', async () => {
    const backend = new FakeBackend();
    const { exec, verbs } = plugin();
    const config = { ...HOST_LOCAL, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
    const { json } = await run(backend, addEnv(), config, { exec });
    await run(backend, addEnv({ CNI_COMMAND: 'CHECK' }), { ...config, prevResult: json }, { exec });
    await run(backend, addEnv({ CNI_COMMAND: 'STATUS' }), config, { exec });
    await run(backend, addEnv({ CNI_COMMAND: 'GC' }), config, { exec });
    expect(verbs).toEqual(['ADD', 'CHECK', 'STATUS', 'GC']);
  });

  test('our IPAM by name is no delegation', async () => {
    const backend = new FakeBackend();
    expect((await run(backend, addEnv(), { ...CONFIG, ipam: { type: 'fabric' } })).outcome.exitCode).toBe(0);
    expect(backend.requests[0]?.foreignIpam).toBeNull();
  });
});

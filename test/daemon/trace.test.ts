import { describe, expect, test } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { traceText } from '../../src/cli/commands/trace.ts';
import { type LocalPort, type TracePorts, Tracer } from '../../src/daemon/trace.ts';
import type { FramePath } from '../../src/host/linux/frame-path.ts';
import type { Route } from '../../src/router/routes.ts';
import type { TunnelStatus } from '../../src/router/tunnel-options.ts';

const A = 'aa'.repeat(16) as PeerId;
const B = 'bb'.repeat(16) as PeerId;
const WEB = '02:00:00:00:00:01' as Mac;
const NEAR = '02:00:00:00:00:02' as Mac;
const FAR = '02:00:00:00:00:03' as Mac;
const HOST = '02:00:00:00:00:04' as Mac;

const route = (mac: Mac, ips: readonly string[], peer: PeerId, change: Partial<Route> = {}): Route => ({
  network: DEFAULT_VNI,
  mac,
  ips,
  peer,
  local: peer === A,
  sequence: 0,
  state: 'active',
  reason: null,
  ...change,
});
const port = (mac: Mac, name: string, change: Partial<LocalPort> = {}): LocalPort => ({
  mac,
  name,
  containerId: `${name}-0123456789`,
  ifname: 'eth0',
  portName: `fab-${name}`,
  owner: 'cli',
  attached: true,
  ...change,
});
const TUNNEL: TunnelStatus = {
  peer: B,
  state: 'established',
  reason: null,
  cipher: 'aes-256-gcm',
  handshakeRttMs: 1,
  endpoint: makeEndpoint('192.0.2.12', 6783)!,
  relay: null,
  nat: 'none',
  pathMtu: 1500,
  sessionAgeMs: 40_000,
  capabilities: 1,
  unansweredMs: null,
  heardMs: 1,
};
const KERNEL: FramePath = {
  port: { name: 'fab-web', fault: null },
  entry: null,
  overlayPort: { name: 'fabric0p', fault: null },
  route: { dst: '192.0.2.0/24', ifname: 'eth0', gateway: null, mtu: 1500 },
};
const FAR_ROUTE = route(FAR, ['10.40.0.1', 'fd00::9', 'fe80::3'], B, { sequence: 2 });

function tracer(change: Partial<TracePorts> = {}): Tracer {
  return new Tracer({
    bridge: 'fabric0',
    localPorts: () => [
      port(WEB, 'web'),
      port(NEAR, 'near'),
      port(HOST, 'host', { ifname: '', containerId: '', portName: 'fabric0i', owner: 'fabric' }),
    ],
    routes: () => [
      route(WEB, ['10.32.0.3'], A),
      route(NEAR, ['10.32.0.4'], A),
      route(HOST, ['10.32.0.2'], A),
      FAR_ROUTE,
    ],
    installedSinceMs: () => 1_000,
    nowMs: () => 61_000,
    addressesOf: (name) => (name === 'client' ? ['10.40.0.1'] : []),
    nicknameOf: (peer) => (peer === B ? 'two' : 'one'),
    kernel: async ({ destination }) =>
      destination === NEAR ? { ...KERNEL, entry: { portName: 'fab-near', state: 'static' } } : KERNEL,
    datapath: () => ({ name: 'engine', fault: null }),
    isPlain: () => false,
    tunnel: () => TUNNEL,
    probe: async () => 0.4,
    askPort: async () => ({ hostIfname: 'fab9', ifname: 'eth0', name: 'client', up: true }),
    ...change,
  });
}

describe('a trace', () => {
  test('to another host', async () => {
    const found = await tracer().trace('web', '10.40.0.1');
    expect(traceText(found).split('\n')).toEqual([
      'web (10.32.0.3, 02:00:00:00:00:01) on this host',
      '  → 10.40.0.1 (10.40.0.1, fd00::9, 02:00:00:00:00:03) on two',
      '',
      'HOP               WHAT                         BECAUSE                                                 TIME',
      '1    container    eth0 of web                  attached by cli',
      '2    port         fab-web                      its end in the bridge, and what it may send',
      '3    bridge       fabric0                      no entry for 02:00:00:00:00:03: floods to fabric0p',
      '4    table        02:00:00:00:00:03 is on two  claimed by two, sequence 2, in the table for 60 s',
      '5    datapath     engine on fabric0p           it reads what the bridge floods',
      '6    tunnel       tunnel to two                aes-256-gcm, established for 40 s, path MTU 1500 bytes',
      '7    underlay     UDP to 192.0.2.12:6783       route 192.0.2.0/24 dev eth0, MTU 1500',
      '8    probe        two answers                  a small datagram through the tunnel, there and back     0.4 ms',
      '9    remote-port  fab9 on two: eth0 of client  two says so',
      '',
      'it gets there',
    ]);
  });

  test('by a relay: the underlay leads to it, and its own tunnel has to stand', async () => {
    const R = 'cc'.repeat(16) as PeerId;
    const relayed: TunnelStatus = { ...TUNNEL, endpoint: null, relay: R };
    const toRelay: TunnelStatus = { ...TUNNEL, peer: R, endpoint: makeEndpoint('192.0.2.13', 6783)! };
    const nicknameOf = (peer: PeerId): string => (peer === R ? 'three' : 'two');
    const tunnel = (peer: PeerId): TunnelStatus => (peer === R ? toRelay : relayed);
    const found = await tracer({ tunnel, nicknameOf }).trace('web', '10.40.0.1');
    expect(found.reached).toBe(true);
    expect(found.hops.slice(5, 8).map(({ kind, what }) => [kind, what])).toEqual([
      ['tunnel', 'tunnel to two'],
      ['relay', 'three passes it on'],
      ['underlay', 'UDP to 192.0.2.13:6783'],
    ]);
    const down = (peer: PeerId): TunnelStatus => (peer === R ? { ...toRelay, state: 'failed' } : relayed);
    const broken = await tracer({ tunnel: down, nicknameOf }).trace('web', '10.40.0.1');
    expect(broken.hops.at(-1)).toMatchObject({ kind: 'relay', fault: 'no direct tunnel to three' });
  });

  test('on one host', async () => {
    const { hops, reached } = await tracer().trace('web', 'near');
    expect(reached).toBe(true);
    expect(hops.map(({ kind }) => kind)).toEqual(['container', 'port', 'bridge', 'table', 'container']);
    expect(hops[2]!.because).toBe('static entry: 02:00:00:00:00:02 is behind fab-near');
  });

  test.each([
    ['by name', 'web', 'client'],
    ['by MAC', WEB.toUpperCase(), FAR],
    ['by address', '10.32.0.3', '10.40.0.1'],
    ['by IPv6 address however it is written', '10.32.0.3', 'FD00:0::9'],
    ['by id', 'web-01', 'client'],
    ['from the host itself', 'host', 'client'],
  ])('finds both %s', async (_, from, to) => {
    const found = await tracer().trace(from, to);
    expect([found.from.local, found.to.mac, found.reached]).toEqual([true, FAR, true]);
  });

  const down: FramePath = { ...KERNEL, port: { name: 'fab-web', fault: 'fab-web is down' } };
  const learned: FramePath = { ...KERNEL, entry: { portName: 'eth7', state: 'learned' } };
  const dead: FramePath = { ...KERNEL, overlayPort: { name: 'fabric0p', fault: 'fabric0p has no carrier' } };
  test.each([
    [
      'a half-attached container',
      { localPorts: () => [port(WEB, 'web', { attached: false })] },
      'container',
      /not complete/,
    ],
    ['a port that is down', { kernel: async () => down }, 'port', /is down/],
    ['a bridge that believes it elsewhere', { kernel: async () => learned }, 'bridge', /another port/],
    [
      'a dead host',
      { routes: () => [route(WEB, [], A), { ...FAR_ROUTE, state: 'stale' as const, reason: 'its host is dead' }] },
      'table',
      /stale: its host is dead/,
    ],
    ['no datapath', { datapath: () => ({ name: 'none', fault: 'it failed' }) }, 'datapath', /it failed/],
    ['a port without an engine', { kernel: async () => dead }, 'datapath', /no carrier/],
    [
      'no session',
      { tunnel: () => ({ ...TUNNEL, state: 'handshaking' as const, reason: 'no answer from 192.0.2.12:6783 yet' }) },
      'tunnel',
      /no answer from/,
    ],
    ['no record of the tunnel', { tunnel: () => null }, 'tunnel', /record has not come/],
    ['no way', { kernel: async () => ({ ...KERNEL, route: null }) }, 'underlay', /no route to 192\.0\.2\.12/],
    ['no answer', { probe: async () => null }, 'probe', /no answer/],
    ['a port that is gone', { askPort: async () => null }, 'remote-port', /no port with this MAC/],
    [
      'a port that is down there',
      { askPort: async () => ({ hostIfname: 'fab9', ifname: 'eth0', name: '', up: false }) },
      'remote-port',
      /is down/,
    ],
  ] satisfies readonly (readonly [string, Partial<TracePorts>, string, RegExp])[])(
    'dies at %s',
    async (_, change, kind, words) => {
      const found = await tracer(change).trace('web', FAR);
      const last = found.hops.at(-1)!;
      expect([found.reached, last.kind]).toEqual([false, kind]);
      expect(last.fault).toMatch(words);
      expect(found.hops.slice(0, -1).every(({ fault }) => fault === null)).toBe(true);
      expect(traceText(found)).toMatch(/it dies at hop \d+ \([a-z-]+\): /);
    },
  );

  test('over plain VXLAN has an entry of the bridge for it', async () => {
    const kernel = async (): Promise<FramePath> => ({ ...KERNEL, entry: { portName: 'fabric0v', state: 'static' } });
    const { hops, reached } = await tracer({ kernel, isPlain: () => true }).trace('web', FAR);
    expect([reached, hops.map(({ kind }) => kind).slice(3, 6)]).toEqual([true, ['table', 'tunnel', 'underlay']]);
  });

  test('to a peer that does not say whose port it is still gets there', async () => {
    expect((await tracer({ askPort: async () => 'unknown' }).trace('web', FAR)).reached).toBe(true);
  });

  test.each([
    ['from another host', FAR, 'web', 'usage'],
    ['to nobody', 'web', '10.99.0.1', 'name-unknown'],
    ['from nobody', 'nobody', 'web', 'name-unknown'],
  ])('%s is refused', async (_, from, to, code) => {
    await expect(tracer().trace(from, to)).rejects.toMatchObject({ code });
  });

  test('from a name that two containers have is refused', async () => {
    const twice = tracer({ localPorts: () => [port(WEB, 'web'), port(NEAR, 'web')] });
    await expect(twice.trace('web', FAR)).rejects.toMatchObject({ code: 'usage' });
  });
});

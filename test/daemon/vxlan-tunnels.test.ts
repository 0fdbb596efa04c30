import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import type { Cancel, Timers } from '../../src/base/capabilities.ts';
import { DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../../src/base/ids.ts';
import { VxlanTunnels } from '../../src/daemon/vxlan-tunnels.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import type { FramePort, FramePortEvents } from '../../src/router/pcap/frame-port.ts';
import { openProbe, probeKey, probeMacOf, sealProbe } from '../../src/router/vxlan/probe-message.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { FakeHostNetwork } from './fake-host-network.ts';

const SELF = 'aa'.repeat(16) as PeerId;
const PEER = 'bb'.repeat(16) as PeerId;
const OTHER = 'cc'.repeat(16) as PeerId;
const MAC = '02:00:00:00:00:01' as Mac;
const PEER_IP = '192.0.2.2';
const PSK = new Uint8Array(32).fill(1);
const SELF_PRIVATE = new Uint8Array(32).fill(2);
const PEER_PRIVATE = new Uint8Array(32).fill(3);
const KEY = probeKey(nodeCrypto, {
  staticPrivate: PEER_PRIVATE,
  peerStatic: nodeCrypto.x25519Key(SELF_PRIVATE).publicKey,
  psk: PSK,
})!;

/** Timers on the manual clock. */
class ManualTimers implements Timers {
  readonly #clock: ManualClock;
  readonly #due = new Set<{ readonly atMs: number; readonly run: () => void }>();

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  after(ms: number, run: () => void): Cancel {
    const entry = { atMs: this.nowMs() + ms, run };
    this.#due.add(entry);
    return () => void this.#due.delete(entry);
  }

  soon(run: () => void): Cancel {
    return this.after(0, run);
  }

  /** What is due runs; what was promised meanwhile settles. */
  async advance(ms: number): Promise<void> {
    for (let passed = 0; passed <= ms; passed += 10) {
      for (const entry of [...this.#due]) {
        if (entry.atMs > this.nowMs() || !this.#due.delete(entry)) continue;
        entry.run();
      }
      await settled();
      this.#clock.advance(10);
    }
  }
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

/** The peer behind the probe device: answers while `answers`. */
class ProbeDevice implements FramePort {
  events: FramePortEvents | null = null;
  answers = true;
  closed = false;
  readonly kinds: string[] = [];

  open(events: FramePortEvents): void {
    this.events = events;
  }

  inject(frame: Uint8Array): boolean {
    const probe = openProbe(nodeCrypto, frame, { self: PEER, keyOf: () => KEY });
    if (typeof probe === 'string') throw new Error(probe);
    this.kinds.push(probe.kind);
    if (probe.kind !== 'ask' || !this.answers) return true;
    const answer = sealProbe(nodeCrypto, KEY, { ...probe, kind: 'answer', from: PEER, to: SELF }, frame.length);
    queueMicrotask(() => this.events?.frame(answer, answer.length));
    return true;
  }

  losses() {
    return { overload: 0, captureOverrun: 0 };
  }

  close(): void {
    this.closed = true;
    this.events = null;
  }
}

function setUp() {
  const clock = new ManualClock();
  const timers = new ManualTimers(clock);
  const host = new FakeHostNetwork();
  const devices: ProbeDevice[] = [];
  const proven: PeerId[] = [];
  const vxlan = new VxlanTunnels({
    self: SELF,
    staticPrivate: SELF_PRIVATE,
    psk: PSK,
    trusted: [parseCidr('192.0.2.0/24')!],
    mtu: 1418,
    local: null,
    clock,
    timers,
    random: new SeededRandom(1),
    crypto: nodeCrypto,
    log: new RecordingLog(),
    host,
    proven: (peer) => void proven.push(peer),
    openProbe: () => {
      const device = new ProbeDevice();
      devices.push(device);
      return device;
    },
  });
  const meet = () => {
    vxlan.learn(PEER, { staticKey: nodeCrypto.x25519Key(PEER_PRIVATE).publicKey, alive: true });
    vxlan.learn(PEER, { endpoint: PEER_IP, pathMtu: 1500 });
  };
  const put = (mac: Mac, to: PeerId | 'local', network: Vni = DEFAULT_VNI) =>
    vxlan.applyTables([{ kind: 'mac', network, mac, to }]);
  return { timers, host, devices, proven, vxlan, meet, put };
}

async function upAndRunning() {
  const world = setUp();
  world.vxlan.start();
  world.put(MAC, PEER);
  world.meet();
  await world.timers.advance(1_000);
  expect(world.vxlan.view(PEER)?.state).toBe('up');
  return world;
}

describe('the plan', () => {
  test('is made of devices alone at first: nobody is let in', async () => {
    const { vxlan, host, timers } = setUp();
    vxlan.start();
    await timers.advance(100);
    expect(host.vxlan).toEqual({ families: [4], local: null, probeMac: probeMacOf(SELF), peers: [], paths: new Map() });
  });

  test('lets a peer in before its path is proven, and sends frames only after', async () => {
    const { vxlan, host, timers, devices, meet, put } = setUp();
    vxlan.start();
    await timers.advance(100);
    devices[0]!.answers = false;
    put(MAC, PEER);
    meet();
    await timers.advance(300);
    expect(host.vxlan?.peers).toEqual([{ ip: PEER_IP, probeMac: probeMacOf(PEER) }]);
    expect(host.vxlan?.paths.size).toBe(0);
    devices[0]!.answers = true;
    await timers.advance(3_000);
    expect(host.vxlan?.paths).toEqual(new Map([[MAC, PEER_IP]]));
  });

  test('follows MACs that come, move and go, of the default network only', async () => {
    const { vxlan, host, timers, put } = await upAndRunning();
    const second = '02:00:00:00:00:02' as Mac;
    put(second, PEER);
    put('02:00:00:00:00:03' as Mac, PEER, 7 as Vni);
    put('02:00:00:00:00:04' as Mac, 'local');
    await timers.advance(10);
    expect([...host.vxlan!.paths.keys()]).toEqual([MAC, second]);
    put(MAC, OTHER);
    vxlan.applyTables([{ kind: 'mac-gone', network: DEFAULT_VNI, mac: second }]);
    await timers.advance(10);
    expect(host.vxlan!.paths.size).toBe(0);
  });

  test('is not made anew for MACs of peers that are not plain', async () => {
    const { host, timers, put } = await upAndRunning();
    const before = host.calls.length;
    put('02:00:00:00:00:05' as Mac, OTHER);
    await timers.advance(10);
    expect(host.calls.length).toBe(before);
  });

  test('loses the paths of a peer that answers no more', async () => {
    const { host, timers, devices } = await upAndRunning();
    devices[0]!.answers = false;
    await timers.advance(4_000);
    expect(host.vxlan?.paths.size).toBe(0);
    expect(host.vxlan?.peers).toHaveLength(1);
  });
});

test('each answer wants the encrypted tunnel, and a restart of the peer ends plain frames at once', async () => {
  const { vxlan, host, timers, proven } = await upAndRunning();
  expect(proven.length).toBeGreaterThan(1);
  expect(new Set(proven)).toEqual(new Set([PEER]));
  vxlan.restarted(PEER);
  await timers.advance(0);
  expect(host.vxlan?.paths.size).toBe(0);
});

test('a path counts as plain from when the kernel has it until the kernel has it no more', async () => {
  const { vxlan, host, timers, put, meet } = setUp();
  let letGo = (): void => undefined;
  const hold = (): void => {
    host.before.applyVxlan = () => new Promise<void>((resolve) => (letGo = resolve));
  };
  vxlan.start();
  put(MAC, PEER);
  await timers.advance(10);
  meet();
  await timers.advance(150);
  hold();
  await timers.advance(500);
  expect(vxlan.view(PEER)).toEqual({ state: 'trying', reason: 'its forwarding entries are being made' });
  letGo();
  await timers.advance(0);
  expect(vxlan.view(PEER)).toEqual({ state: 'up', reason: null });
  vxlan.learn(PEER, { alive: false });
  await timers.advance(10);
  expect(vxlan.view(PEER)?.state).toBe('up');
  letGo();
  await timers.advance(0);
  expect(vxlan.view(PEER)?.state).toBe('barred');
});

describe('failures', () => {
  test('what the kernel refuses is the reason of every tunnel, and is tried again', async () => {
    const { vxlan, host, timers, meet } = setUp();
    host.before.applyVxlan = () => Promise.reject(new Error('no module vxlan'));
    vxlan.start();
    meet();
    await timers.advance(1_000);
    expect(vxlan.view(PEER)).toEqual({ state: 'barred', reason: expect.stringContaining('no module vxlan') });
    expect(host.calls).toHaveLength(1);
    delete host.before.applyVxlan;
    await timers.advance(12_000);
    expect(vxlan.view(PEER)?.state).toBe('up');
  });

  test('a probe device that vanished is opened again', async () => {
    const { vxlan, timers, devices } = await upAndRunning();
    devices[0]!.events!.failed('gone');
    await timers.advance(20_000);
    expect(devices).toHaveLength(2);
    expect(vxlan.view(PEER)?.state).toBe('up');
  });
});

test('a stop takes consent back, then everything out of the kernel, once', async () => {
  const { vxlan, host, devices } = await upAndRunning();
  const ask = sealProbe(nodeCrypto, KEY, { kind: 'ask', from: PEER, to: SELF, nonce: '11'.repeat(16) }, 0);
  devices[0]!.events!.frame(ask, ask.length);
  await vxlan.stop();
  expect(devices[0]!.kinds.at(-1)).toBe('withdraw');
  expect([host.vxlan, devices[0]!.closed]).toEqual([null, true]);
  const calls = host.calls.length;
  await vxlan.stop();
  expect(host.calls.length).toBe(calls);
});

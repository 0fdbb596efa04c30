import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { DatapathChoice, ENGINE_FAILURES_MAX, type HostDatapath } from '../../src/daemon/datapath-choice.ts';
import { DatapathSlot } from '../../src/daemon/datapath-slot.ts';
import type { DatapathWish } from '../../src/daemon/launch-options.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import {
  type Datapath,
  type DatapathEvents,
  type Lasting,
  type LastingSession,
  NOTHING_RELAYED,
  type TableChange,
} from '../../src/router/datapath.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const peer = 'bb'.repeat(16) as PeerId;
const SESSION: LastingSession = {
  peer,
  localIndex: 1,
  remoteIndex: 2,
  cipher: 'aes-256-gcm',
  initiator: true,
  confirmed: true,
  exhausted: false,
  createdMs: 5,
  pathMtu: 1500,
  capabilities: 0,
  role: 'current',
  path: { ip: '192.0.2.2', port: 6783 },
};
const FLOOD: TableChange = { kind: 'flood', network: 0 as never, peers: [peer] };

/** A datapath that only remembers what it was told. */
class RecordedDatapath implements Datapath {
  readonly name: HostDatapath;
  readonly told: string[] = [];
  events: DatapathEvents | null = null;
  tables: readonly TableChange[] = [];
  refusal: Error | null = null;
  /** Present: it outlives us, and kept these sessions. */
  left: readonly LastingSession[] | null = null;

  constructor(name: HostDatapath) {
    this.name = name;
  }

  get lasting(): Lasting | undefined {
    const { left } = this;
    if (left === null) return undefined;
    return {
      adoptable: () => left,
      replaceTables: (changes) => {
        this.told.push('replace');
        this.tables = changes;
      },
      release: async () => {
        this.told.push('release');
      },
    };
  }

  async start(events: DatapathEvents): Promise<void> {
    if (this.refusal !== null) throw this.refusal;
    this.events = events;
    this.told.push('start');
  }

  async stop(): Promise<void> {
    this.told.push('stop');
  }

  addSession(): void {}
  useSession(): void {}
  removeSession(): void {}
  setPath(): void {}
  setPathMtu(_peer: PeerId, bytes: number): void {
    this.told.push(`mtu ${bytes}`);
  }
  applyTables(changes: readonly TableChange[]): void {
    this.tables = changes;
  }

  async settle(): Promise<void> {}
  sendRaw(): void {}
  sendKeepalive(): void {}
  sendProbe(): void {}
  removePeer(): void {}
  stats() {
    return { peers: [], drops: { 'send-failed': 1 }, framesIn: 3, framesOut: 4, relayed: NOTHING_RELAYED };
  }
}

function setUp(wish: DatapathWish = 'pcap') {
  const made: RecordedDatapath[] = [];
  /** `refusal`: of every datapath; `engineRefusal`: of the engine alone. */
  const world = {
    refusal: null as Error | null,
    engineRefusal: null as Error | null,
    left: null as readonly LastingSession[] | null,
    replaced: 0,
    started: [] as object[],
  };
  const nothing = () => undefined;
  const slot = new DatapathSlot({
    timers: systemTimers,
    log: new RecordingLog(),
    choice: new DatapathChoice(wish, new ManualClock()),
    make: async (name) => {
      const datapath = new RecordedDatapath(name);
      datapath.left = world.left;
      datapath.refusal = name === 'engine' ? (world.engineRefusal ?? world.refusal) : world.refusal;
      made.push(datapath);
      return datapath;
    },
    events: {
      handshake: nothing,
      sessionWanted: nothing,
      relayWanted: nothing,
      sessionConfirmed: nothing,
      roamed: nothing,
      probeAnswered: nothing,
      sessionExhausted: nothing,
      learned: nothing,
    },
    tables: () => [FLOOD],
    started: (left) => world.started.push(left),
    replaced: () => world.replaced++,
  });
  return { slot, made, world };
}

test('before it started: a reason, no counters, and commands that go nowhere', () => {
  const { slot } = setUp();
  expect(slot.failure).toBe('not started yet');
  expect(slot.stats()).toEqual({ peers: [], drops: {}, framesIn: 0, framesOut: 0, relayed: NOTHING_RELAYED });
  slot.setPathMtu(peer, 1400);
  slot.applyTables([FLOOD]);
});

test('a fresh datapath gets all tables, then commands and counters are its own', async () => {
  const { slot, made } = setUp();
  await slot.start();
  expect(slot.failure).toBeNull();
  expect(made[0]!.tables).toEqual([FLOOD]);
  slot.setPathMtu(peer, 1400);
  expect(made[0]!.told).toEqual(['start', 'mtu 1400']);
  expect(slot.stats().framesOut).toBe(4);
});

test('a datapath that lasts: what it kept is told, its tables are replaced as a whole, and it goes on when released', async () => {
  const { slot, made, world } = setUp();
  world.left = [SESSION];
  await slot.start();
  expect(world.started).toEqual([{ sessions: [SESSION], peers: [] }]);
  expect([made[0]!.told, made[0]!.tables]).toEqual([['start', 'replace'], [FLOOD]]);
  expect(slot.outlivesUs).toBe(true);
  await slot.release();
  expect(made[0]!.told).toEqual(['start', 'replace', 'release']);
  slot.setPathMtu(peer, 1400);
  expect(made[0]!.told).toHaveLength(3);
});

test('a datapath that does not last is stopped when released', async () => {
  const { slot, made, world } = setUp();
  await slot.start();
  expect(world.started).toEqual([{ sessions: [], peers: [] }]);
  expect(slot.outlivesUs).toBe(false);
  await slot.release();
  expect(made[0]!.told).toEqual(['start', 'stop']);
});

test('the first start fails with its own error', async () => {
  const { slot, world } = setUp();
  world.refusal = new Error('port in use');
  await expect(slot.start()).rejects.toThrow('port in use');
});

test('a datapath that failed is made anew, with pauses that double up to ten seconds', async () => {
  const { slot, made, world } = setUp();
  await slot.start();
  world.refusal = new Error('no port');
  made[0]!.events!.failed('the port was deleted');
  expect([slot.failure, world.replaced]).toEqual(['the port was deleted', 1]);
  const pausesMs: number[] = [];
  for (let sinceMs = 0; pausesMs.length < 8; sinceMs += 100) {
    const before = made.length;
    await vi.advanceTimersByTimeAsync(100);
    if (made.length === before) continue;
    pausesMs.push(sinceMs + 100);
    sinceMs = -100;
  }
  expect(pausesMs).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  expect(slot.failure).toBe('no port');
  world.refusal = null;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(slot.failure).toBeNull();
  expect(made.at(-1)!.tables).toEqual([FLOOD]);
  made.at(-1)!.events!.failed('again');
  const before = made.length;
  await vi.advanceTimersByTimeAsync(200);
  expect(made.length).toBe(before + 1);
});

test('a stopped slot makes no other, and stops one that was about to start', async () => {
  const { slot, made } = setUp();
  await slot.start();
  made[0]!.events!.failed('gone');
  await slot.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(made).toHaveLength(1);

  const other = setUp();
  const starting = other.slot.start();
  await other.slot.stop();
  await starting;
  expect(other.made[0]!.told).toEqual(['start', 'stop']);
});

test('auto: an engine that does not start leaves its place to pcap at once', async () => {
  const { slot, made, world } = setUp('auto');
  world.engineRefusal = new Error('no TAP');
  await slot.start();
  expect(made.map(({ name }) => name)).toEqual(['engine', 'pcap']);
  expect([slot.name, slot.failure]).toEqual(['pcap', null]);
  expect(slot.fallbackReason).toBe('the engine does not start: no TAP');
});

test('auto: an engine that dies again and again is replaced by pcap, once', async () => {
  const { slot, made, world } = setUp('auto');
  await slot.start();
  for (let i = 0; i < ENGINE_FAILURES_MAX + 1; i++) {
    expect([slot.name, slot.fallbackReason]).toEqual(['engine', null]);
    made.at(-1)!.events!.failed('killed');
    await vi.advanceTimersByTimeAsync(200);
  }
  expect([slot.name, slot.failure]).toEqual(['pcap', null]);
  expect(slot.fallbackReason).toBe('the engine failed 4 times within a minute, last: killed');
  expect([made.at(-1)!.tables, world.replaced]).toEqual([[FLOOD], ENGINE_FAILURES_MAX + 1]);
});

test('engine: asked for, it is never replaced', async () => {
  const { slot, made, world } = setUp('engine');
  world.engineRefusal = new Error('no TAP');
  await expect(slot.start()).rejects.toThrow('no TAP');
  expect(made.map(({ name }) => name)).toEqual(['engine']);
});

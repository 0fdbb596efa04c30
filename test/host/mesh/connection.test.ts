import { beforeEach, describe, expect, test } from 'vitest';
import type { BootId, PeerId, TokenId } from '../../../src/base/ids.ts';
import { CONNECTION_LIMITS, Connection, MESSAGE_BYTES_MAX } from '../../../src/host/mesh/connection.ts';
import { decodeEnvelope, type Envelope, encodeEnvelope, type Hello } from '../../../src/host/mesh/envelope.ts';
import type { Wire, WireEvents } from '../../../src/host/mesh/wire.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';

const hello: Hello = {
  protocolMin: 1,
  protocolMax: 1,
  version: '0.1.0',
  nickname: 'n',
  bootId: '0000000000000001' as BootId,
  genesis: Uint8Array.of(1),
  endpoints: [],
  port: 6783,
  networks: [],
};

/** A wire whose other end is the test. */
class FakeWire implements Wire {
  readonly written: Envelope[] = [];
  readonly unflushed: (() => void)[] = [];
  events!: WireEvents;
  received = 0;
  ended = false;
  destroyed = false;

  open(events: WireEvents): void {
    this.events = events;
  }
  write(bytes: Uint8Array, flushed: () => void): void {
    this.written.push(decodeEnvelope(bytes)!);
    this.unflushed.push(flushed);
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.destroyed = true;
  }
  finished(): Promise<void> {
    return Promise.resolve();
  }
  bytesReceived(): number {
    return this.received;
  }
  deliver(bytes: Uint8Array): void {
    this.received += bytes.length;
    this.events.message(bytes);
  }
  say(envelope: Envelope): void {
    this.deliver(encodeEnvelope(envelope));
  }
  flush(): void {
    for (const flushed of this.unflushed.splice(0)) flushed();
  }
}

let wire: FakeWire;
let clock: ManualClock;
let told: string[];
let drops: string[];
let connection: Connection;

beforeEach(() => {
  wire = new FakeWire();
  clock = new ManualClock();
  told = [];
  drops = [];
  connection = new Connection({
    wire,
    certified: {
      peer: 'f'.repeat(32) as PeerId,
      identityKey: new Uint8Array(32),
      generation: 1,
      id: '0'.repeat(16) as TokenId,
    },
    name: '192.0.2.1:6783',
    dialled: true,
    clock,
    limits: CONNECTION_LIMITS,
    drop: (reason) => drops.push(reason),
    events: {
      greeted: () => told.push('greeted'),
      welcomed: () => told.push('welcomed'),
      message: (channel, bytes) => told.push(`${channel} ${[...bytes].join(' ')}`),
      cloned: (detail) => told.push(`cloned ${detail}`),
      writable: () => told.push('writable'),
      closed: (reason, detail) => told.push(`closed ${reason}${detail === '' ? '' : `: ${detail}`}`),
    },
  });
  connection.start(hello);
});

function goUp(): void {
  wire.say({ kind: 'hello', hello });
  connection.promote();
  wire.say({ kind: 'pong', sequence: 1 });
  told.length = 0;
  wire.written.length = 0;
}

/** The mesh's timer comes after that time. */
function tick(ms: number): void {
  clock.advance(ms);
  connection.tick(clock.monotonicMs(), ms);
}

/** Lets time pass in steps as the mesh's timer does. */
function pass(ms: number): void {
  for (let passed = 0; passed < ms; passed += 200) {
    tick(200);
  }
}

describe('greeting', () => {
  test('word of a clone counts on a link only', () => {
    wire.say({ kind: 'clone', detail: 'early' });
    goUp();
    wire.say({ kind: 'clone', detail: 'boot 2 at 192.0.2.9:6783' });
    expect(told.filter((line) => line.startsWith('cloned'))).toEqual(['cloned boot 2 at 192.0.2.9:6783']);
    expect(drops).toEqual(['link-unexpected']);
  });

  test('ours goes out first, theirs is told, Welcome too', () => {
    expect(wire.written).toEqual([{ kind: 'hello', hello }]);
    wire.say({ kind: 'hello', hello });
    wire.say({ kind: 'welcome' });
    expect(told).toEqual(['greeted', 'welcomed']);
  });

  test('has a deadline, also for one that keeps chattering', () => {
    for (let n = 0; n < 6; n++) {
      wire.say({ kind: 'ping', sequence: n });
      pass(1_000);
    }
    expect(told).toEqual(['closed greeting-timeout']);
    expect(wire.destroyed).toBe(true);
  });

  test.each<[string, Envelope]>([
    ['gossip before the link is up', { kind: 'gossip', bytes: Uint8Array.of(1) }],
    ['Welcome before Hello', { kind: 'welcome' }],
    ['a pong that nobody asked for', { kind: 'pong', sequence: 9 }],
  ])('%s is dropped without harm', (_, envelope) => {
    wire.say(envelope);
    expect(told).toEqual([]);
    expect(connection.closed).toBe(false);
  });

  test('a second Hello is dropped and counted', () => {
    wire.say({ kind: 'hello', hello });
    wire.say({ kind: 'hello', hello: { ...hello, nickname: 'other' } });
    expect(told).toEqual(['greeted']);
    expect(connection.hello?.nickname).toBe('n');
    expect(drops).toEqual(['link-unexpected']);
  });
});

describe('a link', () => {
  beforeEach(goUp);

  test('malformed messages are counted and the good ones between them pass', () => {
    wire.deliver(Uint8Array.of(0xff, 0xff, 0xff));
    wire.say({ kind: 'gossip', bytes: Uint8Array.of(7) });
    wire.deliver(new Uint8Array(0));
    wire.say({ kind: 'lease', bytes: Uint8Array.of(8) });
    expect(told).toEqual(['gossip 7', 'lease 8']);
    expect(drops).toEqual(['link-malformed', 'link-malformed']);
  });

  test('pings after a second and a half of silence and dies after four', () => {
    pass(1_400);
    expect(wire.written).toEqual([]);
    pass(400);
    expect(wire.written).toEqual([{ kind: 'ping', sequence: 2 }]);
    pass(2_000);
    expect(told).toEqual([]);
    pass(400);
    expect(told).toEqual(['closed silent: nothing heard for 4000 ms']);
    expect(wire.destroyed).toBe(true);
  });

  test('an answer keeps it and measures the round trip', () => {
    pass(1_800);
    clock.advance(17);
    wire.say({ kind: 'pong', sequence: 2 });
    expect(connection.rttMs).toBe(17);
    pass(3_600);
    expect(told).toEqual([]);
  });

  test('bytes of an unfinished long message keep it', () => {
    for (let n = 0; n < 50; n++) {
      wire.received += 1_000;
      pass(200);
    }
    expect(told).toEqual([]);
  });

  test('our own stall is not held against the other side', () => {
    tick(60_000);
    expect(told).toEqual([]);
    pass(5_000);
    expect(told).toEqual(['closed silent: nothing heard for 4000 ms']);
  });

  test('answers pings', () => {
    wire.say({ kind: 'ping', sequence: 77 });
    expect(wire.written).toEqual([{ kind: 'pong', sequence: 77 }]);
  });

  test('asks the sender to wait at 256 KiB and to go on at half of it', () => {
    const chunk = new Uint8Array(100_000);
    wire.flush();
    expect([1, 2, 3].map(() => connection.send('gossip', chunk))).toEqual([true, true, false]);
    expect(connection.send('gossip', chunk)).toBe(false);
    wire.unflushed.shift()!();
    wire.unflushed.shift()!();
    expect(told).toEqual([]);
    wire.flush();
    expect(told).toEqual(['writable']);
    expect(connection.queuedBytes).toBe(0);
  });

  test('a sender that ignores that ends the link, counted', () => {
    for (let n = 0; n < 20 && !connection.closed; n++) connection.send('gossip', new Uint8Array(1_000_000));
    expect(told).toEqual(['closed overrun: the sender ignored that the link is full']);
    expect(drops).toEqual(['link-overrun']);
  });

  test('a message above the limit is a bug of the caller', () => {
    expect(() => connection.send('gossip', new Uint8Array(MESSAGE_BYTES_MAX))).toThrow('invariant broken');
  });

  test('our goodbye goes out before the end', () => {
    connection.close('leaving', 'for good');
    expect(wire.written).toEqual([{ kind: 'goodbye', reason: 'leaving', detail: 'for good' }]);
    expect([wire.ended, wire.destroyed]).toEqual([true, false]);
    expect(told).toEqual(['closed leaving: for good']);
    expect(connection.endedByPeer).toBe(false);
    connection.close('stopping');
    expect(connection.send('gossip', Uint8Array.of(1))).toBe(false);
    expect(wire.written).toHaveLength(1);
  });

  test('their goodbye is told with its reason, once', () => {
    wire.say({ kind: 'goodbye', reason: 'stopping', detail: '' });
    wire.events.closed('');
    expect(told).toEqual(['closed stopping']);
    expect(connection.endedByPeer).toBe(true);
  });

  test('a broken wire is told', () => {
    wire.events.closed('read ECONNRESET');
    expect(told).toEqual(['closed lost: read ECONNRESET']);
  });
});

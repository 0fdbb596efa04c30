// The control protocol on both sides against golden bytes (control-golden.json): what TypeScript encodes, C++ understands,
// and the other way round.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Mac, PeerId, Vni } from '../../../src/base/ids.ts';
import type { TableChange } from '../../../src/router/datapath.ts';
import {
  decodeEngineMessage,
  encodeAddSession,
  encodeApplyTables,
  encodeBeginTables,
  encodeEndTables,
  encodeRemovePeer,
  encodeRemoveSession,
  encodeReport,
  encodeSendKeepalive,
  encodeSendProbe,
  encodeSendRaw,
  encodeSetClock,
  encodeSetPath,
  encodeSetPathMtu,
  encodeStop,
  encodeUseSession,
  LENGTH_BYTES,
  MESSAGE_MAX,
} from '../../../src/router/engine/control-messages.ts';
import { askEngine, hex } from './engine-check.ts';

const PEER = 'ab'.repeat(16) as PeerId;
const MAC = '02:00:00:00:00:0a' as Mac;
const NETWORK = 0 as Vni;
const BY_RELAY = { relay: 'cd'.repeat(16) as PeerId, peer: PEER };

const CHANGES: readonly TableChange[] = [
  { kind: 'mac', network: NETWORK, mac: MAC, to: PEER },
  { kind: 'mac', network: NETWORK, mac: MAC, to: 'local' },
  { kind: 'neighbour', network: NETWORK, ip: '10.0.0.11', mac: MAC },
  { kind: 'neighbour', network: NETWORK, ip: 'fd00::b', mac: MAC },
  { kind: 'neighbour-gone', network: NETWORK, ip: '10.0.0.11' },
  { kind: 'mac-gone', network: NETWORK, mac: MAC },
  { kind: 'flood', network: NETWORK, peers: [PEER, '01'.repeat(16) as PeerId] },
  {
    kind: 'network',
    network: 0x0a0b0c as Vni,
    portName: 'fabn657164p',
    gatewayMac: MAC,
    gatewayIps: ['10.0.0.254', 'fd00::1'],
  },
  { kind: 'network-gone', network: 0x0a0b0c as Vni },
];

const COMMANDS: Readonly<Record<string, () => Buffer>> = {
  'add-session': () =>
    encodeAddSession({
      peer: PEER,
      localIndex: 0xfedcba98,
      remoteIndex: 2,
      cipher: 'chacha20-poly1305',
      sendKey: new Uint8Array(32).fill(3),
      receiveKey: new Uint8Array(32).fill(4),
    }),
  'add-session with facts': () =>
    encodeAddSession({
      peer: PEER,
      localIndex: 1,
      remoteIndex: 2,
      cipher: 'aes-256-gcm',
      sendKey: new Uint8Array(32).fill(3),
      receiveKey: new Uint8Array(32).fill(4),
      facts: { initiator: true, createdMs: 9_007_199_254.5, pathMtu: 1400, capabilities: 5 },
    }),
  'use-session': () => encodeUseSession(0xfedcba98),
  'remove-session': () => encodeRemoveSession(7),
  'set-path IPv4': () => encodeSetPath(PEER, { ip: '192.0.2.9', port: 6783 }),
  'set-path IPv6': () => encodeSetPath(PEER, { ip: '2001:db8::9', port: 65535 }),
  'set-path relay': () => encodeSetPath(PEER, BY_RELAY),
  'set-path none': () => encodeSetPath(PEER, null),
  'set-path-mtu': () => encodeSetPathMtu(PEER, 1400),
  'apply-tables': () => encodeApplyTables(CHANGES)[0]!,
  'send-raw': () => encodeSendRaw(Uint8Array.of(0x11, 0, 0, 0, 9), { ip: '192.0.2.9', port: 6783 }),
  'send-raw by a relay': () => encodeSendRaw(Uint8Array.of(0x11, 0, 0, 0, 9), BY_RELAY),
  'send-keepalive': () => encodeSendKeepalive(PEER),
  'send-probe': () => encodeSendProbe(PEER, 1492),
  'remove-peer': () => encodeRemovePeer(PEER),
  stop: () => encodeStop(),
  report: () => encodeReport(),
  'set-clock': () => encodeSetClock(9_007_199_254_740),
  'begin-tables': () => encodeBeginTables(),
  'end-tables': () => encodeEndTables(),
};

interface Golden {
  /** Name, bytes, and how C++ says it again. */
  readonly commands: readonly { readonly name: string; readonly bytes: string; readonly said: string }[];
  /** Name, bytes as C++ encodes them, and what TypeScript reads. */
  readonly events: readonly { readonly name: string; readonly bytes: string; readonly message: object }[];
}

const golden = JSON.parse(readFileSync(new URL('control-golden.json', import.meta.url), 'utf8')) as Golden;

/** Type and payload. */
function payload(bytes: string): Buffer {
  return Buffer.from(bytes, 'hex').subarray(LENGTH_BYTES);
}

/** As JSON has it: byte strings as hex. */
function plain(message: object | null): unknown {
  return JSON.parse(JSON.stringify(message, (_, value: unknown) => (value instanceof Uint8Array ? hex(value) : value)));
}

describe('commands', () => {
  it('are all in the golden file', () => {
    expect(golden.commands.map(({ name }) => name)).toEqual(Object.keys(COMMANDS));
  });

  it.each(golden.commands)('are encoded: $name', ({ name, bytes }) => {
    expect(COMMANDS[name]!().toString('hex')).toBe(bytes);
  });

  it('are understood by the engine', () => {
    const answers = askEngine(golden.commands.map(({ bytes }) => `apply ${hex(payload(bytes))}`));
    expect(answers).toEqual(golden.commands.map(({ said }) => said));
  });

  it('are refused by the engine when cut short, too long, or of no known type', () => {
    const bad = golden.commands.flatMap(({ name, bytes }) => {
      const whole = payload(bytes);
      // A list of changes ends anywhere between two of them, and a raw datagram may have any length.
      const isRaw = name.startsWith('send-raw');
      const cuts = name === 'apply-tables' || isRaw ? [whole.subarray(0, 6)] : [whole.subarray(0, -1)];
      const tails = isRaw ? [] : [Buffer.concat([whole, Buffer.of(0)])];
      return [...cuts, ...tails];
    });
    const unknown = [Buffer.of(0), Buffer.of(16), Buffer.alloc(0)];
    const answers = askEngine([...bad, ...unknown].map((bytes) => `apply ${hex(bytes)}`));
    expect(answers).toEqual(answers.map(() => 'malformed'));
  });

  it('do not crash the engine, whatever their bytes', () => {
    const random = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 90 }), { numRuns: 2000, seed: 7 });
    const types = random.map((bytes, i) => bytes.with(0, i % 17));
    const answers = askEngine(types.map((bytes) => `apply ${hex(bytes)}`));
    expect(answers).toHaveLength(types.length);
  });

  it('of many table changes go in several messages below the limit', () => {
    const many = Array.from({ length: 50_000 }, (_, i): TableChange => {
      const mac = `02:00:00:${[16, 8, 0].map((shift) => ((i >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`;
      return { kind: 'mac', network: NETWORK, mac: mac as Mac, to: PEER };
    });
    const messages = encodeApplyTables(many);
    expect(messages.length).toBeGreaterThan(1);
    for (const message of messages) expect(message.length - LENGTH_BYTES).toBeLessThanOrEqual(MESSAGE_MAX);
    const answers = askEngine(messages.map((message) => `apply ${hex(message.subarray(LENGTH_BYTES))}`));
    expect(answers.join('')).toBe('.'.repeat(many.length));
  });
});

describe('events', () => {
  it('are encoded by the engine', () => {
    const answers = askEngine(golden.events.map(({ name }) => `event ${name}`));
    expect(answers).toEqual(golden.events.map(({ bytes }) => bytes));
  });

  it.each(golden.events)('are read: $name', ({ bytes, message }) => {
    expect(plain(decodeEngineMessage(payload(bytes)))).toEqual(message);
  });

  it.each(golden.events)('are refused when cut short or of another length: $name', ({ name, bytes }) => {
    const whole = payload(bytes);
    // A datagram of any length stands at the end, behind type and path.
    const datagramAt = { handshake: 1 + 19, 'handshake by a relay': 1 + 33 }[name];
    expect(decodeEngineMessage(Buffer.concat([whole, Buffer.of(0)])) === null).toBe(datagramAt === undefined);
    for (let end = 0; end < whole.length; end++) {
      const datagramCut = datagramAt !== undefined && end >= datagramAt;
      expect(decodeEngineMessage(whole.subarray(0, end)) === null).toBe(!datagramCut);
    }
  });

  it('of any bytes do not throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => void decodeEngineMessage(bytes)));
  });
});

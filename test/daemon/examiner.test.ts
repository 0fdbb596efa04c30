import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeEndpoint } from '../../src/base/endpoint.ts';
import type { Mac, PeerId } from '../../src/base/ids.ts';
import {
  decodeExamination,
  type ExaminationMessage,
  encodeExamination,
  type PortFacts,
} from '../../src/daemon/examination-message.ts';
import { Examiner } from '../../src/daemon/examiner.ts';
import { PROD_BYTES } from '../../src/router/tunnels.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';

const A = 'aa'.repeat(16) as PeerId;
const B = 'bb'.repeat(16) as PeerId;
const MAC = '02:00:00:00:00:07' as Mac;
/** Of which the kernel says nothing. */
const BROKEN = '02:00:00:00:00:0b' as Mac;
const WEB: PortFacts = { hostIfname: 'fab1', ifname: 'eth0', name: 'web', up: true };

interface World {
  /** What of UDP passes, by its sender. */
  readonly udp?: { readonly a: boolean; readonly b: boolean };
  readonly tcpFault?: string | null;
  readonly skewMs?: number;
  readonly linked?: boolean;
  /** The other side does not answer: another version. */
  readonly mute?: boolean;
}

/** Two hosts with examiners, a link that takes 2 ms each way, and a tunnel. */
function pair({ udp = { a: true, b: true }, tcpFault = null, skewMs = 0, linked = true, mute = false }: World = {}) {
  const timers = new ManualTimers();
  const heard = new Map<PeerId, number>();
  const examiners = new Map<PeerId, Examiner>();
  const dialled: string[] = [];
  let messages = 0;
  const make = (self: PeerId, other: PeerId, passes: boolean, answers: boolean): Examiner => {
    const examiner = new Examiner({
      clock: {
        monotonicMs: () => timers.nowMs(),
        wallMs: () => timers.clock.wallMs() + (self === B ? skewMs : 0),
      },
      timers,
      send: (_, bytes) => {
        messages++;
        if (!linked) return false;
        if (!mute || self === A) timers.after(2, () => examiners.get(other)!.receive(self, bytes));
        return true;
      },
      linkedAt: () => (linked ? makeEndpoint('192.0.2.1', 6783) : null),
      prod: () => {
        if (!passes) return;
        timers.after(1, () => {
          heard.set(other, timers.nowMs());
          // A tunnel answers probes and handshakes by itself.
          if (!answers) return;
          timers.after(1, () => {
            heard.set(self, timers.nowMs());
            examiner.probed(other, PROD_BYTES);
          });
        });
      },
      tunnel: () => ({ heardMs: heard.get(self) ?? null, state: heard.has(self) ? 'established' : 'handshaking' }),
      lastReceivedMs: () => null,
      connect: async ({ ip, port }) => {
        dialled.push(`${ip}:${port}`);
        return tcpFault;
      },
      portOf: async (mac) => {
        if (mac === BROKEN) throw new Error('netlink');
        return mac === MAC ? WEB : null;
      },
    });
    examiners.set(self, examiner);
    return examiner;
  };
  const a = make(A, B, udp.a, udp.b);
  const b = make(B, A, udp.b, udp.a);
  /** Runs until the promise settles; promises run between timers. */
  const run = async <T>(work: Promise<T>): Promise<T> => {
    let over = false;
    const ended = work.finally(() => {
      over = true;
    });
    for (let i = 0; !over && i < 20_000; i++) {
      timers.advance(1);
      await Promise.resolve();
    }
    return ended;
  };
  return { a, b, timers, dialled, run, sent: () => messages };
}

describe('two hosts', () => {
  test.each([
    ['reach each other', {}, { tcpInFault: null, udpOut: true, udpIn: true }],
    ['but not from here by UDP', { udp: { a: false, b: true } }, { udpOut: false, udpIn: true }],
    ['but not to here by UDP', { udp: { a: true, b: false } }, { udpOut: true, udpIn: false }],
    ['but not by UDP at all', { udp: { a: false, b: false } }, { udpOut: false, udpIn: false }],
    ['but not to here by TCP', { tcpFault: 'no answer' }, { tcpInFault: 'no answer', udpOut: true }],
  ] as const)('%s', async (_, world, expected) => {
    const { a, run, timers, dialled } = pair(world);
    const found = await run(a.examine(B));
    expect(found).toMatchObject({ linked: true, ...expected });
    expect(dialled).toEqual(['192.0.2.1:6783']);
    expect(timers.pending).toBe(0);
  });

  test.each([0, 3_600_000, -86_400_000])('whose clocks differ by %i ms', async (skewMs) => {
    const { a, run } = pair({ skewMs });
    const { clockSkewMs, clockErrorMs } = await run(a.examine(B));
    expect(Math.abs(clockSkewMs! - skewMs)).toBeLessThanOrEqual(clockErrorMs!);
    expect(clockErrorMs).toBeLessThan(10);
  });

  test('where all is well it takes milliseconds, and four seconds at most', async () => {
    const well = pair();
    const startMs = well.timers.nowMs();
    await well.run(well.a.examine(B));
    expect(well.timers.nowMs() - startMs).toBeLessThan(100);
    const silent = pair({ mute: true, udp: { a: false, b: false } });
    await silent.run(silent.a.examine(B));
    expect(silent.timers.nowMs() - startMs).toBeLessThan(4_000);
    expect(silent.timers.pending).toBe(0);
  });

  test('of which one does not know the questions', async () => {
    const { a, run } = pair({ mute: true });
    expect(await run(a.examine(B))).toEqual({
      linked: true,
      udpOut: null,
      udpIn: true, // its tunnel answers
      clockSkewMs: null,
      clockErrorMs: null,
    });
  });

  test('without a link', async () => {
    const { a, run, sent } = pair({ linked: false });
    expect(await run(a.examine(B))).toMatchObject({ linked: false, udpOut: null, clockSkewMs: null });
    expect(sent()).toBe(1); // it asks for a link once
  });

  test('time a datagram through the tunnel, or say that none came back', async () => {
    const well = pair();
    expect(await well.run(well.a.time(B))).toBe(2);
    const cut = pair({ udp: { a: true, b: false } });
    expect(await cut.run(cut.a.time(B))).toBeNull();
    expect([well.timers.pending, cut.timers.pending]).toEqual([0, 0]);
  });

  test('tell whose port a MAC has', async () => {
    const { a, b, run } = pair();
    expect(await run(a.askPort(B, MAC))).toEqual(WEB);
    expect(await run(a.askPort(B, '02:00:00:00:00:08' as Mac))).toBeNull();
    expect(await run(a.askPort(B, BROKEN))).toBe('unknown');
    expect(b.drops.failed).toBe(1);
    const apart = pair({ linked: false });
    expect(await apart.run(apart.a.askPort(B, MAC))).toBe('unknown');
  });
});

test('answers to nobody’s question, of another host or of another kind are dropped and counted', async () => {
  const { a, run } = pair({ mute: true });
  const asked = run(a.askPort(B, MAC));
  a.receive(A, encodeExamination({ kind: 'tell-port', id: 1, port: WEB }));
  a.receive(B, encodeExamination({ kind: 'tell-clock', id: 1, wallMs: 5 }));
  a.receive(B, encodeExamination({ kind: 'tell-port', id: 9, port: WEB }));
  a.receive(B, new Uint8Array([99]));
  expect(await asked).toBe('unknown');
  expect(a.drops).toEqual({ malformed: 1, unexpected: 3, busy: 0, failed: 0 });
});

test('a flood of questions opens few connections', () => {
  const { a, dialled } = pair();
  for (let id = 0; id < 1_000; id++) a.receive(B, encodeExamination({ kind: 'ask-reach', id }));
  expect(dialled.length).toBe(16);
  expect(a.drops.busy).toBe(984);
});

test('after the stop nothing waits', async () => {
  const { a, timers } = pair({ mute: true, udp: { a: false, b: false } });
  const found = a.examine(B);
  a.stop();
  timers.advance(30);
  expect(await found).toMatchObject({ udpIn: false, clockSkewMs: null });
  expect(timers.pending).toBe(0);
});

describe('messages', () => {
  const examples: readonly ExaminationMessage[] = [
    { kind: 'ask-clock', id: 1 },
    { kind: 'tell-clock', id: 2, wallMs: 1_893_456_000_123 },
    { kind: 'ask-reach', id: 3 },
    { kind: 'tell-reach', id: 4, tcpFault: 'no answer', udpHeard: true },
    { kind: 'tell-reach', id: 5, tcpFault: null, udpHeard: false },
    { kind: 'ask-port', id: 6, mac: MAC },
    { kind: 'tell-port', id: 7, port: WEB },
    { kind: 'tell-port', id: 8, port: null },
  ];

  test('come back as they were, with bytes of later versions behind them, too', () => {
    for (const message of examples) {
      const bytes = encodeExamination(message);
      expect(decodeExamination(bytes)).toEqual(message);
      expect(decodeExamination(new Uint8Array([...bytes, 1, 2, 3]))).toEqual(message);
      for (let length = 0; length < bytes.length; length++) {
        expect(decodeExamination(bytes.subarray(0, length))).toBeNull();
      }
    }
  });

  test('have golden bytes', () => {
    expect(Buffer.from(encodeExamination(examples[3]!)).toString('hex')).toBe('04000000040100096e6f20616e73776572');
  });

  test('of strangers never throw, and bring no control characters', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.integer({ min: 0, max: 7 }), (bytes, kind) => {
        const message = decodeExamination(new Uint8Array([kind, ...bytes]));
        expect(/\p{Cc}/u.test(JSON.stringify(message ?? ''))).toBe(false);
      }),
      { numRuns: 2_000 },
    );
  });
});

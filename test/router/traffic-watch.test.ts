import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import type { PeerCounters } from '../../src/router/datapath.ts';
import { TrafficWatch } from '../../src/router/traffic-watch.ts';
import { POLL_MS } from '../../src/router/tunnel-timing.ts';

const NOBODY = '0'.repeat(32) as PeerId;

interface Seen {
  readonly sent?: number;
  readonly data?: number;
  readonly heard?: number;
}

function counters({ sent, data, heard }: Seen): PeerCounters {
  return {
    peer: NOBODY,
    txFrames: 0,
    txBytes: 0,
    rxFrames: 0,
    rxBytes: 0,
    drops: {},
    lastDataSentMs: sent ?? null,
    lastDataReceivedMs: data ?? null,
    lastReceivedMs: heard ?? null,
  };
}

/** A watch that is asked whenever it wants to be; returns when it probed, and when it first said silent. */
function follow(watch: TrafficWatch, fromMs: number, toMs: number, seenAt: (nowMs: number) => Seen) {
  const probes: number[] = [];
  let silentMs: number | null = null;
  for (let nowMs = fromMs; nowMs <= toMs; nowMs += 50) {
    watch.observe(counters(seenAt(nowMs)), nowMs);
    if (watch.silent(nowMs)) silentMs ??= nowMs;
    if (!watch.probeDue(nowMs)) continue;
    probes.push(nowMs);
    watch.probed(nowMs);
  }
  return { probes, silentMs };
}

function established(atMs = 0, asks = true): TrafficWatch {
  const watch = new TrafficWatch();
  watch.restart(atMs, { asks });
  return watch;
}

describe('a session with traffic', () => {
  test('is probed after a second of quiet, four times a second, and silent before three have passed', () => {
    const { probes, silentMs } = follow(established(), 0, 3_000, (sent) => ({ sent }));
    expect(probes.slice(0, 6)).toEqual([1_000, 1_250, 1_500, 1_750, 2_000, 2_250]);
    expect(silentMs).toBe(2_500);
  });

  test('counts as quiet also when it only receives, for as long as it is watched', () => {
    const seen = { data: 2_000, heard: 2_000 };
    const { probes, silentMs } = follow(established(), 2_000, 20_000, () => seen);
    expect(probes[0]).toBe(3_000);
    expect(silentMs).toBe(4_500);
    expect(probes.at(-1)).toBe(11_750);
  });

  test('that is answered is never silent: a probe a second', () => {
    const watch = established();
    const { probes, silentMs } = follow(watch, 50, 9_000, (sent) => ({
      sent,
      heard: Math.floor(sent / 1_050) * 1_050,
    }));
    expect(silentMs).toBeNull();
    expect(probes.length).toBeLessThanOrEqual(9);
  });

  test.each([2, 3, 4, 5])('one answer of %i probes is enough', (share) => {
    const watch = established();
    let asked = 0;
    let heard = 0;
    for (let nowMs = 50; nowMs <= 60_000; nowMs += 50) {
      watch.observe(counters({ sent: nowMs, heard }), nowMs);
      expect(watch.silent(nowMs)).toBe(false);
      if (!watch.probeDue(nowMs)) continue;
      watch.probed(nowMs);
      if (++asked % share === 0) heard = nowMs + 20;
    }
  });

  test('is not silent for a process that was stopped for ten seconds itself', () => {
    const watch = established();
    follow(watch, 50, 500, (sent) => ({ sent, heard: sent }));
    watch.observe(counters({ sent: 10_400, heard: 500 }), 10_400);
    expect(watch.silent(10_450)).toBe(false);
    const { probes, silentMs } = follow(watch, 10_450, 11_000, (sent) => ({ sent, heard: sent > 10_460 ? sent : 500 }));
    expect(probes).toEqual([10_450]);
    expect(silentMs).toBeNull();
  });
});

test('a peer that answers no probes gets none and is never silent', () => {
  const { probes, silentMs } = follow(established(0, false), 0, 30_000, (sent) => ({ sent }));
  expect([probes, silentMs]).toEqual([[], null]);
});

describe('a session without traffic', () => {
  test('is left in peace, however long', () => {
    const { probes, silentMs } = follow(established(), 0, 100_000, () => ({}));
    expect([probes, silentMs]).toEqual([[], null]);
  });

  test('is given its second again by the data that ends the pause', () => {
    const watch = established();
    const answersUntil = (nowMs: number): number => Math.min(nowMs, 10_050);
    follow(watch, 0, 59_950, (nowMs) => ({ sent: 50, heard: answersUntil(nowMs) }));
    const { probes, silentMs } = follow(watch, 60_000, 62_400, (sent) => ({ sent, heard: answersUntil(sent) }));
    expect(probes[0]).toBe(60_950);
    expect(silentMs).toBeNull();
  });

  test('is silent in time although a pause is looked at once a second, and counters tell only the last data', () => {
    const watch = established();
    follow(watch, 0, 1_000, () => ({ sent: 50, heard: 900 }));
    for (let nowMs = 2_000; nowMs <= 60_000; nowMs += POLL_MS) {
      watch.observe(counters({ sent: 50, heard: 900 }), nowMs);
    }
    // Data again at 60,050, seen with the next look.
    const { silentMs } = follow(watch, 61_000, 64_000, (sent) => ({ sent, heard: 900 }));
    expect(silentMs).toBeLessThanOrEqual(60_050 + 2_500);
  });
});

test('silent stays so when the traffic ends, until something is heard', () => {
  const watch = established();
  expect(follow(watch, 0, 3_000, (sent) => ({ sent })).silentMs).toBe(2_500);
  const later = (nowMs: number) => ({ sent: nowMs > 90_000 ? nowMs : 3_000 });
  follow(watch, 20_000, 95_000, later);
  expect(watch.silent(95_000)).toBe(true);
  watch.observe(counters({ sent: 95_000, heard: 95_010 }), 95_020);
  expect(watch.silent(95_020)).toBe(false);
});

test('a handshake ends the silence', () => {
  const watch = established();
  follow(watch, 50, 3_000, (sent) => ({ sent }));
  watch.restart(3_000, { asks: true });
  expect(watch.silent(3_000)).toBe(false);
});

test('keepalives are due when nothing was sent for their interval', () => {
  const watch = established(1_000);
  expect(watch.keepaliveDue(10_999, 10_000)).toBe(false);
  expect(watch.keepaliveDue(11_000, 10_000)).toBe(true);
  watch.observe(counters({ sent: 5_000 }), 5_000);
  expect(watch.keepaliveDue(11_000, 10_000)).toBe(false);
  watch.keepaliveSent(15_000);
  expect(watch.keepaliveDue(24_999, 10_000)).toBe(false);
});

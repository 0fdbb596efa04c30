import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import { HandshakeLoad } from '../../src/router/tunnel-load.ts';
import { TUNNEL_LIMITS } from '../../src/router/tunnel-options.ts';
import { rekeyTimeMs, retryDelayMs } from '../../src/router/tunnel-timing.ts';

describe('when to rekey and to retry', () => {
  test.each([
    ['the initiator without jitter', true, 0, 120_000],
    ['the initiator with most jitter', true, 1, 110_000],
    ['the responder', false, 0.5, 150_000],
  ])('%s', (_, initiator, fraction, expected) => expect(rekeyTimeMs(0, initiator, fraction)).toBe(expected));

  test.each([
    ['first retry', 1, 1, false, 1_000],
    ['second retry', 2, 1, false, 1_000],
    ['third retry', 3, 1, false, 5_000],
    ['third of four endpoints', 3, 4, false, 1_000],
    ['after an earlier series failed', 1, 4, true, 5_000],
  ])('%s', (_, attempts, endpoints, patient, expected) => {
    expect(retryDelayMs({ attempts, endpoints, patient }, 0)).toBe(expected);
    expect(retryDelayMs({ attempts, endpoints, patient }, 1)).toBe(expected + 333);
  });
});

describe('the load', () => {
  const from = (number: number) => ({ ip: `198.51.100.${number}`, port: 1 });
  const never = () => false;
  const always = () => true;

  test('below the threshold all are read; above, senders get a cookie until 2 s after the flood', () => {
    const load = new HandshakeLoad({ ...TUNNEL_LIMITS, unprovenPerSecondMax: 3 });
    const admissions = [0, 1, 2, 3, 1_500, 2_002].map((ms) => load.admitInitiation(ms, from(ms % 200), false, never));
    expect(admissions).toEqual(['read', 'read', 'read', 'cookie', 'cookie', 'cookie']);
    expect(load.admitInitiation(2_003, from(1), false, never)).toBe('read');
  });

  test('under load a proven address has its own limit, and all together one', () => {
    const limits = { ...TUNNEL_LIMITS, perSourcePerSecondMax: 2, handshakesPerSecondMax: 3 };
    const load = new HandshakeLoad(limits);
    const admissions = [1, 1, 1, 2, 2].map((number) => load.admitInitiation(0, from(number), true, always));
    expect(admissions).toEqual(['read', 'read', 'source-rate', 'read', 'work-limit']);
    expect(load.admitInitiation(1_000, from(1), true, always)).toBe('read');
  });

  test('who floods by a relay takes nothing from others behind it; a relay that invents senders has a limit of its own', () => {
    const limits = {
      ...TUNNEL_LIMITS,
      perSourcePerSecondMax: 2,
      cookiesPerSourcePerSecondMax: 2,
      perRelayPerSecondMax: 4,
    };
    for (const [proven, welcome, enough] of [
      [always, 'read', 'source-rate'],
      [never, 'cookie', 'cookie-limit'],
    ] as const) {
      const load = new HandshakeLoad(limits);
      const by = (relay: string, peer: string) =>
        load.admitInitiation(0, { relay: relay as PeerId, peer: peer as PeerId }, true, proven);
      for (let i = 0; i < 50; i++) by('b', 'flooder');
      expect([by('b', 'flooder'), by('b', 'c')]).toEqual([enough, welcome]);
      for (let i = 0; i < 50; i++) by('b', `invented ${i}`);
      expect([by('b', 'd'), by('other', 'd')]).toEqual([enough, welcome]);
      expect(load.sources).toBeLessThanOrEqual(6);
    }
  });

  test('TM11 cookies are limited per address (a /64 of IPv6) and in all; the table is bounded', () => {
    const load = new HandshakeLoad({ ...TUNNEL_LIMITS, cookiesPerSourcePerSecondMax: 1, cookiesPerSecondMax: 2 });
    const ask = (ip: string) => load.admitInitiation(0, { ip, port: 1 }, true, never);
    expect(ask('2001:db8::1')).toBe('cookie');
    expect(ask('2001:db8::2')).toBe('cookie-limit');
    expect(ask('2001:db8:0:1::1')).toBe('cookie');
    for (let i = 0; i < 200; i++) expect(ask(`198.51.100.${i}`)).toBe('cookie-limit');
    expect(load.sources).toBe(2);
  });
});

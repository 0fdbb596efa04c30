import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/base/endpoint.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { NOT_BEHIND_NAT, OBSERVED_MAX } from '../../src/base/nat-facts.ts';
import { ObservedEndpoints } from '../../src/router/observed-endpoints.ts';
import { REJECT_AFTER_MS } from '../../src/router/tunnel-timing.ts';

const OWN: Endpoint = { ip: '10.0.1.2', port: 6783 };
const id = (number: number): PeerId => number.toString(16).padStart(32, '0') as PeerId;
const at = (port: number, ip = '203.0.113.1'): Endpoint => ({ ip, port });

function seen(endpoints: readonly (Endpoint | null)[], own: readonly Endpoint[] | null = [OWN]): ObservedEndpoints {
  const observed = new ObservedEndpoints(() => own, 0);
  for (const [i, endpoint] of endpoints.entries()) observed.note(id(i), endpoint, { relays: true, nowMs: 0 });
  return observed;
}

describe('where peers see this host', () => {
  test.each<[string, readonly (Endpoint | null)[], readonly Endpoint[], boolean]>([
    ['nobody said', [null], [], false],
    ['where it is', [OWN, OWN], [], false],
    ['one peer: that may be true', [at(6783)], [at(6783)], false],
    ['two that agree', [at(6783), at(6783)], [at(6783)], false],
    ['two that do not: symmetric', [at(40_001), at(40_002)], [], true],
    ['two agree, one does not: the most', [at(40_002), at(6783), at(6783)], [at(6783)], false],
    ['beside its own address', [OWN, at(6783)], [at(6783)], false],
    ['two NATs', [at(6783), at(6783, '2001:db8::1')], [at(6783), at(6783, '2001:db8::1')], false],
    [
      'of two NATs one is symmetric',
      [at(40_001), at(40_002), at(6783, '198.51.100.1')],
      [at(6783, '198.51.100.1')],
      true,
    ],
  ])('%s', (_, endpoints, observed, symmetric) => {
    expect(seen(endpoints).facts).toMatchObject({ observed, symmetric });
  });

  test('nothing is concluded where the operator says where the host is, or its addresses are not known', () => {
    expect(seen([at(6783)], null).facts).toEqual(NOT_BEHIND_NAT);
    expect(seen([at(6783)], []).facts).toEqual(NOT_BEHIND_NAT);
  });

  test('what one peer says counts once, and its last word counts', () => {
    const observed = seen([at(6783)]);
    observed.note(id(0), at(7000), { relays: true, nowMs: 1 });
    expect(observed.facts.observed).toEqual([at(7000)]);
    observed.note(id(0), OWN, { relays: true, nowMs: 2 });
    expect(observed.behindNat).toBe(false);
  });

  test('what is not confirmed for as long as a session may live is forgotten', () => {
    const observed = seen([at(6783), at(6783)]);
    observed.note(id(1), at(6783), { relays: true, nowMs: 100_000 });
    observed.expire(REJECT_AFTER_MS);
    expect(observed.facts).toMatchObject({ observed: [at(6783)], rendezvous: [id(1)] });
    observed.expire(REJECT_AFTER_MS + 100_000);
    expect(observed.facts).toEqual(NOT_BEHIND_NAT);
  });

  test('two that relay are who it is found by, and stay so', () => {
    const observed = new ObservedEndpoints(() => [OWN], 0);
    for (const [number, relays] of [
      [9, false],
      [5, true],
      [7, true],
      [1, true],
    ] as const) {
      observed.note(id(number), at(6783), { relays, nowMs: 0 });
    }
    observed.note(id(5), at(6783), { relays: true, nowMs: 1_000 });
    expect(observed.rendezvous).toEqual([id(5), id(7)]);
    observed.forget(id(5));
    expect(observed.rendezvous).toEqual([id(7), id(1)]);
  });

  test('however many peers say however many endpoints, few are published', () => {
    const observed = seen(Array.from({ length: 500 }, (_, i) => at(6783, `203.0.113.${i % 200}`)));
    expect(observed.facts.observed).toHaveLength(OBSERVED_MAX);
  });

  test('only news is told; what an earlier run published stands until no peer can confirm it any more', () => {
    const observed = new ObservedEndpoints(() => [OWN], 0);
    expect(observed.news(REJECT_AFTER_MS - 1)).toBeNull();
    expect(observed.news(REJECT_AFTER_MS)).toEqual(NOT_BEHIND_NAT);
    expect(observed.news(REJECT_AFTER_MS + 1)).toBeNull();
    observed.note(id(1), at(6783), { relays: false, nowMs: REJECT_AFTER_MS });
    expect(observed.news(REJECT_AFTER_MS)).toMatchObject({ observed: [at(6783)] });
    observed.note(id(1), at(6783), { relays: false, nowMs: REJECT_AFTER_MS + 1 });
    expect(observed.news(REJECT_AFTER_MS + 1)).toBeNull();
  });
});

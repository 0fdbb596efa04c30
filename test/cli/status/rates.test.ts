import { expect, test } from 'vitest';
import { ratesBetween } from '../../../src/cli/status/rates.ts';
import { other, status, tunnel } from './some-status.ts';

const at = (uptimeMs: number, change: Partial<typeof tunnel> = {}, drops: Readonly<Record<string, number>> = {}) => {
  const { self, datapath } = status();
  return status({
    self: { ...self, uptimeMs },
    datapath: { ...datapath, drops },
    tunnels: [{ ...tunnel, drops: {}, ...change }],
  });
};

test('is what came between two looks, per second of the daemon', () => {
  const rates = ratesBetween(
    at(1_000, { txBytes: 0, rxBytes: 0, txFrames: 0, rxFrames: 0 }, { overload: 4 }),
    at(3_000, { txBytes: 500, rxBytes: 100, txFrames: 8, rxFrames: 2, drops: { replayed: 6 } }, { overload: 6 }),
  );
  expect(rates?.ofPeer.get(other)).toEqual({ txBytes: 250, rxBytes: 50, txFrames: 4, rxFrames: 1, drops: 3 });
  expect(rates?.total).toEqual({ txBytes: 250, rxBytes: 50, txFrames: 4, rxFrames: 1, drops: 4 });
});

test('a counter that began anew flows not backwards', () => {
  const rates = ratesBetween(at(1_000, { txBytes: 900 }), at(2_000, { txBytes: 10 }));
  expect(rates?.total.txBytes).toBe(0);
});

test('there is none at the first look, nor at the first of another run of the daemon', () => {
  expect(ratesBetween(null, at(1_000))).toBeNull();
  expect(ratesBetween(at(9_000), at(1_000))).toBeNull();
});

import { expect, test } from 'vitest';
import { parseSimulatedLacks } from '../../src/daemon/simulated-lacks.ts';

test('nothing is taken away unless it is named', () => {
  expect(parseSimulatedLacks(undefined)).toEqual([]);
  expect(parseSimulatedLacks('')).toEqual([]);
  expect(parseSimulatedLacks('tap,udp-gro')).toEqual(['tap', 'udp-gro']);
});

test('an unknown name is a usage error, not silence', () => {
  expect(() => parseSimulatedLacks('tap,nothing')).toThrow(expect.objectContaining({ code: 'usage' }));
});

import { expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { reasonWithNicknames, withNicknames } from '../../src/daemon/nicknames.ts';

const [TWO, UNKNOWN] = ['ab'.repeat(16), 'cd'.repeat(16)];
const nameOf = (peer: string) => (peer === TWO ? 'two' : peer);

test.each([
  [
    'every id of a known host becomes its nickname',
    `${TWO} gave none; ${TWO} owns 10.32.0.8/31`,
    'two gave none; two owns 10.32.0.8/31',
  ],
  ['an unknown id stays', `${UNKNOWN} did not answer`, `${UNKNOWN} did not answer`],
  ['what is longer than an id is none', `${TWO}00`, `${TWO}00`],
  ['other words stay', 'this host owns 10.32.0.0/29', 'this host owns 10.32.0.0/29'],
])('%s', (_, text, told) => {
  expect(withNicknames(text, nameOf)).toBe(told);
});

test('of an expected failure the reason alone; its code, fix and origin stay', () => {
  const error = new FabricError('address-exhausted', { what: 'none is left', why: `${TWO} has none`, fix: 'Wait' });
  const told = reasonWithNicknames(error, nameOf) as FabricError;
  expect(told.explanation).toEqual({ what: 'none is left', why: 'two has none', fix: 'Wait' });
  expect([told.code, told.cause]).toEqual(['address-exhausted', error]);
});

test('what gives no reason, and a bug, are passed on as they are', () => {
  for (const error of [new FabricError('timeout', { what: 'too late' }), new TypeError(TWO)]) {
    expect(reasonWithNicknames(error, nameOf)).toBe(error);
  }
});

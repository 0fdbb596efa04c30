import { describe, expect, it } from 'vitest';
import { formatToken, generateToken } from '../../src/base/token.ts';
import { firstToken, refuseForeignToken } from '../../src/daemon/launch-token.ts';
import { nodeCrypto as crypto } from '../../src/host/node-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const random = new SeededRandom(1);
const own = generateToken(random);
const text = formatToken(own, crypto);
const joins = [{ host: '192.0.2.1', port: 6783 }];

describe('the token of a first launch', () => {
  it.each([
    ['joining: the one given', { token: text, joins, init: false }],
    ['the first host, as the operator says', { token: text, joins: [], init: true }],
  ])('%s', (_story, options) => {
    expect(firstToken(options, { crypto, random })).toEqual(own);
  });

  it('a new cluster: a new one', () => {
    const fresh = firstToken({ token: null, joins: [], init: false }, { crypto, random });
    expect(fresh.clusterId).not.toBe(own.clusterId);
  });

  it.each([
    ['joining without one', { token: null, joins, init: false }, 'token-missing'],
    ['one that neither joins nor begins', { token: text, joins: [], init: false }, 'usage'],
  ])('refused: %s', (_story, options, code) => {
    expect(() => firstToken(options, { crypto, random })).toThrow(expect.objectContaining({ code }));
  });
});

describe('the token of a later launch', () => {
  it.each([
    ['none', null],
    ["the cluster's own", text],
  ])('%s', (_story, given) => {
    expect(() => refuseForeignToken(given, own, crypto)).not.toThrow();
  });

  it("refused: another cluster's, with both named", () => {
    const other = generateToken(random);
    const given = formatToken(other, crypto);
    expect(() => refuseForeignToken(given, own, crypto)).toThrow(
      expect.objectContaining({
        code: 'state-contradiction',
        message: expect.stringMatching(new RegExp(`${other.clusterId}.*${own.clusterId}`)),
      }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { firstState, Keyring, type KeyringState } from '../../src/base/keyring.ts';
import { formatToken, generateToken, type Token } from '../../src/base/token.ts';
import { firstToken, takeGivenToken } from '../../src/daemon/launch-token.ts';
import { nodeCrypto as crypto } from '../../src/host/node-crypto.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const random = new SeededRandom(1);
const own = { ...generateToken(random), generation: 3 };
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
  function keyringOf(token: Token) {
    const kept: KeyringState[] = [];
    const state = firstState(token);
    return {
      kept,
      keyring: new Keyring(state, { clock: new ManualClock(), crypto, keep: (one) => void kept.push(one) }),
    };
  }

  it.each([
    ['none', null],
    ["the cluster's own", text],
    ['an older one', formatToken({ ...own, generation: own.generation - 1 }, crypto)],
  ])('%s changes nothing', (_story, given) => {
    const { kept, keyring } = keyringOf(own);
    takeGivenToken(given, keyring, crypto);
    expect(kept).toEqual([]);
    expect(keyring.current.token).toEqual(own);
  });

  it('a later one is taken in: the host was away for too long', () => {
    const { kept, keyring } = keyringOf(own);
    const later = { ...own, generation: own.generation + 2, secret: random.bytes(32) };
    takeGivenToken(formatToken(later, crypto), keyring, crypto);
    expect(kept).toEqual([expect.objectContaining({ token: later, older: [] })]);
    expect(keyring.generations.map(({ token }) => token)).toEqual([later]);
  });

  it("refused: another cluster's, with both named", () => {
    const other = generateToken(random);
    expect(() => takeGivenToken(formatToken(other, crypto), keyringOf(own).keyring, crypto)).toThrow(
      expect.objectContaining({
        code: 'state-contradiction',
        message: expect.stringMatching(new RegExp(`${other.clusterId}.*${own.clusterId}`)),
      }),
    );
  });
});

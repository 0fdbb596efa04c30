import { describe, expect, test } from 'vitest';
import { firstState, isLater, Keyring, type KeyringState } from '../../src/base/keyring.ts';
import { generateToken, nextToken, type Token } from '../../src/base/token.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const random = new SeededRandom(1);
const one = generateToken(random);
const [two, twin] = [nextToken(one, random), nextToken(one, random)];
const three = nextToken(two, random);
const HOUR_MS = 3_600_000;

function setUp(state: KeyringState = firstState(one)) {
  const clock = new ManualClock();
  const kept: KeyringState[] = [];
  const keyring = new Keyring(state, { clock, crypto: nodeCrypto, keep: (next) => void kept.push(next) });
  return { clock, kept, keyring, tokens: () => keyring.generations.map(({ token }) => token) };
}

describe('keyring', () => {
  test.each<[string, readonly Token[], readonly Token[]]>([
    ['the next generation becomes current, the one before stays', [two], [two, one]],
    ['two generations behind is gone', [two, three], [three, two]],
    ['what comes late is held as long as it is one behind', [three, two], [three, two]],
    ['the same again changes nothing', [two, two], [two, one]],
  ])('%s', (_story, taken, expected) => {
    const { keyring, tokens } = setUp();
    for (const token of taken) keyring.take(token, 0);
    expect(tokens()).toEqual(expected);
  });

  test('two tokens of one generation are ordered alike, in whatever order they come', () => {
    const [here, there] = [setUp(), setUp()];
    for (const token of [two, twin]) here.keyring.take(token, 0);
    for (const token of [twin, two]) there.keyring.take(token, 0);
    expect(here.tokens()).toEqual(there.tokens());
    const [first, second] = here.keyring.generations;
    expect(isLater(first!, second!)).toBe(true);
  });

  test('of more than four the lowest go', () => {
    const { keyring } = setUp();
    for (let i = 0; i < 10; i++) keyring.take(nextToken(one, random), 0);
    expect(keyring.generations).toHaveLength(4);
    expect(keyring.generations.every(({ generation }) => generation === 2)).toBe(true);
  });

  test('is durable first: a store that fails changes nothing', () => {
    const keyring = new Keyring(firstState(one), {
      clock: new ManualClock(),
      crypto: nodeCrypto,
      keep: () => {
        throw new Error('disk full');
      },
    });
    expect(() => keyring.take(two, 0)).toThrow('disk full');
    expect(keyring.current.token).toEqual(one);
  });

  test('the grace ends in time, by whichever clock is first, and survives a restart', () => {
    const { clock, keyring, kept } = setUp();
    expect(keyring.graceLeftMs).toBe(0);
    keyring.take(two, HOUR_MS);
    clock.advance(HOUR_MS / 2);
    expect(keyring.graceLeftMs).toBe(HOUR_MS / 2);
    clock.stepWall(-HOUR_MS);
    expect(keyring.graceLeftMs).toBe(HOUR_MS / 2);
    clock.stepWall(HOUR_MS + HOUR_MS / 4);
    expect(keyring.graceLeftMs).toBe(HOUR_MS / 4);
    clock.stepWall(-HOUR_MS / 4);
    const resumed = new Keyring(kept.at(-1)!, { clock, crypto: nodeCrypto, keep: () => {} });
    expect(resumed.graceLeftMs).toBe(HOUR_MS / 2);
    clock.advance(HOUR_MS / 2);
    expect([keyring.graceLeftMs, resumed.graceLeftMs]).toEqual([0, 0]);
  });

  test('the grace of an older token is none of the current one', () => {
    const { keyring } = setUp();
    keyring.take(three, 0);
    keyring.take(two, HOUR_MS);
    expect(keyring.graceLeftMs).toBe(0);
  });

  test('an operator replaces all of them', () => {
    const { keyring, kept, tokens } = setUp();
    keyring.take(two, HOUR_MS, { untold: true });
    expect(keyring.untold).toBe(true);
    keyring.replaceAll(three);
    expect(tokens()).toEqual([three]);
    expect(kept.at(-1)).toEqual(firstState(three));
  });
});

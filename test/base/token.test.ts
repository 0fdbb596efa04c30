import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { FabricError } from '../../src/base/errors.ts';
import { deriveClusterKeys, formatToken, generateToken, parseToken } from '../../src/base/token.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const token = generateToken(new SeededRandom(1));
const text = formatToken(token, nodeCrypto);

function refusal(input: string): string {
  try {
    parseToken(input, nodeCrypto);
  } catch (error) {
    if (error instanceof FabricError && error.code === 'token-malformed') return error.message;
    throw error;
  }
  return 'accepted';
}

describe('token text', () => {
  test('is stable, lower case and of fixed length', () => {
    expect(text).toMatch(/^fabric1-[a-z2-7]{90}$/);
    expect(formatToken(token, nodeCrypto)).toBe(text);
  });

  test('TM13 carries 256 random bits, none of which anything else in it tells', () => {
    const { clusterId, secret, generation } = generateToken(new SeededRandom(2));
    expect(secret).toHaveLength(32);
    const other = generateToken(new SeededRandom(3));
    const differing = secret.filter((byte, at) => byte !== other.secret[at]);
    expect(differing.length, 'two draws share bytes by chance alone').toBeGreaterThan(28);
    expect(toHex(secret)).not.toContain(clusterId.slice(0, 16));
    expect(generation).toBe(1);
  });

  test('comes back as it went', () => {
    for (let seed = 0; seed < 50; seed++) {
      const one = { ...generateToken(new SeededRandom(seed)), generation: seed * 7919 + 1 };
      expect(parseToken(formatToken(one, nodeCrypto), nodeCrypto)).toEqual(one);
    }
  });

  test.each([
    ['a trailing newline', `${text}\n`],
    ['leading blanks and a carriage return', `  \t${text}\r\n`],
    ['a line break of a narrow terminal', `${text.slice(0, 40)}\n${text.slice(40)}`],
    ['upper case', text.toUpperCase()],
  ])('survives %s', (_, pasted) => {
    expect(parseToken(pasted, nodeCrypto)).toEqual(token);
  });

  test.each([
    ['nothing', '', 'it is empty'],
    ['white space', ' \n', 'it is empty'],
    ['something else', 'hunter2', 'does not begin with fabric1-'],
    ['a newer version', `fabric2-${text.slice(8)}`, 'version that this fabric does not know'],
    ['a missing end', text.slice(0, -1), 'too short'],
    ['a doubled paste', text + text.slice(8), 'too long'],
    ['a foreign character', `${text.slice(0, -1)}1`, 'character that no token has'],
    ['a wrong file', 'x'.repeat(5000), '5000 characters'],
  ])('refuses %s and says so', (_, input, why) => {
    expect(refusal(input)).toContain(why);
  });

  test('refuses every single changed character and never repeats it', () => {
    for (let at = 8; at < text.length; at++) {
      const other = text[at] === 'a' ? 'b' : 'a';
      const message = refusal(text.slice(0, at) + other + text.slice(at + 1));
      expect(message).toMatch(/checksum is wrong|character that no token has/);
      expect(message).not.toContain(text.slice(8, 20));
    }
  });

  test('fuzz: any text is a token or a clear refusal', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((tail) => `fabric1-${tail}`),
        ),
        (input) => {
          expect(refusal(input)).not.toBe('accepted');
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('derived keys', () => {
  test('differ from each other, by generation and by cluster', () => {
    const other = generateToken(new SeededRandom(2));
    const all = [token, { ...token, generation: 2 }, { ...token, clusterId: other.clusterId }].flatMap((one) =>
      Object.values(deriveClusterKeys(one, nodeCrypto)).map(toHex),
    );
    expect(new Set(all).size).toBe(9);
    for (const key of all) expect(key).toHaveLength(64);
  });

  test('are a function of the token alone', () => {
    expect(deriveClusterKeys(parseToken(text, nodeCrypto), nodeCrypto)).toEqual(deriveClusterKeys(token, nodeCrypto));
  });
});

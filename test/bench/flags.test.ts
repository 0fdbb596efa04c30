// What the words after `npm run bench --` choose.

import { describe, expect, it } from 'vitest';
import { readFlags } from '../../bench/flags.ts';

const KNOWN = { contenders: ['vxlan', 'engine'], metrics: ['tcpGbps', 'rttMs'] };

describe('the flags of a run', () => {
  it('are all optional', () => {
    expect(readFlags([], KNOWN)).toEqual({
      quick: false,
      json: null,
      record: false,
      only: null,
      metrics: null,
      rounds: null,
    });
  });

  it('choose contenders, metrics, rounds and a file', () => {
    const words = [
      '--quick',
      '--record',
      '--json',
      'x',
      '--only',
      'vxlan,engine',
      '--metric',
      'rttMs',
      '--rounds',
      '7',
    ];
    const chosen = { only: new Set(['vxlan', 'engine']), metrics: new Set(['rttMs']) };
    expect(readFlags(words, KNOWN)).toEqual({ quick: true, record: true, json: 'x', ...chosen, rounds: 7 });
  });

  const wrong: [story: string, words: string[], message: string][] = [
    ['an unknown contender', ['--only', 'vxlan,ipsec'], '--only: no ipsec; there are vxlan, engine'],
    ['an unknown metric', ['--metric', 'speed'], '--metric: no speed; there are tcpGbps, rttMs'],
    ['no name at all', ['--only', ''], '--only: no '],
    ['no rounds', ['--rounds', '0'], '--rounds: 0 is no whole number'],
    ['half a round', ['--rounds', '1.5'], '--rounds: 1.5 is no whole number'],
    ['an unknown flag', ['--fast'], '--fast'],
  ];
  it.each(wrong)('refuse %s and say what is right', (_story, words, message) => {
    expect(() => readFlags(words, KNOWN)).toThrow(message);
  });
});

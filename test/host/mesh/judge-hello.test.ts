import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import type { BootId, PeerId } from '../../../src/base/ids.ts';
import type { Hello } from '../../../src/host/mesh/envelope.ts';
import { type HelloContext, judgeHello } from '../../../src/host/mesh/judge-hello.ts';

const A = 'a'.repeat(32) as PeerId;
const B = 'b'.repeat(32) as PeerId;
const NONE = new Uint8Array(0);
const [ONE, TWO, FORGED] = [utf8('good one'), utf8('good two'), utf8('forged')] as const;

function helloOf(change: Partial<Hello> = {}): Hello {
  const base = { version: '1', nickname: '', genesis: ONE, endpoints: [], port: 1, networks: [] };
  return { ...base, protocolMin: 1, protocolMax: 1, bootId: '000000000000000b' as BootId, ...change };
}

function judge(theirs: Hello, own: Hello, peer: PeerId = B) {
  const context: HelloContext = {
    self: A,
    own,
    peer,
    party: { name: 'host', dialled: true },
    readGenesis: (bytes) => {
      const [word, genesisId] = new TextDecoder().decode(bytes).split(' ');
      return word === 'good' ? { genesisId: genesisId! } : null;
    },
  };
  return judgeHello(theirs, context);
}

const own = helloOf({ bootId: '000000000000000a' as BootId });

describe('judging a hello', () => {
  test.each<[string, Partial<Hello>, Partial<Hello>, object]>([
    ['two members of one cluster', {}, {}, { verdict: 'welcome', protocol: 1, admit: null }],
    ['a joiner at a member', { genesis: NONE }, {}, { verdict: 'welcome', admit: null }],
    ['a member at a joiner', {}, { genesis: NONE }, { verdict: 'welcome', admit: ONE }],
    [
      'two joiners',
      { genesis: NONE },
      { genesis: NONE },
      { verdict: 'refused', refusal: { code: 'peer-unreachable' } },
    ],
    ['different geneses', { genesis: TWO }, {}, { verdict: 'refused', refusal: { code: 'cluster-mismatch' } }],
    ['a forged genesis', { genesis: FORGED }, {}, { verdict: 'refused', refusal: { code: 'cluster-mismatch' } }],
    ['a forged genesis at a joiner', { genesis: FORGED }, { genesis: NONE }, { verdict: 'refused' }],
    ['the highest common protocol', { protocolMax: 5 }, { protocolMax: 3 }, { verdict: 'welcome', protocol: 3 }],
    ['a newer one without overlap', { protocolMin: 2, protocolMax: 3 }, {}, { refusal: { code: 'version-mismatch' } }],
    ['an older one without overlap', {}, { protocolMin: 2, protocolMax: 3 }, { refusal: { code: 'version-mismatch' } }],
  ])('%s', (_, theirs, ours, verdict) => {
    expect(judge(helloOf(theirs), { ...own, ...ours })).toMatchObject(verdict);
  });

  test('our own id with our own boot is ourselves, with another boot a clone', () => {
    expect(judge(own, own, A)).toEqual({ verdict: 'self' });
    expect(judge(helloOf(), own, A)).toMatchObject({ verdict: 'clone', refusal: { code: 'identity-clone' } });
  });

  test('both sides come to the same end, whatever they are', () => {
    const variants = [{}, { genesis: NONE }, { genesis: TWO }, { protocolMin: 2, protocolMax: 2 }, { protocolMax: 2 }];
    for (const left of variants) {
      for (const right of variants) {
        const there = judge(helloOf(left), { ...own, ...right }).verdict;
        const back = judge(helloOf(right), { ...own, ...left }).verdict;
        expect(there).toBe(back);
      }
    }
  });
});

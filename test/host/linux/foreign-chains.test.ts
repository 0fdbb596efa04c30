import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  acceptRules,
  chainsAt,
  droppingChains,
  isAbout,
  isIptablesChain,
  nameServerRules,
  placedRules,
  printedRules,
  rulesFor,
} from '../../../src/host/linux/foreign-chains.ts';
import type { NftListing } from '../../../src/host/linux/nft.ts';

const base = (table: string, name: string, policy: string, family = 'ip', hook = 'forward') => ({
  chain: { family, table, name, handle: 1, type: 'filter', hook, prio: 0, policy },
});
const rule = (table: string, chain: string, expr: readonly object[], family = 'ip') => ({
  rule: { family, table, chain, handle: 7, expr },
});
const place = (table: string, chain: string, family = 'ip') => ({ family, table, chain });
const COUNTER = { counter: { packets: 0, bytes: 0 } };
const MATCH = { match: { op: '==', left: { meta: { key: 'iifname' } }, right: 'eth0' } };

describe('forward chains that drop', () => {
  const rows: readonly (readonly [string, NftListing, readonly object[]])[] = [
    ['none', [{ metainfo: {} }, { table: { family: 'ip', name: 'filter' } }], []],
    ['policy accept', [base('filter', 'FORWARD', 'accept')], []],
    ['policy drop', [base('filter', 'FORWARD', 'drop')], [place('filter', 'FORWARD')]],
    ['policy drop at another hook', [base('filter', 'INPUT', 'drop', 'ip', 'input')], []],
    ['policy drop of ours', [base('fabric', 'forward', 'drop', 'inet')], []],
    ['the bridge family, which never routes', [base('x', 'y', 'drop', 'bridge')], []],
    [
      'Docker: its chain for others',
      [
        base('filter', 'FORWARD', 'drop'),
        rule('filter', 'FORWARD', [COUNTER, { jump: { target: 'DOCKER-USER' } }]),
        { chain: { family: 'ip', table: 'filter', name: 'DOCKER-USER', handle: 2 } },
      ],
      [place('filter', 'DOCKER-USER')],
    ],
    [
      'DOCKER-USER that nothing leads to',
      [base('filter', 'FORWARD', 'drop'), { chain: { family: 'ip', table: 'filter', name: 'DOCKER-USER' } }],
      [place('filter', 'FORWARD')],
    ],
    [
      "firewalld's last rule",
      [
        base('firewalld', 'filter_FORWARD', 'accept', 'inet'),
        rule('firewalld', 'filter_FORWARD', [MATCH, { accept: null }], 'inet'),
        rule('firewalld', 'filter_FORWARD', [{ reject: { type: 'icmpx', expr: 'admin-prohibited' } }], 'inet'),
      ],
      [place('firewalld', 'filter_FORWARD', 'inet')],
    ],
    ['a last rule that drops some', [base('t', 'c', 'accept'), rule('t', 'c', [MATCH, COUNTER, { drop: null }])], []],
    [
      'both families',
      [base('t', 'c', 'drop', 'ip'), base('t', 'c', 'drop', 'ip6')],
      [place('t', 'c'), place('t', 'c', 'ip6')],
    ],
    ['a name that nft could not read back', [base('t', 'c; flush ruleset', 'drop')], []],
  ];
  it.each(rows)('%s', (_name, listing, places) => {
    expect(droppingChains(listing, 'forward')).toEqual(places);
  });

  it('never throws on whatever nft prints', () => {
    const listing = fc.array(fc.dictionary(fc.constantFrom('chain', 'rule', 'set', 'x'), fc.anything()));
    fc.assert(
      fc.property(listing, (objects) => {
        for (const hook of ['forward', 'input'] as const) {
          droppingChains(objects, hook);
          chainsAt(objects, hook);
        }
        placedRules(objects);
      }),
    );
  });
});

it('input chains that drop are found apart from those that forward', () => {
  const listing = [base('filter', 'INPUT', 'drop', 'ip', 'input'), base('filter', 'FORWARD', 'drop')];
  expect(droppingChains(listing, 'input')).toEqual([place('filter', 'INPUT')]);
  expect(chainsAt(listing, 'input')).toEqual([place('filter', 'INPUT')]);
});

it("opens an input chain for the name server on the gateway's addresses only, each family where it belongs", () => {
  const rules = nameServerRules('fabric0', ['10.32.0.1', 'fd00::1']);
  const texts = (family: 'ip' | 'ip6' | 'inet') =>
    rulesFor(rules, family).map(({ nft }) => nft.replace(/ counter.*/, ''));
  expect(texts('ip')).toEqual([
    'iifname "fabric0" ip daddr 10.32.0.1 udp dport 53',
    'iifname "fabric0" ip daddr 10.32.0.1 tcp dport 53',
  ]);
  expect(texts('ip6')).toEqual([
    'iifname "fabric0" ip6 daddr fd00::1 udp dport 53',
    'iifname "fabric0" ip6 daddr fd00::1 tcp dport 53',
  ]);
  expect(texts('inet')).toHaveLength(4);
  expect(new Set(rules.map(({ comment }) => comment)).size).toBe(4);
});

it('reads what iptables prints, and knows what deletes it', () => {
  const text = [
    '-P INPUT DROP',
    '-A INPUT -d 10.32.0.1/32 -i fabric0 -p udp -m udp --dport 53 -m comment --comment "fabric: names on fabric0, ip udp" -j ACCEPT',
    '-A INPUT -i lo -j ACCEPT',
    '-A INPUT -m comment --comment lan -j ACCEPT',
  ].join('\n');
  const [ours, others, ...rest] = printedRules(text);
  expect(ours?.comment).toBe('fabric: names on fabric0, ip udp');
  expect(ours?.match.join(' ')).toBe(
    '-d 10.32.0.1/32 -i fabric0 -p udp -m udp --dport 53 -m comment --comment fabric: names on fabric0, ip udp -j ACCEPT',
  );
  expect(others?.comment).toBe('lan');
  expect(rest).toEqual([]);
});

it.each([
  ['fabric: from fabric0', 'fabric0', true],
  ['fabric: names on fabric0, ip udp', 'fabric0', true],
  ['fabric: from fabric01', 'fabric0', false],
  ['lan fabric0', 'fabric0', false],
])('%s is about %s: %s', (comment, name, expected) => {
  expect(isAbout(comment, name)).toBe(expected);
});

it('finds its own rules by comment, not those of others', () => {
  const ours = {
    rule: { family: 'inet', table: 't', chain: 'c', handle: 3, comment: 'fabric: from fabric0', expr: [] },
  };
  const others = { rule: { family: 'inet', table: 't', chain: 'c', handle: 4, comment: 'allow lan', expr: [] } };
  expect(placedRules([ours, others])).toEqual([
    { family: 'inet', table: 't', chain: 'c', handle: 3, comment: 'fabric: from fabric0' },
  ]);
});

it('opens a chain for what containers send, and for answers and published ports', () => {
  const rules = acceptRules(['fabric0']);
  expect(rules.map(({ nft }) => nft.replace(/ counter.*/, ''))).toEqual([
    'iifname "fabric0"',
    'oifname "fabric0" ct state established,related',
    'oifname "fabric0" ct status dnat',
  ]);
  expect(rules.every(({ iptables }) => iptables.at(-1) === 'ACCEPT')).toBe(true);
});

it.each([
  ['ip', 'filter', 'FORWARD', true],
  ['ip6', 'filter', 'DOCKER-USER', true],
  ['inet', 'filter', 'FORWARD', false],
  ['ip', 'filter', 'forward', false],
  ['ip', 'mine', 'FORWARD', false],
] as const)('%s %s %s is read by iptables: %s', (family, table, chain, expected) => {
  expect(isIptablesChain({ family, table, chain })).toBe(expected);
});

import { describe, expect, it, test } from 'vitest';
import type { Mac } from '../../../src/base/ids.ts';
import type { VxlanPlan } from '../../../src/host/host-network.ts';
import { hasVxlanPeers } from '../../../src/host/linux/packet-filter.ts';
import { vxlanRules } from '../../../src/host/linux/vxlan-rules.ts';

const PLAN: VxlanPlan = {
  families: [4, 6],
  local: null,
  probeMac: '0a:00:00:00:00:01' as Mac,
  peers: ['192.0.2.12', '2001:db8::12', '192.0.2.12'].map((ip) => ({ ip, probeMac: '0a:00:00:00:00:02' as Mac })),
  paths: new Map(),
};
const INSIDE = '{ "fabric0", "host0" }';

describe('with a plan', () => {
  const rules = vxlanRules(PLAN, [0, 7], INSIDE);

  it('lets in the peers of both families, each once', () => {
    expect(rules.sets.map(({ name, elements }) => [name, elements])).toEqual([
      ['vxlan_peers', ['192.0.2.12']],
      ['vxlan_peer6s', ['2001:db8::12']],
    ]);
  });

  it('judges what comes to this host for our VNIs and the probes, and nothing of flannel (VNI 1)', () => {
    expect(rules.prerouting).toEqual(['udp dport 8472 @th,96,24 { 0, 7, 16777215 } fib daddr type local goto vxlan']);
  });

  it('drops what comes from the overlay before it looks at sources, and all others last', () => {
    expect(rules.arriving[0]).toMatch(/^iifname \{ "fabric0", "host0" \} counter drop/);
    expect(rules.arriving.at(-1)).toMatch(/^counter drop/);
    expect(rules.arriving.slice(1, -1).every((rule) => rule.endsWith('accept'))).toBe(true);
  });

  it('forwards nothing to a peer that would come from us there', () => {
    expect(rules.forward).toHaveLength(2);
    expect(rules.forward.every((rule) => rule.endsWith('drop'))).toBe(true);
  });
});

test('without a plan there are no rules, and the sets are emptied', () => {
  const { sets, ...rules } = vxlanRules(null, [0], INSIDE);
  expect(Object.values(rules).flat()).toEqual([]);
  expect(sets.map(({ elements }) => elements)).toEqual([[], []]);
});

test.each<[string, readonly string[] | undefined, readonly string[], boolean]>([
  ['as written', ['192.0.2.12'], ['2001:db8::12'], true],
  ['a peer shut out', undefined, ['2001:db8::12'], false],
  ['a stranger let in', ['192.0.2.12', '192.0.2.66'], ['2001:db8::12'], false],
  ['another in its place', ['192.0.2.66'], ['2001:db8::12'], false],
])('the sets that the kernel shows: %s', (_name, v4, v6, whole) => {
  const listing = [
    { metainfo: {} },
    { set: { name: 'vxlan_peers', ...(v4 && { elem: v4 }) } },
    { set: { name: 'vxlan_peer6s', elem: v6 } },
  ];
  expect(hasVxlanPeers(listing, PLAN)).toBe(whole);
});

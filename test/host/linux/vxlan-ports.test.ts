import { describe, expect, test } from 'vitest';
import type { Mac } from '../../../src/base/ids.ts';
import type { VxlanPlan } from '../../../src/host/host-network.ts';
import { withoutEndingPaths } from '../../../src/host/linux/vxlan-ports.ts';

const [A, B] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b'] as [Mac, Mac];
const plan = (paths: readonly (readonly [Mac, string])[], peers: readonly string[] = ['192.0.2.12']): VxlanPlan => ({
  families: [4, 6],
  local: null,
  probeMac: '0a:00:00:00:00:01' as Mac,
  peers: peers.map((ip) => ({ ip, probeMac: '0a:00:00:00:00:02' as Mac })),
  paths: new Map(paths),
});

describe('paths that end go before the packet filter changes', () => {
  const before = plan([
    [A, '192.0.2.12'],
    [B, '192.0.2.13'],
  ]);

  test.each<[string, VxlanPlan, readonly [Mac, string][]]>([
    ['a peer that is let in no more', plan([[B, '192.0.2.13']], ['192.0.2.13']), [[B, '192.0.2.13']]],
    [
      'a peer whose address moved',
      plan([
        [A, '2001:db8:1::12'],
        [B, '192.0.2.13'],
      ]),
      [[B, '192.0.2.13']],
    ],
    ['all of them', plan([], []), []],
  ])('%s', (_name, after, staying) => {
    expect(withoutEndingPaths(before, after)).toEqual({ ...before, paths: new Map(staying) });
  });

  test('nothing is to be done first where none ends, or where there was no plan', () => {
    const more = plan([...before.paths, ['02:00:00:00:00:0c' as Mac, '192.0.2.14']], ['192.0.2.14']);
    expect([withoutEndingPaths(before, more), withoutEndingPaths(null, before)]).toEqual([null, null]);
    expect(withoutEndingPaths(before, null)).toBeNull();
  });
});

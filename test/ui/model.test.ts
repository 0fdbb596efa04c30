import { describe, expect, test } from 'vitest';
import { ratesBetween } from '../../src/cli/status/rates.ts';
import { buildModel, Places, SPACING, search } from '../../ui/model.ts';
import { statusOfMany } from '../lab/many-hosts.ts';

const build = (hosts: number, containers = 2) => buildModel(statusOfMany(hosts, containers, 0), null, new Places());

describe('places', () => {
  test('are apart from each other, however many hosts there are', () => {
    const { hosts } = build(300);
    for (const [index, a] of hosts.entries()) {
      for (const b of hosts.slice(index + 1)) {
        expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThan(SPACING * 0.9);
      }
    }
  });

  test('this host is in the middle, and others keep theirs while hosts come and go', () => {
    const places = new Places();
    places.keep('me', ['a', 'b', 'c']);
    const [a, c] = [places.of('a'), places.of('c')];
    const b = places.of('b');
    places.keep('me', ['a', 'c']);
    places.keep('me', ['a', 'c', 'd', 'e']);
    expect([places.of('me'), places.of('a'), places.of('c')]).toEqual([{ x: 0, y: 0 }, a, c]);
    expect(places.of('d')).toEqual(b);
    expect(places.of('e')).not.toEqual(b);
  });
});

describe('the model', () => {
  test('has every host with its tunnel, containers and addresses', () => {
    const { hosts, byId } = build(4);
    expect(hosts.map(({ nickname, isSelf }) => [nickname, isSelf])).toEqual([
      ['host-1', true],
      ['host-2', false],
      ['host-3', false],
      ['host-4', false],
    ]);
    const second = byId.get(hosts[1]!.id)!;
    expect(second.tunnel?.datapath).toBe('engine');
    expect(second.addresses).toBe(2 ** 18);
    expect(second.containers).toEqual([
      { mac: '02:00:00:00:00:01', ips: ['10.36.0.2'], names: ['web1.fabric.internal'] },
      { mac: '02:00:00:01:00:01', ips: ['10.36.0.3'], names: [] },
    ]);
    expect(hosts[0]!.tunnel).toBeNull();
  });

  test('a container has the names of its address in its own network', () => {
    const status = statusOfMany(2, 1, 0);
    const elsewhere = { ...status.dns[0]!, network: 'blue', name: 'other.fabric.internal' };
    const { byId } = buildModel({ ...status, dns: [...status.dns, elsewhere] }, null, new Places());
    const names = [...byId.values()].flatMap(({ containers }) => containers.flatMap(({ names }) => names));
    expect(names).not.toContain('other.fabric.internal');
    expect(names.length).toBeGreaterThan(0);
  });

  test('what flows is both directions', () => {
    const [before, now] = [statusOfMany(8, 1, 1_000), statusOfMany(8, 1, 3_000)];
    const { hosts } = buildModel(now, ratesBetween(before, now), new Places());
    expect(hosts[7]!.flow).toBe(2_000);
    expect(hosts[1]!.flow).toBe(0);
  });

  test('blocks are parts of the range, in their places', () => {
    const { blocks } = build(4);
    expect(blocks.map(({ from, to }) => [from, to])).toEqual([
      [0, 0.25],
      [0.25, 0.5],
      [0.5, 0.75],
      [0.75, 1],
    ]);
  });

  test('before this host has joined there is nothing but itself', () => {
    const status = { ...statusOfMany(1, 0, 0), networks: [], leases: [], routes: [], dns: [] };
    const { hosts, blocks } = buildModel(status, null, new Places());
    expect([hosts.length, blocks.length]).toEqual([1, 0]);
  });
});

test.each([
  ['host-3', 'host-3'],
  ['HOST-3', 'host-3'],
  ['web2.fabric', 'host-3: web2.fabric.internal'],
  ['10.40.0.3', 'host-3: 10.40.0.3'],
  ['02:00:00:01:00:02', 'host-3: 02:00:00:01:00:02'],
  ['  host-3 ', 'host-3'],
])('%s finds one host', (text, why) => {
  expect(search(build(4), text, 9).map((hit) => hit.why)).toEqual([why]);
});

test('a search is cut off, and nothing finds nothing', () => {
  expect(search(build(40), 'host', 5).length).toBe(5);
  expect(search(build(40), '  ', 5)).toEqual([]);
  expect(search(build(40), 'zebra', 5)).toEqual([]);
});

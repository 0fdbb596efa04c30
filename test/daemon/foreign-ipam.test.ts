import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import type { ForeignIpam, GivenAddress } from '../../src/cni-plugin/backend.ts';
import { key, never, request, setUp } from './attachments-world.ts';

const NOTHING = { entries: 0, claims: 0, addresses: 0, ports: 0, namespaces: 0 };

function ipam(given: readonly GivenAddress[], obtaining: () => void = () => undefined): ForeignIpam {
  return {
    plugin: 'host-local',
    obtain: async () => {
      obtaining();
      return { addresses: given, routes: [{ dst: '192.0.2.0/24', gw: null }] };
    },
  };
}

const INSIDE = { address: '10.32.9.7/24', gateway: null };
const OUTSIDE = { address: '198.51.100.7/24', gateway: '198.51.100.1' };

describe('addresses that a foreign IPAM plugin chose', () => {
  test("inside the network's range they are reserved in our leases, with the plugin's prefix", async () => {
    const { attachments, addresses, claims, entries } = setUp();
    const result = await attachments.attach(request({ foreignIpam: ipam([INSIDE]) }), never);
    expect(result.addresses).toEqual([{ address: '10.32.9.7/24', gateway: '10.32.0.1' }]);
    expect(result.routes).toEqual([{ dst: '192.0.2.0/24', gw: '10.32.0.1' }]);
    expect([...addresses]).toEqual([['10.32.9.7', 'fabric/c1/eth0']]);
    expect(claims.get(result.mac)?.ips).toEqual(['10.32.9.7', expect.stringMatching(/^fe80::/)]);
    expect(entries.get(key)?.foreign).toEqual([{ ip: '10.32.9.7', prefix: 24, gateway: null }]);
  });

  test('outside they belong to no lease and are claimed in the mesh', async () => {
    const { attachments, addresses, claims } = setUp();
    const result = await attachments.attach(request({ foreignIpam: ipam([OUTSIDE]) }), never);
    expect(result.addresses).toEqual([{ address: '198.51.100.7/24', gateway: '198.51.100.1' }]);
    expect(addresses.size).toBe(0);
    expect(claims.get(result.mac)?.ips[0]).toBe('198.51.100.7');
  });

  test('the interface is there, without addresses, while the plugin runs: dhcp talks through it', async () => {
    const { attachments, host, claims } = setUp();
    let portsThen = 0;
    const foreignIpam = ipam([INSIDE], () => {
      portsThen = host.ports.size;
      expect(claims.size).toBe(0);
    });
    await attachments.attach(request({ foreignIpam }), never);
    expect(portsThen).toBe(1);
    expect(host.calls).toEqual(['addContainer', 'addressContainer 10.32.9.7']);
  });

  test('a restart adopts it with its addresses; detach frees all', async () => {
    const first = setUp();
    await first.attachments.attach(request({ foreignIpam: ipam([INSIDE, OUTSIDE]) }), never);
    const after = setUp({ snapshot: first.store.snapshot(), host: first.host });
    await after.attachments.reconcile({ starting: true });
    expect(first.host.calls.at(-1)).toBe('adoptContainer 10.32.9.7 198.51.100.7');
    expect([...after.claims.values()][0]?.ips.slice(0, 2)).toEqual(['10.32.9.7', '198.51.100.7']);
    await after.attachments.detach(key);
    expect(after.leftOver()).toEqual(NOTHING);
  });

  test.each([
    [
      'is in use by our own leases',
      INSIDE,
      (world: ReturnType<typeof setUp>) => {
        world.world.allocate = async () => {
          throw new FabricError('address-in-use', { what: '10.32.9.7 is in use' });
        };
      },
      'address-in-use',
    ],
    [
      'is claimed by another host',
      OUTSIDE,
      (world: ReturnType<typeof setUp>) => {
        world.world.freeAddressHolder = () => 'host b (02:00:00:00:00:99)';
      },
      'address-in-use',
    ],
    [
      'leads elsewhere from this host',
      OUTSIDE,
      (world: ReturnType<typeof setUp>) => {
        world.host.overlaps = ['198.51.100.0/24 dev eth0'];
      },
      'range-overlap',
    ],
    ['no interface can hold', { address: '127.0.0.5/8', gateway: null }, () => undefined, 'address-invalid'],
    ['can not be read', { address: 'x', gateway: null }, () => undefined, 'address-invalid'],
  ] as const)('one that %s is refused and leaves nothing', async (_, given, prepare, code) => {
    const world = setUp();
    prepare(world);
    const attached = world.attachments.attach(request({ foreignIpam: ipam([given]) }), never);
    await expect(attached).rejects.toMatchObject({ code });
    expect(world.leftOver()).toEqual(NOTHING);
  });

  test('two containers of one host can not have one address, not even at the same time', async () => {
    const { attachments, entries, claims } = setUp();
    const outcomes = await Promise.allSettled(
      ['c1', 'c2'].map((containerId) =>
        attachments.attach(request({ containerId, foreignIpam: ipam([OUTSIDE]) }), never),
      ),
    );
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect([entries.size, claims.size]).toEqual([1, 1]);
  });

  test('a plugin that fails, or a caller that hangs up while it runs, leaves nothing', async () => {
    const world = setUp();
    const failing: ForeignIpam = { plugin: 'dhcp', obtain: () => Promise.reject(new Error('no server')) };
    await expect(world.attachments.attach(request({ foreignIpam: failing }), never)).rejects.toThrow('no server');
    const caller = new AbortController();
    const slow = ipam([INSIDE], () => caller.abort());
    await expect(world.attachments.attach(request({ foreignIpam: slow }), caller.signal)).rejects.toMatchObject({
      code: 'timeout',
    });
    expect(world.leftOver()).toEqual(NOTHING);
  });
});

import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { FabricError } from '../../src/base/errors.ts';
import type { ReserveRequest } from '../../src/cni-plugin/backend.ts';
import { key, never, setUp } from './attachments-world.ts';

function wish(change: Partial<ReserveRequest> = {}): ReserveRequest {
  return { ...key, owner: 'cni:lan', namespace: null, addresses: { ips: [], ranges: [] }, ...change };
}

describe('addresses without an interface', () => {
  test('one of each family, with prefix length and gateway, under a name of their own', async () => {
    const { reservations, addresses } = setUp();
    expect(await reservations.reserve(wish(), never)).toEqual([
      { address: '10.32.0.2/12', gateway: '10.32.0.1' },
      { address: 'fd00::3/48', gateway: 'fd00::1' },
    ]);
    expect([...addresses.values()]).toEqual(['ipam:fabric/c1/eth0', 'ipam:fabric/c1/eth0']);
    expect(reservations.find(key)).toHaveLength(2);
    expect(reservations.listOwned('cni:lan')).toEqual([key]);
  });

  test('requested ones, and one out of each set of ranges that none of them lies in', async () => {
    const { reservations, world } = setUp();
    const asked: unknown[] = [];
    const allocate = world.allocate;
    world.allocate = (request) => {
      asked.push([request.family, request.wanted, request.within?.length]);
      return allocate(request);
    };
    const ranges = [[parseCidr('10.33.0.0/16')!], [parseCidr('fd00::/64')!, parseCidr('fd00:0:0:1::/64')!]];
    await reservations.reserve(wish({ addresses: { ips: ['10.33.0.7/12'], ranges } }), never);
    expect(asked).toEqual([
      [4, '10.33.0.7', undefined],
      [6, null, 2],
    ]);
  });

  test('release frees, repeated too; a second reserve of the same is refused', async () => {
    const { reservations, addresses } = setUp();
    await reservations.reserve(wish(), never);
    await expect(reservations.reserve(wish(), never)).rejects.toMatchObject({ code: 'attachment-exists' });
    expect(addresses.size).toBe(2);
    await reservations.release(key);
    await reservations.release(key);
    expect([addresses.size, reservations.find(key)]).toEqual([0, null]);
  });

  test.each([
    ['the second address is not there', 'address-exhausted'],
    ['the caller hangs up', 'timeout'],
  ])('%s: nothing is left', async (_name, code) => {
    const { reservations, world, addresses } = setUp();
    const caller = new AbortController();
    const allocate = world.allocate;
    world.allocate = async (request) => {
      if (request.family === 6 && code === 'timeout') caller.abort();
      else if (request.family === 6) throw new FabricError('address-exhausted', { what: 'none left' });
      return allocate(request);
    };
    await expect(reservations.reserve(wish(), caller.signal)).rejects.toMatchObject({ code });
    expect([addresses.size, reservations.all()]).toEqual([0, []]);
  });

  test('L1 a restart keeps them, a reboot of the host frees them', async () => {
    const first = setUp();
    await first.reservations.reserve(wish(), never);
    const restarted = setUp({ snapshot: first.store.snapshot() });
    restarted.reservations.reconcile();
    expect(restarted.reservations.find(key)).toHaveLength(2);
    const rebooted = setUp({ snapshot: first.store.snapshot(), kernelBootId: 'boot-2' });
    rebooted.reservations.reconcile();
    expect(rebooted.reservations.all()).toEqual([]);
  });

  test.each([0, 1, 2, 3, 4])(
    'a crash at write %i of a release leaves no reservation of a free address',
    async (write) => {
      const first = setUp();
      await first.reservations.reserve(wish(), never);
      let written = 0;
      first.store.beforeCommit = () => {
        if (written++ === write) throw new Error('killed');
      };
      await first.reservations.release(key).catch(() => undefined);
      const restarted = setUp({ snapshot: first.store.snapshot() });
      restarted.reservations.reconcile();
      expect(restarted.reservations.find(key)?.length ?? 0).toBe(restarted.addresses.size);
    },
  );

  test('a host that is not ready, and a network that is not there', async () => {
    const { reservations, world } = setUp();
    await expect(reservations.reserve(wish({ network: 'red' }), never)).rejects.toMatchObject({
      code: 'network-unknown',
    });
    world.unready = { reason: 'starting', degraded: false };
    await expect(reservations.reserve(wish(), never)).rejects.toThrow(/starting/);
  });
});

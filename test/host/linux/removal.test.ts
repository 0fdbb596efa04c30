import { describe, expect, test } from 'vitest';
import { FabricError } from '../../../src/base/errors.ts';
import { type RemovalParts, removeAll } from '../../../src/host/linux/removal.ts';

const LINKS = [
  { index: 1, name: 'eth0', kind: 'veth', alias: '' },
  { index: 2, name: 'fabric0', kind: 'bridge', alias: 'fabric: bridge of network 0' },
  { index: 3, name: 'fabric0p', kind: 'tun', alias: 'fabric: port to other hosts of fabric0' },
];

/** Parts that note what is removed; those named in `stuck` refuse. */
function setUp(...stuck: readonly string[]) {
  const removed: string[] = [];
  const remove = async (what: string): Promise<void> => {
    if (stuck.includes(what)) throw new FabricError('nftables', { what: `${what} is held` });
    removed.push(what);
  };
  const parts = {
    netlink: {
      listLinks: async () => LINKS,
      deleteLink: (index: number) => remove(LINKS.find((link) => link.index === index)!.name),
      listRoutes: async () => [{ dst: '10.32.0.0/12', metric: 0 }],
      deleteRoute: () => remove('route'),
    },
    filter: {
      removeAccepted: (names: readonly string[]) => remove(`accepts ${names.join(' ')}`),
      removeTables: () => remove('tables'),
    },
    forwarding: { restore: () => remove('sysctls') },
  } as unknown as RemovalParts;
  return { parts, removed };
}

async function failure(parts: RemovalParts): Promise<FabricError> {
  const error = await removeAll(parts).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(FabricError);
  return error as FabricError;
}

describe('removal', () => {
  test('ports before their bridge, the guard of forwarding last, nothing of others', async () => {
    const { parts, removed } = setUp();
    await removeAll(parts);
    expect(removed).toEqual(['fabric0p', 'fabric0', 'route', 'accepts fabric0 host0', 'sysctls', 'tables']);
  });

  test('a part that is stuck keeps the others from nothing but the guard, and is named with its command', async () => {
    const { parts, removed } = setUp('fabric0p');
    const { code, explanation } = await failure(parts);
    expect(removed).toEqual(['fabric0', 'route', 'accepts fabric0 host0', 'sysctls']);
    expect(code).toBe('nftables');
    expect(explanation).toEqual({
      what: 'left in the kernel: the interface fabric0p, the tables fabric of nftables',
      why: 'fabric0p is held',
      fix:
        'Mend that and run fabric reset --force again; or remove by hand: ip link delete fabric0p; ' +
        'nft delete table bridge fabric; nft delete table inet fabric',
    });
  });

  test('tables that are stuck are named alone', async () => {
    const { explanation } = await failure(setUp('tables').parts);
    expect(explanation.what).toBe('left in the kernel: the tables fabric of nftables');
  });
});

// Takes everything of fabric's out of the kernel again. What is ours is known by its own marks (alias, route protocol,
// table name), not by what this process remembers, so that it also works after a crash. The order keeps the host closed:
// interfaces first, the guard of forwarding last, and not at all while anything before it is left.

import { FabricError } from '../../base/errors.ts';
import { ROUTE_PROTOCOL } from '../netlink/objects.ts';
import type { Rtnetlink } from '../netlink/rtnetlink.ts';
import type { Forwarding } from './forwarding.ts';
import { ALIAS_PREFIX, NFT_TABLE, networkInterfaces } from './names.ts';
import { unlessMissing } from './overlay-bridge.ts';
import type { PacketFilter } from './packet-filter.ts';

/** What is removed, in parts. */
export interface RemovalParts {
  readonly netlink: Pick<Rtnetlink, 'listLinks' | 'deleteLink' | 'listRoutes' | 'deleteRoute'>;
  readonly filter: Pick<PacketFilter, 'removeAccepted' | 'removeTables'>;
  readonly forwarding: Pick<Forwarding, 'restore'>;
}

/** Something that could not be removed. */
interface Remainder {
  readonly what: string;
  /** The command that removes it; null: fabric alone knows how. */
  readonly byHand: string | null;
}

const TABLES: Remainder = {
  what: `the tables ${NFT_TABLE} of nftables`,
  byHand: `nft delete table bridge ${NFT_TABLE}; nft delete table inet ${NFT_TABLE}`,
};

/**
 * Idempotent. A part that fails keeps none but the guard from going; rejects then with the code of the first failure, naming all
 * that is left and the commands that remove it.
 */
export async function removeAll({ netlink, filter, forwarding }: RemovalParts): Promise<void> {
  const remainders: Remainder[] = [];
  const failures: unknown[] = [];
  const attempt = async (remainder: Remainder, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      remainders.push(remainder);
      failures.push(error);
    }
  };
  const links = (await netlink.listLinks()).filter(({ alias }) => alias.startsWith(ALIAS_PREFIX));
  const bridges = links.filter(({ kind }) => kind === 'bridge');
  // Ports before their bridge; of a pair the second end is gone with the first.
  for (const { index, name } of [...links.filter(({ kind }) => kind !== 'bridge'), ...bridges]) {
    await attempt({ what: `the interface ${name}`, byHand: `ip link delete ${name}` }, () =>
      unlessMissing(netlink.deleteLink(index)),
    );
  }
  const flush = `ip route flush proto ${ROUTE_PROTOCOL}; ip -6 route flush proto ${ROUTE_PROTOCOL}`;
  await attempt({ what: 'routes of fabric', byHand: flush }, async () => {
    for (const { dst, metric } of await netlink.listRoutes({ protocol: ROUTE_PROTOCOL })) {
      await unlessMissing(netlink.deleteRoute({ dst, metric }));
    }
  });
  const names = bridges.map(({ name }) => networkInterfaces(name));
  await attempt({ what: "fabric's accept rules in the chains of others", byHand: null }, () =>
    filter.removeAccepted(names.flatMap(({ bridge, host }) => [bridge, host])),
  );
  await attempt({ what: 'the forwarding sysctls as fabric set them', byHand: null }, () => forwarding.restore());
  if (remainders.length === 0) await attempt(TABLES, () => filter.removeTables());
  else remainders.push(TABLES);
  if (failures.length > 0) throw notRemoved(remainders, failures[0]);
}

function notRemoved(remainders: readonly Remainder[], cause: unknown): FabricError {
  const commands = [...new Set(remainders.flatMap(({ byHand }) => byHand ?? []))];
  return new FabricError(
    cause instanceof FabricError ? cause.code : 'internal',
    {
      what: `left in the kernel: ${remainders.map(({ what }) => what).join(', ')}`,
      why: (cause as Error).message,
      fix: `Mend that and run fabric reset --force again; or remove by hand: ${commands.join('; ')}`,
    },
    { cause },
  );
}

// What an operator calls a host: its nickname, its peer id, or the beginning of that.

import { FabricError } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';

/** A shorter beginning of a peer id is too easily another's. */
const ID_PREFIX_MIN = 6;

/**
 * The one host of that name; a whole peer id means that host, also where another one took it for its nickname. Throws `peer-unknown`,
 * or `usage` when several are meant.
 */
export function findHost(
  name: string,
  { ids, nicknames }: { readonly ids: Iterable<PeerId>; readonly nicknames: Iterable<readonly [PeerId, string]> },
): PeerId {
  const known = [...ids];
  const whole = known.find((id) => id === name);
  if (whole !== undefined) return whole;
  const byId = known.filter((id) => name.length >= ID_PREFIX_MIN && id.startsWith(name));
  const byName = [...nicknames].flatMap(([peer, nickname]) => (nickname === name ? [peer] : []));
  const matches = [...new Set([...byId, ...byName])];
  const [peer] = matches;
  if (matches.length > 1) {
    throw new FabricError('usage', {
      what: `${name} is not one host`,
      why: matches.join(', '),
      fix: 'Give the peer id',
    });
  }
  if (peer === undefined) {
    throw new FabricError('peer-unknown', { what: `no host is called ${name}`, fix: "See 'fabric status peers'" });
  }
  return peer;
}

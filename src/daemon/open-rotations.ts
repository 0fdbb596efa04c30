// Makes a member's part in token rotations: where tokens are kept, who is told, and what of this host follows from another token.

import type { FabricError } from '../base/errors.ts';
import type { Member } from './member.ts';
import type { MemberOptions } from './member-options.ts';
import type { OwnRecords } from './own-records.ts';
import type { Removed } from './removals.ts';
import { Rotations } from './rotations.ts';

type Parts = Pick<Member, 'directory' | 'removals' | 'tunnels' | 'vxlan' | 'isAlive'>;

/** `member` is used when there is news, not before. */
export function openRotations(
  { identity, keyring, clock, timers, crypto, random, log, mesh, tokensChanged }: MemberOptions,
  { own, member, failed }: { readonly own: OwnRecords; readonly member: Parts; failed(error: FabricError): void },
): Rotations {
  return new Rotations({
    keys: identity.keys,
    keyring,
    clock,
    crypto,
    random,
    log,
    own,
    directory: member.directory,
    isAlive: (peer) => member.isAlive(peer),
    isRevoked: (peer) => member.removals.isRevoked(peer),
    revoked: () => member.removals.revoked(),
    changed: () => {
      tokensChanged();
      member.vxlan?.rekey(keyring.current.psk);
    },
    cut: (peer) => {
      if (mesh.linkedBy(peer) !== keyring.current.id) mesh.shutOut(peer, 'it showed a token that was replaced');
      member.tunnels.cut(peer);
    },
    timers,
    failed,
  });
}

/** `fabric revoke`: shuts a host in wrong hands out, and replaces the token, which it may know. As {@link Removals.revoke}. */
export function revoke({ removals, rotations }: Pick<Member, 'removals' | 'rotations'>, name: string): Removed {
  const removed = removals.revoke(name);
  rotations.rotate({ graceMs: 0 });
  return removed;
}

// Makes a member's part in token rotations: where tokens are kept, who is told, and what of this host follows from another token.

import type { MemberOptions } from './member-options.ts';
import type { AdmissionWiring } from './open-admission.ts';
import type { Removals } from './removals.ts';
import { Rotations } from './rotations.ts';

export function openRotations(
  { identity, keyring, clock, timers, crypto, random, log, mesh, tokensChanged }: MemberOptions,
  removals: Removals,
  { own, member, failed }: AdmissionWiring,
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
    linked: () => mesh.linkedPeers(),
    isAlive: (peer) => member.isAlive(peer),
    isRevoked: (peer) => removals.isRevoked(peer),
    revoked: () => removals.revoked(),
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

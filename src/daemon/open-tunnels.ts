// Makes the control side of this host's tunnels from its identity: the membership that it shows in message 1 of a handshake,
// the secrets of the token's generation, and the check of what others show.

import type { AeadCipher } from '../base/capabilities.ts';
import type { PeerId } from '../base/ids.ts';
import { issueMembership, verifyMembership } from '../base/membership.ts';
import { deriveClusterKeys } from '../base/token.ts';
import { ETHERNET_BYTES, VLAN_BYTES, VLAN_TAGS_MAX } from '../router/frame.ts';
import type { TunnelDatapath, TunnelEvents } from '../router/tunnel-options.ts';
import { Tunnels } from '../router/tunnels.ts';
import { overheadBytes } from '../router/wire-format.ts';
import type { MemberOptions } from './member-options.ts';

/** Of the largest frame, over IPv6. */
const FRAME_OVERHEAD_MAX = ETHERNET_BYTES + VLAN_TAGS_MAX * VLAN_BYTES + overheadBytes(6);
/** Best first. */
const CIPHERS: readonly AeadCipher[] = ['aes-256-gcm', 'chacha20-poly1305'];
const CIPHERS_WITHOUT_AES: readonly AeadCipher[] = ['chacha20-poly1305', 'aes-256-gcm'];

/** What of a member its tunnels are made of. */
export type TunnelFacts = Pick<
  MemberOptions,
  'identity' | 'crypto' | 'clock' | 'random' | 'store' | 'log' | 'underlayMtu' | 'hasAes'
> & { readonly genesis: Pick<MemberOptions['genesis'], 'mtu'> };

/** `wake`: the tunnels want their tick within so many milliseconds. */
export function openTunnels(
  options: TunnelFacts,
  {
    datapath,
    wake,
    placed,
    turned,
    isRemoved,
    probed,
  }: { readonly datapath: TunnelDatapath; isRemoved(peer: PeerId): boolean } & Pick<
    TunnelEvents,
    'wake' | 'placed' | 'turned' | 'probed'
  >,
): Tunnels {
  const { identity, genesis, crypto, clock, random, store, log, underlayMtu } = options;
  const { keys, token } = identity;
  const clusterKeys = deriveClusterKeys(token, crypto);
  const authority = { generation: token.generation, caKey: crypto.ed25519Public(clusterKeys.caSeed) };
  const membership = issueMembership(
    {
      clusterId: token.clusterId,
      generation: token.generation,
      caSeed: clusterKeys.caSeed,
      identitySeed: keys.identitySeed,
      staticKey: keys.staticKey,
    },
    crypto,
  );
  const secrets = [{ generation: token.generation, psk: clusterKeys.tunnelPsk, mac1Key: clusterKeys.mac1Key }];
  return new Tunnels({
    self: { peer: keys.peer, staticPrivate: crypto.x25519Key(keys.staticSecret), staticPublic: keys.staticKey },
    membership: () => membership,
    secrets: () => secrets,
    verifyMembership: (credential) => {
      const verifier = { clusterId: token.clusterId, authorities: [authority], crypto };
      const member = verifyMembership(credential, verifier);
      return member === null || isRemoved(member.peer) ? null : member;
    },
    crypto,
    clock,
    random,
    store,
    log,
    datapath,
    ciphers: options.hasAes === false ? CIPHERS_WITHOUT_AES : CIPHERS,
    mtu: underlayMtu,
    neededMtu: genesis.mtu + FRAME_OVERHEAD_MAX,
    events: {
      peerSeen: ({ peer }) => log.debug('a member that gossip has not named yet opened a tunnel', { peer }),
      placed,
      ...(turned === undefined ? {} : { turned }),
      ...(probed === undefined ? {} : { probed }),
      wake,
    },
  });
}

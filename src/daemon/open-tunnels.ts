// Makes the control side of this host's tunnels from its identity: the membership that it shows in message 1 of a handshake,
// the secrets of the tokens that it holds, and the check of what others show.

import type { AeadCipher } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { assert } from '../base/errors.ts';
import type { PeerId } from '../base/ids.ts';
import type { Generation, Keyring } from '../base/keyring.ts';
import { issueMembership } from '../base/membership.ts';
import { VerifiedMemberships } from '../base/verified-memberships.ts';
import { ETHERNET_BYTES, VLAN_BYTES, VLAN_TAGS_MAX } from '../router/frame.ts';
import type { TunnelSecret } from '../router/handshake.ts';
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
  'identity' | 'keyring' | 'crypto' | 'clock' | 'random' | 'store' | 'log' | 'underlayMtu' | 'hasAes'
> & { readonly genesis: Pick<MemberOptions['genesis'], 'mtu'> };

/** `wake`: the tunnels want their tick within so many milliseconds. */
export function openTunnels(
  options: TunnelFacts,
  {
    datapath,
    wake,
    placed,
    turned,
    admits,
    probed,
    neighbours,
    ownEndpoints,
    natChanged,
  }: {
    readonly datapath: TunnelDatapath;
    admits(peer: PeerId, by: Generation): boolean;
    /** Who might relay. */
    neighbours(): readonly PeerId[];
    /** Null: the operator says where this host is. */
    ownEndpoints(): readonly Endpoint[] | null;
  } & Pick<TunnelEvents, 'wake' | 'placed' | 'turned' | 'probed' | 'natChanged'>,
): Tunnels {
  const { identity, keyring, genesis, crypto, clock, random, store, log, underlayMtu } = options;
  const { keys } = identity;
  const memberships = new WeakMap<Generation, Uint8Array>();
  const verified = new VerifiedMemberships<Generation>({ clusterId: keyring.clusterId, crypto });
  const membershipOf = (by: Generation): Uint8Array => {
    const issued = memberships.get(by) ?? issueMembership({ ...by, ...keys, clusterId: keyring.clusterId }, crypto);
    memberships.set(by, issued);
    return issued;
  };
  return new Tunnels({
    self: { peer: keys.peer, staticPrivate: crypto.x25519Key(keys.staticSecret), staticPublic: keys.staticKey },
    membership: (secret) => membershipOf(held(keyring, secret)),
    secrets: () => keyring.generations,
    admits: (peer, secret) => admits(peer, held(keyring, secret)),
    verifyMembership: (credential, secret) => {
      const by = held(keyring, secret);
      const member = verified.verify(credential, by);
      return member !== null && admits(member.peer, by) ? member : null;
    },
    crypto,
    clock,
    random,
    store,
    log,
    datapath,
    neighbours,
    ownEndpoints,
    ciphers: options.hasAes === false ? CIPHERS_WITHOUT_AES : CIPHERS,
    mtu: underlayMtu,
    neededMtu: genesis.mtu + FRAME_OVERHEAD_MAX,
    events: {
      peerSeen: ({ peer }) => log.debug('a member that gossip has not named yet opened a tunnel', { peer }),
      placed,
      ...(turned === undefined ? {} : { turned }),
      ...(probed === undefined ? {} : { probed }),
      ...(natChanged === undefined ? {} : { natChanged }),
      wake,
    },
  });
}

/** Tunnels hand back what `secrets` gave them. */
function held({ generations }: Keyring, secret: TunnelSecret): Generation {
  const found = generations.find((one) => one === secret);
  assert(found !== undefined, 'a secret of a handshake is of a token that is held');
  return found;
}

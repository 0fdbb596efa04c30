// Makes this host's gossip from its identity and what it keeps durably.

import { Gossip } from '../gossip/gossip.ts';
import type { GossipEvents } from '../gossip/gossip-options.ts';
import type { MemberOptions } from './member-options.ts';

/** Loads everybody's records; sends nothing. Throws `state-damaged`. */
export function openGossip(options: MemberOptions, events: GossipEvents): Gossip {
  const { identity, clock, random, crypto, store, log } = options;
  const { keys, token } = identity;
  const sign = (bytes: Uint8Array) => crypto.ed25519Sign(keys.identitySeed, bytes);
  return new Gossip({
    self: { peer: keys.peer, identityKey: keys.identityKey, sign },
    clusterId: token.clusterId,
    clock,
    random,
    crypto,
    store,
    log,
    acceptAuthor: () => true,
    events,
  });
}

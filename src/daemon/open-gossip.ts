// Makes this host's gossip from its identity and what it keeps durably.

import { Gossip } from '../gossip/gossip.ts';
import type { GossipEvents } from '../gossip/gossip-options.ts';
import type { MemberOptions } from './member-options.ts';
import { staysSaid } from './own-records.ts';

/** Loads everybody's records; sends nothing. Throws `state-damaged`. */
export function openGossip(options: MemberOptions, events: GossipEvents): Gossip {
  const { identity, clock, random, crypto, store, log } = options;
  const { keys, token } = identity;
  const sign = crypto.ed25519Signer(keys.identitySeed);
  return new Gossip({
    self: { peer: keys.peer, identityKey: keys.identityKey, sign },
    clusterId: token.clusterId,
    clock,
    random,
    crypto,
    store,
    log,
    acceptAuthor: () => true,
    keeps: staysSaid,
    events,
  });
}

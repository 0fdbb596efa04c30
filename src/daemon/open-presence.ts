// Makes what keeps true what this host says of itself: its record in the mesh, from its identity and settings.

import type { MemberOptions } from './member-options.ts';
import { OwnPresence, type OwnPresencePorts } from './own-presence.ts';
import { PROTOCOL, VERSION } from './version.ts';

export function openPresence(
  options: MemberOptions,
  parts: Omit<OwnPresencePorts, 'self' | 'log' | 'timers' | 'peerRecord' | 'endpoints'>,
): OwnPresence {
  const { identity, settings, bootId, log, timers } = options;
  const { peer, identityKey, staticKey } = identity.keys;
  return new OwnPresence({
    ...parts,
    self: peer,
    log,
    timers,
    peerRecord: {
      ...PROTOCOL,
      nickname: settings.nickname,
      version: VERSION,
      bootId,
      identityKey,
      staticKey,
    },
    endpoints: () => options.endpoints(),
  });
}

// Makes the plain side of this host's tunnels from its settings: kernel VXLAN to the hosts in --trusted-subnets, or nothing.

import { parseCidr } from '../base/address.ts';
import type { PeerId } from '../base/ids.ts';
import type { MemberOptions } from './member-options.ts';
import type { Settings } from './settings.ts';
import { VxlanTunnels } from './vxlan-tunnels.ts';

/** `pcap` and `engine` are words for "this one and no other": everything is encrypted. */
export function wantsVxlan({ datapath, trustedSubnets }: Pick<Settings, 'datapath' | 'trustedSubnets'>): boolean {
  return trustedSubnets.length > 0 && (datapath === 'auto' || datapath === 'vxlan');
}

/**
 * Null where plain frames are not wanted, or can't be sent. `proven` is called for each answer of a peer: what brings the
 * encrypted tunnel up, so that it takes over without a handshake.
 */
export function openVxlan(options: MemberOptions, proven: (peer: PeerId) => void): VxlanTunnels | null {
  const { identity, keyring, genesis, settings, clock, timers, random, crypto, log, host, openProbe } = options;
  if (!wantsVxlan(settings) || openProbe === undefined) return null;
  const { keys } = identity;
  return new VxlanTunnels({
    self: keys.peer,
    staticPrivate: keys.staticSecret,
    psk: keyring.current.psk,
    trusted: settings.trustedSubnets.map((text) => parseCidr(text)!),
    mtu: genesis.mtu,
    local: settings.listen,
    clock,
    timers,
    random,
    crypto,
    log,
    host,
    openProbe,
    proven,
  });
}

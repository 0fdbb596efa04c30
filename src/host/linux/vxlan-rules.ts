// The packet filter's part of kernel VXLAN, as lines for fabric's tables (overlay-rules.ts). VXLAN has no authentication, so
// UDP 8472 is closed to all but the peers of the plan, for our VNIs only: flannel's may live on the same port. Nobody's packet
// may reach a peer in this host's name either: what we forward, and would masquerade, never goes there.
//
// The rules see whole packets: the tables' use of connection tracking puts fragments together before the first of them.

import { type Family, parseIp } from '../../base/address.ts';
import { assert } from '../../base/errors.ts';
import type { VxlanPlan } from '../host-network.ts';

/** The port of Linux's own default and of flannel; IANA's 4789 is often taken by the cloud underneath. */
export const VXLAN_PORT = 8472;
/** The last one: no network has it. */
export const VXLAN_PROBE_VNI = 0xff_ffff;
export const VXLAN_FAMILIES: readonly Family[] = [4, 6];

const PEER_SETS: Readonly<Record<Family, { readonly name: string; readonly type: string }>> = {
  4: { name: 'vxlan_peers', type: 'ipv4_addr' },
  6: { name: 'vxlan_peer6s', type: 'ipv6_addr' },
};

/** Rules by chain of the table inet, and the sets that they use with all their elements. */
export interface VxlanRules {
  readonly sets: readonly { readonly name: string; readonly type: string; readonly elements: readonly string[] }[];
  /** First in `prerouting`, priority raw. */
  readonly prerouting: readonly string[];
  /** The chain `vxlan`, where packets for us go. */
  readonly arriving: readonly string[];
  /** The chain `output`, priority raw. */
  readonly output: readonly string[];
  /** First in `forward`. */
  readonly forward: readonly string[];
}

/**
 * `vnis` are those of the networks; `inside` matches the interfaces on which the overlay's own frames come. Without a plan the
 * sets are empty and nothing is matched: no socket of ours is there.
 */
export function vxlanRules(plan: VxlanPlan | null, vnis: readonly number[], inside: string): VxlanRules {
  const peers = (plan?.peers ?? []).map(({ ip }) => {
    const parsed = parseIp(ip);
    assert(parsed !== null, `address of a VXLAN peer: ${ip}`);
    return { ip, family: parsed.family };
  });
  const sets = VXLAN_FAMILIES.map((family) => {
    const elements = peers.filter((peer) => peer.family === family).map(({ ip }) => ip);
    return { ...PEER_SETS[family], elements: [...new Set(elements)] };
  });
  if (plan === null) return { sets, prerouting: [], arriving: [], output: [], forward: [] };
  // The VNI stands 12 bytes into the UDP datagram (RFC 7348 §5).
  const ours = `udp dport ${VXLAN_PORT} @th,96,24 { ${[...vnis, VXLAN_PROBE_VNI].join(', ')} }`;
  return {
    sets,
    prerouting: [`${ours} fib daddr type local goto vxlan`],
    arriving: [
      `iifname ${inside} counter drop comment "from the overlay itself"`,
      // Untracked: each flow has a source port of its own, and nobody asks about them.
      `ip saddr @${PEER_SETS[4].name} notrack accept`,
      `ip6 saddr @${PEER_SETS[6].name} notrack accept`,
      'counter drop comment "VXLAN from a stranger"',
    ],
    output: [`${ours} notrack`],
    forward: [
      // Frames that others bridge pass here with br_netfilter: they keep their senders' addresses.
      `iifname . oifname != @bridged ${ours} ip daddr @${PEER_SETS[4].name} counter drop`,
      `iifname . oifname != @bridged ${ours} ip6 daddr @${PEER_SETS[6].name} counter drop`,
    ],
  };
}

// What keeps networks apart on the host itself, as lines for fabric's table inet (overlay-rules.ts). Each has a bridge of its own,
// so no frame crosses; but the host is a router with a foot in each, and would forward packets from one to another, or take them
// on one for its address in another. Internal networks have no gateway: the host forwards nothing from or to them.

import type { OverlayNetworkConfig } from '../host-network.ts';
import { anyOf, networkInterfaces, quote } from './names.ts';

export interface IsolationRules {
  /** Before anything is accepted. */
  readonly forward: readonly string[];
  readonly input: readonly string[];
}

/** None for a single network that is not internal. */
export function isolationRules(networks: readonly OverlayNetworkConfig[]): IsolationRules {
  const apart = networks.length > 1 ? separation(networks) : { forward: [], input: [] };
  const internal = networks.filter((network) => network.internal).map(({ bridge }) => bridge);
  if (internal.length === 0) return apart;
  const why = 'counter drop comment "an internal network has no gateway"';
  return {
    forward: [
      ...apart.forward,
      // Bridged frames pass with br_netfilter: they come and go by one bridge.
      `iifname ${anyOf(internal)} oifname != ${anyOf(internal)} ${why}`,
      `oifname ${anyOf(internal)} iifname != ${anyOf(internal)} ${why}`,
    ],
    input: [...apart.input, `iifname ${anyOf(internal)} ${why}`],
  };
}

function separation(networks: readonly OverlayNetworkConfig[]): IsolationRules {
  const own = networks.map((network) => ({ network, interfaces: interfacesOf(network.bridge) }));
  const inside = anyOf(own.flatMap(({ interfaces }) => interfaces));
  const within = own.flatMap(({ interfaces }) =>
    interfaces.flatMap((from) => interfaces.map((to) => `${quote(from)} . ${quote(to)}`)),
  );
  const apart = 'counter drop comment "networks are apart"';
  const gateways = (family: 'ip' | 'ip6'): readonly string[] => {
    const pairs = own.flatMap(({ network, interfaces }) => {
      const gateway = family === 'ip' ? network.gateway : network.gateway6;
      return network.internal || gateway === null ? [] : [{ gateway, interfaces }];
    });
    if (pairs.length === 0) return [];
    const all = [...new Set(pairs.map(({ gateway }) => gateway))].join(', ');
    const theirs = pairs.flatMap(({ gateway, interfaces }) => interfaces.map((name) => `${quote(name)} . ${gateway}`));
    return [
      `iifname ${inside} ${family} daddr { ${all} } iifname . ${family} daddr != { ${theirs.join(', ')} } ${apart}`,
    ];
  };
  return {
    forward: [`iifname ${inside} oifname ${inside} iifname . oifname != { ${within.join(', ')} } ${apart}`],
    input: [...gateways('ip'), ...gateways('ip6')],
  };
}

/** Through which packets of a network come to the host. */
function interfacesOf(bridge: string): readonly string[] {
  const { host } = networkInterfaces(bridge);
  return [bridge, host];
}

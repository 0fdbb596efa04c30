// fabric's own nftables tables as text for `nft -f -`. Table inet: masquerade, forwarding, silence of the datapath's far end.
// Table bridge: anti-spoof of container ports, no router advertisements, and an overlay port that never carries the gateway.
// The text is one transaction and may be run again at any time: chains are made anew, elements of sets stay.
//
// It is nft's own syntax, not its JSON, because JSON of nft 1.0.6 can't declare the set `neighbour_targets` (`typeof` with a
// raw payload). Names and addresses are validated before they get here; everything else is constant.

import { type Cidr, formatCidr, parseIp } from '../../base/address.ts';
import { assert } from '../../base/errors.ts';
import type { OverlayNetworkConfig, VxlanPlan } from '../host-network.ts';
import { type AntiSpoofElement, type AntiSpoofSet, elementText, hex128 } from './anti-spoof.ts';
import { DROP_UNASKED_REPORTS, NOTE_QUERY, QUERIED_SET } from './multicast-listeners.ts';
import { anyOf, NFT_TABLE, networkInterfaces, quote } from './names.ts';
import { isolationRules } from './network-isolation.ts';
import { VXLAN_FAMILIES, vxlanRules } from './vxlan-rules.ts';

/** What stays dropped, as it was before fabric switched forwarding on. Null: that family was forwarded already. */
export interface ForwardingGuard {
  readonly ip4: FamilyGuard | null;
  readonly ip6: FamilyGuard | null;
}

export interface FamilyGuard {
  /** Interfaces whose input was forwarded all the same (their own `forwarding` was on). */
  readonly forwardedFrom: readonly string[];
  /** Bridges of others at that time. One that came later belongs to software that would have switched forwarding on. */
  readonly bridgesBefore: readonly string[];
}

export const NO_GUARD: ForwardingGuard = { ip4: null, ip6: null };

export interface OverlayRulesInput {
  /** The main one first: kernel VXLAN is its alone. */
  readonly networks: readonly OverlayNetworkConfig[];
  readonly guard: ForwardingGuard;
  /** Bridges of others: with br_netfilter their frames pass the forward hook, and the guard must let them. */
  readonly foreignBridges: readonly string[];
  /** Kernel VXLAN; null: none. */
  readonly vxlan: VxlanPlan | null;
  /** Elements that must be there when the transaction ends; those already there stay. */
  readonly elements: readonly AntiSpoofElement[];
}

/** One atomic transaction that makes or repairs both tables. */
export function overlayRules(input: OverlayRulesInput): string {
  return `${inetTable(input)}${bridgeTable(input)}`;
}

/** Removes both tables; they need not be there. */
export function removeOverlayRules(): string {
  const families = ['inet', 'bridge'];
  return families.map((family) => `add table ${family} ${NFT_TABLE}\ndelete table ${family} ${NFT_TABLE}\n`).join('');
}

/** Removes the chains of one overlay port, which no rule leads to any more; they need not be there. */
export function removeOverlayChains(port: string): string {
  const chains = [arrivalChain(port), overlayChain(port)];
  return ['add', 'flush', 'delete']
    .flatMap((verb) => chains.map((chain) => `${verb} chain bridge ${NFT_TABLE} ${chain}\n`))
    .join('');
}

function inetTable({ networks, guard, foreignBridges, vxlan: plan }: OverlayRulesInput): string {
  const names = networks.map(({ bridge }) => networkInterfaces(bridge));
  const inside = names.flatMap(({ bridge, host }) => [bridge, host]);
  const probes = names.slice(0, 1).flatMap(({ vxlan }) => VXLAN_FAMILIES.map((family) => vxlan[family].probe));
  const datapathOnly = [...names.map(({ portFar }) => portFar), ...probes];
  const vxlan = vxlanRules(
    plan,
    networks.slice(0, 1).map(({ network }) => network),
    anyOf([...inside, ...datapathOnly]),
  );
  const isolation = isolationRules(networks);
  const chains: Chain[] = [
    { name: 'vxlan', rules: vxlan.arriving },
    {
      name: 'prerouting',
      hook: 'type filter hook prerouting priority raw; policy accept;',
      rules: [
        // First, because most packets of a busy host are these.
        ...vxlan.prerouting,
        `iifname ${anyOf(datapathOnly)} drop comment "frames for the datapath only"`,
        // Also where a chained plugin set route_localnet: nobody reaches the host's loopback services from a container.
        `iifname ${anyOf(inside)} ip daddr 127.0.0.0/8 drop`,
        `iifname ${anyOf(inside)} ip saddr 127.0.0.0/8 drop`,
      ],
    },
    {
      name: 'input',
      hook: 'type filter hook input priority filter; policy accept;',
      rules: [...networks.filter(({ internal }) => !internal).flatMap(nameServerGuard), ...isolation.input],
    },
    {
      name: 'forward',
      hook: 'type filter hook forward priority filter; policy accept;',
      rules: [
        ...vxlan.forward,
        ...isolation.forward,
        `iifname ${anyOf(inside)} accept`,
        `oifname ${anyOf(inside)} ct state established,related accept`,
        `oifname ${anyOf(inside)} ct status dnat accept`,
        ...guardRules(guard, foreignBridges.filter(isQuotable)),
      ],
    },
    {
      name: 'postrouting',
      hook: 'type nat hook postrouting priority srcnat; policy accept;',
      rules: networks.filter(({ internal }) => !internal).flatMap((network) => masquerade(network, inside)),
    },
    {
      name: 'output',
      hook: 'type filter hook output priority raw; policy accept;',
      rules: vxlan.output,
    },
  ];
  const sets = [
    'bridged { type ifname . ifname; }',
    ...vxlan.sets.map(({ name, type }) => `${name} { type ${type}; }`),
  ];
  const bridged = foreignBridges.filter(isQuotable).map((name) => `{ "${name}" . "${name}" }`);
  return [
    tableText('inet', sets, chains),
    ...vxlan.sets.map(({ name }) => `flush set inet ${NFT_TABLE} ${name}\n`),
    ...vxlan.sets.flatMap(({ name, elements }) =>
      elements.map((element) => `add element inet ${NFT_TABLE} ${name} { ${element} }\n`),
    ),
    `flush set inet ${NFT_TABLE} bridged\n`,
    ...bridged.map((element) => `add element inet ${NFT_TABLE} bridged ${element}\n`),
  ].join('');
}

/**
 * A network's names are served to its segment and to the host itself. Linux takes packets for the gateway's address from every
 * interface, so without this anybody on the underlay could ask, with a source address of the overlay.
 */
function nameServerGuard({ bridge, gateway, gateway6 }: OverlayNetworkConfig): readonly string[] {
  const elsewhere = `iifname != ${anyOf([bridge, 'lo'])}`;
  const asks = 'meta l4proto { tcp, udp } th dport 53 counter drop comment "names are for the overlay"';
  return [
    `${elsewhere} ip daddr ${gateway} ${asks}`,
    ...(gateway6 === null ? [] : [`${elsewhere} ip6 daddr ${gateway6} ${asks}`]),
  ];
}

/** Forwarding that fabric switched on serves fabric only. */
function guardRules(guard: ForwardingGuard, foreignBridges: readonly string[]): readonly string[] {
  if (guard.ip4 === null && guard.ip6 === null) return [];
  // With br_netfilter, frames that others bridge pass here too, with one bridge as both interfaces: not ours to judge.
  const rules = ['iifname . oifname @bridged accept'];
  for (const [family, state] of [
    ['ipv4', guard.ip4],
    ['ipv6', guard.ip6],
  ] as const) {
    if (state === null) continue;
    const late = foreignBridges.filter((name) => !state.bridgesBefore.includes(name));
    const inputs = [...state.forwardedFrom.filter(isQuotable), ...late].map((name) => `"${name}"`);
    const outputs = late.map((name) => `"${name}"`);
    if (inputs.length > 0) rules.push(`meta nfproto ${family} iifname { ${inputs.join(', ')} } accept`);
    if (outputs.length > 0) rules.push(`meta nfproto ${family} oifname { ${outputs.join(', ')} } accept`);
    rules.push(`meta nfproto ${family} counter drop comment "was not forwarded before fabric"`);
  }
  return rules;
}

function masquerade({ range, range6 }: OverlayNetworkConfig, inside: readonly string[]): readonly string[] {
  const outside = `oifname != ${anyOf(inside)}`;
  const rule = (family: 'ip' | 'ip6', block: Cidr, multicast: string): string => {
    const cidr = formatCidr(block);
    return `${outside} ${family} saddr ${cidr} ${family} daddr != { ${cidr}, ${multicast} } masquerade fully-random`;
  };
  return [
    rule('ip', range, '224.0.0.0/4, 255.255.255.255'),
    ...(range6 === null ? [] : [rule('ip6', range6, 'ff00::/8, fe80::/10')]),
  ];
}

function bridgeTable({ networks, elements }: OverlayRulesInput): string {
  const names = networks.map(({ bridge }) => networkInterfaces(bridge));
  const overlayPorts = networks.flatMap((network, i) => {
    const { portNear, vxlan } = names[i]!;
    const plain = (i === 0 ? VXLAN_FAMILIES : []).map((family) => ({
      port: vxlan[family].port,
      rules: [KNOWN_UNICAST, ...overlayPort(network)],
    }));
    return [...plain, { port: portNear, rules: [LINK_LOCAL_GROUP, ...overlayPort(network)] }];
  });
  const chains: Chain[] = [
    { name: 'container_arp', rules: CONTAINER_ARP },
    { name: 'container_ip', rules: CONTAINER_IP },
    { name: 'container_ip6', rules: CONTAINER_IP6 },
    { name: 'container_known_ip', rules: CONTAINER_KNOWN_IP },
    { name: 'container', rules: CONTAINER },
    ...overlayPorts.map(({ port, rules }) => ({ name: overlayChain(port), rules })),
    ...overlayPorts.map(({ port }) => ({
      name: arrivalChain(port),
      rules: [OWNED_MAC, `goto ${overlayChain(port)}`],
    })),
    {
      name: 'prerouting',
      hook: 'type filter hook prerouting priority filter; policy accept;',
      // In the order of what a frame costs: each lookup in a set shows in the kernel VXLAN's throughput.
      rules: [
        ...overlayPorts.map(({ port }) => `iifname ${quote(port)} goto ${arrivalChain(port)}`),
        'ether type ip iifname . ether saddr . ip saddr @source_ips goto container_known_ip',
        'iifname @ports goto container',
        DROP_UNASKED_REPORTS,
        NOTE_QUERY,
        ...names.map(({ hostPort }) => `iifname ${quote(hostPort)} accept`),
        OWNED_MAC,
      ],
    },
    {
      name: 'postrouting',
      hook: 'type filter hook postrouting priority filter; policy accept;',
      rules: overlayPorts.map(({ port }) => `oifname ${quote(port)} goto ${overlayChain(port)}`),
    },
  ];
  const sets = [...Object.entries(SETS).map(([name, definition]) => `${name} { ${definition} }`), QUERIED_SET];
  const lines = elements.map((e) => `add element bridge ${NFT_TABLE} ${e.set} { ${elementText(e)} }\n`);
  return `${tableText('bridge', sets, chains)}${lines.join('')}`;
}

const SETS: Readonly<Record<AntiSpoofSet, string>> = {
  ports: 'type ifname;',
  owned_macs: 'type ether_addr;',
  source_macs: 'type ifname . ether_addr;',
  source_ips: 'type ifname . ether_addr . ipv4_addr;',
  source_ip6s: 'type ifname . ether_addr . ipv6_addr;',
  neighbour_targets: 'typeof iifname . ether saddr . @th,64,128;',
};

/** A foreign device or a peer with the address of one of our interfaces would take over its frames. */
const OWNED_MAC = 'ether saddr @owned_macs counter drop';
/** Of VXLAN: frames to groups cross by the datapath only, so that each arrives once and ARP is answered by who knows. */
const KNOWN_UNICAST = 'ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 counter drop';
/** RFC 6105. Fragments of these are refused by every receiver (RFC 6980). */
const NO_ROUTERS = 'icmpv6 type { nd-router-advert, nd-redirect } counter drop';
/** 01:80:c2:00:00:00 to 0f: pause frames, spanning tree, LLDP: never leave a link (IEEE 802.1Q, 8.6.3). */
const LINK_LOCAL_GROUP = 'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop';
/** The target of a neighbour solicitation or advertisement (RFC 4861 §4.3, §4.4): 8 bytes into the ICMPv6 message. */
const ND_TARGET = '@th,64,128';

const CONTAINER: readonly string[] = [
  'iifname . ether saddr != @source_macs counter drop',
  // A priority tag (VLAN 0) is taken for untagged by Linux but would hide the packet from the rules below.
  'ether type { 0x8100, 0x88a8, 0x9100 } counter drop',
  LINK_LOCAL_GROUP,
  'ether type arp goto container_arp',
  'ether type ip goto container_ip',
  'ether type ip6 goto container_ip6',
];

const CONTAINER_ARP: readonly string[] = [
  'arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 iifname . arp saddr ether . arp saddr ip @source_ips accept',
  // A probe for one's own address (RFC 5227) tells nobody anything.
  'arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @source_macs accept',
  'counter drop',
];

/** From port, MAC and address of one container: the one lookup that most of its frames take, before the chain `container`. */
const CONTAINER_KNOWN_IP: readonly string[] = [
  LINK_LOCAL_GROUP,
  'meta l4proto tcp accept',
  'icmp type redirect counter drop',
  'udp sport 67 udp dport 68 counter drop',
];

/** From an address that is not the container's. */
const CONTAINER_IP: readonly string[] = [
  // A DHCP client has no address yet (RFC 2131 §4.1): a container may ask, none may answer.
  'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept',
  'counter drop',
];

const CONTAINER_IP6: readonly string[] = [
  NO_ROUTERS,
  `icmpv6 type nd-neighbor-advert iifname . ether saddr . ${ND_TARGET} != @neighbour_targets counter drop`,
  DROP_UNASKED_REPORTS,
  // The unspecified source: duplicate address detection of one's own address, and MLD reports before there is one.
  `ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . ether saddr . ${ND_TARGET} @neighbour_targets accept`,
  'ip6 saddr :: icmpv6 type { mld-listener-report, mld2-listener-report } accept',
  'iifname . ether saddr . ip6 saddr != @source_ip6s counter drop',
  NOTE_QUERY,
  'udp sport 547 udp dport 546 counter drop',
];

/** Both directions of the port that leads to other hosts: each host has a gateway of its own with the same addresses. */
function overlayPort({ gateway, gateway6, gatewayMac }: OverlayNetworkConfig): readonly string[] {
  const target = gateway6 === null ? null : parseIp(gateway6);
  assert(target === null || target.family === 6, `IPv6 gateway: ${gateway6}`);
  return [
    `ether saddr ${gatewayMac} drop`,
    `ether daddr ${gatewayMac} drop`,
    `ip saddr ${gateway} drop`,
    'meta protocol ip accept',
    `arp saddr ip ${gateway} drop`,
    `arp daddr ip ${gateway} drop`,
    ...(target === null
      ? []
      : [
          `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ${ND_TARGET} ${hex128(target)} drop`,
          `ip6 saddr ${gateway6} drop`,
        ]),
    NO_ROUTERS,
    DROP_UNASKED_REPORTS,
    // In both directions, so that a router on this host is heard, too: what it sends comes in at no port.
    NOTE_QUERY,
  ];
}

interface Chain {
  readonly name: string;
  /** Type, hook, priority and policy of a base chain. */
  readonly hook?: string;
  readonly rules: readonly string[];
}

function tableText(family: 'inet' | 'bridge', sets: readonly string[], chains: readonly Chain[]): string {
  const lines = [`add table ${family} ${NFT_TABLE}`];
  for (const set of sets) lines.push(`add set ${family} ${NFT_TABLE} ${set}`);
  for (const { name, hook } of chains) {
    lines.push(`add chain ${family} ${NFT_TABLE} ${name}${hook === undefined ? '' : ` { ${hook} }`}`);
    lines.push(`flush chain ${family} ${NFT_TABLE} ${name}`);
  }
  for (const { name, rules } of chains) {
    for (const rule of rules) lines.push(`add rule ${family} ${NFT_TABLE} ${name} ${rule}`);
  }
  return `${lines.join('\n')}\n`;
}

function overlayChain(port: string): string {
  return `overlay_${port}`;
}

/** Where frames from an overlay port begin. */
function arrivalChain(port: string): string {
  return `from_${port}`;
}

/** Names of others' interfaces may hold anything but what would end or widen an nft string. */
function isQuotable(name: string): boolean {
  return /^[^"\\*\s]{1,15}$/.test(name);
}

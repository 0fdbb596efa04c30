// All contenders of the benchmark, in the order of the table.

import type { Contender } from './contender.ts';
import { bareVeth } from './contenders/bare-veth.ts';
import { fabricEngine } from './contenders/fabric-engine.ts';
import { fabricPcap } from './contenders/fabric-pcap.ts';
import { fabricVxlan } from './contenders/fabric-vxlan.ts';
import { kernelVxlan } from './contenders/kernel-vxlan.ts';
import { fastd } from './contenders/peers/fastd.ts';
import { n2n } from './contenders/peers/n2n.ts';
import { namedPeers } from './contenders/peers/named.ts';
import { nebula } from './contenders/peers/nebula.ts';
import { openvpn } from './contenders/peers/openvpn.ts';
import { tinc } from './contenders/peers/tinc.ts';
import { wireguardGo } from './contenders/peers/wireguard-go.ts';

export const CONTENDERS: readonly Contender[] = [
  bareVeth,
  kernelVxlan,
  fabricPcap,
  fabricEngine,
  fabricVxlan,
  wireguardGo,
  fastd,
  tinc,
  nebula,
  n2n,
  openvpn,
  ...namedPeers(process.env),
];

// Would a firewall of this host drop what fabric needs: forwarded packets of containers, and what comes to its port. Rules are
// judged as they stand; what live tests with peers showed to pass is no finding.

import { type Finding, finding } from './finding.ts';
import type { Readings } from './readings.ts';

export function checkPacketFilter({ packetFilter, daemon, peers }: Readings): readonly Finding[] {
  if (packetFilter === null) return [];
  const { hasOwnTables, forwardDrops, inputDrops, legacyDrops, bridgeNetfilter } = packetFilter;
  const joined = daemon !== null && daemon.status.self.clusterId !== null;
  const bridged = bridgeNetfilter ? '; br_netfilter sends frames between local containers there, too' : '';
  const port = daemon?.port;
  const passed = {
    TCP: peers.some(({ tcpInFault }) => tcpInFault === null),
    UDP: peers.some(({ udpIn }) => udpIn === true),
  };
  const findings: Finding[] = [];
  if (joined && !hasOwnTables) {
    findings.push(
      finding('rules-missing', 'error', {
        what: "fabric's nftables are gone",
        why: 'someone flushed the ruleset: containers are not masqueraded and not kept from spoofing',
        fix: 'fabric puts them back within a minute; if not: fabric stop && fabric launch --detach',
      }),
    );
  }
  for (const chain of joined ? forwardDrops : []) {
    findings.push(
      finding('forward-filtered', 'error', {
        what: `the chain ${chain} drops what containers send and get`,
        why: `fabric's accept rules are not in it${bridged}`,
        fix: 'fabric puts them back within a minute; if not, see its log, then: fabric stop && fabric launch --detach',
      }),
    );
  }
  for (const { chain, protocol } of inputDrops) {
    if (passed[protocol]) continue;
    const [family = '', table = '', name = ''] = chain.split(' ');
    const what = port ?? 6783;
    findings.push(
      finding('input-filtered', 'warning', {
        what: `the chain ${chain} seems to drop ${protocol} ${what}`,
        why: 'its last word is drop, and no rule of that table lets the port through: peers can not reach this host',
        fix: `nft insert rule ${family} ${table} ${name} ${protocol.toLowerCase()} dport ${what} accept`,
      }),
    );
  }
  for (const table of legacyDrops) {
    findings.push(
      finding('iptables-legacy', 'warning', {
        what: `iptables-legacy drops packets (${table})`,
        why: `fabric's accept rules stand in nftables, which can not overrule it${bridged}`,
        fix: 'iptables-legacy -I FORWARD -i fabric0 -j ACCEPT; better: update-alternatives --set iptables /usr/sbin/iptables-nft',
      }),
    );
  }
  return findings;
}

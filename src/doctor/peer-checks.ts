// Is each peer reached, both ways, by TCP and UDP, with packets of full size, and does its clock agree: judged from what this
// host and the peer tried while doctor waited.

import { type Finding, finding } from './finding.ts';
import type { PeerReading, Readings } from './readings.ts';

/** Beyond what NTP leaves and a loaded host adds to a round trip. */
const SKEW_MS_MAX = 5_000;

export function checkPeers({ daemon, peers, underlay }: Readings): readonly Finding[] {
  if (daemon === null) return [];
  const rows = new Map(daemon.status.peers.map((row) => [row.id, row]));
  const ownMtu = underlay.interfaces[0]?.mtu ?? null;
  return [
    ...peers.flatMap((peer) => {
      const row = rows.get(peer.id);
      if (row?.state === 'dead') return [deadPeer(peer, row.lastSeenMs)];
      const reason = daemon.status.tunnels.find((tunnel) => tunnel.peer === peer.id)?.reason ?? null;
      if (peer.relay !== null) return [relayed(peer, peer.relay, reason), ...pathMtu(peer, ownMtu)];
      const blocked = [...tcp(peer), ...udp(peer, reason)];
      const silent = row?.state === 'suspect' && !peer.linked && blocked.length === 0 ? [linkMissing(peer)] : [];
      return [...blocked, ...silent, ...pathMtu(peer, ownMtu)];
    }),
    ...clocks(peers),
  ];
}

function deadPeer({ nickname, tcpOutFault, icmp, port }: PeerReading, lastSeenMs: number | null): Finding {
  const age =
    lastSeenMs === null ? 'not heard of since this daemon started' : `silent for ${Math.round(lastSeenMs / 1000)} s`;
  const tcpWords =
    tcpOutFault === null ? `its port ${port} accepts connections` : (tcpOutFault ?? 'no address is known');
  const ping = icmp.rttMs === null ? 'its host does not answer pings' : 'its host answers pings';
  return finding('peer-dead', 'error', {
    what: `${nickname} is dead`,
    why: `${age}; ${tcpWords}; ${ping}`,
    fix: `If its host runs: fabric launch there, and let TCP and UDP ${port} pass; if it is gone for good: fabric rmpeer ${nickname}`,
  });
}

/** That nothing passes directly is why it goes by a relay, and no fault of its own. */
function relayed({ nickname, port, tcpOutFault }: PeerReading, relay: string, reason: string | null): Finding {
  const tcpWords = tcpOutFault == null ? '' : `; TCP from here: ${tcpOutFault}`;
  return finding('peer-relayed', 'warning', {
    what: `no direct path to ${nickname}`,
    why: `${reason ?? `by relay ${relay}`}${tcpWords}; all works, a little slower, and ${relay} carries each byte twice`,
    fix: `Nothing has to be done; for the direct path, which is tried every minute, let UDP and TCP ${port} pass between the two`,
  });
}

function linkMissing({ nickname, port }: PeerReading): Finding {
  return finding('link-missing', 'warning', {
    what: `no link to ${nickname} at the moment`,
    why: 'the last one broke; its port answers, so the next one should stand within seconds',
    fix: `fabric doctor ${nickname} again; if it stays so: let TCP ${port} pass both ways, fabric connect ${nickname}`,
  });
}

function tcp({ nickname, ip, port, tcpOutFault, tcpInFault }: PeerReading): readonly Finding[] {
  const findings: Finding[] = [];
  if (tcpOutFault != null) {
    findings.push(
      finding('tcp-out-blocked', 'error', {
        what: `no TCP connection from here to ${nickname}`,
        why: `${tcpOutFault}; links are made only from its side, or not at all`,
        fix: `On ${nickname} and on firewalls between: let TCP ${port} in to ${ip} (nft insert rule inet filter input tcp dport ${port} accept)`,
      }),
    );
  }
  if (tcpInFault != null) {
    findings.push(
      finding('tcp-in-blocked', 'error', {
        what: `no TCP connection from ${nickname} to here`,
        why: `${tcpInFault}; after a break only this side can link again`,
        fix: `Here and on firewalls between: nft insert rule inet filter input tcp dport ${port} accept`,
      }),
    );
  }
  return findings;
}

function udp({ nickname, port, udpOut, udpIn }: PeerReading, reason: string | null): readonly Finding[] {
  if (udpOut !== false && udpIn !== false) return [];
  const accept = `nft insert rule inet filter input udp dport ${port} accept`;
  if (udpOut === false && udpIn === true) {
    return [
      finding('udp-out-blocked', 'error', {
        what: `UDP from here does not reach ${nickname}`,
        why: `its datagrams come here, ours do not arrive there: no frame gets through`,
        fix: `On ${nickname} and on firewalls between: ${accept}`,
      }),
    ];
  }
  if (udpIn === false && udpOut === true) {
    return [
      finding('udp-in-blocked', 'error', {
        what: `UDP from ${nickname} does not reach this host`,
        why: 'our datagrams arrive there, its own do not come here: no frame gets through',
        fix: `Here and on firewalls between: ${accept}`,
      }),
    ];
  }
  return [
    finding('udp-blocked', 'error', {
      what: `no UDP between this host and ${nickname}`,
      why: `${reason ?? 'no datagram arrives'}: no frame gets through`,
      fix: `On both and on firewalls between: ${accept}`,
    }),
  ];
}

function pathMtu({ nickname, icmp, tunnelMtu }: PeerReading, ownMtu: number | null): readonly Finding[] {
  const size = Math.min(icmp.mtu ?? Number.POSITIVE_INFINITY, tunnelMtu ?? Number.POSITIVE_INFINITY);
  const narrow = ownMtu !== null && size < ownMtu;
  const fix = 'Raise the MTU of the link between; or make the cluster with a smaller overlay MTU: fabric launch --mtu';
  if (icmp.verdict === 'lost') {
    const found = Number.isFinite(size) && size < icmp.triedBytes ? `; the tunnel found that ${size} pass` : '';
    return [
      finding('mtu-black-hole', 'warning', {
        what: `the path to ${nickname} drops packets of ${icmp.triedBytes} bytes without a word`,
        why: `smaller ones pass${found}: larger frames go in pieces, and TCP outside of the overlay may hang`,
        fix: `Let ICMP type 3 code 4 (IPv6: type 2) pass on the routers between. ${fix}`,
      }),
    ];
  }
  if (!narrow) return [];
  return [
    finding('path-mtu-small', 'warning', {
      what: `the path to ${nickname} carries packets of ${size} bytes, the interface here ${ownMtu}`,
      why: 'larger frames go in pieces: more packets, more loss',
      fix,
    }),
  ];
}

/** With several peers it shows whose clock is off: the one that differs from most. */
function clocks(peers: readonly PeerReading[]): readonly Finding[] {
  const known = peers.flatMap(({ nickname, clockSkewMs, clockErrorMs }) =>
    clockSkewMs === null ? [] : [{ nickname, skewMs: clockSkewMs, off: isOff(clockSkewMs, clockErrorMs ?? 0) }],
  );
  const off = known.filter((peer) => peer.off);
  if (off.length > 1 && off.length * 2 > known.length) {
    const middle = [...off].sort((a, b) => a.skewMs - b.skewMs)[Math.floor(off.length / 2)]!;
    return [skewed("this host's clock", "its peers'", -middle.skewMs, 'here')];
  }
  return off.map(({ nickname, skewMs }) => skewed(`the clock of ${nickname}`, "this host's", skewMs, `on ${nickname}`));
}

function isOff(skewMs: number, errorMs: number): boolean {
  return Math.abs(skewMs) - errorMs > SKEW_MS_MAX;
}

function skewed(whose: string, than: string, skewMs: number, where: string): Finding {
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  return finding('clock-skew', 'warning', {
    what: `${whose} is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} ${than}`,
    why: "tunnels and leases do not care, but logs can not be compared, and containers' TLS certificates may not be valid yet or any more",
    fix: `Check which is right (date -u), then ${where}: timedatectl set-ntp true`,
  });
}

import { describe, expect, test } from 'vitest';
import { diagnose } from '../../src/doctor/diagnose.ts';
import { FINDING_CODES } from '../../src/doctor/finding.ts';
import type { PacketFilterReading, PeerReading, Readings, StatusReading } from '../../src/doctor/readings.ts';
import { DAEMON, HEALTHY, OWN_ID, PEER, PEER_ID, STATUS } from './healthy-readings.ts';

type Row = readonly [story: string, readings: Readings, codes: readonly string[], words?: RegExp];

const machine = (change: Partial<Readings['machine']>): Readings => ({
  ...HEALTHY,
  machine: { ...HEALTHY.machine, ...change },
});
const underlay = (change: Partial<Readings['underlay']>): Readings => ({
  ...HEALTHY,
  underlay: { ...HEALTHY.underlay, ...change },
});
const filter = (change: Partial<PacketFilterReading>, peers = HEALTHY.peers): Readings => ({
  ...HEALTHY,
  peers,
  packetFilter: { ...HEALTHY.packetFilter!, ...change },
});
const status = (change: Partial<StatusReading>, readings: Readings = HEALTHY): Readings => ({
  ...readings,
  daemon: { ...DAEMON, status: { ...STATUS, ...change } },
});
const peer = (change: Partial<PeerReading>): Readings => ({ ...HEALTHY, peers: [{ ...PEER, ...change }] });
const peerState = (state: 'suspect' | 'dead', change: Partial<PeerReading>): Readings =>
  status({ peers: [{ ...STATUS.peers[0]!, state, lastSeenMs: 9_000 }] }, peer(change));
const own = (used: number, state = 'active') => {
  return { cidr: '10.32.0.0/24', peer: OWN_ID, used, size: 256, state, expiresAt: null };
};
const skewed = (...skews: readonly number[]): Readings => ({
  ...HEALTHY,
  peers: skews.map((clockSkewMs, i) => ({ ...PEER, nickname: `b${i}`, clockSkewMs })),
});
const lost = { rttMs: 0.3, triedBytes: 1500, verdict: 'lost', mtu: null } as const;
const noDaemon: Readings = { ...HEALTHY, daemon: null, peers: [] };
const inputDrop = [{ chain: 'inet filter input', protocol: 'UDP' }] as const;

const ROWS: readonly Row[] = [
  ['a healthy host has nothing to mend', HEALTHY, []],
  [
    'permissions',
    machine({ missingCapabilities: ['CAP_NET_RAW'], nftFault: 'EPERM', hasTun: false }),
    ['not-permitted'],
  ],
  ['sysctls', machine({ sysctlReadOnly: true }), ['sysctl-read-only']],
  ['no nft', machine({ nftFault: 'it is not installed' }), ['nftables-unusable'], /it is not installed/],
  ['a kernel without bridges', machine({ missingModules: ['bridge'] }), ['kernel-module-missing'], /modprobe bridge/],
  ['no TUN', machine({ hasTun: false }), ['tun-missing']],
  ['no IPv6 under an overlay with it', machine({ hasIpv6: false }), ['ipv6-off']],
  [
    'no IPv6 under an overlay without it',
    status({ networks: [{ ...STATUS.networks[0]!, range6: null }] }, machine({ hasIpv6: false })),
    [],
  ],
  [
    'an engine that does without something',
    status({ datapath: { ...STATUS.datapath, lacks: ['udp-segment'] } }),
    ['engine-handicapped'],
    /udp-segment/,
  ],
  [
    'a slow processor',
    machine({ hasAes: false, sealBitsPerSecond: { 'aes-256-gcm': 2e8, 'chacha20-poly1305': 6e8 } }),
    ['encryption-slow'],
    /0\.60 Gbit\/s; the processor has no AES/,
  ],
  [
    'more containers that talk to each other than the kernel has ARP entries for',
    machine({ neighbourTables: [{ family: 4, entries: 90, entriesMax: 1_024, refused: 7 }] }),
    ['neighbour-table-full'],
    /too small: 90 of 1024.*lost, 7 so far.*net\.ipv4\.neigh\.default\.gc_thresh3=65536/s,
  ],
  [
    'the same, mended since',
    machine({ neighbourTables: [{ family: 4, entries: 1_090, entriesMax: 65_536, refused: 7 }] }),
    [],
  ],
  [
    'a nearly full table',
    machine({ neighbourTables: [{ family: 6, entries: 6_144, entriesMax: 8_192, refused: 0 }] }),
    ['neighbour-table-full'],
    /ND entries is nearly full: 6144 of 8192/,
  ],
  ['no daemon on a host that could have one', noDaemon, ['daemon-absent']],
  [
    'a taken port keeps a daemon from starting',
    {
      ...noDaemon,
      underlay: {
        ...HEALTHY.underlay,
        takenPorts: [{ protocol: 'UDP', port: 6783, holder: 'weaver (process 7) on 0.0.0.0:6783' }],
      },
    },
    ['port-taken'],
    /weaver \(process 7\)/,
  ],
  ['no address', underlay({ interfaces: [] }), ['underlay-missing']],
  [
    'a conflicting route',
    underlay({ overlappingRoutes: ['10.32.0.0/16 dev tun0'] }),
    ['route-overlap'],
    /ip route del/,
  ],
  [
    'an address that another machine has',
    underlay({ duplicates: [{ ip: '192.0.2.11', ifname: 'eth0', mac: '02:00:00:00:00:09' }] }),
    ['address-duplicate'],
    /02:00:00:00:00:09 answers/,
  ],
  [
    'an address that failed the kernel’s detection',
    underlay({ duplicates: [{ ip: '2001:db8::1', ifname: 'eth0', mac: null }] }),
    ['address-duplicate'],
    /duplicate address detection/,
  ],
  [
    'offloads switched off',
    underlay({ interfaces: [{ name: 'eth0', mtu: 1500, offloadsOff: ['gso', 'gro'] }] }),
    ['offload-off'],
    /ethtool -K eth0 gso on gro on/,
  ],
  ['a strict reverse path filter', underlay({ strictReversePath: ['host0'] }), ['rp-filter'], /host0\.rp_filter=2/],
  ['a flushed ruleset', filter({ hasOwnTables: false }), ['rules-missing']],
  ['a forward chain that drops', filter({ forwardDrops: ['ip filter FORWARD'] }), ['forward-filtered'], /br_netfilter/],
  [
    'an input chain that seems to drop',
    filter({ inputDrops: inputDrop }, []),
    ['input-filtered'],
    /nft insert rule inet filter input udp dport 6783 accept/,
  ],
  ['the same, but datagrams of a peer came', filter({ inputDrops: inputDrop }), []],
  ['rules of iptables-legacy', filter({ legacyDrops: ['ip filter FORWARD'] }), ['iptables-legacy']],
  [
    'a fallback',
    status({ datapath: { ...STATUS.datapath, name: 'pcap', reason: 'the engine does not start' } }),
    ['datapath-fallback'],
  ],
  [
    'what status says, in its own words',
    status({
      health: {
        problems: [{ code: 'address-exhausted', what: 'no address', why: 'full', fix: 'detach' }],
        notices: [],
      },
    }),
    ['address-exhausted'],
    /no address/,
  ],
  [
    'no tunnel, in words of live tests',
    status(
      { health: { problems: [{ code: 'tunnel-failed', what: 'no tunnel', why: 'silence', fix: '' }], notices: [] } },
      peer({ udpOut: false, udpIn: false }),
    ),
    ['udp-blocked'],
  ],
  [
    'a disputed block',
    status({ leases: [own(3), { ...own(0, 'disputed'), cidr: '10.33.0.0/24' }] }),
    ['lease-disputed'],
  ],
  ['a nearly full block', status({ leases: [own(240)] }), ['lease-nearly-full'], /240 of this host's 256/],
  ['a nearly full block and one in reserve', status({ leases: [own(240), own(0, 'spare')] }), []],
  ['a full one is the problem of status', status({ leases: [own(256)] }), []],
  [
    'addresses of a dead host that the voters take back',
    status(
      {
        peers: [{ ...STATUS.peers[0]!, state: 'dead', lastSeenMs: 9_000 }],
        leases: STATUS.leases.map((row) => ({ ...row, expiresAt: '2026-11-23T04:45:00.000Z' })),
      },
      peer({ tcpOutFault: 'no answer' }),
    ),
    ['peer-dead', 'lease-stranded'],
    /before 2026-11-23T04:45:00\.000Z: .*others take them over after that time/s,
  ],
  [
    'addresses of a dead host',
    peerState('dead', { tcpOutFault: 'no answer', icmp: { ...lost, rttMs: null, verdict: 'unknown' } }),
    ['peer-dead', 'lease-stranded'],
    /silent for 9 s; no answer; its host does not answer pings/,
  ],
  ['a link that broke a moment ago', peerState('suspect', { linked: false, tcpInFault: undefined }), ['link-missing']],
  [
    'a host that can not be dialled',
    status({ targets: [{ host: '192.0.2.99:6783', error: 'no answer' }] }),
    ['dial-failing'],
    /fabric forget 192\.0\.2\.99:6783/,
  ],
  [
    'a peer that is reached by a relay, which works',
    status(
      { tunnels: [{ ...STATUS.tunnels[0]!, reason: 'by relay c: no answer from 192.0.2.12:6783' }] },
      peer({ relay: 'c', linked: false, tcpOutFault: 'no answer within 1 s', tcpInFault: undefined, udpOut: null }),
    ),
    ['peer-relayed'],
    /^no direct path to b; by relay c: no answer from 192\.0\.2\.12:6783; TCP from here: no answer within 1 s; all works/,
  ],
  ['TCP that is blocked from here', peer({ tcpOutFault: 'no answer within 1 s' }), ['tcp-out-blocked']],
  ['TCP that is blocked to here', peer({ tcpInFault: 'no answer within 1 s' }), ['tcp-in-blocked']],
  ['UDP that is blocked from here', peer({ udpOut: false }), ['udp-out-blocked']],
  ['UDP that is blocked to here', peer({ udpIn: false }), ['udp-in-blocked']],
  ['no UDP, and no link to ask', peer({ linked: false, udpOut: null, udpIn: false }), ['udp-blocked']],
  [
    'a path that loses large packets',
    peer({ icmp: lost, tunnelMtu: 1276 }),
    ['mtu-black-hole'],
    /1500 bytes without a word.*1276 pass/,
  ],
  [
    'a path that refuses large packets',
    peer({ icmp: { rttMs: null, triedBytes: 1500, verdict: 'too-big', mtu: 1280 } }),
    ['path-mtu-small'],
    /packets of 1280 bytes, the interface here 1500/,
  ],
  [
    'a path that answers no pings, narrow by the tunnel’s probes',
    peer({ icmp: { ...lost, rttMs: null, verdict: 'unknown' }, tunnelMtu: 1400 }),
    ['path-mtu-small'],
  ],
  ['a clock that is an hour behind', skewed(-3_600_000), ['clock-skew'], /clock of b0 is 3600 s behind/],
  [
    'a clock that a slow answer excuses',
    { ...HEALTHY, peers: [{ ...PEER, clockSkewMs: 6_000, clockErrorMs: 1_500 }] },
    [],
  ],
  ['one clock of three', skewed(1, 60_000, 2), ['clock-skew'], /clock of b1 is 60 s ahead/],
  ['our own clock', skewed(60_000, 61_000, 2), ['clock-skew'], /this host's clock is 61 s behind its peers'/],
];

test.each(ROWS.map(([story, readings, codes, words = /(?:)/]) => ({ story, readings, codes, words })))(
  '$story',
  (row) => {
    const { readings, codes, words } = row;
    const findings = diagnose(readings);
    expect(findings.map(({ code }) => code)).toEqual(codes);
    expect(findings.map(({ what, why, fix }) => `${what}; ${why}; ${fix}`).join('\n')).toMatch(words);
  },
);

describe('findings', () => {
  test('each code is found by some case above', () => {
    const found = new Set(ROWS.flatMap(([, , codes]) => codes));
    expect(FINDING_CODES.filter((code) => !found.has(code))).toEqual([]);
  });

  test('say what, why and what to do in one line each', () => {
    for (const { code, what, why, fix } of ROWS.flatMap(([, readings]) => diagnose(readings))) {
      if (STATUS_CODES.includes(code)) continue;
      for (const text of [what, why, fix]) expect([code, /^[^\n]{8,}[^.\n]$/.test(text)]).toEqual([code, true]);
    }
  });

  test('errors stand first', () => {
    const two = diagnose(status({ leases: [own(240)] }, peer({ udpOut: false })));
    expect(two.map(({ severity }) => severity)).toEqual(['error', 'warning']);
  });

  test('a peer that left meanwhile is no reason to fail', () => {
    expect(diagnose(status({ peers: [], tunnels: [] })).map(({ code }) => code)).toEqual([]);
    expect(diagnose({ ...HEALTHY, peers: [{ ...PEER, id: PEER_ID.replaceAll('b', 'd') }] })).toEqual([]);
  });
});

/** Their words come from status. */
const STATUS_CODES = ['address-exhausted'];

// Is this machine able to run fabric, and how well: permissions, kernel, packet filter program, processor.

import { type Finding, finding } from './finding.ts';
import type { MachineReading, NeighbourTableReading, Readings } from './readings.ts';

/** Below it one core does not fill a gigabit link with full frames. */
const SLOW_BITS_PER_SECOND = 1e9;
/** What the kernel comes with (net/ipv4/arp.c): too few for many containers that talk to many. */
const NEIGHBOURS_DEFAULT = 1_024;
const NEIGHBOURS_ENOUGH = 65_536;
/** Of the table, from where on it is called full: what is used at once comes in bursts. */
const NEARLY_FULL = 0.75;

export function checkMachine({ machine, daemon }: Readings): readonly Finding[] {
  const needsIpv6 = daemon === null ? false : daemon.status.networks.some(({ range6 }) => range6 !== null);
  return [
    ...permissions(machine),
    ...kernel(machine),
    ...(needsIpv6 && !machine.hasIpv6 ? [ipv6Off()] : []),
    ...handicaps(daemon?.status.datapath.lacks ?? []),
    ...encryption(machine),
    ...machine.neighbourTables.flatMap(neighbourTable),
  ];
}

function permissions({ missingCapabilities, sysctlReadOnly }: MachineReading): readonly Finding[] {
  const findings: Finding[] = [];
  if (missingCapabilities.length > 0) {
    findings.push(
      finding('not-permitted', 'error', {
        what: 'this process may not change or examine the network',
        why: `it lacks ${missingCapabilities.join(', ')}; much of this examination is left out`,
        fix: 'sudo fabric doctor',
      }),
    );
  }
  if (sysctlReadOnly) {
    findings.push(
      finding('sysctl-read-only', 'error', {
        what: '/proc/sys is mounted read-only',
        why: 'fabric can not set forwarding, ARP and router advertisement sysctls of its interfaces',
        fix: 'Run fabric on the host or in a privileged container; there: mount -o remount,rw /proc/sys',
      }),
    );
  }
  return findings;
}

function kernel(machine: MachineReading): readonly Finding[] {
  const { missingCapabilities, missingModules, hasTun, nftFault, kernelRelease } = machine;
  if (missingCapabilities.length > 0) return []; // nothing here could be told apart from that
  const findings: Finding[] = [];
  if (nftFault !== null) {
    findings.push(
      finding('nftables-unusable', 'error', {
        what: 'nft can not be used',
        why: `${nftFault}; fabric keeps containers from spoofing and masquerades with nftables`,
        fix: 'apt-get install nftables && modprobe nf_tables',
      }),
    );
  }
  for (const name of missingModules) {
    findings.push(
      finding('kernel-module-missing', 'error', {
        what: `the kernel module ${name} is not there`,
        why: `kernel ${kernelRelease} neither has it built in nor finds it in /lib/modules`,
        fix: `apt-get install linux-image-$(uname -r) && modprobe ${name}`,
      }),
    );
  }
  if (!hasTun) {
    findings.push(
      finding('tun-missing', 'warning', {
        what: '/dev/net/tun can not be opened',
        why: 'the engine needs it; without it frames take the far slower pcap datapath',
        fix: 'modprobe tun; in a container also: mkdir -p /dev/net && mknod /dev/net/tun c 10 200',
      }),
    );
  }
  return findings;
}

function ipv6Off(): Finding {
  return finding('ipv6-off', 'error', {
    what: 'this kernel has no IPv6, but the overlay does',
    why: 'containers get IPv6 addresses from their host, which can not route for them',
    fix: 'Boot without ipv6.disable=1, or make the cluster with --range6 off',
  });
}

/** What each lack of the engine costs (docs/status.md, datapath.lacks). Without ipsec-mb OpenSSL serves: no fault of the host. */
const HANDICAPS: Readonly<Record<string, string>> = {
  vnet: 'TAP has no virtio-net header, so the kernel hands over one small frame at a time',
  checksum: 'TAP leaves no checksums open, so each is computed once more than needed',
  tso: 'TAP hands over no large TCP segments, so each frame costs a system call',
  uso: 'TAP hands over no large UDP segments, so each frame costs a system call',
  'udp-segment': 'the uplink refuses large UDP segments, so each datagram costs a system call',
  'udp-gro': 'datagrams come one by one from the kernel',
  seccomp: 'the engine runs without a system call filter: one line of defence less',
  mlock: 'session keys could be written to swap',
};

function handicaps(lacks: readonly string[]): readonly Finding[] {
  return lacks.flatMap((lack) => {
    const why = HANDICAPS[lack];
    if (why === undefined) return [];
    const fix =
      lack === 'mlock' ? 'ulimit -l unlimited (LimitMEMLOCK=infinity)' : 'Use a newer kernel or network driver';
    return [finding('engine-handicapped', 'warning', { what: `the engine does without ${lack}`, why, fix })];
  });
}

function encryption({ hasAes, sealBitsPerSecond }: MachineReading): readonly Finding[] {
  const best = Math.max(...Object.values(sealBitsPerSecond));
  if (best >= SLOW_BITS_PER_SECOND) return [];
  const why = `one core encrypts ${(best / 1e9).toFixed(2)} Gbit/s${hasAes ? '' : '; the processor has no AES instructions'}`;
  return [
    finding('encryption-slow', 'warning', {
      what: 'encryption is slow on this processor',
      why: `${why}: tunnels will not be faster`,
      fix: 'In a virtual machine pass the host CPU through (-cpu host); between trusted hosts see --trusted-subnets',
    }),
  ];
}

/** Refusals are counted since boot: where the limit was raised since, only how full it is now counts. */
function neighbourTable({ family, entries, entriesMax, refused }: NeighbourTableReading): readonly Finding[] {
  const overflowed = refused > 0 && entriesMax <= NEIGHBOURS_DEFAULT;
  if (!overflowed && entries < entriesMax * NEARLY_FULL) return [];
  const [protocol, sysctl] = family === 4 ? ['ARP', 'net.ipv4.neigh.default'] : ['ND', 'net.ipv6.neigh.default'];
  return [
    finding('neighbour-table-full', 'warning', {
      what: `the kernel's table of ${protocol} entries is ${overflowed ? 'too small' : 'nearly full'}: ${entries} of ${entriesMax}`,
      why: `each container needs an entry for each that it talks to; without room its packets are lost, ${refused} so far`,
      fix: `sysctl -w ${sysctl}.gc_thresh3=${NEIGHBOURS_ENOUGH} ${sysctl}.gc_thresh2=${NEIGHBOURS_ENOUGH / 2}`,
    }),
  ];
}

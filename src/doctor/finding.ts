// What `fabric doctor` says: findings with a stable code each (docs/doctor.md). A finding names one thing that is wrong, why it
// matters to the network, and the command that mends it; a healthy host has none.

/** `error`: something does not work. `warning`: it works worse than it could, or will stop working. */
export type Severity = 'error' | 'warning';

/** Codes of doctor's own, in the order in which they are shown; problems of `status` keep their own codes. Only ever added. */
export const FINDING_CODES = [
  'not-permitted',
  'sysctl-read-only',
  'nftables-unusable',
  'kernel-module-missing',
  'tun-missing',
  'ipv6-off',
  'engine-handicapped',
  'encryption-slow',
  'neighbour-table-full',
  'daemon-absent',
  'port-taken',
  'underlay-missing',
  'route-overlap',
  'address-duplicate',
  'offload-off',
  'rp-filter',
  'rules-missing',
  'forward-filtered',
  'input-filtered',
  'iptables-legacy',
  'datapath-fallback',
  'lease-disputed',
  'lease-nearly-full',
  'lease-stranded',
  'dial-failing',
  'peer-dead',
  'peer-relayed',
  'link-missing',
  'tcp-out-blocked',
  'tcp-in-blocked',
  'udp-out-blocked',
  'udp-in-blocked',
  'udp-blocked',
  'mtu-black-hole',
  'path-mtu-small',
  'clock-skew',
] as const;
export type FindingCode = (typeof FINDING_CODES)[number];

export interface Finding {
  /** One of {@link FINDING_CODES}, or the code of a problem of `fabric status`. */
  readonly code: string;
  readonly severity: Severity;
  /** One sentence without a full stop, naming the object. */
  readonly what: string;
  /** Why it matters, or how it shows. */
  readonly why: string;
  /** What mends it; a command where there is one. */
  readonly fix: string;
}

/** Keeps codes honest: a typo does not compile. */
export function finding(code: FindingCode, severity: Severity, words: Omit<Finding, 'code' | 'severity'>): Finding {
  return { code, severity, ...words };
}

// The shape of `fabric status --json` and of GET /v1/status: stable, fields are only ever added (docs/status.md).
// Unknown values are null; `ips` are CIDR strings; `peer` is a peer id; `lastSeenMs` is an age.

import type { AeadCipher } from '../base/capabilities.ts';
import type { NatPlace } from '../base/nat-place.ts';
import type { TargetState } from '../host/mesh/target-state.ts';
import type { LeaseState } from '../ipam/types.ts';
import type { DatapathName } from '../router/datapath.ts';

export const STATUS_API_VERSION = 'fabric/v1';

export interface Problem {
  /** Stable, for programs. */
  readonly code: string;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

export interface Health {
  /** True without problems: this host does what it is for. */
  readonly ok: boolean;
  readonly problems: readonly Problem[];
  /** What somebody should know, though this host works: a host that is off, a port that is taken. Same shape. */
  readonly notices: readonly Problem[];
}

export interface NetworkRow {
  /** As it is called in every command; name and id where another network has the name. */
  readonly name: string;
  readonly id: number;
  readonly range: string;
  readonly range6: string | null;
  /** Null: it is internal. */
  readonly gateway: string | null;
  /** Null: its containers have no names in the DNS. */
  readonly domain: string | null;
  /** On this host, while it is up here. */
  readonly bridge: string;
  readonly internal: boolean;
  /** `removed`: by an operator, while containers of this host were in it. `disputed`: another network claims its id. */
  readonly state: 'active' | 'removed' | 'disputed';
  /** True while this host has a part in it. */
  readonly up: boolean;
  /** Peer ids of the hosts that say they have, this one included. */
  readonly hosts: readonly string[];
  /** Where it was made; null for the default network. */
  readonly creator: string | null;
}

export interface PeerRow {
  readonly id: string;
  readonly nickname: string;
  readonly endpoint: string | null;
  readonly state: 'alive' | 'suspect' | 'dead';
  readonly lastSeenMs: number | null;
}

export interface TunnelRow {
  readonly peer: string;
  readonly nickname: string;
  readonly endpoint: string | null;
  /** The id of the host that passes its datagrams on; null: they go straight to the endpoint, or nowhere yet. */
  readonly relay: string | null;
  /** Where the direct path crosses a NAT; null: by a relay, or not yet. */
  readonly nat: NatPlace | null;
  readonly state: 'idle' | 'handshaking' | 'established' | 'failed';
  readonly encrypted: boolean;
  readonly datapath: DatapathName;
  readonly cipher: AeadCipher | null;
  readonly mtu: number | null;
  readonly rttMs: number | null;
  readonly txBytes: number;
  readonly rxBytes: number;
  readonly txFrames: number;
  readonly rxFrames: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly reason: string | null;
}

export interface RouteRow {
  readonly network: string;
  readonly mac: string;
  readonly ips: readonly string[];
  readonly peer: string;
  readonly local: boolean;
  readonly sequence: number;
  readonly state: 'active' | 'duplicate' | 'stale' | 'refused';
  readonly reason: string | null;
}

export interface LeaseRow {
  readonly network: string;
  readonly cidr: string;
  readonly peer: string;
  readonly epoch: number;
  readonly used: number | null;
  readonly size: number;
  readonly state: LeaseState;
  readonly expiresAt: string | null;
}

export interface AttachmentRow {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly mac: string;
  readonly ips: readonly string[];
  readonly name: string;
  readonly hostIfname: string;
  readonly state: 'attaching' | 'attached' | 'detaching';
  readonly owner: string;
  readonly namespacePath: string;
  readonly namespaceId: string;
}

/** Addresses that another CNI plugin asked for, which makes the interface itself. */
export interface ReservationRow {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly ips: readonly string[];
  readonly owner: string;
  readonly namespacePath: string;
  readonly namespaceId: string;
}

export interface DnsRow {
  readonly name: string;
  readonly ips: readonly string[];
  readonly peer: string;
  readonly network: string;
}

/** The name server of this host. */
export interface NameServerFacts {
  readonly state: 'off' | 'serving' | 'failed';
  readonly domain: string;
  /** Where it is asked now; empty while another program holds the port. */
  readonly addresses: readonly string[];
  /** Who is asked what is not ours. */
  readonly upstreams: readonly string[];
  readonly reason: string | null;
  /** Since start: kinds of questions, and why some were not answered (docs/dns.md). */
  readonly counters: Readonly<Record<string, number>>;
}

/** The Docker plugin of this host. */
export interface DockerFacts {
  readonly state: 'off' | 'serving' | 'failed';
  /** Docker's networks that are ours. */
  readonly networks: number;
  /** Addresses between two endpoints: asked for, or given back a moment ago. */
  readonly waiting: number;
  /** Why it has failed, or why Docker can't be asked for names; null: all is well. */
  readonly reason: string | null;
  /**
   * Since start: Docker's calls, those answered with an error, those answered before they were done, and the slowest; of the last
   * 1,024 the median and what 99 of 100 took.
   */
  readonly counters: Readonly<Record<string, number>>;
}

/** The HTTP port: metrics, health, status and events, for reading. */
export interface HttpFacts {
  readonly state: 'off' | 'serving' | 'failed';
  /** `127.0.0.1:6784`; null when it is off. */
  readonly address: string | null;
  readonly reason: string | null;
}

/** Which token this host uses; never the token itself. */
export interface TokenFacts {
  /** 1 for a new cluster, one more at each rotation. */
  readonly generation: number;
  /** RFC 3339: until then the token before lets in new hosts, too; null: it does not. */
  readonly graceEndsAt: string | null;
}

/** What operators' certificates are for this host (docs/keys.md). */
export interface CertificateFacts {
  /** Subject and alternative names of its own; null: it shows none. */
  readonly name: string | null;
  /** RFC 3339: the end of its validity. */
  readonly expiresAt: string | null;
  /** True: hosts without a certificate that holds are refused. */
  readonly demanded: boolean;
  /** Why the files as they are now are not in force; null when they are. */
  readonly reason: string | null;
}

/** What each known target of the mesh is doing: why a join has not succeeded yet stands here. */
export interface TargetRow {
  readonly host: string;
  readonly state: TargetState;
  readonly error: string | null;
}

export interface Status {
  readonly apiVersion: string;
  readonly health: Health;
  readonly self: {
    readonly id: string;
    readonly nickname: string;
    readonly version: string;
    readonly clusterId: string | null;
    readonly uptimeMs: number;
    /** On the overlay; none while it is hidden, or waits for them. */
    readonly addresses: readonly string[];
  };
  /** Null before this host has joined. */
  readonly token: TokenFacts | null;
  /** Null: it was launched without --ca and --cert. */
  readonly certificate: CertificateFacts | null;
  readonly datapath: {
    readonly name: DatapathName;
    /** Why it is not the engine, in words; null when it is, or when another one was asked for. */
    readonly reason: string | null;
    /** Features of the machine that it does without; each costs speed, or a line of defence. */
    readonly lacks: readonly string[];
    readonly mtu: number | null;
    /** `except-trusted`: plain VXLAN is allowed to hosts that both sides trust. */
    readonly encryption: 'required' | 'except-trusted';
    /** Frames that entered from the bridge and that were delivered to it, since start. */
    readonly framesIn: number;
    readonly framesOut: number;
    /** Drops that belong to no peer, by reason (docs/drops.md); those of handshakes begin with `handshake-`. */
    readonly drops: Readonly<Record<string, number>>;
  };
  readonly networks: readonly NetworkRow[];
  readonly peers: readonly PeerRow[];
  readonly tunnels: readonly TunnelRow[];
  readonly routes: readonly RouteRow[];
  readonly leases: readonly LeaseRow[];
  readonly attachments: readonly AttachmentRow[];
  readonly reservations: readonly ReservationRow[];
  readonly dns: readonly DnsRow[];
  readonly nameServer: NameServerFacts;
  readonly docker: DockerFacts;
  readonly http: HttpFacts;
  readonly targets: readonly TargetRow[];
}

export const STATUS_SECTIONS = ['peers', 'tunnels', 'routes', 'leases', 'attachments', 'dns'] as const;
export type StatusSection = (typeof STATUS_SECTIONS)[number];

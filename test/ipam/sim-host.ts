// One host of the simulated cluster of leases: what survives a crash, what its callers were told, what hosts send. Test code only.

import type { IpAddress } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import { DEFAULT_VNI, type PeerId, type Vni } from '../../src/base/ids.ts';
import type { LeaseRecord } from '../../src/base/records.ts';
import type { Ipam } from '../../src/ipam/ipam.ts';
import type { HostClock } from '../fakes/host-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { quickSignatures } from '../fakes/quick-crypto.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

export interface AuthorMap {
  readonly version: number;
  readonly records: readonly LeaseRecord[];
  readonly votes: ReadonlyMap<string, Uint8Array>;
}

export type Payload =
  | { readonly kind: 'lease'; readonly bytes: Uint8Array }
  | { readonly kind: 'gossip'; readonly author: PeerId; readonly map: AuthorMap };

export interface Message {
  readonly from: number;
  readonly to: number;
  readonly payload: Payload;
}

export class SimHost {
  readonly seed: Uint8Array;
  readonly key: Uint8Array;
  readonly id: PeerId;
  store = new MemoryStore();
  ipam: Ipam | null = null;
  /** Leases of the named network, where the cluster has one. */
  named: Ipam | null = null;
  /** What this host's gossip holds; a crash may lose it, because gossip stores what it hears lazily. */
  maps = new Map<PeerId, AuthorMap>();
  version = 0;
  /** Addresses that callers were told, by owner. */
  readonly held = new Map<string, IpAddress>();
  readonly conflicts: { ip: string; owner: string; holder: PeerId | null }[] = [];
  readonly log = new RecordingLog();
  changes = 0;
  readonly clock: HostClock;

  constructor(index: number, clock: HostClock) {
    this.clock = clock;
    this.seed = new Uint8Array(32).fill(index + 1);
    this.key = quickSignatures.ed25519Public(this.seed);
    this.id = toHex(quickSignatures.sha256(this.key).subarray(0, 16)) as PeerId;
  }

  /** Of every network; none while the host is off. */
  get spaces(): readonly Ipam[] {
    return [this.ipam, this.named].flatMap((space) => space ?? []);
  }

  spaceOf(network: Vni | null): Ipam | null {
    return network === DEFAULT_VNI ? this.ipam : this.named;
  }

  /** All that it publishes of its leases. */
  records(): readonly LeaseRecord[] {
    return this.spaces.flatMap((space) => space.records());
  }

  powerOff(): void {
    this.ipam = null;
    this.named = null;
  }
}

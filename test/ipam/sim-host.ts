// One host of the simulated cluster of leases: what survives a crash, and what its callers were told. Test code only.

import type { IpAddress } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/base/ids.ts';
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

export class SimHost {
  readonly seed: Uint8Array;
  readonly key: Uint8Array;
  readonly id: PeerId;
  store = new MemoryStore();
  ipam: Ipam | null = null;
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
}

// Keeps true what this host says of itself: its endpoints come and go with addresses and NICs, its containers attach and
// detach, and peers may hold newer records of it than its own state does (an old copy of the state directory).

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../base/endpoint.ts';
import { type BootId, DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../base/ids.ts';
import type { NatFacts } from '../base/nat-facts.ts';
import type { AttachmentRecord, LeaseRecord, PeerRecord } from '../base/records.ts';
import type { Gossip } from '../gossip/gossip.ts';
import type { ClaimKeeper } from './claim-keepers.ts';
import type { ClaimChange } from './claim-writer.ts';
import type { Directory } from './directory.ts';
import type { OwnRecords } from './own-records.ts';

/** Addresses of the host come and go (DHCP, NICs): looked at this often. */
const ENDPOINTS_REFRESH_MS = 30_000;

export interface OwnPresencePorts {
  readonly self: PeerId;
  readonly log: Log;
  readonly timers: Timers;
  readonly records: OwnRecords;
  readonly gossip: Pick<Gossip, 'entries'>;
  readonly directory: Pick<Directory, 'apply' | 'attachments'>;
  readonly claims: ClaimKeeper;
  /** All of the peer record but what changes. */
  readonly peerRecord: Omit<PeerRecord, 'endpoints' | 'networks' | 'nat'>;
  /** The mobility sequence of a claim of this host (RFC 7432 §15). */
  sequenceOf(claim: AttachmentRecord): number;
  /** Networks in which this host has members, ascending. */
  networks(): readonly Vni[];
  endpoints(): Promise<readonly Endpoint[]>;
  /** The leases that this host publishes now. */
  leases(): readonly LeaseRecord[];
  /** What this host publishes for the voting about leases. */
  votes(): ReadonlyMap<string, Uint8Array>;
  /** Another process lives with our identity; told at each sign of it. */
  cloned(boot: BootId): void;
  /** True when that claim is of something that is on this host. */
  isOurs(claim: AttachmentRecord): boolean;
}

export class OwnPresence {
  readonly #ports: OwnPresencePorts;
  /** Claimed in this run and not withdrawn since: they stand, whatever newer state of ours turns up. */
  readonly #claims = new Map<string, AttachmentRecord>();
  /** The clone to which our own run was published last, so that it too knows; once is enough, or both would write for ever. */
  #answered: BootId | null = null;
  #cancel: Cancel | null = null;
  /** As an earlier run published it, until this one knows better; undefined: no NAT. */
  #nat: NatFacts | undefined;
  endpoints: readonly Endpoint[] = [];
  /** Why the host's addresses could not be read, in words; null when they could. */
  fault: string | null = null;

  constructor(ports: OwnPresencePorts) {
    this.#ports = ports;
    this.#nat = ports.records.publishedNat;
  }

  /** From now on changes of the host's addresses are published. */
  watch(): void {
    this.#cancel = this.#ports.timers.after(ENDPOINTS_REFRESH_MS, () => {
      this.watch();
      void this.#refreshQuietly();
    });
  }

  stop(): void {
    this.#cancel?.();
  }

  /** Publishes who this host is, when that changed. */
  async refresh(): Promise<void> {
    this.endpoints = await this.#ports.endpoints();
    this.say();
  }

  /** The same with the endpoints that are known. */
  say(): void {
    const { peerRecord, networks, records } = this.#ports;
    const nat = this.#nat === undefined ? {} : { nat: this.#nat };
    records.publishPeer({ ...peerRecord, networks: networks(), endpoints: this.endpoints, ...nat });
  }

  /** Peers see this host where it is not, or no longer. */
  natChanged(facts: NatFacts): void {
    const isBehindNat = facts.symmetric || facts.observed.length > 0;
    this.#nat = isBehindNat ? facts : undefined;
    this.#ports.log.info(isBehindNat ? 'this host is behind a NAT' : 'this host is behind no NAT', {
      observed: facts.observed.map(formatEndpoint).join(', '),
      symmetric: facts.symmetric,
    });
    this.say();
  }

  publishClaim(record: AttachmentRecord): void {
    this.changeClaims([{ kind: 'publish', record }]);
  }

  withdrawClaim(network: Vni, mac: Mac): void {
    this.changeClaims([{ kind: 'withdraw', network, mac }]);
  }

  /**
   * As one version of our records; durable when it returns. Throws what the store says, or `limit`: then nothing has changed. The
   * sequence of a claim is set here: the one that it has already, or above all that were seen.
   */
  changeClaims(wanted: readonly ClaimChange[]): void {
    const { self, records, claims: keepers } = this.#ports;
    const changes = wanted.map((change) => this.#inSequence(change));
    records.changeAttachments(changes);
    for (const change of changes) {
      if (change.kind === 'publish') {
        this.#claims.set(keyOf(change.record), change.record);
        keepers.claim(self, change.record);
      } else {
        this.#claims.delete(keyOf(change));
        keepers.withdraw(self, change.network, change.mac);
      }
    }
  }

  /**
   * Our own records came back newer than we knew them: leases are believed, claims of what is not here are not, and what was
   * claimed here since, which the newer state lacks, is published again. When a clone wrote them, it gets one answer.
   */
  adoptNewer(version: number): void {
    const { self, log, gossip, directory, records, timers } = this.#ports;
    log.warn('peers hold newer records of this host than its own state: adopting them', { version });
    directory.apply(
      self,
      gossip.entries(self).map(([key, value]) => ({ key, value })),
    );
    const clone = records.cloneOf(this.#ports.peerRecord.bootId);
    if (clone !== null) this.#ports.cloned(clone);
    if (clone !== null && clone === this.#answered) return;
    if (clone !== null) log.error('another live host uses our identity', { boot: clone });
    this.#answered = clone;
    timers.soon(() => {
      records.replaceLeases(this.#ports.leases());
      records.replaceVotes(DEFAULT_VNI, this.#ports.votes());
      this.#claimAll(directory.attachments(self).filter((claim) => this.#ports.isOurs(claim)));
      void this.#refreshQuietly();
    });
  }

  #inSequence(change: ClaimChange): ClaimChange {
    if (change.kind === 'withdraw') return change;
    const { record } = change;
    return { kind: 'publish', record: { ...record, sequence: this.#ports.sequenceOf(record) } };
  }

  #claimAll(adopted: readonly AttachmentRecord[]): void {
    const { self, records, claims: keepers } = this.#ports;
    const claims = new Map([...adopted.map((claim) => [keyOf(claim), claim] as const), ...this.#claims]);
    records.replaceAttachments([...claims.values()]);
    for (const claim of claims.values()) keepers.claim(self, claim);
  }

  async #refreshQuietly(): Promise<void> {
    try {
      await this.refresh();
      this.fault = null;
    } catch (error) {
      this.fault = (error as Error).message;
    }
  }
}

function keyOf({ network, mac }: Pick<AttachmentRecord, 'network' | 'mac'>): string {
  return `${network}/${mac}`;
}

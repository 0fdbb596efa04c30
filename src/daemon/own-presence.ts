// Keeps true what this host says of itself: its endpoints come and go with addresses and NICs, its containers attach and
// detach, and peers may hold newer records of it than its own state does (an old copy of the state directory).

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import { type Endpoint, formatEndpoint } from '../base/endpoint.ts';
import type { FabricError } from '../base/errors.ts';
import { type BootId, DEFAULT_VNI, type Mac, type PeerId, type Vni } from '../base/ids.ts';
import type { NatFacts } from '../base/nat-facts.ts';
import type { AttachmentRecord, LeaseRecord, PeerRecord } from '../base/records.ts';
import type { Gossip, RecordChange } from '../gossip/gossip.ts';
import { attachmentKey, LEASE_PREFIX, VOTE_PREFIX } from '../gossip/record-codec.ts';
import type { ClaimKeeper } from './claim-keepers.ts';
import type { ClaimChange } from './claim-writer.ts';
import type { Directory } from './directory.ts';
import { type OwnRecords, staysSaid } from './own-records.ts';
import { Ticker } from './ticker.ts';

/** Addresses of the host come and go (DHCP, NICs): looked at this often. */
const ENDPOINTS_REFRESH_MS = 30_000;
/** A disk that is full is not so for ever. */
const SAY_AGAIN_MS = 1_000;

export interface OwnPresencePorts {
  readonly self: PeerId;
  readonly log: Log;
  readonly timers: Timers;
  readonly records: OwnRecords;
  readonly gossip: Pick<Gossip, 'entries'>;
  readonly directory: Pick<Directory, 'attachments'>;
  /** Records of this host that others hold are taken in like theirs. */
  take(changes: readonly RecordChange[]): void;
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
  /** What this host says of itself could not be written; it is tried again. */
  failed(error: FabricError): void;
}

export class OwnPresence {
  readonly #ports: OwnPresencePorts;
  /** Claimed in this run and not withdrawn since: they stand, whatever newer state of ours turns up. */
  readonly #claims = new Map<string, AttachmentRecord>();
  /** As the newest state of ours names it that we have not written; it is told of us whichever of the two writes last. */
  #clone: BootId | null = null;
  /** The clone in whose place our own run was published last; once is enough, or both would write for ever. */
  #answered: BootId | null = null;
  /** Our records may lack what this run says: a newer state of ours was adopted, or something was not written. */
  #isIncomplete = false;
  readonly #settling: Ticker;
  #cancel: Cancel | null = null;
  /** As an earlier run published it, until this one knows better; undefined: no NAT. */
  #nat: NatFacts | undefined;
  endpoints: readonly Endpoint[] = [];
  /** Why the host's addresses could not be read, in words; null when they could. */
  fault: string | null = null;

  constructor(ports: OwnPresencePorts) {
    this.#ports = ports;
    this.#nat = ports.records.publishedNat;
    this.#settling = new Ticker(ports.timers, () => this.#settle(), ports.failed);
  }

  /** From now on changes of the host's addresses are published. */
  watch(): void {
    this.#cancel = this.#ports.timers.after(ENDPOINTS_REFRESH_MS, () => {
      this.watch();
      void this.#refreshQuietly();
    });
  }

  stop(): void {
    this.#settling.stop();
    this.#cancel?.();
  }

  /** The first time in this run: what earlier runs said of others beside them is over. */
  async start(): Promise<void> {
    this.#ports.records.forgetBeside();
    await this.refresh();
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
    const { self, log, gossip, take } = this.#ports;
    log.warn('peers hold newer records of this host than its own state: adopting them', { version });
    take(gossip.entries(self).map(([key, value]) => ({ key, value })));
    this.#lookForClone();
    this.#isIncomplete ||= this.#clone === null || this.#clone !== this.#answered;
    this.#answered = this.#clone;
    this.#settling.wake();
  }

  /** Our records say all that this host knows of itself. */
  get isComplete(): boolean {
    return !this.#isIncomplete;
  }

  /** Not all that this host knows of itself could be written into its records. */
  saySoon(): void {
    this.#isIncomplete = true;
    this.#settling.wake(SAY_AGAIN_MS);
  }

  #lookForClone(): void {
    const { records, log, cloned, peerRecord } = this.#ports;
    const clone = records.cloneOf(peerRecord.bootId);
    if (clone !== null && clone !== this.#clone) log.error('another live host uses our identity', { boot: clone });
    this.#clone = clone;
    if (clone !== null) cloned(clone);
  }

  /** What this run says is said in the state that was adopted; a full disk puts it off. */
  #settle(): number {
    const { self, records, directory, peerRecord, leases, votes, isOurs, take } = this.#ports;
    if (this.#clone !== null) records.publishBeside(peerRecord.bootId, this.#clone);
    if (!this.#isIncomplete) return Number.POSITIVE_INFINITY;
    records.replaceLeases(leases());
    records.replaceVotes(DEFAULT_VNI, votes());
    const adopted = directory.attachments(self);
    const isHere = (claim: AttachmentRecord): boolean => isOurs(claim) || this.#claims.has(keyOf(claim));
    this.#claimAll(adopted.filter(isOurs));
    const gone = adopted.filter((claim) => !isHere(claim));
    take(gone.map(({ network, mac }) => ({ key: attachmentKey(network, mac), value: null })));
    this.#isIncomplete = false;
    void this.#refreshQuietly();
    return Number.POSITIVE_INFINITY;
  }

  /**
   * Peers hold another history of our records, which is over: leases that went through our hands in it, how far we voted, and what
   * stays said are believed all the same.
   */
  recall(changes: readonly RecordChange[]): void {
    const { log, take } = this.#ports;
    log.warn('peers hold records of this host that it does not know: it runs on old state, or a clone of it lives');
    take(changes.filter(({ key }) => key.startsWith(LEASE_PREFIX) || key.startsWith(VOTE_PREFIX) || staysSaid(key)));
    this.#lookForClone();
    this.#settling.wake();
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

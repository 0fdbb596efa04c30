// This host as a member of its cluster: wires gossip, leases, routes, tunnels, datapath, the kernel's network and the
// attachments to each other. The cores know nothing of one another; every value that passes between them passes here.
//
//      mesh links ──▶ gossip ──▶ directory ──▶ leases, routes, tunnels ──▶ datapath
//                       ▲                                                    │
//   attachments ──▶ own records ◀── leases                     events ◀──────┘

import type { Store } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_VNI, type PeerId } from '../base/ids.ts';
import { peerIdOf } from '../base/membership.ts';
import type { AttachmentRecord } from '../base/records.ts';
import type { Gossip } from '../gossip/gossip.ts';
import type { HostNetwork } from '../host/host-network.ts';
import { VIEW_LIMITS } from '../host/mesh/active-view.ts';
import type { CloseReason } from '../host/mesh/connection.ts';
import type { Ipam } from '../ipam/ipam.ts';
import type { Routes } from '../router/routes.ts';
import type { Tunnels } from '../router/tunnels.ts';
import type { AddressReservations } from './address-reservations.ts';
import type { AddressSpaces } from './address-spaces.ts';
import type { Admission } from './admission.ts';
import { AttachmentStore, networkOfEntry } from './attachment-store.ts';
import type { Attachments } from './attachments.ts';
import { type ClaimKeeper, keptByAll } from './claim-keepers.ts';
import type { DatapathSlot } from './datapath-slot.ts';
import { Directory } from './directory.ts';
import { ElsewhereNews } from './events/elsewhere-news.ts';
import type { Examiner } from './examiner.ts';
import type { ForeignDevices } from './foreign-devices.ts';
import { type NetworkFacts, networkFacts, overlayNetwork } from './genesis.ts';
import { CLONE_FIX } from './health.ts';
import type { HostPlace } from './host-place.ts';
import type { Channel, MemberOptions } from './member-options.ts';
import type { Names } from './names.ts';
import { Neighbourhood } from './neighbourhood.ts';
import type { NetworkPresence } from './network-presence.ts';
import type { Networks } from './networks.ts';
import { openAdmission } from './open-admission.ts';
import { openAttachments } from './open-attachments.ts';
import { openExaminer } from './open-examiner.ts';
import { openForeignDevices } from './open-foreign-devices.ts';
import { openGossip } from './open-gossip.ts';
import { openNames } from './open-names.ts';
import { openNetworks } from './open-networks.ts';
import { openPresence } from './open-presence.ts';
import { openSlot } from './open-slot.ts';
import { openTunnels } from './open-tunnels.ts';
import { openVxlan } from './open-vxlan.ts';
import type { OwnPresence } from './own-presence.ts';
import { OwnRecords } from './own-records.ts';
import { PeerUpkeep } from './peer-upkeep.ts';
import { Reconciler } from './reconciler.ts';
import { RecordIntake } from './record-intake.ts';
import { StoreGuard } from './store-guard.ts';
import { SyncGate, startGate } from './sync-gate.ts';
import { Ticker } from './ticker.ts';
import type { VxlanTunnels } from './vxlan-tunnels.ts';

/** How long a first launch waits for the host's own address; after a restart host0 still stands, so nothing waits. */
const EXPOSE_WAIT_MS = 1_000;

/** Events come at once; this is for what failed then, and for events that the kernel lost. */
const RECONCILE_EVERY_MS = 60_000;

export class Member {
  readonly gossip: Gossip;
  /** Of the default network. */
  readonly facts: NetworkFacts;
  readonly ipam: Ipam;
  readonly routes: Routes;
  readonly networks: Networks;
  readonly networkPresence: NetworkPresence;
  readonly spaces: AddressSpaces;
  readonly tunnels: Tunnels;
  readonly slot: DatapathSlot;
  readonly directory: Directory;
  readonly neighbourhood: Neighbourhood;
  readonly attachments: Attachments;
  readonly attachmentEntries: AttachmentStore;
  readonly reservations: AddressReservations;
  readonly place: HostPlace;
  readonly names: Names;
  readonly admission: Admission;
  readonly examiner: Examiner;
  /** Null: this host sends nothing in the clear. */
  readonly vxlan: VxlanTunnels | null;
  /** Set while this host's identity lives elsewhere too: nothing is allocated. */
  cloneFault: string | null = null;
  readonly store: Store;
  readonly host: HostNetwork;
  readonly #options: MemberOptions;
  readonly #own: OwnRecords;
  readonly #elsewhere: ElsewhereNews;
  readonly #presence: OwnPresence;
  readonly #keepers: ClaimKeeper;
  readonly #leasesTicker: Ticker;
  readonly #tunnelTicker: Ticker;
  readonly #foreignTicker: Ticker;
  readonly #foreign: ForeignDevices;
  readonly #gate: SyncGate;
  readonly #guard: StoreGuard;
  readonly #intake: RecordIntake;
  readonly #peers: PeerUpkeep;
  readonly #reconciler: Reconciler;
  #started = false;

  /** Loads everything that is durable; starts nothing. Throws `state-damaged`. */
  constructor(options: MemberOptions) {
    const { identity, genesis, store, clock, timers, crypto, log, host, tell } = options;
    const { keys } = identity;
    this.#options = options;
    this.store = store;
    this.host = host;
    this.#guard = new StoreGuard(log);
    this.facts = networkFacts(genesis, crypto);
    this.attachmentEntries = new AttachmentStore(store);
    this.directory = new Directory((author, key) => peerIdOf(key, crypto) === author, {
      peerChanged: (author, before) => this.#peers.recordChanged(author, before),
      peerGone: (author, before) => this.#peers.recordGone(author, before),
      leaseAdded: (author, record) => this.networks.leaseAdded(author, record),
      leaseGone: (author, record) => this.networks.leaseGone(author, record),
      attachmentAdded: (author, record) => this.#keepers.claim(author, record),
      attachmentGone: (author, { network, mac }) => this.#keepers.withdraw(author, network, mac),
      nameAdded: (author, record) => this.names.zones.added(author, record),
      nameGone: (author, record) => this.names.zones.gone(author, record),
      removed: (author, record) => this.admission.removals.heard(author, record),
      rotated: (author, record) => this.admission.rotations.heardRotation(author, record),
      sealed: (author, record) => this.admission.rotations.heardSeals(author, record),
      certified: (author, attestation) => this.admission.certificates.heard(author, attestation),
      voted: (author, vote) => this.ipam.observeVote(author, vote),
      networkMade: (author, record) => this.networks.made(author, record),
      networkRemoved: (_author, network) => this.networks.removed(network),
    });
    this.directory.learnIdentityKey(keys.peer, keys.identityKey);
    this.directory.learnIdentityKey(genesis.creator, genesis.creatorKey);
    this.gossip = openGossip(options, {
      changed: (author, changes) => {
        this.#intake.take(author, changes);
        this.neighbourhood.changed(author);
      },
      ownStateNewer: (version) => this.#presence.adoptNewer(version),
      ownStateForgotten: (changes) => this.#presence.recall(changes),
    });
    this.#intake = new RecordIntake({
      timers,
      apply: (author, change) => this.directory.apply(author, [change]),
      failed: (error) => this.#guard.failed(error),
    });
    this.#elsewhere = new ElsewhereNews(keys.peer, timers, tell);
    this.#own = new OwnRecords(this.gossip, keys.peer, {
      wrote: () => this.neighbourhood.wrote(),
      failed: () => this.#presence.saySoon(),
    });
    this.neighbourhood = new Neighbourhood({
      self: keys.peer,
      clock,
      timers,
      gossip: this.gossip,
      send: (peer, channel, bytes) => options.mesh.send(peer, channel, bytes),
      isMember: (peer) => this.directory.peer(peer) !== null,
      refute: () => this.#own.refute(),
      judged: (peer, view, before) => this.#peers.livenessChanged(peer, view, before),
      failed: (error) => this.#guard.failed(error),
      caughtUp: options.caughtUp,
    });
    this.#gate = new SyncGate(
      timers,
      () => options.mesh.isGreeting(),
      () => this.resumeAllocating(),
    );
    this.slot = openSlot(options, {
      facts: this.facts,
      tunnels: () => this.tunnels,
      tables: () => [...this.routes.tables(), ...this.networkPresence.tables(), this.#peers.floodListOf(DEFAULT_VNI)],
      learned: (network, mac) => {
        this.#guard.run(() => this.#foreign.learned(network, mac));
      },
    });
    const opened = openNetworks(options, this.facts, {
      directory: this.directory,
      own: this.#own,
      slot: this.slot,
      mayAllocate: this.#gate.opened,
      // Who left has no peer record any more, but its gifts are still links in the chains of others' blocks.
      identityKeyOf: (peer) => this.directory.identityKeyOf(peer) ?? this.gossip.identityKeyOf(peer),
      isAlive: (peer) => this.#peers.isAlive(peer),
      floodListOf: (network) => this.#peers.floodListOf(network),
      applyMain: (changes) => {
        this.slot.applyTables(changes);
        this.vxlan?.applyTables(changes);
      },
      attachments: () => this.attachmentEntries.all(),
      reservations: () => this.reservations.all(),
      membersChanged: () => {
        this.#presence.say();
        return this.names.networksChanged();
      },
      wakeLeases: () => this.#leasesTicker.wake(),
      votesChanged: (entries) => this.#own.replaceVotes(DEFAULT_VNI, entries),
      hostAddressLost: () => this.place.renumber(),
      member: this,
    });
    this.networks = opened.networks;
    this.networkPresence = opened.presence;
    this.spaces = opened.spaces;
    this.ipam = this.networks.main.ipam;
    this.routes = this.networks.main.routes;
    this.vxlan = openVxlan(options, (peer) => this.tunnels.sessionWanted(peer));
    this.names = openNames(options, {
      records: this.#own,
      networks: this.networks,
      presence: this.networkPresence,
      tunnels: () => this.tunnels,
      isAlive: (peer) => this.#peers.isAlive(peer),
      attachments: () => this.attachmentEntries,
    });
    this.tunnels = openTunnels(options, {
      datapath: this.slot,
      turned: (peer, turn) => this.#peers.tunnelTurned(peer, turn),
      placed: (peer, { endpoint, pathMtu }) => this.vxlan?.learn(peer, { endpoint: endpoint?.ip ?? null, pathMtu }),
      admits: (peer, by) => this.admission.admits(peer, by),
      probed: (peer, bytes) => this.examiner.probed(peer, bytes),
      neighbours: () => options.mesh.linkedPeers(),
      ownEndpoints: () => (options.settings.advertise.length > 0 ? null : this.#presence.endpoints),
      natChanged: (facts) => this.#guard.run(() => this.#presence.natChanged(facts)),
      wake: (withinMs) => this.#tunnelTicker.wake(withinMs),
    });
    const failed = (error: FabricError) => this.#guard.failed(error);
    this.admission = openAdmission(options, { own: this.#own, member: this, failed });
    this.examiner = openExaminer(options, this);
    this.#peers = new PeerUpkeep({
      self: keys.peer,
      log,
      tell,
      timers,
      directory: this.directory,
      neighbourhood: this.neighbourhood,
      tunnels: this.tunnels,
      routes: () => this.networks.all().map(({ routes }) => routes),
      floodLists: () => this.networkPresence.floodLists(),
      slot: this.slot,
      vxlan: this.vxlan,
      mesh: options.mesh,
    });
    this.#foreign = openForeignDevices(options, {
      presence: () => this.#presence,
      networks: this.networks,
      wake: () => this.#foreignTicker.wake(),
    });
    this.#keepers = keptByAll(this.networks, this.names.zones, this.#elsewhere, this.#foreign);
    this.#presence = openPresence(options, {
      records: this.#own,
      gossip: this.gossip,
      directory: this.directory,
      take: (changes) => this.#intake.take(keys.peer, changes),
      claims: this.#keepers,
      sequenceOf: (claim) => this.networks.nextSequence(claim),
      networks: () => this.networkPresence.members(),
      leases: () => this.spaces.records(),
      votes: () => this.ipam.votes(),
      cloned: (boot) => this.cloneDetected(`a process with boot id ${boot} publishes itself as this host`),
      isOurs: (claim) => this.#isOurs(claim),
      failed,
    });
    const { place, reservations, attachments } = openAttachments(options, {
      entries: this.attachmentEntries,
      networks: this.networks,
      presence: this.networkPresence,
      directory: this.directory,
      mayAllocate: this.#gate.opened,
      changeClaims: (changes) => this.#presence.changeClaims(changes),
      readiness: () => this.readiness(),
      nameService: (network) => this.names.serviceFacts(network),
    });
    this.place = place;
    this.reservations = reservations;
    this.attachments = attachments;
    this.#reconciler = new Reconciler(
      () => this.attachments.reconcile({ starting: false }),
      (reason) => log.error('the kernel and the attachments could not be compared', { reason }),
    );
    const ticker = (tick: () => number) => new Ticker(timers, tick, failed);
    this.#leasesTicker = ticker(() => this.spaces.tick());
    this.#tunnelTicker = ticker(() => {
      const { peers } = this.slot.stats();
      this.#peers.heardThroughTunnels(peers);
      return this.tunnels.tick(peers);
    });
    this.#foreignTicker = ticker(() => this.#foreign.tick());
    this.networks.load();
  }

  /** Kernel network, datapath, then what ran before. Rejects with the FabricError of the first thing that fails. */
  async start(): Promise<void> {
    const { host, settings } = this.#options;
    this.directory.load(this.gossip);
    startGate(this.#gate, this, { resumed: this.#options.resumed });
    this.directory.loadRemovals(this.gossip); // what a removed host owned is known first, and the gate is closed
    this.directory.loadTokens(this.gossip);
    this.#own.replaceLeases(this.spaces.records());
    this.#own.replaceVotes(DEFAULT_VNI, this.ipam.votes());
    for (const ticker of this.#tickers()) ticker.wake();
    const further = this.networkPresence.restore(this.attachmentEntries.all().map(networkOfEntry));
    await this.#presence.start();
    await host.ensure(overlayNetwork(this.facts, { bridge: settings.bridge, mtu: this.mtu }), further);
    await this.slot.start();
    this.vxlan?.start();
    for (const claim of this.directory.attachments(this.attachments.self)) {
      if (!this.#isOurs(claim)) this.#presence.withdrawClaim(claim.network, claim.mac);
    }
    this.reservations.reconcile();
    await this.attachments.reconcile({ starting: true });
    await this.names.start();
    this.#started = true;
    this.#elsewhere.start();
    await host.guardAgainstLoops({ livesOn: (mac) => this.routes.placeElsewhere(DEFAULT_VNI, mac) });
    await host.watch(() => this.#reconciler.request());
    this.#reconciler.every(RECONCILE_EVERY_MS, this.#options.timers);
    this.#presence.watch();
    if (settings.exposed) await this.place.exposeAtStart(this.#options.resumed ? 0 : EXPOSE_WAIT_MS);
    else await host.hideHost();
  }

  /** Before the stop: takes on no attach, and waits `withinMs` for those under way; nobody waits for an address any more. */
  async drain(withinMs: number): Promise<void> {
    this.attachments.refuse('the daemon is stopping');
    this.networks.stopAllocating(new FabricError('daemon-unreachable', { what: 'the daemon is stopping' }));
    await this.attachments.idle(withinMs);
    await this.networkPresence.idle();
    this.gossip.pushNow();
  }

  /** Ends what runs in this process; the kernel's network stays as it is. */
  async stop({ release = false } = {}): Promise<void> {
    this.#started = false;
    this.#elsewhere.stop();
    this.#presence.stop();
    this.#intake.stop();
    this.place.stop();
    this.examiner.stop();
    for (const ticker of this.#tickers()) ticker.stop();
    this.#gate.stop();
    this.networks.stop();
    this.#peers.stop();
    await this.#reconciler.stop();
    await this.names.stop();
    await this.vxlan?.stop();
    if (release) await this.slot.release();
    else {
      this.tunnels.close();
      await this.slot.stop();
    }
    this.gossip.persistAll();
  }

  /** After a `reset` that failed half way: this host is a member as before. */
  resumeAllocating(): void {
    if (this.cloneFault === null && this.admission.removals.ownFault === null) this.spaces.setAllocating(null);
  }

  /** For `reset`: withdraws what others keep of this host. */
  withdrawRecords(): void {
    this.#own.withdrawAllButLeases();
  }

  linkUp(peer: PeerId): void {
    this.#gate.linkUp({ isPartial: this.directory.peers().length > VIEW_LIMITS.fullMeshMax + 1 });
    this.neighbourhood.linkUp(peer);
    this.tunnels.reached(peer);
    this.#guard.run(() => this.spaces.linked(peer));
    this.#leasesTicker.wake();
  }

  linkDown(peer: PeerId, reason: CloseReason): void {
    this.neighbourhood.linkDown(peer, reason);
    if (this.directory.peer(peer) === null) this.neighbourhood.rumours.forget(peer); // it has left the cluster
  }

  message(peer: PeerId, channel: Channel, bytes: Uint8Array): void {
    if (channel === 'lease') {
      this.#guard.run(() => this.spaces.receive(peer, bytes));
      this.#leasesTicker.wake();
    } else if (channel === 'examine') this.examiner.receive(peer, bytes);
    else this.#guard.run(() => this.neighbourhood.message(peer, channel, bytes));
  }

  writable(peer: PeerId): void {
    this.neighbourhood.writable(peer);
  }

  isAlive(peer: PeerId): boolean {
    return this.#peers.isAlive(peer);
  }

  /** False while our records lack something that this host says of itself: a full disk, or a newer state that was adopted. */
  isPublished(): boolean {
    return this.#presence.isComplete;
  }

  /** Why the kernel's network is not as it should be, in words; null when it is. */
  get networkFault(): string | null {
    return this.#reconciler.fault ?? this.#presence.fault;
  }

  /** Null when a container can be attached now. */
  readiness(): { readonly reason: string; readonly degraded: boolean } | null {
    const fault = this.cloneFault ?? this.admission.removals.ownFault?.why ?? null;
    if (fault !== null) return { reason: fault, degraded: false };
    if (!this.#started) return { reason: 'the daemon is still starting', degraded: false };
    const { failure } = this.slot;
    return failure === null ? null : { reason: `the datapath does not work: ${failure}`, degraded: true };
  }

  /** A host with our identity and another boot id is alive: neither may allocate (DESIGN: clones). */
  cloneDetected(why: string): void {
    this.cloneFault = why;
    this.spaces.setAllocating(
      new FabricError('identity-clone', { what: 'no address is allocated', why, fix: CLONE_FIX }),
    );
  }

  /** Overlay MTU in bytes. */
  get mtu(): number {
    return this.#options.genesis.mtu;
  }

  get endpoints(): readonly Endpoint[] {
    return this.#presence.endpoints;
  }

  #tickers(): readonly Pick<Ticker, 'wake' | 'stop'>[] {
    return [this.neighbourhood, this.admission, this.#leasesTicker, this.#tunnelTicker, this.#foreignTicker];
  }

  #isOurs({ network, mac, kind }: AttachmentRecord): boolean {
    return kind === 'host' ? mac === this.place.mac : this.attachmentEntries.holds(network, mac);
  }
}

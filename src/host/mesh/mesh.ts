// The mesh of one host: listens, dials, greets, and keeps exactly one link per peer. It joins the pure parts (Dialler,
// LinkElection, judgeHello, Connection) to sockets and to one timer; what links carry is the business of gossip and ipam.
// Invariants: a link's peer is proved by its certificate; no refusal ends the daemon; both sides report each refusal.

import type { Cancel } from '../../base/capabilities.ts';
import { type Endpoint, formatEndpoint, makeEndpoint } from '../../base/endpoint.ts';
import { assert, FabricError } from '../../base/errors.ts';
import type { BootId, PeerId, TokenId } from '../../base/ids.ts';
import { ActiveView } from './active-view.ts';
import { type CloseReason, CONNECTION_LIMITS, Connection } from './connection.ts';
import { type Address, type Dial, Dialler, type KnownPeer, type TargetStatus } from './dialler.ts';
import type { Channel, Hello } from './envelope.ts';
import { type HelloContext, judgeHello } from './judge-hello.ts';
import { Link } from './link.ts';
import { LinkElection } from './link-election.ts';
import type { MeshFacts, MeshOptions, RefusalReport } from './mesh-ports.ts';
import { cloneRefusal, closedEarly, goodbyeOf, isRefusal, ownClone, ownRemoval, type Refusal } from './refusal.ts';
import type { AcceptedCall, MeshTransport, ReachedHost } from './transport.ts';
import type { Wire } from './wire.ts';

const TICK_MS = 200;

export class Mesh {
  readonly #options: MeshOptions;
  readonly #self: PeerId;
  readonly #transport: MeshTransport;
  readonly #dialler: Dialler;
  readonly #view: ActiveView;
  readonly #connections = new Set<Connection>();
  readonly #wires = new Set<Wire>();
  /** The dials behind links and those that may become links. */
  readonly #dialled = new Map<Link, Dial>();
  readonly #elections = new Map<PeerId, LinkElection<Link>>();
  readonly #drops = new Map<string, number>();
  readonly #cancel = new AbortController();
  #facts: MeshFacts;
  /** Whom the dialler knows to dial. */
  #chosen: readonly KnownPeer[] = [];
  #port = 0;
  #cancelTick: Cancel | null = null;
  #tickedMs = 0;
  #stopping = false;

  constructor(options: MeshOptions) {
    const { self, transport, random, dialTimes, isAlive, viewLimits } = options;
    this.#options = options;
    this.#self = self;
    this.#transport = transport;
    this.#facts = options.facts;
    this.#dialler = new Dialler({ self: this.#self, random, ...(dialTimes && { times: dialTimes }) });
    this.#view = new ActiveView({ self, random, isAlive, ...(viewLimits && { limits: viewLimits }) });
  }

  /** Resolves with the bound port once it listens. Rejects with `port-in-use` or `usage`. Called once. */
  async start(): Promise<number> {
    const { events } = this.#options;
    this.#port = await this.#transport.listen({
      accepted: (call) => this.#accepted(call),
      refused: (host, refusal) => this.#report(refusal, host, null, events.refused),
      drop: (reason) => this.#drop(reason),
    });
    if (!this.#stopping) this.#tickRegularly();
    return this.#port;
  }

  /**
   * Says goodbye on every link (`leaving` is for good, after `restarting` frames still flow) and closes everything; no event
   * fires after it resolves.
   */
  async stop(reason: 'stopping' | 'restarting' | 'leaving' = 'stopping'): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#cancelTick?.();
    this.#cancelTick = null;
    this.#cancel.abort();
    this.#transport.close();
    for (const connection of [...this.#connections]) connection.close(reason);
    await Promise.all([...this.#wires].map((wire) => wire.finished()));
    await this.#transport.stop();
  }

  /** An operator's or remembered host to dial; repeats dial again at once. False when there are too many. */
  addTarget(address: Address): boolean {
    const added = this.#dialler.addTarget(address, this.#options.clock.monotonicMs());
    this.#dialDue();
    return added;
  }

  /** False when there was none. A link to it stays. */
  removeTarget(address: Address): boolean {
    return this.#dialler.removeTarget(address);
  }

  /** All peers that gossip knows with their endpoints, ourselves or not: ActiveView says who of them gets dialled. */
  setKnownPeers(peers: readonly KnownPeer[]): void {
    this.#view.setKnown(peers);
    this.#dialDue();
  }

  /** False when the link would block or is not there; in a large cluster one is made then, for the sender's next try. */
  send(peer: PeerId, channel: Channel, bytes: Uint8Array): boolean {
    const link = this.link(peer);
    if (link === null && this.#view.want(peer, this.#options.clock.monotonicMs())) {
      this.#options.timers.soon(() => this.#dialDue());
    }
    return link?.send(channel, bytes) ?? false;
  }

  /** What later Hellos say; existing links stay. */
  updateFacts(change: Partial<Omit<MeshFacts, 'bootId'>>): void {
    this.#facts = { ...this.#facts, ...change };
  }

  links(): readonly Link[] {
    return [...this.#elections.values()].flatMap((election) => election.current ?? []);
  }

  linkedPeers(): readonly PeerId[] {
    return this.links().map(({ peer }) => peer);
  }

  /** Where the link to it leads; null: there is none. */
  linkedAt(peer: PeerId): Endpoint | null {
    return this.link(peer)?.endpoint ?? null;
  }

  linkedBy(peer: PeerId): TokenId | null {
    return this.link(peer)?.token ?? null;
  }

  link(peer: PeerId): Link | null {
    return this.#elections.get(peer)?.current ?? null;
  }

  /** Ends all connections to a host that is not to be let in any more, and says why; the mesh's `bar` keeps it out. */
  shutOut(peer: PeerId, why: string): void {
    const all = [...this.#connections].filter((connection) => connection.peer === peer);
    // The link last: whoever waits would take its place.
    for (const connection of all.sort((a, b) => Number(a.up) - Number(b.up))) connection.close('refused', why);
  }

  /** True while a connection stands of which it is open whether it becomes a link. */
  isGreeting(): boolean {
    for (const connection of this.#connections) if (!connection.up) return true;
    return false;
  }

  targets(): readonly TargetStatus[] {
    return this.#dialler.targets();
  }

  /** Dropped connections and messages since start, by reason. */
  drops(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#drops);
  }

  /** Runs by itself every 200 ms; public for tests that move the clock. */
  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const connection of this.#connections) connection.tick(nowMs, nowMs - this.#tickedMs);
    this.#tickedMs = nowMs;
    for (const [peer, election] of this.#elections) {
      election.tick();
      if (election.idle) this.#elections.delete(peer);
    }
    const surplus = this.#view.surplus(nowMs);
    if (surplus !== null) this.link(surplus)?.close('surplus');
    this.#dialDue();
  }

  #tickRegularly(): void {
    this.#cancelTick = this.#options.timers.after(TICK_MS, () => this.#tickRegularly());
    this.tick();
  }

  #dialDue(): void {
    if (this.#cancelTick === null || this.#stopping) return;
    const nowMs = this.#options.clock.monotonicMs();
    const { dial, unreached } = this.#view.choose(nowMs);
    this.#dialler.setSated(this.#view.isSated);
    if (dial !== this.#chosen) this.#dialler.setKnownPeers(dial, nowMs);
    this.#chosen = dial;
    for (const due of this.#dialler.tick(nowMs)) void this.#dial(due);
    for (const peer of unreached) this.#options.events.unreached(peer);
  }

  async #dial(due: Dial): Promise<void> {
    const result = await this.#transport.dial(due, this.#cancel.signal);
    if (this.#stopping) {
      if ('wire' in result) result.wire.destroy();
    } else if ('refusal' in result) {
      const news = this.#dialler.dialFailed(due.id, result.refusal, this.#options.clock.monotonicMs());
      if (news) this.#report(result.refusal, nameOf(due), null, this.#options.events.refused);
    } else {
      const { wire, certified, at } = result;
      this.#greet({ wire, certified, name: nameOf(due), dialled: due, from: at, settled: () => {} });
    }
  }

  #accepted({ wire, certified, from, settled }: AcceptedCall): void {
    if (this.#stopping) wire.destroy();
    else this.#greet({ wire, certified, name: from.ip, dialled: null, from, settled });
  }

  #greet(meeting: Meeting): void {
    const { wire, certified, name, dialled } = meeting;
    const { clock, events } = this.#options;
    let link: Link | null = null;
    const connection = new Connection({
      wire,
      certified,
      name,
      dialled: dialled !== null,
      clock,
      limits: this.#options.connectionLimits ?? CONNECTION_LIMITS,
      drop: (reason) => this.#drop(reason),
      events: {
        greeted: (hello) => {
          meeting.settled();
          link = this.#judge(meeting, connection, hello);
          if (link === null) return;
          events.heard(link.peer);
          this.#electionOf(link.peer).greeted(link);
        },
        welcomed: () => {
          if (link !== null && this.#mayEnter(meeting, connection, link.hello))
            this.#electionOf(link.peer).welcomed(link);
        },
        message: (channel, bytes) => {
          if (link !== null) events.message(link, channel, bytes);
        },
        cloned: (detail) => {
          if (link !== null) this.#toldOfClone(meeting, detail);
        },
        writable: () => {
          if (link !== null) events.writable(link);
        },
        closed: (reason, detail) => {
          this.#connections.delete(connection);
          meeting.settled();
          this.#ended(meeting, connection, reason, detail);
          if (link === null) return;
          this.#dialled.delete(link);
          this.#electionOf(link.peer).closed(link, reason, detail);
        },
      },
    });
    this.#connections.add(connection);
    events.heard(certified.peer);
    this.#wires.add(wire);
    void wire.finished().then(() => this.#wires.delete(wire));
    connection.start(this.#hello());
  }

  #hello(): Hello {
    return { ...this.#facts, port: this.#port };
  }

  /** A link to be, or null when this connection comes to nothing and has been told so. */
  #judge(meeting: Meeting, connection: Connection, hello: Hello): Link | null {
    const { clock, bar } = this.#options;
    const { peer } = meeting.certified;
    const verdict = judgeHello(hello, this.#contextOf(meeting));
    switch (verdict.verdict) {
      case 'self':
        if (meeting.dialled !== null) this.#dialler.dialReachedSelf(meeting.dialled.id, clock.monotonicMs());
        connection.close('self');
        return null;
      case 'clone':
        if (this.#failDial(meeting, verdict.refusal)) this.#reportClone(verdict.refusal, meeting.name, peer);
        connection.close('clone', verdict.refusal.why);
        return null;
      case 'refused':
        this.#refuse(meeting, connection, verdict.refusal);
        return null;
      case 'welcome': {
        const barred = bar?.(meeting.certified, hello) ?? null;
        if (barred !== null) {
          this.#refuse(meeting, connection, barred);
          return null;
        }
        const endpoint = meeting.dialled !== null ? meeting.from : makeEndpoint(meeting.from.ip, hello.port)!;
        this.#dialler.observe(peer, endpoint);
        const link = new Link({ connection, hello, protocol: verdict.protocol, endpoint, clock });
        if (meeting.dialled !== null) this.#dialled.set(link, meeting.dialled);
        return link;
      }
    }
  }

  /** The other side welcomes us: a joiner becomes a member now, unless another member was quicker and differs. */
  #mayEnter(meeting: Meeting, connection: Connection, hello: Hello): boolean {
    const verdict = judgeHello(hello, this.#contextOf(meeting));
    assert(verdict.verdict === 'welcome' || verdict.verdict === 'refused', 'who greets twice is the same');
    // Who was let in when it greeted may have been barred since.
    const judged = verdict.verdict === 'refused' ? verdict.refusal : this.#options.bar?.(meeting.certified, hello);
    const genesis = verdict.verdict === 'welcome' ? verdict.admit : null;
    const refusal = judged ?? (genesis === null ? null : this.#admit(genesis, meeting));
    if (refusal !== null) this.#refuse(meeting, connection, refusal);
    return refusal === null;
  }

  #contextOf({ name, dialled, certified }: Meeting): HelloContext {
    const party = { name, dialled: dialled !== null };
    return {
      self: this.#self,
      own: this.#hello(),
      readGenesis: this.#options.readGenesis,
      peer: certified.peer,
      party,
    };
  }

  #refuse(meeting: Meeting, connection: Connection, refusal: Refusal): void {
    if (this.#failDial(meeting, refusal)) this.#reportRefusal(meeting, refusal);
    connection.close(goodbyeOf(refusal), refusal.why);
  }

  #admit(genesis: Uint8Array, { name }: Meeting): Refusal | null {
    try {
      this.#options.events.admitted(genesis);
    } catch (error) {
      if (!(error instanceof FabricError)) throw error;
      const { why = error.message, fix = '' } = error.explanation;
      return { code: error.code, what: `can't join through ${name}`, why, fix };
    }
    this.#facts = { ...this.#facts, genesis };
    this.#options.log.info('joined the cluster', { host: name, cluster: this.#options.clusterId });
    return null;
  }

  #electionOf(peer: PeerId): LinkElection<Link> {
    const known = this.#elections.get(peer);
    if (known !== undefined) return known;
    const { clock } = this.#options;
    const election = new LinkElection<Link>({
      self: this.#self,
      peer,
      clock,
      events: {
        up: (link) => this.#linkUp(link),
        down: (link, reason, detail) => this.#linkDown(link, reason, detail),
        clone: (newcomer, boots) => this.#peerCloned(newcomer, boots),
      },
    });
    this.#elections.set(peer, election);
    return election;
  }

  #linkUp(link: Link): void {
    const due = this.#dialled.get(link);
    if (due !== undefined) this.#dialler.dialReached(due.id, link.peer, this.#options.clock.monotonicMs());
    this.#dialler.linkUp(link.peer);
    this.#view.linkUp(link.peer, this.#options.clock.monotonicMs());
    this.#options.log.info('link up', fieldsOf(link));
    this.#options.events.linkUp(link);
  }

  #linkDown(link: Link, reason: CloseReason, detail: string): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#view.linkDown(link.peer, reason === 'lost' || reason === 'silent', nowMs);
    this.#dialler.linkDown(link.peer, nowMs);
    this.#options.log.info('link down', { ...fieldsOf(link), kind: reason, ...(detail !== '' && { detail }) });
    this.#options.events.linkDown(link, reason, detail);
  }

  #peerCloned(newcomer: Link, boots: readonly [BootId, BootId]): void {
    const name = formatEndpoint(newcomer.endpoint);
    const where = `boot ${newcomer.bootId} at ${name}`;
    this.link(newcomer.peer)?.tellClone(`another live host uses this identity (${where})`);
    this.#reportClone(cloneRefusal({ name, dialled: newcomer.dialled }, newcomer.peer, boots), name, newcomer.peer);
  }

  /** True when it is worth telling: any caller's failure, and a dial's that differs from its last. */
  #failDial({ dialled }: Meeting, refusal: Refusal): boolean {
    return dialled === null || this.#dialler.dialFailed(dialled.id, refusal, this.#options.clock.monotonicMs());
  }

  /** A connection that ended without a verdict of ours: a duplicate has served its purpose, the rest failed. */
  #ended(meeting: Meeting, connection: Connection, reason: CloseReason, detail: string): void {
    const { dialled, certified, name } = meeting;
    if (connection.endedByPeer && reason === 'clone') this.#weAreCloned(meeting, detail);
    if (connection.endedByPeer && reason === 'removed') this.#weAreRemoved(meeting, detail);
    const open = dialled === null ? connection.endedByPeer && isRefusal(reason) : this.#dialler.isDialling(dialled.id);
    if (!open || this.#stopping) return;
    if (dialled !== null && (reason === 'duplicate' || reason === 'replaced')) {
      this.#dialler.dialReached(dialled.id, certified.peer, this.#options.clock.monotonicMs());
      return;
    }
    const refusal = closedEarly({ name, dialled: dialled !== null }, reason, detail);
    if (this.#failDial(meeting, refusal)) this.#reportRefusal(meeting, refusal);
  }

  /** Another host found that two of us live, and keeps the link to the other one. */
  #weAreCloned(meeting: Meeting, detail: string): void {
    const refusal = ownClone(`${meeting.name} turned us away`, detail);
    if (this.#failDial(meeting, refusal)) this.#reportClone(refusal, meeting.name, this.#self);
  }

  #weAreRemoved(meeting: Meeting, detail: string): void {
    const refusal = ownRemoval({ name: meeting.name, dialled: meeting.dialled !== null }, detail);
    if (this.#failDial(meeting, refusal)) {
      this.#report(refusal, meeting.name, meeting.certified.peer, this.#options.events.removed);
    }
  }

  /** Another host found that two of us live, and keeps the link to us. */
  #toldOfClone({ name }: Meeting, detail: string): void {
    this.#reportClone(ownClone(`${name} met another host with our identity`, detail), name, this.#self);
  }

  #reportRefusal({ name, certified }: Meeting, refusal: Refusal): void {
    this.#report(refusal, name, certified.peer, this.#options.events.refused);
  }

  #reportClone(refusal: Refusal, host: string, peer: PeerId): void {
    this.#report(refusal, host, peer, (report) => this.#options.events.clone({ ...report, peer }));
  }

  #report(refusal: Refusal, host: string, peer: PeerId | null, tell: (report: RefusalReport) => void): void {
    const { code, what, why, fix } = refusal;
    tell({ code, what, why, fix, host, peer });
  }

  #drop(reason: string): void {
    this.#drops.set(reason, (this.#drops.get(reason) ?? 0) + 1);
  }
}

/** Two hosts before they are linked. */
interface Meeting {
  readonly wire: Wire;
  readonly certified: ReachedHost['certified'];
  /** For people. */
  readonly name: string;
  /** Null when the other side called. */
  readonly dialled: Dial | null;
  readonly from: Endpoint;
  readonly settled: () => void;
}

function nameOf({ host, port }: Address): string {
  return formatEndpoint({ ip: host, port });
}

function fieldsOf(link: Link): Record<string, string> {
  return { peer: link.peer, nickname: link.hello.nickname, endpoint: formatEndpoint(link.endpoint) };
}

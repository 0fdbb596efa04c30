// The daemon of one host, from its first launch to its end. Outside a cluster it is a joiner: only the mesh and the local API
// run, nothing is durable. Admission (or creation) makes its state durable at once and a Member of it; a later start begins
// there. Order at start: lock and state, kernel check, local API, listen, member, network.

import { hostname } from 'node:os';
import { toHex } from '../base/bytes.ts';
import type { Store } from '../base/capabilities.ts';
import type { Endpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';
import type { BootId } from '../base/ids.ts';
import type { Genesis } from '../base/records.ts';
import { formatToken } from '../base/token.ts';
import { encodeGenesis } from '../gossip/record-codec.ts';
import type { OperatorCertificates } from '../host/certificates/operator-certificates.ts';
import { generateHostKeys, type HostKeys } from '../host/identity-file.ts';
import type { Mesh } from '../host/mesh/mesh.ts';
import type { RefusalReport } from '../host/mesh/mesh-ports.ts';
import type { StateDir } from '../host/state-dir.ts';
import { tryPort } from '../router/pcap/datagram-socket.ts';
import { type ApiPorts, apiRoutes } from './api-routes.ts';
import { NO_CERTIFICATES } from './certificates.ts';
import type { DockerService } from './docker-service.ts';
import { createGenesis, mtuFor, readGenesis, refuseContradictions, storedGenesis } from './genesis.ts';
import { giveUnusedBack } from './give-back.ts';
import type { LaunchOptions } from './launch-options.ts';
import { firstToken, takeGivenToken } from './launch-token.ts';
import { LocalApi, localApiPlace } from './local-api.ts';
import type { Member } from './member.ts';
import type { MemberOptions } from './member-options.ts';
import { peerPid } from './namespaces.ts';
import { certificateFacts, noFiles, openFiles } from './open-certificates.ts';
import { endEngineOf } from './open-datapath.ts';
import { openDocker } from './open-docker.ts';
import { type MemberCapabilities, openMember } from './open-member.ts';
import { openMesh } from './open-mesh.ts';
import { joinLine, listenAddress, ownEndpoints } from './own-endpoints.ts';
import { OwnIdentity } from './own-identity.ts';
import { PendingDeletes } from './pending-deletes.ts';
import { refuseOverlap } from './range-overlap.ts';
import { leaveCluster } from './reset.ts';
import {
  loadSettings,
  mergeSettings,
  refuseContradictoryFlags,
  type Settings,
  saveSettings,
  type Target,
  withoutTarget,
  withTarget,
} from './settings.ts';
import { buildStatus } from './status.ts';
import type { Status } from './status-types.ts';
import { VERSION } from './version.ts';
import { Watchtower } from './watchtower.ts';

const UNDERLAY_MTU_DEFAULT = 1500;
/** How long a stop waits for containers that are being attached or detached; they take milliseconds. */
const DRAIN_MS = 3_000;

export interface DaemonCapabilities extends MemberCapabilities {
  readonly stateDir: StateDir;
  /** Called once, when the end begins, whoever wants it; the end waits for it. Never rejects. */
  readonly ending: () => Promise<void>;
}

/**
 * How it ended: `stopped` keeps everything for the next launch, `released` also leaves a datapath running that can outlive us,
 * `reset` has removed it.
 */
export type DaemonEnd = 'stopped' | 'released' | 'reset';

export class Daemon {
  readonly #options: LaunchOptions;
  readonly #caps: DaemonCapabilities;
  readonly #bootId: BootId;
  readonly #startedMs: number;
  readonly #api: LocalApi;
  readonly #docker: DockerService;
  readonly #tower: Watchtower;
  readonly #ended: Promise<DaemonEnd>;
  #end: (end: DaemonEnd) => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #settings: Settings;
  #certificates: OperatorCertificates;
  #own: OwnIdentity | null = null;
  #renewCredentials: () => void = () => undefined;
  #keys: HostKeys | null = null;
  #judge = NO_CERTIFICATES;
  #mesh: Mesh | null = null;
  #member: Member | null = null;
  #pendingDeletes: PendingDeletes | null = null;
  #underlayMtu = UNDERLAY_MTU_DEFAULT;
  #ready: () => void = () => undefined;
  /** The local API has all its calls. */
  #serving = false;
  #stopping = false;
  /** True when this launch made a new cluster. */
  created = false;

  constructor(options: LaunchOptions, capabilities: DaemonCapabilities) {
    this.#options = options;
    this.#caps = capabilities;
    this.#bootId = toHex(capabilities.random.bytes(8)) as BootId;
    this.#startedMs = capabilities.clock.monotonicMs();
    this.#settings = mergeSettings(options, null, hostname());
    this.#certificates = noFiles(capabilities);
    this.#ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    this.#ended.catch(() => undefined); // reported by whoever awaits ended()
    const { clock, timers, log } = capabilities;
    this.#tower = new Watchtower({
      bootId: this.#bootId,
      clock,
      timers,
      log,
      member: () => this.#member,
      serving: () => this.#serving,
      mesh: () => this.#mesh,
      status: () => this.status(),
      docker: () => this.#docker.facts(),
      certificates: () => this.#certificates,
      self: () => ({ peer: this.#keys?.peer ?? '', nickname: this.#settings.nickname }),
    });
    this.#api = new LocalApi({ ...localApiPlace(options.runDir), log, routes: apiRoutes(this.#apiPorts()) });
    this.#docker = openDocker(capabilities);
  }

  /** Resolves when the daemon is over; rejects when it can't go on. */
  ended(): Promise<DaemonEnd> {
    return this.#ended;
  }

  /**
   * Resolves to true once this host is a member with a working network, to false when it was stopped before. Rejects with
   * FabricError when it can't become one.
   */
  async start(): Promise<boolean> {
    const { stateDir, host, crypto, random, log } = this.#caps;
    const state = stateDir.resume();
    const ready = new Promise<true>((resolve) => {
      this.#ready = () => resolve(true);
    });
    if (state === null) {
      refuseContradictoryFlags(this.#settings);
      this.#certificates = openFiles(this.#settings, this.#options, this.#caps);
      this.#own = new OwnIdentity(firstToken(this.#options, { crypto, random }), this.#caps);
    } else {
      this.#own = new OwnIdentity(state.identity, this.#caps);
      takeGivenToken(this.#options.token, this.#own.keyring, crypto);
    }
    await this.#api.listen();
    if (state === null) await this.#tryPort();
    this.#tower.journal.add({ kind: 'started', what: `fabric ${VERSION} started` });
    const underlay = await host.underlayAddresses();
    this.#underlayMtu = underlay[0]?.mtu ?? UNDERLAY_MTU_DEFAULT;
    // Until this host is a member, which may take for ever, Docker gets errors instead of waiting.
    if (state === null && this.#settings.docker) await this.#docker.enableAtStart();
    if (state !== null) {
      const { identity, store } = state;
      const genesis = storedGenesis(identity, this.#options.stateDir, crypto);
      refuseContradictions(this.#options, genesis);
      this.#settings = mergeSettings(this.#options, loadSettings(store), hostname());
      refuseContradictoryFlags(this.#settings);
      this.#certificates = openFiles(this.#settings, this.#options, this.#caps);
      await this.#openMesh(identity.keys, identity.genesis);
      this.#becomeMember({ identity, genesis, store, resumed: true });
    } else if (this.#options.joins.length > 0) {
      await this.#openMesh(generateHostKeys(random, crypto), new Uint8Array(0));
      log.info('joining', { host: this.#options.joins.map(({ host: name }) => name).join(' ') });
    } else await this.#create(generateHostKeys(random, crypto));
    for (const target of this.#settings.targets) this.#mesh!.addTarget(target);
    await this.#tower.start(this.#settings.http);
    return (await Promise.race([ready, this.#ended])) === true;
  }

  /** Ends the daemon; idempotent. A part that fails keeps no other from ending; the first error is thrown at the end. */
  async stop(end: DaemonEnd = 'stopped'): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const { host, stateDir, log, ending } = this.#caps;
    const told = ending();
    let failure: unknown = null;
    const step = async (work: () => unknown): Promise<void> => {
      try {
        await work();
      } catch (error) {
        failure ??= error;
        log.error('a part of the daemon did not stop cleanly', { reason: (error as Error).message });
      }
    };
    await step(() => this.#docker.close());
    await step(() => this.#member?.drain(DRAIN_MS));
    await step(() => this.#pendingDeletes?.stop());
    // Who says goodbye is dead to its peers at once, and they would send nothing to a datapath that goes on.
    const release = end === 'released' && this.#member?.slot.outlivesUs === true;
    await step(() => this.#mesh?.stop(end === 'reset' ? 'leaving' : release ? 'restarting' : 'stopping'));
    await step(() => this.#member?.stop({ release }));
    if (end === 'reset') await step(() => host.remove());
    if (end === 'reset' && failure === null) await step(() => stateDir.erase());
    await step(() => this.#certificates.stop());
    await step(() => this.#tower.stop());
    await step(() => host.close());
    await step(() => stateDir.close());
    await step(() => this.#api.close()); // last: who waits for the end waits for the socket to be gone
    await told;
    if (failure !== null) throw failure;
    this.#end(end);
  }

  /** The line that the next host needs, with the address that this one advertises. */
  joinLine(): string {
    return joinLine(this.#member?.endpoints[0], this.#settings);
  }

  tokenText(): string {
    if (this.#own === null) throw new FabricError('token-missing', { what: 'this host has no token yet' });
    return formatToken(this.#own.keyring.current.token, this.#caps.crypto);
  }

  get clusterId(): string | null {
    return this.#own?.keyring.clusterId ?? null;
  }

  /** What others see of this host at a glance. */
  get glance(): Pick<Watchtower, 'health' | 'unreadiness'> {
    return this.#tower;
  }

  status(): Status {
    return buildStatus({
      self: this.#keys?.peer ?? '',
      clusterId: this.#member === null ? null : this.clusterId,
      settings: this.#settings,
      uptimeMs: this.#caps.clock.monotonicMs() - this.#startedMs,
      version: VERSION,
      mtu: this.#member?.mtu ?? null,
      member: this.#member,
      mesh: this.#mesh,
      health: this.#tower.health(),
      http: this.#tower.http(),
      nowMs: this.#caps.clock.monotonicMs(),
      docker: this.#docker.facts(),
      certificate: certificateFacts(this.#certificates),
    });
  }

  /** Before anybody admits this host: it would be a member whose tunnels never work. */
  async #tryPort(): Promise<void> {
    await endEngineOf(this.#options.runDir); // of a state that is gone
    await tryPort({ ip: listenAddress(this.#settings), port: this.#settings.port });
  }

  async #create(keys: HostKeys): Promise<void> {
    const { random, crypto } = this.#caps;
    const { keyring } = this.#own!;
    const mtu = mtuFor(this.#underlayMtu, await this.#endpoints());
    const genesis = createGenesis({ options: this.#options, clusterId: keyring.clusterId, keys, mtu }, random, crypto);
    await refuseOverlap(genesis, this.#caps.host, { isMember: false });
    const encoded = encodeGenesis(genesis);
    await this.#openMesh(keys, encoded);
    const { identity, store } = this.#own!.admit({ keys, genesis: encoded });
    saveSettings(store, this.#settings);
    this.created = true;
    this.#becomeMember({ identity, genesis, store, resumed: false });
  }

  async #openMesh(keys: HostKeys, genesis: Uint8Array): Promise<void> {
    this.#keys = keys;
    const { mesh, judge, renew } = openMesh(this.#caps, {
      keys,
      keyring: this.#own!.keyring,
      files: this.#certificates,
      genesis,
      bootId: this.#bootId,
      listen: { host: listenAddress(this.#settings), port: this.#settings.port },
      nickname: this.#settings.nickname,
      endpoints: await this.#endpoints(),
      member: () => this.#member,
      refused: ({ host, peer, code, what, why, fix }) => this.#caps.log.warn(what, { host, peer, code, why, fix }),
      clone: (report) => this.#cloned(report),
      admitted: (bytes) => this.#admitted(bytes),
    });
    this.#mesh = mesh;
    this.#judge = judge;
    this.#renewCredentials = renew;
    this.#certificates.watch(() => {
      renew();
      this.#member?.admission.certificates.changed();
    });
    await mesh.start();
  }

  #cloned({ host, peer, why }: RefusalReport): void {
    this.#caps.log.error('two live hosts use one identity', { host, peer, why });
    if (peer === this.#keys?.peer) this.#member?.cloneDetected(why);
  }

  /** A member let us in: everything is durable when this returns. */
  #admitted(bytes: Uint8Array): void {
    const genesis = readGenesis(bytes, this.#own!.keyring.clusterId, this.#caps.crypto);
    if (genesis === null) throw new FabricError('cluster-mismatch', { what: 'the genesis is not valid' });
    refuseContradictions(this.#options, genesis);
    const { identity, store } = this.#own!.admit({ keys: this.#keys!, genesis: bytes });
    saveSettings(store, this.#settings);
    this.#becomeMember({ identity, genesis, store, resumed: false });
  }

  #becomeMember(state: Pick<MemberOptions, 'identity' | 'genesis' | 'store' | 'resumed'>): void {
    this.#member = openMember(this.#caps, {
      ...state,
      keyring: this.#own!.keyring,
      certificates: this.#judge,
      tokensChanged: () => this.#renewCredentials(),
      bootId: this.#bootId,
      settings: this.#settings,
      runDir: this.#options.runDir,
      mesh: this.#mesh!,
      underlayMtu: this.#underlayMtu,
      endpoints: () => this.#endpoints(),
      dockerNetworksOf: (network) => this.#docker.networksOf(network),
      tell: (news) => this.#tower.journal.add(news),
      caughtUp: (ms) => this.#tower.caughtUp(ms),
    });
    const { identity, genesis, store } = state;
    // Also at a resume: a crash may have come between admission and this. Repeats change nothing.
    if (genesis.creator === identity.keys.peer) this.#member.networks.createCluster();
    void this.#startMember(genesis, store);
  }

  async #startMember(genesis: Genesis, store: Store): Promise<void> {
    const member = this.#member!;
    try {
      if (!this.created) await refuseOverlap(genesis, this.#caps.host, { isMember: true });
      await member.start();
      saveSettings(store, this.#settings); // what a resume was given, once it has worked: a wrong flag is not for ever
      this.#pendingDeletes = new PendingDeletes({
        stateDir: this.#options.stateDir,
        backend: member.attachments,
        log: this.#caps.log,
      });
      await this.#pendingDeletes.start();
      this.#api.setRoutes(apiRoutes(this.#apiPorts(), { member, store, pendingDeletes: this.#pendingDeletes }));
      this.#serving = true;
      this.#docker.join(member);
      // After a restart only now: what Docker can't deliver it repeats for 30 s, but an error it believes.
      if (this.#settings.docker) await this.#docker.enableAtStart();
      this.#tower.journal.add({ kind: 'joined', what: `this host is a member of cluster ${this.clusterId}` });
      this.#ready();
    } catch (error) {
      this.#fail(error);
    }
  }

  #endpoints(): Promise<readonly Endpoint[]> {
    return ownEndpoints(this.#settings, this.#caps.host);
  }

  #apiPorts(): ApiPorts {
    return {
      status: () => this.status(),
      token: () => this.tokenText(),
      connect: (address) => this.#connect(address),
      forget: (address) => this.#forget(address),
      setExposed: (exposed) => this.#remember({ exposed }),
      setDocker: (docker) => this.#setDocker(docker),
      stop: (leave) => this.#stopByWish(leave),
      reset: (force) => this.#reset(force),
      peerPid,
      meshPort: () => this.#settings.port,
      linkedAt: (peer) => this.#mesh?.linkedAt(peer) ?? null,
      cniServed: (call) => this.#tower.cniServed(call),
      observed: this.#tower.apiRoutes(),
      clock: this.#caps.clock,
      random: this.#caps.random,
      log: this.#caps.log,
    };
  }

  #connect(address: Target): void {
    this.#remember({ targets: withTarget(this.#settings.targets, address) });
    this.#mesh?.addTarget(address);
  }

  async #setDocker(docker: boolean): Promise<void> {
    await (docker ? this.#docker.enable() : this.#docker.disable());
    this.#remember({ docker });
  }

  #forget(address: Target): boolean {
    const targets = withoutTarget(this.#settings.targets, address);
    const known = targets.length < this.#settings.targets.length;
    this.#remember({ targets });
    return (this.#mesh?.removeTarget(address) ?? false) || known;
  }

  #remember(change: Partial<Settings>): void {
    this.#settings = { ...this.#settings, ...change };
    if (this.#member !== null) saveSettings(this.#member.store, this.#settings);
  }

  async #stopByWish(leave: boolean): Promise<void> {
    if (leave && this.#member !== null) {
      const { timers } = this.#caps;
      await giveUnusedBack({ member: this.#member, mesh: this.#mesh!, timers, exposed: this.#settings.exposed });
    }
    setImmediate(() => void this.stop('stopped').catch(this.#fail));
  }

  async #reset(force: boolean): Promise<{ readonly stateDir: string }> {
    if (this.#member !== null) {
      await leaveCluster({
        member: this.#member,
        mesh: this.#mesh!,
        log: this.#caps.log,
        timers: this.#caps.timers,
        force,
        exposed: this.#settings.exposed,
      });
    }
    setImmediate(() => void this.stop('reset').catch(this.#fail));
    return { stateDir: this.#caps.stateDir.path };
  }
}

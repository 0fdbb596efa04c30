// Several Mesh instances in one process on loopback addresses, with their events recorded and a bounded way to wait for them.

import { onTestFinished } from 'vitest';
import { toHex, utf8 } from '../../../src/base/bytes.ts';
import type { BootId, ClusterId, PeerId } from '../../../src/base/ids.ts';
import { deriveGeneration } from '../../../src/base/keyring.ts';
import { generateToken, type Token } from '../../../src/base/token.ts';
import { generateHostKeys, type HostKeys } from '../../../src/host/identity-file.ts';
import type { CallerLimits } from '../../../src/host/mesh/caller-limits.ts';
import type { ConnectionLimits } from '../../../src/host/mesh/connection.ts';
import { type MeshCredentials, makeMeshCredentials } from '../../../src/host/mesh/credentials.ts';
import type { Link } from '../../../src/host/mesh/link.ts';
import { Mesh } from '../../../src/host/mesh/mesh.ts';
import type { MeshFacts, MeshOptions, RefusalReport } from '../../../src/host/mesh/mesh-ports.ts';
import { TlsTransport } from '../../../src/host/mesh/tls-transport.ts';
import { nodeCrypto } from '../../../src/host/node-crypto.ts';
import { nodeRandom } from '../../../src/host/node-random.ts';
import { SystemClock } from '../../../src/host/system-clock.ts';
import { systemTimers } from '../../../src/host/system-timers.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';

/** A stand-in for the signed genesis: `genesis <cluster id> <genesis id>`. */
export function genesisOf(clusterId: ClusterId, genesisId: string): Uint8Array {
  return utf8(`genesis ${clusterId} ${genesisId}`);
}

/** Of a host that holds these tokens, newest first. */
export function credentialsOf(keys: HostKeys, ...tokens: readonly Token[]): MeshCredentials {
  const generations = tokens.map((token) => deriveGeneration(token, nodeCrypto));
  return makeMeshCredentials({ keys, generations }, nodeCrypto);
}

export interface HostSetup {
  readonly token: Token;
  /** Tokens that it replaced, newest first. */
  readonly older?: readonly Token[];
  readonly keys?: HostKeys;
  /** Default: `one`; null for a joiner. */
  readonly genesisId?: string | null;
  readonly bootId?: BootId;
  readonly address?: string;
  readonly port?: number;
  readonly facts?: Partial<MeshFacts>;
  readonly connectionLimits?: ConnectionLimits;
  readonly callerLimits?: CallerLimits;
  readonly options?: Partial<MeshOptions>;
}

/** One host: its mesh and what happened to it. */
export class TestHost {
  readonly keys: HostKeys;
  readonly mesh: Mesh;
  readonly transport: TlsTransport;
  readonly log = new RecordingLog();
  readonly ups: Link[] = [];
  readonly heard: PeerId[] = [];
  readonly unreached: PeerId[] = [];
  readonly downs: { link: Link; reason: string; detail: string }[] = [];
  readonly messages: { peer: PeerId; channel: string; text: string }[] = [];
  readonly removals: RefusalReport[] = [];
  readonly refusals: RefusalReport[] = [];
  readonly clones: RefusalReport[] = [];
  readonly admissions: Uint8Array[] = [];
  /** Set by a test: may refuse to make the admission durable. */
  admit: () => void = () => {};
  writables = 0;
  port = 0;

  constructor(setup: HostSetup) {
    const { token, genesisId = 'one' } = setup;
    this.keys = setup.keys ?? generateHostKeys(nodeRandom, nodeCrypto);
    const facts: MeshFacts = {
      protocolMin: 1,
      protocolMax: 1,
      version: '0.1.0',
      nickname: this.keys.peer.slice(0, 4),
      bootId: setup.bootId ?? (toHex(nodeRandom.bytes(8)) as BootId),
      genesis: genesisId === null ? new Uint8Array(0) : genesisOf(token.clusterId, genesisId),
      endpoints: [],
      networks: [],
      ...setup.facts,
    };
    this.transport = new TlsTransport({
      credentials: credentialsOf(this.keys, token, ...(setup.older ?? [])),
      listen: { host: setup.address ?? '127.0.0.1', port: setup.port ?? 0 },
      clock: new SystemClock(),
      ...(setup.callerLimits && { callerLimits: setup.callerLimits }),
    });
    this.mesh = new Mesh({
      self: this.keys.peer,
      clusterId: token.clusterId,
      transport: this.transport,
      facts,
      readGenesis: (bytes) => {
        const [word, cluster, id] = new TextDecoder().decode(bytes).split(' ');
        return word === 'genesis' && cluster === token.clusterId && id !== undefined ? { genesisId: id } : null;
      },
      clock: new SystemClock(),
      timers: systemTimers,
      random: nodeRandom,
      log: this.log,
      isAlive: () => true,
      events: {
        linkUp: (link) => this.ups.push(link),
        linkDown: (link, reason, detail) => this.downs.push({ link, reason, detail }),
        message: ({ peer }, channel, bytes) =>
          this.messages.push({ peer, channel, text: new TextDecoder().decode(bytes) }),
        heard: (peer) => this.heard.push(peer),
        unreached: (peer) => this.unreached.push(peer),
        writable: () => this.writables++,
        refused: (report) => this.refusals.push(report),
        removed: (report) => this.removals.push(report),
        clone: (report) => this.clones.push(report),
        admitted: (genesis) => {
          this.admit();
          this.admissions.push(genesis);
        },
      },
      ...(setup.connectionLimits && { connectionLimits: setup.connectionLimits }),
      ...setup.options,
    });
  }

  get peer(): PeerId {
    return this.keys.peer;
  }

  join(other: TestHost, address = '127.0.0.1'): void {
    this.mesh.addTarget({ host: address, port: other.port });
  }

  linkedTo(other: TestHost): boolean {
    return this.mesh.link(other.peer) !== null;
  }
}

export async function startHost(setup: HostSetup): Promise<TestHost> {
  const host = new TestHost(setup);
  host.port = await host.mesh.start();
  onTestFinished(() => host.mesh.stop());
  return host;
}

export function newToken(): Token {
  return generateToken(nodeRandom);
}

/** Resolves as soon as `condition` holds; rejects after `withinMs`. Events of real sockets have no other signal. */
export async function until(condition: () => boolean, what: string, withinMs = 4_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

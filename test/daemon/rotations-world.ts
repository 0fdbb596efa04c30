// Hosts that rotate and revoke, and a wire between them that a test cuts: each host's records reach whoever is on its side, in the
// order of gossip's keys, and all of them whoever comes back. Time moves by the test only.

import type { PeerId } from '../../src/base/ids.ts';
import { firstState, Keyring, type KeyringState } from '../../src/base/keyring.ts';
import type { PeerRecord, RotationRecord, SealsRecord } from '../../src/base/records.ts';
import { generateToken, type Token } from '../../src/base/token.ts';
import { Rotations } from '../../src/daemon/rotations.ts';
import {
  decodeRotation,
  decodeSeals,
  encodeRotation,
  encodeSeals,
  rotationKey,
  sealsKey,
} from '../../src/gossip/token-records.ts';
import { generateHostKeys, type HostKeys } from '../../src/host/identity-file.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { peerRecord } from './own-map.ts';

type Said = { readonly rotation: RotationRecord } | { readonly seals: SealsRecord };

export class World {
  readonly timers = new ManualTimers();
  readonly random: SeededRandom;
  readonly token: Token;
  readonly hosts: TestHost[] = [];
  /** Hosts that hear each other: all but those of other numbers. */
  readonly sides = new Map<TestHost, number>();

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.token = generateToken(this.random);
  }

  /** A host that joins by that token, and is met by all on its side. */
  add(token = this.token, side = 0): TestHost {
    const host = new TestHost(this, token);
    this.hosts.push(host);
    this.sides.set(host, side);
    this.meet();
    return host;
  }

  /** Everybody hears all that those on its side know, again and again until nothing is new. */
  meet(): void {
    for (const from of this.hosts) {
      for (const to of this.hosts) if (from !== to && this.linked(from, to)) to.hear(from);
    }
  }

  linked(a: TestHost, b: TestHost): boolean {
    return this.sides.get(a) === this.sides.get(b) && a.up && b.up;
  }

  /** So much time passes, and what is said meanwhile is heard. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 500) {
      this.timers.advance(Math.min(500, left));
      this.meet();
    }
    this.meet();
  }

  split(...sides: readonly (readonly TestHost[])[]): void {
    for (const [side, hosts] of sides.entries()) for (const host of hosts) this.sides.set(host, side);
  }

  heal(): void {
    this.split(this.hosts);
    this.meet();
    this.meet();
  }
}

export class TestHost {
  readonly world: World;
  readonly keys: HostKeys;
  readonly said = new Map<string, Said>();
  readonly revokedPeers = new Set<PeerId>();
  readonly known = new Map<PeerId, PeerRecord>();
  readonly cuts: PeerId[] = [];
  /** Linked, and nothing of them has been heard. */
  readonly strangers = new Set<PeerId>();
  /** As on disk. */
  kept: KeyringState;
  keyring: Keyring;
  rotations: Rotations;
  up = true;
  /** Thrown in place of the next word to others. */
  failing: Error | null = null;
  /** Records of others that it carries, as gossip does, by author. */
  readonly #carried = new Map<TestHost, Map<string, Said>>();

  constructor(world: World, token: Token) {
    this.world = world;
    this.keys = generateHostKeys(world.random, nodeCrypto);
    this.kept = firstState(token);
    [this.keyring, this.rotations] = this.#start();
  }

  get peer(): PeerId {
    return this.keys.peer;
  }

  get generation(): number {
    return this.keyring.current.generation;
  }

  revoke(peer: PeerId): void {
    this.hearRevocation(peer);
    this.rotations.shutOutRevoked();
    this.world.meet();
  }

  hearRevocation(peer: PeerId): void {
    this.revokedPeers.add(peer);
    this.rotations.wake();
  }

  /** From its disk; others' records come back with the first neighbour. */
  restart(): void {
    this.rotations.stop();
    [this.keyring, this.rotations] = this.#start();
    for (const [author, records] of [[this, this.said] as const, ...this.#carried]) this.#takeIn(author, records);
    this.up = true;
    this.world.meet();
  }

  /** All that another host says and carries. */
  hear(from: TestHost): void {
    for (const peer of from.revokedPeers)
      if (!this.revokedPeers.has(peer) && peer !== this.peer) this.hearRevocation(peer);
    for (const [peer, record] of [...from.known, [from.peer, from.#record()] as const]) {
      if (peer !== this.peer) this.known.set(peer, record);
    }
    for (const [author, records] of [[from, from.said] as const, ...from.#carried]) {
      if (author === this) continue;
      const carried = this.#carried.get(author) ?? new Map<string, Said>();
      const news = new Map([...records].filter(([key]) => !carried.has(key)));
      for (const [key, record] of news) carried.set(key, record);
      this.#carried.set(author, carried);
      this.#takeIn(author, news);
    }
  }

  #takeIn(author: TestHost, records: ReadonlyMap<string, Said>): void {
    for (const [, record] of [...records].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if ('rotation' in record) this.rotations.heardRotation(author.peer, record.rotation);
      else this.rotations.heardSeals(author.peer, record.seals);
    }
  }

  #record(): PeerRecord {
    return peerRecord({ identityKey: this.keys.identityKey, staticKey: this.keys.staticKey });
  }

  #start(): [Keyring, Rotations] {
    const { timers, random } = this.world;
    const { clock } = timers;
    const keep = (state: KeyringState): void => {
      this.kept = state;
    };
    const keyring = new Keyring(this.kept, { clock, crypto: nodeCrypto, keep });
    const rotations = new Rotations({
      keys: this.keys,
      keyring,
      clock,
      crypto: nodeCrypto,
      random,
      log: new RecordingLog(),
      own: { publishToken: (records) => this.#say(records) },
      directory: { peers: () => [...this.known] },
      linked: () => [...this.strangers],
      isAlive: (peer) => this.world.hosts.some((host) => host.peer === peer && this.world.linked(this, host)),
      isRevoked: (peer) => this.revokedPeers.has(peer),
      revoked: () => [...this.revokedPeers].sort(),
      changed: () => undefined,
      cut: (peer) => void this.cuts.push(peer),
      timers,
      failed: (error) => {
        throw error;
      },
    });
    rotations.wake();
    return [keyring, rotations];
  }

  /** By the wire's own form. */
  #say({ rotation, seals }: { rotation: RotationRecord | null; seals: readonly SealsRecord[] }): void {
    if (this.failing !== null) {
      const error = this.failing;
      this.failing = null;
      throw error;
    }
    if (rotation !== null) {
      const key = rotationKey(rotation);
      this.said.set(key, { rotation: decodeRotation(key, encodeRotation(rotation))! });
    }
    for (const record of seals) {
      const key = sealsKey(record);
      this.said.set(key, { seals: decodeSeals(key, encodeSeals(record))! });
    }
  }
}

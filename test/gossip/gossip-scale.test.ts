import { describe, expect, test } from 'vitest';
import { toHex, utf8 } from '../../src/base/bytes.ts';
import type { Crypto } from '../../src/base/capabilities.ts';
import { peerIdOf } from '../../src/gossip/author-state.ts';
import { Gossip, type GossipLink } from '../../src/gossip/gossip.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { CLUSTER } from './gossip-sim.ts';

/** Signatures cost a second per ten thousand: here a keyed hash stands for them, everything else is real. */
const CHEAP_CRYPTO: Crypto = {
  ...nodeCrypto,
  ed25519Verify: (key, message, signature) => nodeCrypto.equal(cheapSign(key, message), signature),
};

function cheapSign(key: Uint8Array, message: Uint8Array): Uint8Array {
  const half = nodeCrypto.sha256(key, message);
  return Uint8Array.of(...half, ...half);
}

/** A pair or star of cores without a network: messages wait until `settle` hands them over, in order. */
class Wire {
  readonly clock = new ManualClock();
  readonly #queue: (() => void)[] = [];
  messages = 0;
  bytes = 0;

  host(number: number): Gossip & { readonly peer: ReturnType<typeof peerIdOf> } {
    const identityKey = nodeCrypto.sha256(utf8(`key ${number}`));
    const peer = peerIdOf(nodeCrypto, identityKey);
    const gossip = new Gossip({
      self: { peer, identityKey, sign: (message) => cheapSign(identityKey, message) },
      clusterId: CLUSTER,
      clock: this.clock,
      random: new SeededRandom(number),
      crypto: CHEAP_CRYPTO,
      store: new MemoryStore(),
      log: new RecordingLog(),
      acceptAuthor: () => true,
      events: { changed: () => {}, ownStateNewer: () => {}, ownStateForgotten: () => {} },
    });
    return Object.assign(gossip, { peer });
  }

  connect(a: ReturnType<Wire['host']>, b: ReturnType<Wire['host']>): void {
    a.linkUp(b.peer, this.#link(a, b));
    b.linkUp(a.peer, this.#link(b, a));
  }

  settle(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next();
  }

  #link(from: ReturnType<Wire['host']>, to: ReturnType<Wire['host']>): GossipLink {
    return {
      send: (bytes) => {
        this.messages++;
        this.bytes += bytes.length;
        this.#queue.push(() => to.receive(from.peer, bytes));
        return true;
      },
    };
  }
}

/** Delivers at once; the other direction is left out, so that filling a hub stays linear. */
function oneWay(from: ReturnType<Wire['host']>, to: ReturnType<Wire['host']>): GossipLink {
  return {
    send: (bytes) => {
      to.receive(from.peer, bytes);
      return true;
    },
  };
}

describe('with 1000 authors', () => {
  test('a joiner gets everything, and one change later costs a few kilobytes to reconcile', () => {
    const wire = new Wire();
    const hub = wire.host(0);
    for (let i = 1; i <= 1000; i++) {
      const author = wire.host(i);
      hub.linkUp(author.peer, { send: () => true });
      author.linkUp(hub.peer, oneWay(author, hub));
      author.put('peer', utf8(`host ${i}`));
      hub.linkDown(author.peer);
    }
    const joiner = wire.host(5000);
    wire.connect(hub, joiner);
    wire.settle();
    expect(joiner.stats()).toMatchObject({ authors: 1000, missing: 0 });
    hub.linkDown(joiner.peer);
    joiner.linkDown(hub.peer);

    hub.put('at/0/02:00:00:00:00:01', utf8('10.32.0.1'));
    const before = { messages: wire.messages, bytes: wire.bytes };
    wire.connect(hub, joiner);
    wire.settle();
    expect(toHex(joiner.digestRoot())).toBe(toHex(hub.digestRoot()));
    expect(wire.bytes - before.bytes).toBeLessThan(6_000);
    expect(wire.messages - before.messages).toBeLessThanOrEqual(10);

    const idle = wire.bytes;
    for (let second = 0; second < 60; second++) {
      wire.clock.advance(1_000);
      hub.tick();
      joiner.tick();
      wire.settle();
    }
    expect((wire.bytes - idle) / 60).toBeLessThan(30);
  });
});

test('a link that takes nothing gets one merged state in the end, not a queue', () => {
  const wire = new Wire();
  const author = wire.host(1);
  const sent: Uint8Array[] = [];
  author.put('key', utf8('0'));
  author.linkUp(wire.host(2).peer, { send: (bytes) => sent.push(bytes) < 1 });
  expect(sent).toHaveLength(1);
  for (let i = 0; i < 10_000; i++) author.put(`key/${i % 10}`, utf8(`${i}`));
  expect(sent).toHaveLength(1);
  wire.clock.advance(500); // ten thousand changes at once are a busy mesh
  author.writable(wire.host(2).peer);
  expect(sent).toHaveLength(2);
  expect(sent[1]!.length).toBeLessThan(500);
});

test('what a busy mesh holds back leaves before a stop', () => {
  const wire = new Wire();
  const author = wire.host(1);
  const sent: Uint8Array[] = [];
  author.linkUp(wire.host(2).peer, { send: (bytes) => sent.push(bytes) > 0 });
  for (let i = 0; i < 1_000; i++) author.put('key', utf8(`${i}`));
  expect(sent).toHaveLength(2); // the digest and the first push
  expect(author.dueMs()).toBe(10);
  wire.clock.advance(10);
  author.tick();
  author.put('key', utf8('last'));
  expect(author.dueMs()).toBeGreaterThan(400);
  expect(sent).toHaveLength(3);
  author.pushNow();
  expect(sent).toHaveLength(4);
});

test('the first push leaves at once; what follows within 10 ms shares a message', () => {
  const wire = new Wire();
  const author = wire.host(1);
  const sent: Uint8Array[] = [];
  author.put('key', utf8('0'));
  author.linkUp(wire.host(2).peer, { send: (bytes) => sent.push(bytes) > 0 });
  author.put('key', utf8('1'));
  expect(sent).toHaveLength(2); // the digest and the first push
  for (let i = 2; i < 9; i++) author.put(`key/${i}`, utf8(`${i}`));
  expect(sent).toHaveLength(2);
  expect(author.dueMs()).toBe(10);
  wire.clock.advance(10);
  author.tick();
  expect(sent).toHaveLength(3);
  expect(author.dueMs()).toBeGreaterThan(10);
});

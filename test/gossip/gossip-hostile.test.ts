import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/base/bytes.ts';
import { openMessage } from '../../src/gossip/messages.ts';
import { GossipSim, type SimHost } from './gossip-sim.ts';

/** A host with one honest neighbour and one that sends what the test makes up. */
function setUp(): { sim: GossipSim; victim: SimHost; honest: SimHost; evil: SimHost; replies: Uint8Array[] } {
  const sim = new GossipSim(1);
  const [victim, honest, evil] = [sim.addHost(0), sim.addHost(1), sim.addHost(2)];
  victim.gossip.put('peer', utf8('victim'));
  honest.gossip.put('peer', utf8('honest'));
  sim.connect(victim, honest);
  sim.run(2_000);
  const replies: Uint8Array[] = [];
  victim.gossip.linkUp(evil.peer, { send: (bytes) => replies.push(bytes) > 0 });
  return { sim, victim, honest, evil, replies };
}

describe('a hostile neighbour', () => {
  test('that sends noise changes nothing, throws nothing and is counted', () => {
    const { victim, honest, evil } = setUp();
    const root = toHex(victim.gossip.digestRoot());
    const typed = fc
      .tuple(fc.integer({ min: 1, max: 7 }), fc.uint8Array({ maxLength: 200 }))
      .map(([type, body]) => Uint8Array.of(1, type, ...body));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), typed), (bytes) => {
        victim.gossip.receive(evil.peer, bytes);
      }),
      { numRuns: 2_000 },
    );
    expect(toHex(victim.gossip.digestRoot())).toBe(root);
    expect(victim.gossip.stats().drops.malformed).toBeGreaterThan(0);
    expect(victim.gossip.stats().links).toBe(2);
    expect(victim.gossip.get(honest.peer, 'peer')).toEqual(utf8('honest'));
  });

  test('that promises states it does not have delays nothing for long', () => {
    const { sim, victim, honest, evil } = setUp();
    const promise = openMessage('have').u8(1).bytes(fromHex(honest.peer)!).varint(1_000_000).bytes(new Uint8Array(8));
    victim.gossip.receive(evil.peer, promise.finish());
    honest.gossip.put('at/0/x', utf8('1'));
    sim.run(50);
    expect(victim.gossip.get(honest.peer, 'at/0/x')).toEqual(utf8('1'));
    sim.run(10_000);
    expect(victim.gossip.stats().missing).toBe(0);
  });

  test('that announces authors without end costs bounded memory', () => {
    const { sim, victim, evil } = setUp();
    for (let round = 0; round < 30; round++) {
      const message = openMessage('have').u8(0);
      for (let i = 0; i < 1_000; i++) message.bytes(sim.random.bytes(16)).varint(1).bytes(new Uint8Array(8));
      victim.gossip.receive(evil.peer, message.finish());
    }
    expect(victim.gossip.stats().missing).toBe(16_384);
    sim.run(300_000);
    expect(victim.gossip.stats().authors).toBe(2);
  });

  test('that claims newer own versions cannot stop our writes', () => {
    const { sim, victim, honest, evil } = setUp();
    const claim = openMessage('have').u8(1).bytes(fromHex(victim.peer)!).varint(1_000_000).bytes(new Uint8Array(8));
    victim.gossip.receive(evil.peer, claim.finish());
    victim.gossip.put('still', utf8('here'));
    sim.run(1_000);
    expect(honest.gossip.get(victim.peer, 'still')).toEqual(utf8('here'));
    expect(victim.ownNewer).toEqual([]);
  });

  test('without a link is not listened to', () => {
    const { victim, evil } = setUp();
    victim.gossip.linkDown(evil.peer);
    victim.gossip.receive(evil.peer, openMessage('root').bytes(new Uint8Array(8)).u32(1).finish());
    expect(victim.gossip.stats().drops['no-link']).toBe(1);
  });
});

test('records of unknown kinds travel unopened, and a handler may write while it is told of a change', () => {
  const sim = new GossipSim(2);
  const [one, two] = [sim.addHost(0), sim.addHost(1)];
  sim.connect(one, two);
  const noise = sim.random.bytes(300);
  one.gossip.put('policy-of-the-future/7', noise);
  sim.run(1_000);
  expect(two.gossip.entries(one.peer)).toEqual([['policy-of-the-future/7', noise]]);

  const echo = new GossipSim(3, {
    events: {
      changed: (author, [first]) => {
        if (author === one.peer && first?.value) echo.hosts[1]!.gossip.put(`seen/${first.key}`, first.value);
      },
      ownStateNewer: () => {},
      ownStateForgotten: () => {},
    },
  });
  const [teller, listener] = [echo.addHost(0), echo.addHost(1)];
  echo.connect(teller, listener);
  teller.gossip.put('a', utf8('1'));
  echo.run(1_000);
  expect(teller.gossip.get(listener.peer, 'seen/a')).toEqual(utf8('1'));
});

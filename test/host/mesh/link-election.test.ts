import { describe, expect, test } from 'vitest';
import type { BootId, PeerId } from '../../../src/base/ids.ts';
import { type Contender, LinkElection } from '../../../src/host/mesh/link-election.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const SMALL = '1'.repeat(32) as PeerId;
const LARGE = '2'.repeat(32) as PeerId;
const BOOT = '000000000000000a' as BootId;
const OTHER_BOOT = '000000000000000b' as BootId;

/** A connection that only writes down what is done to it. */
class FakeContender implements Contender {
  readonly done: string[] = [];
  heardMs = 0;
  readonly bootId: BootId;
  onClose: () => void = () => {};

  constructor(bootId = BOOT) {
    this.bootId = bootId;
  }

  ping(): void {
    this.done.push('ping');
  }
  welcome(): void {
    this.done.push('welcome');
  }
  promote(): void {
    this.done.push('promote');
  }
  close(reason: string): void {
    this.done.push(`close ${reason}`);
    this.onClose();
  }
  abandon(reason: string): void {
    this.done.push(`abandon ${reason}`);
    this.onClose();
  }
}

function electionOf(self: PeerId, peer: PeerId) {
  const clock = new ManualClock();
  const told: string[] = [];
  const election = new LinkElection<FakeContender>({
    self,
    peer,
    clock,
    events: {
      up: () => told.push('up'),
      down: (_, reason) => told.push(`down ${reason}`),
      clone: (_, boots) => told.push(`clone ${boots.join(' ')}`),
    },
  });
  const contender = (boot = BOOT): FakeContender => {
    const one = new FakeContender(boot);
    one.onClose = () => election.closed(one, 'silent', '');
    return one;
  };
  const link = (): FakeContender => {
    const one = contender();
    election.greeted(one);
    election.welcomed(one);
    one.done.length = 0;
    told.length = 0;
    return one;
  };
  return { clock, told, election, contender, link };
}

describe('link election', () => {
  test('the decider promotes once the follower welcomes it', () => {
    const { election, contender, told } = electionOf(SMALL, LARGE);
    const one = contender();
    election.greeted(one);
    expect(one.done).toEqual([]);
    election.welcomed(one);
    expect(one.done).toEqual(['welcome', 'promote']);
    expect(told).toEqual(['up']);
  });

  test('the follower welcomes at once and is promoted by the decider', () => {
    const { election, contender, told } = electionOf(LARGE, SMALL);
    const one = contender();
    election.greeted(one);
    expect(one.done).toEqual(['welcome']);
    election.welcomed(one);
    expect(one.done).toEqual(['welcome', 'promote']);
    expect(told).toEqual(['up']);
  });

  test('the decider turns a duplicate away when the link answers', () => {
    const { election, contender, link, clock, told } = electionOf(SMALL, LARGE);
    const current = link();
    const newcomer = contender();
    election.greeted(newcomer);
    election.welcomed(newcomer);
    expect(current.done).toEqual(['ping']);
    clock.advance(200);
    election.tick();
    expect(newcomer.done).toEqual([]);
    current.heardMs = clock.monotonicMs();
    election.tick();
    expect(newcomer.done).toEqual(['close duplicate']);
    expect(told).toEqual([]);
  });

  test('the decider gives the place to the newcomer when the link is silent', () => {
    const { election, contender, link, clock, told } = electionOf(SMALL, LARGE);
    const current = link();
    const newcomer = contender();
    election.greeted(newcomer);
    election.welcomed(newcomer);
    clock.advance(1_000);
    election.tick();
    expect(current.done).toEqual(['ping', 'abandon silent']);
    expect(newcomer.done).toEqual(['welcome', 'promote']);
    expect(told).toEqual(['down silent', 'up']);
    expect(election.current).toBe(newcomer);
  });

  test('the follower follows a change of mind', () => {
    const { election, contender, link, told } = electionOf(LARGE, SMALL);
    const current = link();
    const newcomer = contender();
    election.greeted(newcomer);
    election.welcomed(newcomer);
    expect(current.done).toEqual(['close replaced']);
    expect(told).toEqual(['down replaced', 'up']);
  });

  test.each([
    ['decider', SMALL, LARGE],
    ['follower', LARGE, SMALL],
  ])('another live boot id is a clone for the %s and never gets a Welcome', (_, self, peer) => {
    const { election, contender, link, clock, told } = electionOf(self, peer);
    const current = link();
    const copy = contender(OTHER_BOOT);
    election.greeted(copy);
    expect(current.done).toEqual(['ping']);
    clock.advance(10);
    current.heardMs = clock.monotonicMs();
    election.tick();
    expect(copy.done).toEqual(['close clone']);
    expect(told).toEqual([`clone ${BOOT} ${OTHER_BOOT}`]);
  });

  test('another boot id whose predecessor is silent is a restart', () => {
    const { election, contender, link, clock, told } = electionOf(LARGE, SMALL);
    link();
    const restarted = contender(OTHER_BOOT);
    election.greeted(restarted);
    clock.advance(1_000);
    election.tick();
    election.welcomed(restarted);
    expect(restarted.done).toEqual(['welcome', 'promote']);
    expect(told).toEqual(['down silent', 'up']);
  });

  test('the number of contenders is bounded', () => {
    const { election, contender, link } = electionOf(SMALL, LARGE);
    link();
    const all = Array.from({ length: 10 }, () => contender());
    for (const one of all) {
      election.greeted(one);
      election.welcomed(one);
    }
    expect(all.filter(({ done }) => done.includes('close duplicate'))).toHaveLength(6);
  });
});

/** One end of a simulated connection: messages reach the other end after a random delay, in order. */
class WiredContender implements Contender {
  readonly bootId = BOOT;
  heardMs = 0;
  state: 'open' | 'up' | 'closed' = 'open';
  other!: WiredContender;
  readonly #world: World;
  readonly #side: 'a' | 'b';
  #lastMs = 0;

  constructor(world: World, side: 'a' | 'b') {
    this.#world = world;
    this.#side = side;
  }

  send(message: 'welcome' | 'ping' | 'pong' | 'hello' | 'end'): void {
    const { clock, random, events } = this.#world;
    this.#lastMs = Math.max(this.#lastMs + 0.001, clock.monotonicMs() + 1 + random.below(80));
    events.push({ atMs: this.#lastMs, run: () => this.other.#receive(message) });
  }

  ping(): void {
    this.send('ping');
  }
  welcome(): void {
    this.send('welcome');
  }
  promote(): void {
    expect(this.state).toBe('open');
    this.state = 'up';
  }
  close(): void {
    this.#end(true);
  }
  abandon(): void {
    this.#end(false);
  }

  #receive(message: string): void {
    if (this.state === 'closed') return;
    const election = this.#world.elections[this.#side];
    this.heardMs = this.#world.clock.monotonicMs();
    if (message === 'hello') election.greeted(this);
    else if (message === 'welcome') election.welcomed(this);
    else if (message === 'ping') this.send('pong');
    else if (message === 'end') this.#end(false);
  }

  #end(tell: boolean): void {
    if (this.state === 'closed') return;
    this.state = 'closed';
    if (tell) this.send('end');
    this.#world.elections[this.#side].closed(this, 'lost', '');
  }
}

class World {
  readonly clock = new ManualClock();
  readonly random: SeededRandom;
  readonly events: { atMs: number; run: () => void }[] = [];
  readonly connections: [WiredContender, WiredContender][] = [];
  readonly elections: { a: LinkElection<WiredContender>; b: LinkElection<WiredContender> };
  ups = { a: 0, b: 0 };

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.elections = { a: this.#election('a', SMALL, LARGE), b: this.#election('b', LARGE, SMALL) };
  }

  connect(): void {
    const pair: [WiredContender, WiredContender] = [new WiredContender(this, 'a'), new WiredContender(this, 'b')];
    pair[0].other = pair[1];
    pair[1].other = pair[0];
    this.connections.push(pair);
    for (const end of pair) end.send('hello');
  }

  run(ms: number): void {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.clock.monotonicMs() < endMs) {
      this.clock.advance(5);
      const due = this.events.filter(({ atMs }) => atMs <= this.clock.monotonicMs()).sort((x, y) => x.atMs - y.atMs);
      for (const event of due) {
        this.events.splice(this.events.indexOf(event), 1);
        event.run();
      }
      for (const election of Object.values(this.elections)) election.tick();
      for (const side of [0, 1] as const) {
        expect(this.connections.filter((pair) => pair[side].state === 'up').length).toBeLessThanOrEqual(1);
      }
    }
  }

  #election(side: 'a' | 'b', self: PeerId, peer: PeerId): LinkElection<WiredContender> {
    const events = {
      up: () => void this.ups[side]++,
      down: () => {},
      clone: () => expect.unreachable('no clone here'),
    };
    return new LinkElection({ self, peer, clock: this.clock, events });
  }
}

describe('two elections over a slow network', () => {
  test('any number of crossing connections ends in the same one on both sides, without flapping', () => {
    for (let seed = 0; seed < 100; seed++) {
      const world = new World(seed);
      const count = 1 + world.random.below(4);
      for (let n = 0; n < count; n++) {
        world.connect();
        world.run(world.random.below(100));
      }
      world.run(3_000);
      const up = world.connections.filter(([a, b]) => a.state === 'up' && b.state === 'up');
      expect(up, `seed ${seed}`).toHaveLength(1);
      expect(
        world.connections.flat().filter(({ state }) => state === 'open'),
        `seed ${seed}`,
      ).toEqual([]);
      expect(world.ups, `seed ${seed}`).toEqual({ a: 1, b: 1 });
    }
  });

  test('a link that one side lost without the other noticing is replaced', () => {
    for (let seed = 0; seed < 50; seed++) {
      const world = new World(seed);
      world.connect();
      world.run(500);
      const [a, b] = world.connections[0]!;
      (seed % 2 === 0 ? a : b).abandon();
      world.connect();
      world.run(3_000);
      const [newA, newB] = world.connections[1]!;
      expect([newA.state, newB.state, a.state, b.state], `seed ${seed}`).toEqual(['up', 'up', 'closed', 'closed']);
    }
  });
});

import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/base/endpoint.ts';
import { CACHED_ANSWERS_MAX, CACHED_BYTES_MAX } from '../../src/dns/answer-cache.ts';
import {
  ANSWER_WITHIN_MS,
  Forwarder,
  QUESTIONS_MAX,
  QUESTIONS_PER_ASKER_MAX,
  TRY_MS,
  type Upstreams,
} from '../../src/dns/forwarder.ts';
import { walkMessage } from '../../src/dns/wire.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { address, query, type ReplyParts, replyTo, seen, soa } from './messages.ts';

type Exchange = Parameters<Upstreams['exchange']>[0];

const FIRST: Endpoint = { ip: '192.0.2.1', port: 53 };
const SECOND: Endpoint = { ip: '192.0.2.2', port: 53 };
const SERVFAIL = 0x8182;
const TRUNCATED = 0x8380;

function setUp(servers: readonly Endpoint[] = [FIRST]) {
  const timers = new ManualTimers();
  /** Those that are still waited for, oldest first. */
  const open: Exchange[] = [];
  const all: Exchange[] = [];
  const forwarder = new Forwarder({
    clock: timers.clock,
    timers,
    random: new SeededRandom(3),
    upstreams: {
      servers: () => servers,
      exchange: (request) => {
        open.push(request);
        all.push(request);
        return () => {
          if (open.includes(request)) open.splice(open.indexOf(request), 1);
        };
      },
    },
  });
  const answers: (Uint8Array | null)[] = [];
  const ask = (name: string, parts = {}, asker = '10.32.0.5') =>
    forwarder.ask(asker, query(name, parts), (answer) => answers.push(answer));
  /** The oldest exchange gets this reply. */
  const reply = (parts: ReplyParts = {}) => open[0]!.received(replyTo(open[0]!.message, parts));
  return { forwarder, timers, open, all, answers, ask, reply, last: () => answers.at(-1)! };
}

const WWW = [address('www.test', '203.0.113.1')];

describe('one question', () => {
  test('goes to the first server; its answer has the id and spelling of who asked', () => {
    const { ask, open, reply, last, timers } = setUp();
    ask('Www.TEST', { id: 99 });
    expect(open[0]).toMatchObject({ server: FIRST, transport: 'udp' });
    expect(seen(open[0]!.message)).toMatchObject({ question: 'Www.TEST' });
    reply({ answers: WWW });
    expect(seen(last())).toMatchObject({ id: 99, question: 'Www.TEST', answers: ['www.test A 203.0.113.1'] });
    expect([open.length, timers.pending]).toEqual([0, 0]);
  });

  test('each try has an id of its own', () => {
    const { ask, all, timers } = setUp([FIRST, SECOND]);
    ask('www.test');
    timers.advance(TRY_MS * 2);
    const ids = all.map(({ message }) => walkMessage(message)!.id);
    expect(new Set(ids).size).toBe(all.length);
  });

  test.each<[string, (asked: Uint8Array) => Uint8Array]>([
    ['another id', (asked) => replyTo(asked, { id: walkMessage(asked)!.id ^ 1, answers: WWW })],
    ['another question', (asked) => replyTo(asked, { name: 'bank.test', answers: WWW })],
    ['a query', (asked) => asked],
    ['no message', () => Uint8Array.of(1, 2, 3)],
  ])('%s is not believed, and the true answer still is', (_name, forge) => {
    const { ask, open, reply, answers, forwarder } = setUp();
    ask('www.test');
    open[0]!.received(forge(open[0]!.message));
    expect(answers).toEqual([]);
    expect(forwarder.counters.mismatched).toBe(1);
    reply({ answers: WWW });
    expect(answers).toHaveLength(1);
  });

  test('a server that is silent or refused gives way to the next', () => {
    const { ask, open, timers, reply, last } = setUp([FIRST, SECOND]);
    ask('www.test');
    timers.advance(TRY_MS);
    expect(open.map(({ server }) => server)).toEqual([SECOND]);
    open[0]!.failed();
    expect(open.map(({ server }) => server)).toEqual([FIRST]);
    reply({ answers: WWW });
    expect(seen(last()).answers).toHaveLength(1);
  });

  test('a slow server that is the only one has until the end', () => {
    const { ask, open, timers, reply, answers, last } = setUp();
    ask('www.test');
    timers.advance(ANSWER_WITHIN_MS - 1);
    expect([open.length, answers.length]).toEqual([1, 0]);
    reply({ answers: WWW });
    expect(seen(last()).answers).toHaveLength(1);
    expect([open.length, timers.pending]).toEqual([0, 0]);
  });

  test('a refusal is passed on when no server does better', () => {
    const { ask, reply, last, all } = setUp([FIRST, SECOND]);
    ask('www.test');
    for (let i = 0; i < 4; i++) reply({ flags: SERVFAIL });
    expect(all).toHaveLength(4);
    expect(seen(last()).rcode).toBe('SERVFAIL');
  });

  test('nobody answers: null in time, and nothing goes on', () => {
    const { ask, answers, timers, open, forwarder } = setUp([FIRST, SECOND, { ip: '192.0.2.3', port: 53 }]);
    ask('www.test');
    timers.advance(ANSWER_WITHIN_MS);
    expect(answers).toEqual([null]);
    expect([open.length, timers.pending, forwarder.underWay, forwarder.counters.timedOut]).toEqual([0, 0, 0, 1]);
  });

  test('a truncated answer is asked for again by TCP', () => {
    const { ask, open, reply, last } = setUp();
    ask('www.test');
    reply({ flags: TRUNCATED });
    expect(open.map(({ transport }) => transport)).toEqual(['tcp']);
    reply({ answers: WWW });
    expect(seen(last())).toMatchObject({ truncated: false, answers: { length: 1 } });
  });

  test('without a server there is no answer', () => {
    const { ask, answers, forwarder } = setUp([]);
    ask('www.test');
    expect([answers, forwarder.counters.noServer]).toEqual([[null], 1]);
  });

  test('what was stopped answers nobody', () => {
    const { ask, forwarder, timers, open, answers } = setUp();
    ask('www.test');
    forwarder.stop();
    timers.advance(ANSWER_WITHIN_MS);
    expect([answers, open.length, timers.pending]).toEqual([[], 0, 0]);
  });
});

describe('many questions', () => {
  test('one under way serves all who ask the same, each with its own id and spelling', () => {
    const { ask, all, reply, answers } = setUp();
    ask('www.test', { id: 1 });
    ask('WWW.test', { id: 2 }, '10.32.0.6');
    reply({ answers: WWW });
    expect(all).toHaveLength(1);
    expect(answers.map((answer) => seen(answer!))).toMatchObject([
      { id: 1, question: 'www.test' },
      { id: 2, question: 'WWW.test' },
    ]);
  });

  test('one asker has its share, and no more', () => {
    const { ask, answers, forwarder, reply } = setUp();
    for (let i = 0; i <= QUESTIONS_PER_ASKER_MAX; i++) ask(`n${i}.test`);
    expect([answers, forwarder.counters.refusedBusy]).toEqual([[null], 1]);
    ask('other.test', {}, '10.32.0.6');
    expect(forwarder.underWay).toBe(QUESTIONS_PER_ASKER_MAX + 1);
    reply({ answers: [] });
    ask('again.test');
    expect(forwarder.counters.refusedBusy).toBe(1);
  });

  test('all askers together have a bound', () => {
    const { ask, forwarder } = setUp();
    for (let i = 0; i < QUESTIONS_MAX + 5; i++) ask(`n${i}.test`, {}, `10.32.${i >> 4}.5`);
    expect([forwarder.underWay, forwarder.counters.refusedBusy]).toEqual([QUESTIONS_MAX, 5]);
  });
});

describe('the cache', () => {
  /** Asks once, gets that reply, and says after how many seconds the server is asked again (up to `limit`). */
  function keptFor(parts: ReplyParts, limit = 4_000): number {
    const { ask, reply, all, timers } = setUp();
    ask('www.test');
    reply(parts);
    for (let seconds = 0; seconds <= limit; seconds++) {
      ask('www.test');
      if (all.length > 1) return seconds;
      timers.advance(1_000);
    }
    return limit;
  }

  test.each<[string, ReplyParts, number]>([
    ['an answer as long as its TTL says', { answers: [address('www.test', '203.0.113.1', 40)] }, 40],
    [
      'of several the shortest',
      { answers: [address('www.test', '203.0.113.1', 40), address('www.test', '203.0.113.2', 7)] },
      7,
    ],
    ['never longer than an hour', { answers: [address('www.test', '203.0.113.1', 86_400)] }, 3_600],
    ['a denial as long as its SOA says', { flags: 0x8183, authorities: [soa('test', 20)] }, 20],
    ['a denial no longer than the minimum in it', { flags: 0x8183, authorities: [soa('test', 60)] }, 30],
    ['nothing of that type, likewise', { authorities: [soa('test', 20)] }, 20],
    ['a denial without SOA not at all', { flags: 0x8183 }, 0],
    ['an empty answer without SOA not at all', {}, 0],
    ['TTL 0 not at all', { answers: [address('www.test', '203.0.113.1', 0)] }, 0],
    ['a TTL with the top bit not at all', { answers: [address('www.test', '203.0.113.1', 0x8000_0000)] }, 0],
  ])('keeps %s', (_name, parts, expected) => {
    expect(keptFor(parts)).toBe(expected);
  });

  test('what is kept ages', () => {
    const { ask, reply, last, timers, forwarder } = setUp();
    ask('www.test');
    reply({ answers: [address('www.test', '203.0.113.1', 60)] });
    timers.advance(25_500);
    ask('WWW.test', { id: 5 });
    expect(seen(last())).toMatchObject({ id: 5, question: 'WWW.test' });
    expect(walkMessage(last())!.records[0]!.ttl).toBe(35);
    expect(forwarder.counters).toMatchObject({ cached: 1, forwarded: 1 });
  });

  test('who speaks EDNS, wants DNSSEC or no checking gets an answer to just that', () => {
    const { ask, reply, all } = setUp();
    const kinds = [{}, { edns: {} }, { edns: { flags: 0x8000 } }, { flags: 0x0110 }];
    for (const kind of kinds) {
      ask('www.test', kind);
      reply({ answers: WWW });
    }
    expect(all).toHaveLength(kinds.length);
    for (const kind of kinds) ask('www.test', kind);
    expect(all).toHaveLength(kinds.length);
  });

  test('is bounded: what was not used longest goes, large answers are not kept', () => {
    const { ask, reply, all } = setUp();
    const learn = (name: string, count = 1) => {
      ask(name);
      reply({ answers: Array.from({ length: count }, (_, i) => address(name, `203.0.113.${i}`, 3_000)) });
    };
    learn('large.test', CACHED_BYTES_MAX / 16);
    learn('large.test', CACHED_BYTES_MAX / 16);
    expect(all).toHaveLength(2);
    learn('used.test');
    for (let i = 0; i < CACHED_ANSWERS_MAX; i++) {
      if (i % 1_000 === 0) ask('used.test');
      learn(`n${i}.test`);
    }
    const before = all.length;
    ask('used.test');
    ask(`n${CACHED_ANSWERS_MAX - 1}.test`);
    expect(all).toHaveLength(before);
    ask('n0.test');
    expect(all).toHaveLength(before + 1);
  });
});

test('a question that comes back to us while it is under way waits for its own answer, and that ends', () => {
  const { ask, all, timers, answers } = setUp();
  ask('loop.test');
  ask('loop.test', {}, '10.32.0.1');
  expect(all).toHaveLength(1);
  timers.advance(ANSWER_WITHIN_MS);
  expect(answers).toEqual([null, null]);
});

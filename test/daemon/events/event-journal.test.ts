import { describe, expect, test } from 'vitest';
import type { BootId } from '../../../src/base/ids.ts';
import { EVENTS_MAX, EventJournal, WAITERS_MAX } from '../../../src/daemon/events/event-journal.ts';
import { eventPage } from '../../../src/daemon/events/event-routes.ts';
import { ManualTimers } from '../../fakes/manual-timers.ts';

const bootId = 'abcd'.repeat(4) as BootId;

function setUp() {
  const timers = new ManualTimers();
  const journal = new EventJournal({ bootId, clock: timers.clock, timers });
  const add = (what: string) => journal.add({ kind: 'attached', what });
  const ask = (query: string, closed = new AbortController().signal) =>
    eventPage(journal, new URLSearchParams(query), closed);
  return { timers, journal, add, ask };
}

/** True when a promise is done by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  return Promise.race([promise.then(() => true), Promise.resolve(false)]);
}

describe('the event journal', () => {
  test('numbers events, with the time of this host', async () => {
    const { journal, ask } = setUp();
    journal.add({ kind: 'peer-dead', what: 'host b is silent', peer: 'bb', subject: 'x' });
    expect(await ask('')).toEqual({
      bootId,
      last: 1,
      lost: 0,
      events: [
        {
          sequence: 1,
          time: '2030-01-01T00:00:00.000Z',
          kind: 'peer-dead',
          what: 'host b is silent',
          peer: 'bb',
          subject: 'x',
        },
      ],
    });
  });

  test.each([
    ['', ['1', '2', '3']],
    ['limit=2', ['2', '3']],
    ['after=0', ['1', '2', '3']],
    ['after=1', ['2', '3']],
    ['after=0&limit=2', ['1', '2']],
    ['after=3', []],
    ['after=9', []],
    [`after=2&boot=${bootId}`, ['3']],
    ['after=2&boot=another', ['1', '2', '3']],
  ])('%s shows %j', async (query, expected) => {
    const { add, ask } = setUp();
    for (const what of ['1', '2', '3']) add(what);
    const { events, last } = await ask(query);
    expect([events.map(({ what }) => what), last]).toEqual([expected, 3]);
  });

  test('keeps the newest, and says how many a reader missed', async () => {
    const { add, ask } = setUp();
    for (let n = 1; n <= EVENTS_MAX * 3; n++) add(String(n));
    const page = await ask('after=5');
    expect(page.events.length).toBe(EVENTS_MAX);
    expect(page.events[0]!.sequence).toBe(EVENTS_MAX * 2 + 1);
    expect(page.lost).toBe(EVENTS_MAX * 2 - 5);
    expect((await ask(`after=${EVENTS_MAX * 3}`)).lost).toBe(0);
  });

  test('cuts what would not fit', async () => {
    const { add, ask } = setUp();
    add('x'.repeat(10_000));
    expect((await ask('')).events[0]!.what.length).toBe(501);
  });

  test.each(['after=x', 'after=-1', 'wait=31', 'wait=1.5', 'limit=0', 'limit=1001'])('refuses %s', async (query) => {
    await expect(setUp().ask(query)).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('waiting for the next event', () => {
  test('ends with it', async () => {
    const { add, ask, timers } = setUp();
    add('1');
    const page = ask('after=1&wait=30');
    expect(await isDone(page)).toBe(false);
    add('2');
    expect((await page).events.map(({ what }) => what)).toEqual(['2']);
    expect(timers.pending).toBe(0);
  });

  test('ends empty when the time is over', async () => {
    const { ask, timers } = setUp();
    const page = ask('after=0&wait=3');
    timers.advance(2_999);
    expect(await isDone(page)).toBe(false);
    timers.advance(1);
    expect((await page).events).toEqual([]);
  });

  test('ends when the reader is gone, or the daemon is', async () => {
    const { ask, journal, timers } = setUp();
    const reader = new AbortController();
    const gone = ask('after=0&wait=3', reader.signal);
    reader.abort();
    await gone;
    const left = ask('after=0&wait=3');
    expect(await isDone(left)).toBe(false);
    journal.close();
    await left;
    expect(timers.pending).toBe(0);
  });

  test('is for so many readers and no more', async () => {
    const { ask, add } = setUp();
    const pages = Array.from({ length: WAITERS_MAX }, () => ask('after=0&wait=3'));
    await expect(ask('after=0&wait=3')).rejects.toMatchObject({ code: 'limit' });
    add('1');
    await Promise.all(pages);
    expect((await ask('after=0&wait=3')).last).toBe(1);
  });
});

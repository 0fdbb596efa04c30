// The map in a real browser: on a host of the lab it appears at once, follows what happens and outlives a restart of the daemon;
// with a thousand simulated hosts it stays smooth and small. With FABRIC_SCREENSHOTS set to a directory it leaves pictures there.

import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { type Test, test } from 'tap';
import type { BootId } from '../../src/base/ids.ts';
import { EventJournal } from '../../src/daemon/events/event-journal.ts';
import { HttpPort } from '../../src/daemon/http/http-port.ts';
import { httpRoutes } from '../../src/daemon/http/http-routes.ts';
import { SystemClock } from '../../src/host/system-clock.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import { NO_BROWSER, openBrowser } from '../lab/browser.ts';
import { Lab } from '../lab/lab.ts';
import { statusOfMany } from '../lab/many-hosts.ts';

const PICTURES = process.env.FABRIC_SCREENSHOTS;
const HTTP_PORT = 6784;
const APPEARS_WITHIN_MS = 1_000;
/** Where the browser is so slow that even a page of one word takes long, the map may take so many times as much (5 on two cores). */
const WORDS_MAX = 12;
const FOLLOWS_WITHIN_MS = 1_000;
const WIDE = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

async function picture(page: Page, name: string): Promise<void> {
  if (PICTURES !== undefined) await page.screenshot({ path: join(PICTURES, `${name}.jpg`), type: 'jpeg', quality: 70 });
}

/** Of everything that the page said and asked: nothing may fail, nothing may come from elsewhere. */
function watchPage(page: Page): { readonly errors: string[]; readonly asked: Set<string> } {
  const errors: string[] = [];
  const asked = new Set<string>();
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) errors.push(message.text());
  });
  page.on('request', (request) => asked.add(new URL(request.url()).origin));
  return { errors, asked };
}

/** By selectors only: the page's policy lets nobody evaluate a string in it, not even its tests. */
function shows(page: Page, hosts: number): Promise<void> {
  return page.locator(`#map[data-hosts="${hosts}"]`).waitFor();
}

function says(page: Page, selector: string, text: string | RegExp): Promise<void> {
  return page.locator(selector, { hasText: text }).waitFor();
}

/** How long a page of the host takes to open anew: the shorter of two times, the other had to wait for the machine. */
async function openingMs(browser: Browser, path: string, shown: (page: Page) => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let time = 0; time < 2; time++) {
    const page = await browser.newPage({ viewport: WIDE });
    const startMs = performance.now();
    await page.goto(`http://127.0.0.1:${HTTP_PORT}${path}`);
    await shown(page);
    times.push(performance.now() - startMs);
    await page.close();
  }
  return Math.min(...times);
}

test('the map of a host', { skip: NO_BROWSER }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const one = await lab.host('one');
  const two = await lab.host('two');
  const opening = openBrowser(one);
  await one.launch();
  await two.launch({ join: one, token: await one.token() });
  const web = await one.container('web');
  await one.waitReady(1);
  const { browser, close } = await opening;
  t.teardown(close);
  const page = await browser.newPage({ viewport: WIDE });
  const { errors, asked } = watchPage(page);

  await page.goto(`http://127.0.0.1:${HTTP_PORT}/`);
  await shows(page, 2);
  const wordMs = await openingMs(browser, '/healthz', async () => undefined);
  const appearedMs = await openingMs(browser, '/', (page) => shows(page, 2));
  const limitMs = Math.max(APPEARS_WITHIN_MS, wordMs * WORDS_MAX);
  const said = `${appearedMs.toFixed(0)} ms; a page of one word took ${wordMs.toFixed(0)} ms`;
  t.ok(appearedMs < limitMs, `appears within a second: ${said}`);
  t.match(await page.textContent('#verdict'), /^one, 2 hosts, healthy/, 'says whether all is well');

  const before = await page.getAttribute('#map', 'data-containers');
  const far = await two.container('far');
  const attachedMs = performance.now();
  await page.locator(`#map:not([data-containers="${before}"])`).waitFor();
  const followedMs = performance.now() - attachedMs;
  t.ok(
    followedMs < FOLLOWS_WITHIN_MS,
    `follows an attach on another host within a second: ${followedMs.toFixed(0)} ms`,
  );

  await t.test('keyboard and search', async (t) => {
    await page.keyboard.press('/');
    await page.keyboard.type(far.ip);
    t.match(await page.textContent('#found'), /^two/, 'an address finds its host');
    await page.keyboard.press('Enter');
    t.match(await page.textContent('#details'), /^two.*state.*alive.*tunnel/, 'which is shown');
    await page.keyboard.press('Escape');
    t.equal(await page.textContent('#details'), '', 'and let go');
    await page.keyboard.press('n');
    t.match(await page.textContent('#details'), new RegExp(`^one \\(this host\\)[\\s\\S]*${web.ip}`), 'hosts by keys');
  });

  await one.fabric(['stop']);
  await says(page, '#verdict', 'does not answer');
  await one.launch();
  await says(page, '#verdict', /, 2 hosts, healthy$/);
  t.pass('survives a restart of the daemon');
  t.same(errors, [], 'without an error in the browser');
  t.same([...asked], [`http://127.0.0.1:${HTTP_PORT}`], 'and asks nobody else');
});

/** A page over a server of ours: real files and routes, the status of a simulated cluster. */
async function simulated(t: Test, hosts: number, containersPerHost: number) {
  const clock = new SystemClock();
  const journal = new EventJournal({ bootId: 'ab'.repeat(8) as BootId, clock, timers: systemTimers });
  const startedMs = performance.now();
  const port = 20_000 + (process.pid % 10_000) * 2 + (hosts % 2);
  const http = new HttpPort({
    address: { ip: '127.0.0.1', port },
    routes: httpRoutes({
      status: () => statusOfMany(hosts, containersPerHost, performance.now() - startedMs),
      unreadiness: () => null,
      metrics: async () => ({ type: 'text/plain; version=0.0.4; charset=utf-8', text: '' }),
      journal,
    }),
    holderOf: async () => null,
    timers: systemTimers,
    log: new RecordingLog(),
  });
  await http.start();
  t.equal(http.facts().state, 'serving');
  t.teardown(() => http.stop());
  for (const index of [1, 2, 3]) journal.add({ kind: 'peer-alive', what: `host host-${index} answers` });
  return `http://127.0.0.1:${port}/`;
}

/** Runs in the page: the times between its frames for two seconds. */
const FRAME_GAPS = `(async () => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const gaps = [];
  let last = await frame();
  const endMs = last + 2000;
  while (last < endMs) {
    const now = await frame();
    gaps.push(now - last);
    last = now;
  }
  return gaps;
})()`;

/** Milliseconds between frames while the pointer drags the map around for two seconds. */
async function panFrames(page: Page): Promise<readonly number[]> {
  const frames = page.evaluate<readonly number[]>(FRAME_GAPS);
  await page.mouse.move(400, 400);
  await page.mouse.down();
  let done = false;
  void frames.then(() => {
    done = true;
  });
  for (let step = 0; !done; step++) {
    await page.mouse.move(400 + 150 * Math.cos(step / 20), 400 + 150 * Math.sin(step / 20));
  }
  await page.mouse.up();
  return frames;
}

test('the map of a thousand hosts', { skip: NO_BROWSER }, async (t) => {
  const url = await simulated(t, 1_000, 10);
  const { browser, close } = await openBrowser(null);
  t.teardown(close);
  const page = await browser.newPage({ viewport: WIDE });
  const { errors } = watchPage(page);
  await page.goto(url);
  await shows(page, 1_000);
  t.equal(await page.getAttribute('#map', 'data-containers'), '10000');
  await page.keyboard.press('/');
  await page.keyboard.type('web500.');
  t.match(
    await page.textContent('#found'),
    /^host-501: web500\.fabric\.internal$/,
    'a name finds one host of a thousand',
  );
  await picture(page, 'map-1000-found');
  await page.keyboard.press('Escape');
  await page.keyboard.press('0');
  const gaps = [...(await panFrames(page))].sort((a, b) => a - b);
  const framesPerSecond = 1000 / gaps[Math.floor(gaps.length / 2)]!;
  t.ok(framesPerSecond >= 30, `smooth while it is dragged: median ${framesPerSecond.toFixed(1)} frames per second`);
  const heapBytes = await page.evaluate<number>('gc(); performance.memory.usedJSHeapSize');
  t.ok(heapBytes <= 100e6, `small: ${(heapBytes / 1e6).toFixed(1)} MB of JavaScript heap`);
  if (PICTURES !== undefined) await page.waitForTimeout(2_500); // rates come with the second look, two seconds later
  await page.keyboard.press('0');
  await picture(page, 'map-1000');
  const background = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
  const light = await background();
  await page.emulateMedia({ colorScheme: 'dark' });
  t.not(await background(), light, "follows the reader's wish for dark or light");
  await picture(page, 'map-1000-dark');
  t.same(errors, []);
  await t.test('and of three, on a phone', (t) => onPhone(t, browser));
});

async function onPhone(t: Test, browser: Browser): Promise<void> {
  const url = await simulated(t, 3, 8);
  const page = await browser.newPage({ viewport: PHONE, hasTouch: true });
  await page.goto(url);
  await shows(page, 3);
  const { width, height } = (await page.locator('#map').boundingBox())!;
  t.ok(width > 380 && height > 250, `the map has room: ${width} by ${height}`);
  t.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), 'nothing is wider than the screen');
  await page.touchscreen.tap(width / 2, (await page.locator('#map').boundingBox())!.y + height / 2);
  t.match(await page.textContent('#details'), /^host-1 \(this host\)/, 'a finger picks the host in the middle');
  await picture(page, 'map-phone');
  await page.setViewportSize(WIDE);
  await page.keyboard.press('Escape');
  await page.keyboard.press('0');
  await says(page, '#events', 'host-3 answers');
  await picture(page, 'map-3');
}

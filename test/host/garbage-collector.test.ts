import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { ONE_THREAD_FLAG } from '../../src/host/garbage-collector.ts';

/** Keeps much of what it makes, so that helpers would have something to do. */
const WASTEFUL = `require('node:v8').setFlagsFromString('${ONE_THREAD_FLAG}');
let kept = [];
for (let i = 0; i < 300_000; i++) {
  kept.push({ text: 'x' + i });
  if (kept.length > 60_000) kept = [];
}`;

test('young garbage is collected by one thread, from the moment that the flag is set', () => {
  const trace = ['--trace-gc', '--trace-parallel-scavenge'];
  const said = execFileSync(process.execPath, [...trace, '-e', WASTEFUL], { encoding: 'utf8' });
  const collections = said.match(/ms: Scavenge /g)?.length ?? 0;
  expect(collections).toBeGreaterThan(3);
  expect(said.match(/scavenge\[/g)?.length).toBe(collections);
});

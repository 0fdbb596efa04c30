import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseThreadStat, processUsage } from '../../src/host/process-usage.ts';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';

const stat = (name: string, user: number, system: number): string =>
  `7 (${name}) S 1 7 7 0 -1 4194304 50 0 0 0 ${user} ${system} 0 0 20 0 1 0 100 0 0\n`;

test.each([
  ['send', 1.5],
  ['a (b) c) d', 1.5],
  ['', 1.5],
])('a thread called %j', (name, cpuSeconds) => {
  expect(parseThreadStat(stat(name, 100, 50))).toEqual({ name, cpuSeconds });
});

test.each(['', '7', '7 (x', '7 (x) S 1 2', 'nonsense'])('%j is no line of a thread', (line) => {
  expect(parseThreadStat(line)).toBeNull();
});

test('threads of one name count together, those that end meanwhile do not', () => {
  const proc = temporaryDirectory();
  for (const [task, name] of Object.entries({ 7: 'lane', 8: 'lane', 9: 'control' })) {
    mkdirSync(join(proc, '7/task', task), { recursive: true });
    writeFileSync(join(proc, '7/task', task, 'stat'), stat(name, 100, 0));
  }
  mkdirSync(join(proc, '7/task/10'));
  writeFileSync(join(proc, '7/status'), 'Name:\tengine\nVmRSS:\t    2048 kB\n');
  expect(processUsage(7, proc)).toEqual({
    threads: [
      { name: 'control', cpuSeconds: 1 },
      { name: 'lane', cpuSeconds: 2 },
    ],
    memoryBytes: 2 << 20,
  });
});

test('a process that is gone has none, this one has', () => {
  expect(processUsage(7, temporaryDirectory())).toBeNull();
  expect(processUsage(process.pid)!.memoryBytes).toBeGreaterThan(1 << 20);
});

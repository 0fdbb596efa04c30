import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type LogLevel, PinoLog } from '../../src/host/log.ts';
import { RotatingFile } from '../../src/host/rotating-file.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';

function recorded(level: LogLevel = 'info') {
  const lines: Record<string, unknown>[] = [];
  const clock = new ManualClock();
  const log = new PinoLog({ clock, level, sink: { write: (line) => void lines.push(JSON.parse(line)) } });
  return { lines, clock, log };
}

describe('log', () => {
  test('a line carries level, time, event and fields and nothing else', () => {
    const { lines, log } = recorded();
    log.warn('peer refused', { peer: 'aa', code: 'token-refused' });
    expect(lines).toEqual([
      { level: 'warn', time: '2030-01-01T00:00:00.000Z', peer: 'aa', code: 'token-refused', event: 'peer refused' },
    ]);
  });

  test('one line per event, kind and peer per minute, and the rest is counted', () => {
    const { lines, clock, log } = recorded();
    for (let n = 0; n < 100; n++) {
      log.info('redial', { peer: 'aa' });
      log.info('redial', { peer: 'bb' });
      clock.advance(100);
    }
    expect(lines.map((line) => line.peer)).toEqual(['aa', 'bb']);
    clock.advance(60_000);
    log.info('redial', { peer: 'aa' });
    expect(lines.slice(2).map(({ peer, suppressed }) => [peer, suppressed])).toEqual([
      ['aa', 99],
      ['bb', 99],
      ['aa', undefined],
    ]);
  });

  test('flush reports what is still held back', () => {
    const { lines, log } = recorded();
    for (let n = 0; n < 3; n++) log.info('redial', { peer: 'aa' });
    log.flush();
    log.flush();
    expect(lines.map((line) => line.suppressed)).toEqual([undefined, 2]);
  });

  test('debug shows everything, info hides debug', () => {
    const all = recorded('debug');
    const some = recorded('info');
    for (const { log } of [all, some]) {
      for (let n = 0; n < 3; n++) log.info('x');
      log.debug('y');
    }
    expect(all.lines).toHaveLength(4);
    expect(some.lines).toHaveLength(1);
  });

  test('a flood of different peers takes bounded memory and loses no count', () => {
    const { lines, log } = recorded();
    for (let n = 0; n < 5_000; n++) {
      log.info('x', { peer: String(n) });
      log.info('x', { peer: String(n) });
    }
    log.flush();
    const suppressed = lines.reduce((sum, line) => sum + Number(line.suppressed ?? 0), 0);
    expect(suppressed).toBe(5_000);
  });
});

describe('rotating file', () => {
  test('is bounded and keeps the newest lines in order', () => {
    const path = join(temporaryDirectory(), 'fabric.log');
    const file = new RotatingFile({ path, sizeMax: 100, keptMax: 2 });
    for (let n = 10; n < 60; n++) file.write(`line ${n}\n`);
    file.close();
    const all = [`${path}.2`, `${path}.1`, path].map((name) => readFileSync(name, 'utf8'));
    for (const text of all) expect(text.length).toBeLessThanOrEqual(100);
    const numbers = all.join('').match(/\d+/g)!.map(Number);
    expect(numbers.at(-1)).toBe(59);
    expect(numbers).toEqual(numbers.map((_, n) => numbers[0]! + n));
  });

  test('goes on where it was after a restart', () => {
    const path = join(temporaryDirectory(), 'fabric.log');
    for (const word of ['one\n', 'two\n']) {
      const file = new RotatingFile({ path, sizeMax: 100 });
      file.write(word);
      file.close();
    }
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
  });

  test('a full disk keeps nobody from going on', () => {
    const file = new RotatingFile({ path: '/dev/full' });
    expect(() => file.write('one\n')).not.toThrow();
    file.close();
  });

  test('what can not be rotated is lost, counted once it can, and never written to another file', () => {
    const path = join(temporaryDirectory(), 'fabric.log');
    const file = new RotatingFile({ path, sizeMax: 10, keptMax: 1 });
    file.write('one line\n');
    mkdirSync(`${path}.1`);
    file.write('two\n');
    const other = openSync(`${path}.other`, 'w');
    file.write('three\n');
    expect([readFileSync(`${path}.other`, 'utf8'), readFileSync(path, 'utf8')]).toEqual(['', 'one line\n']);
    closeSync(other);
    rmdirSync(`${path}.1`);
    file.write('four\n');
    file.close();
    expect(readFileSync(path, 'utf8')).toMatch(/written","count":2\}\nfour\n$/);
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('one line\n');
  });
});

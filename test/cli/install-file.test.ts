import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { installFile, removeFile } from '../../src/cli/install-file.ts';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';

const isOurs = (text: string): boolean => text.startsWith('ours');

test('R7 a file comes with its directory and its mode, and nothing else is there', () => {
  const folder = join(temporaryDirectory(), 'new/deep');
  const path = join(folder, 'plugin');
  const umask = process.umask(0o077);
  try {
    expect(installFile(path, { content: 'ours 1', mode: 0o755, isOurs })).toBe('installed');
  } finally {
    process.umask(umask);
  }
  expect(readFileSync(path, 'utf8')).toBe('ours 1');
  expect(statSync(path).mode & 0o777).toBe(0o755);
  expect(readdirSync(folder)).toEqual(['plugin']);
});

test('R7 another version replaces ours by a rename, so that a running one goes on; the same is left alone', () => {
  const path = join(temporaryDirectory(), 'plugin');
  installFile(path, { content: 'ours 1', mode: 0o755, isOurs });
  const before = statSync(path).ino;
  expect(installFile(path, { content: 'ours 1', mode: 0o755, isOurs })).toBe('kept as it is');
  expect(statSync(path).ino).toBe(before);
  expect(installFile(path, { content: 'ours 2', mode: 0o755, isOurs })).toBe('installed');
  expect(statSync(path).ino).not.toBe(before);
});

test('what people edit is kept', () => {
  const path = join(temporaryDirectory(), '10-fabric.conflist');
  writeFileSync(path, 'ours, edited');
  expect(installFile(path, { content: 'ours 2', mode: 0o644, isOurs, keep: true })).toBe('kept as it is');
  expect(readFileSync(path, 'utf8')).toBe('ours, edited');
});

test("R7 somebody else's file is neither replaced nor removed", () => {
  const path = join(temporaryDirectory(), 'plugin');
  writeFileSync(path, 'theirs');
  for (const keep of [true, false]) {
    expect(() => installFile(path, { content: 'ours 1', mode: 0o755, isOurs, keep })).toThrow(/is not fabric's/);
  }
  expect(() => removeFile(path, isOurs)).toThrow(/is not fabric's/);
  expect(readFileSync(path, 'utf8')).toBe('theirs');
});

test('removal is repeatable, and a directory in the place of a file is no file of ours', () => {
  const folder = temporaryDirectory();
  const path = join(folder, 'plugin');
  installFile(path, { content: 'ours 1', mode: 0o755, isOurs });
  expect([removeFile(path, isOurs), removeFile(path, isOurs)]).toEqual(['removed', 'was not there']);
  mkdirSync(path);
  expect(() => removeFile(path, isOurs)).toThrow(/EISDIR/);
});

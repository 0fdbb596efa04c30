// A directory that exists for one test; removed with all in it when the test ends.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, onTestFinished } from 'vitest';

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'fabric-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** For all tests of a file, and removed after the last. */
export function sharedDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'fabric-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

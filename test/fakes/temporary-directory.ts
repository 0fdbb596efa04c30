// A directory that exists for one test; removed with all in it when the test ends.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'fabric-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

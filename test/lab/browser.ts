// Debian's Chromium for tests of the map, driven by playwright-core over a pipe; in the namespaces of a host, or in ours. Its
// profile lies in a directory that is removed with it.

import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import type { LabHost } from './host.ts';

const CHROMIUM = '/usr/bin/chromium';

/** False when it is there, else why a test is skipped. */
export const NO_BROWSER = existsSync(CHROMIUM) ? false : 'chromium is not installed: FABRIC_SETUP=full npm run setup';

export interface LabBrowser {
  readonly browser: Browser;
  close(): Promise<void>;
}

/** `host`: whose loopback the browser sees; null: ours. */
export async function openBrowser(host: LabHost | null): Promise<LabBrowser> {
  const { chromium } = await import('playwright-core');
  const directory = mkdtempSync(join(tmpdir(), 'fabric-browser-'));
  const program = join(directory, 'chromium');
  const enter = host === null ? '' : `nsenter -t ${host.pid} -n -- `;
  // It ends with us; NODE_OPTIONS is tap's, and the profile is the test's own.
  writeFileSync(program, `#!/bin/sh\nexec setpriv --pdeathsig KILL -- ${enter}${CHROMIUM} "$@"\n`);
  chmodSync(program, 0o700);
  const browser = await chromium.launch({
    executablePath: program,
    args: ['--no-sandbox', '--enable-precise-memory-info', '--disable-gpu', '--js-flags=--expose-gc'],
    env: { HOME: directory, PATH: process.env.PATH ?? '' },
  });
  return {
    browser,
    close: async () => {
      await browser.close();
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

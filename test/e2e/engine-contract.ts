// The engine keeps the same contract as pcap (test/router/datapath-contract.ts): its cases run in a network namespace of their
// own, over a real TAP and real UDP. Needs root.

import { join } from 'node:path';
import { test } from 'tap';
import type { EngineLack } from '../../src/router/engine/engine-datapath.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import type { CaseResult } from '../lab/engine-contract.ts';
import { exec } from '../lab/exec.ts';
import { datapathContract } from '../router/datapath-contract.ts';

/** What it does without: with offloads frames leave with partial checksums, and one datagram may hold many. */
const VARIANTS: readonly (readonly EngineLack[])[] = [[], ['vnet', 'udp-segment', 'udp-gro', 'ipsec-mb']];
/** All cases, one after the other. */
const CASES_MAX_MS = 55_000;
const PROGRAM = join(CHECKOUT, 'dist/test/lab/engine-contract.js');

if (process.getuid?.() !== 0) {
  test('the datapath contract', { skip: 'needs root' }, async () => {});
} else {
  for (const without of VARIANTS) {
    const name = `the engine ${without.length === 0 ? 'with all that the kernel has' : `without ${without.join(', ')}`}`;
    test(name, { timeout: 60_000 }, async (t) => {
      const { stdout } = await exec(['unshare', '--net', process.execPath, PROGRAM, ...without], {
        timeoutMs: CASES_MAX_MS,
      });
      const results = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as CaseResult);
      for (const { name, error } of results) t.equal(error, null, name);
      t.equal(results.length, datapathContract.length, 'every case ran');
    });
  }
}

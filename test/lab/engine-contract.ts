// Runs the datapath contract against the engine in the network namespace that it is started in, a line of JSON for each case.
// The arguments are what the engine does without.

import { execFileSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import type { EngineLack } from '../../src/router/engine/engine-datapath.ts';
import { datapathContract } from '../router/datapath-contract.ts';
import { EngineBed } from '../router/engine/engine-bed.ts';

/** `error` is null when the case holds. */
export interface CaseResult {
  readonly name: string;
  readonly error: string | null;
}

execFileSync('ip', ['link', 'set', 'lo', 'up']);
for (const { name, run } of datapathContract) {
  const bed = new EngineBed(process.argv.slice(2) as EngineLack[]);
  let error: string | null = null;
  try {
    await run(bed);
  } catch (thrown) {
    error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  } finally {
    await bed.close();
  }
  writeSync(1, `${JSON.stringify({ name, error } satisfies CaseResult)}\n`);
}
// npm pcap lets go of a session only when it meets a frame (pcap-port.ts), and a TAP whose engine was stopped carries none:
// the packet socket of the last case may stay. That the engine itself keeps nothing alive is for test/e2e/datapaths.ts.
process.exit();

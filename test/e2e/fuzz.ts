// Every fuzz target of native/fuzz for a short while, from the kept corpus on; `npm run test:long -- fuzz` takes ten minutes
// each. A finding is a failure with its input named. Needs root (an empty network namespace) and clang++ (FABRIC_SETUP=full).

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'tap';
import { CHECKOUT } from '../lab/checkout.ts';

const LONG = process.env.FABRIC_LONG === 'fuzz';
const SECONDS = LONG ? 600 : 5;
/** Two run at a time; besides, the build and the replay of the corpus. */
const TIMEOUT_MS = (SECONDS * 4 + 240) * 1000;
const TARGETS = readdirSync(join(CHECKOUT, 'native/fuzz/corpus'));

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  return spawnSync('which', ['clang++']).status === 0 ? false : 'needs clang++: FABRIC_SETUP=full installs it';
}

test(`fuzz targets, ${SECONDS} s each`, { timeout: TIMEOUT_MS, skip: reasonToSkip() }, async (t) => {
  const script = join(CHECKOUT, 'native/fuzz/run.sh');
  const child = spawn(script, [`${SECONDS}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill());
  const exit = new Promise((resolve) => child.once('close', resolve));
  const passed = new Set<string>();
  for await (const line of createInterface({ input: child.stdout })) {
    t.comment(line);
    const target = /^ok (\w+): /.exec(line)?.[1];
    if (target !== undefined) passed.add(target);
  }
  t.equal(await exit, 0, 'the script says so');
  for (const target of TARGETS) t.ok(passed.has(target), `${target}: no finding`);
});

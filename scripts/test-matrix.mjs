// The foundation's end-to-end files on every mix of datapaths (test/lab/datapath-mix.ts): one run of tap for each file and mix,
// because the mix is of the environment. Says a line for each, and of those that failed everything.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { root } from './bootstrap.mjs';
import { TapReport } from './tap-report.mjs';

/** Files that need more than set-up installs skip themselves. */
const FILES = [
  'cluster',
  'restart',
  'membership',
  'kill-during-adds',
  'hundred-containers',
  'partition',
  'reset',
  'strangers',
  'foreign-ipam',
  'docker',
  'runtimes',
];

async function runOne(file, mix, { variable, timeoutS }) {
  const startedMs = Date.now();
  const tap = join(root, 'node_modules/.bin/tap');
  const child = spawn(tap, ['run', '--reporter=tap', `--timeout=${timeoutS}`, join('dist/test/e2e', `${file}.js`)], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, FORCE_COLOR: '0', [variable]: mix },
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const said = [];
  const report = new TapReport((text) => said.push(text.replaceAll(root, '.')));
  for await (const line of createInterface({ input: child.stdout })) report.line(line);
  report.end(await closed);
  return { report, said, seconds: Math.round((Date.now() - startedMs) / 1000) };
}

/** All mixes, or the one that is named. Counts of all, and the lines to keep. */
export async function runMatrix(only, { timeoutS }) {
  const { DATAPATH_MIXES, MIX_VARIABLE } = await import(
    pathToFileURL(join(root, 'dist/test/lab/datapath-mix.js')).href
  );
  const mixes = Object.keys(DATAPATH_MIXES).filter((mix) => only === undefined || mix === only);
  if (mixes.length === 0) throw new Error(`there is no mix ${only}: say ${Object.keys(DATAPATH_MIXES).join(', ')}`);
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const lines = [];
  for (const mix of mixes) {
    for (const file of FILES) {
      const { report, said, seconds } = await runOne(file, mix, { variable: MIX_VARIABLE, timeoutS });
      for (const count of Object.keys(sum)) sum[count] += report[count];
      const { passed, failed, skipped } = report;
      const counts = `${passed} passed, ${failed} failed, ${skipped} skipped`;
      const line = `${mix.padEnd(8)} ${file.padEnd(20)} ${counts.padEnd(34)} ${String(seconds).padStart(4)} s`;
      process.stdout.write(`${line}\n`);
      lines.push(line);
      if (failed > 0) for (const text of said) process.stdout.write(`${text}\n`);
      if (failed > 0) lines.push(...said);
    }
  }
  return { report: sum, lines };
}

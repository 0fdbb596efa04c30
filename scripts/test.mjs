// `npm test`: bootstrap, lint, unit and simulation tests (vitest), end-to-end tests (tap, as root). The last line is the true
// sum of vitest tests and tap's top-level subtests; as root with FABRIC_SETUP=full a skip counts as a failure.
// `npm test -- e2e/NAME` runs one end-to-end file, `npm test -- unit` the unit tests alone.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bootstrap, isFull, isRoot, root } from './bootstrap.mjs';

const bin = (name) => join(root, 'node_modules', '.bin', name);
const only = process.argv[2];
const sum = { passed: 0, failed: 0, skipped: 0 };
const startedMs = Date.now();

function title(text) {
  process.stdout.write(`\n== ${text} (${((Date.now() - startedMs) / 1000).toFixed(0)} s)\n`);
}

function lint() {
  title('lint');
  for (const [command, args] of [
    [bin('biome'), ['check', '.']],
    [bin('tsc'), ['-p', 'tsconfig.json', '--noEmit']],
  ]) {
    const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    if (result.status === 0) sum.passed++;
    else sum.failed++;
  }
}

function unitTests() {
  title('unit and simulation tests');
  const folder = mkdtempSync(join(tmpdir(), 'fabric-test-'));
  const report = join(folder, 'vitest.json');
  const result = spawnSync(bin('vitest'), ['run', '--reporter=default', '--reporter=json', `--outputFile=${report}`], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  if (existsSync(report)) {
    const counts = JSON.parse(readFileSync(report, 'utf8'));
    sum.passed += counts.numPassedTests;
    sum.failed += counts.numFailedTests;
    sum.skipped += counts.numPendingTests + counts.numTodoTests;
    if (result.status !== 0 && counts.numFailedTests === 0) sum.failed++; // a file that did not load, an unhandled error
  } else sum.failed++;
  rmSync(folder, { recursive: true });
}

/** Counts the subtests of each file (indented by four in TAP), and a file that fails without a failing subtest. */
async function endToEndTests(files) {
  for (const file of files) {
    title(`end to end: ${file}`);
    const child = spawn(bin('tap'), ['run', '--reporter=tap', join('dist/test/e2e', `${file}.js`)], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, FORCE_COLOR: '0' },
    });
    let failedInFile = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const subtest = /^ {4}(not )?ok \d+(?: - (.*))?$/.exec(line);
      if (subtest === null) {
        if (
          /^ *#|^ {8,}(not ok|\S)|^ {4,}(---|\.\.\.)/.test(line) &&
          /not ok|Error|expected|message|diff|^\s*#/.test(line)
        )
          process.stdout.write(`${line}\n`);
        continue;
      }
      process.stdout.write(`${line}\n`);
      if (/ # (SKIP|TODO)/i.test(line)) sum.skipped++;
      else if (subtest[1]) failedInFile++;
      else sum.passed++;
    }
    const status = await new Promise((resolve) => child.once('close', resolve));
    if (status !== 0 && failedInFile === 0) failedInFile = 1;
    sum.failed += failedInFile;
  }
}

try {
  title('set-up');
  const missing = bootstrap();
  if (missing.length > 0) process.stdout.write('continuing without: only what needs no root runs\n');
  const files = readdirSync(join(root, 'test/e2e'))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -3))
    .sort();
  if (only?.startsWith('e2e/')) await endToEndTests([only.slice(4)]);
  else {
    lint();
    unitTests();
    if (only !== 'unit') {
      if (isRoot) await endToEndTests(files);
      else {
        process.stdout.write(`\nnot root: ${files.length} end-to-end files skipped; run: sudo npm test\n`);
        sum.skipped += files.length;
      }
    }
  }
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  sum.failed++;
}
if (isRoot && isFull && sum.skipped > 0)
  process.stdout.write(`\n${sum.skipped} skipped although everything is set up: that is a failure\n`);
const bad = sum.failed > 0 || (isRoot && isFull && sum.skipped > 0);
title('done');
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
process.exitCode = bad ? 1 : 0;

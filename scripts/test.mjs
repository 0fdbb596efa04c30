// `npm test`: bootstrap, lint, unit and simulation tests (vitest), end-to-end tests (tap, as root). The last line is the true
// sum of vitest tests and tap's top-level subtests; as root with FABRIC_SETUP=full a skip counts as a failure.
// `npm test -- e2e` runs the end-to-end files, `npm test -- e2e/NAME` one, `npm test -- unit` the unit tests alone,
// `npm test -- conformance` what shows the statements of the CNI checklist and of the threat model; that and a whole run write
// docs/cni-conformance.md and docs/security-conformance.md.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bootstrap, isFull, isRoot, NeedsRoot, root } from './bootstrap.mjs';
import { Conformance } from './conformance.mjs';
import { TapReport } from './tap-report.mjs';

const bin = (name) => join(root, 'node_modules', '.bin', name);
const only = process.argv[2];
const sum = { passed: 0, failed: 0, skipped: 0 };
/** What went wrong beside the tests that are counted. */
const faults = [];
const startedMs = Date.now();
/** Pages that say which tests show what was promised. */
const PAGES = [
  {
    page: 'docs/cni-conformance.md',
    name: 'the CNI checklist',
    conformance: conformanceWith('test/cni-plugin/checklist.json', [
      '# CNI conformance',
      '',
      '`npm test` writes this page: statements of the specification and its conventions, and the tests that show them. The number',
      'of a statement stands at the beginning of the names of its tests.',
    ]),
  },
  {
    page: 'docs/security-conformance.md',
    name: 'the threat model',
    conformance: conformanceWith('test/security/threat-model.json', [
      '# Security conformance',
      '',
      '`npm test` writes this page: statements of the threat model, and the tests that show them. The number of a statement stands',
      'at the beginning of the names of its tests.',
    ]),
  },
];

function conformanceWith(statements, heading) {
  return new Conformance(heading, JSON.parse(readFileSync(join(root, statements), 'utf8')));
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function heading(text) {
  return `\n== ${text} (${((Date.now() - startedMs) / 1000).toFixed(0)} s)`;
}

function title(text) {
  say(heading(text));
}

/** The bootstrap has compiled, and so checked the types, already. */
function lint() {
  title('lint');
  const { status } = spawnSync(bin('biome'), ['check', '.'], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) faults.push('lint failed (npx biome check .)');
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
    for (const { conformance } of PAGES) conformance.vitest(counts, root);
    sum.passed += counts.numPassedTests;
    sum.failed += counts.numFailedTests;
    sum.skipped += counts.numPendingTests + counts.numTodoTests;
    if (result.status !== 0 && counts.numFailedTests === 0) faults.push('vitest failed outside of a test');
  } else faults.push('vitest wrote no report');
  rmSync(folder, { recursive: true });
}

/** Files of test/e2e that hold tests; others are programs that those tests start. */
function endToEndFiles() {
  return readdirSync(join(root, 'test/e2e'))
    .filter((name) => name.endsWith('.ts') && /from 'tap'/.test(readFileSync(join(root, 'test/e2e', name), 'utf8')))
    .map((name) => name.slice(0, -'.ts'.length))
    .sort();
}

/**
 * How many end-to-end files run at a time, on two cores: half of their time they wait, for processes and for the kernel. Each has
 * namespaces of its own, and waits for a state, not for a moment.
 */
const LANES = 3;
/** The longest of them begin, so that no lane goes on long after the others. */
const LONGEST = new Set([
  'cli',
  'doctor',
  'engine-fallback',
  'footprint',
  'host-network',
  'package',
  'path-mtu',
  'reclaim',
  'restart',
  'strangers',
  'vxlan',
]);
/** These hold times to account for which a core has to do, so that two of them share the machine. */
const CORE_EACH = new Set([
  'cni-shim',
  'cni-stress',
  'dns',
  'engine-alone',
  'hundred-containers',
  'kill-during-adds',
  'rmpeer',
]);
/** These need all cores, or compare times that come one after the other: nothing runs beside them. */
const ALONE = new Set(['datapaths', 'engine-lifetime', 'engine-sanitized', 'fuzz', 'load', 'map', 'upgrade']);

/** A file that takes longer has failed: tap says in which test. */
const FILE_TIMEOUT_S = 300;
/** After that a file that does not even end itself is killed. */
const FILE_GRACE_S = 10;

async function endToEndTests(files) {
  const patient = files.filter((file) => !ALONE.has(file) && !CORE_EACH.has(file));
  patient.sort((x, y) => Number(LONGEST.has(y)) - Number(LONGEST.has(x)));
  await inLanes(LANES, patient);
  await inLanes(
    cpus().length,
    files.filter((file) => CORE_EACH.has(file)),
  );
  await inLanes(
    1,
    files.filter((file) => ALONE.has(file)),
  );
}

function inLanes(lanes, queue) {
  return Promise.all(Array.from({ length: lanes }, () => endToEndLane(queue)));
}

/** Takes one file after the other from `queue`, until it is empty. */
async function endToEndLane(queue) {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) await endToEndFile(file);
}

/**
 * A process for the file, whose TAP is read as if `tap run` had sent it: that runner takes a second and a half of a core to start,
 * and its hooks half a second of each file. What a file says comes in one piece.
 */
async function endToEndFile(file) {
  const path = join('dist/test/e2e', `${file}.js`);
  const said = [heading(`end to end: ${file}`)];
  const report = new TapReport((text) => said.push(text));
  const read = (line) => {
    report.line(line);
    for (const { conformance } of PAGES) conformance.tap(`test/e2e/${file}.ts`, line);
  };
  const child = spawn(process.execPath, ['--enable-source-maps', path], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, FORCE_COLOR: '0', TAP_TIMEOUT: String(FILE_TIMEOUT_S), TAP_OMIT_VERSION: '1' },
    timeout: (FILE_TIMEOUT_S + FILE_GRACE_S) * 1_000,
    killSignal: 'SIGKILL',
  });
  const closed = new Promise((resolve) => child.once('close', (...how) => resolve(how)));
  read(`# Subtest: ${path}`);
  for await (const line of createInterface({ input: child.stdout })) read(`    ${line}`);
  const [status, signal] = await closed;
  if (signal !== null) read(`    # ended by ${signal}`);
  read(`${status === 0 ? '' : 'not '}ok 1 - ${path}`);
  say(said.join('\n'));
  sum.passed += report.passed;
  sum.failed += report.failed;
  sum.skipped += report.skipped;
}

/** Files whose tests show statements of a checklist. */
function showsStatements(file) {
  return /['"`](?:[A-Z]{1,2}\d{1,2} )+\S/.test(readFileSync(join(root, 'test/e2e', `${file}.ts`), 'utf8'));
}

function keepConformance() {
  for (const { page, name, conformance } of PAGES) {
    writeFileSync(join(root, page), conformance.markdown());
    const { open } = conformance;
    if (open.length > 0) faults.push(`statements of ${name} that are not shown: ${open.join(' ')}`);
  }
}

async function run() {
  title('set-up');
  if (bootstrap().length > 0) say('going on without them: only what needs no root runs');
  if (only?.startsWith('e2e/')) return endToEndTests([only.slice('e2e/'.length)]);
  if (only !== undefined && !['unit', 'conformance', 'e2e'].includes(only)) {
    throw new Error(`npm test knows no ${only}: say unit, conformance, e2e or e2e/NAME`);
  }
  if (only !== 'e2e') {
    lint();
    unitTests();
  }
  if (only === 'unit') return;
  const files = endToEndFiles().filter((file) => only !== 'conformance' || showsStatements(file));
  if (isRoot) {
    await endToEndTests(files);
    if (only !== 'e2e' && sum.skipped === 0) keepConformance();
  } else {
    say(`\nnot root: ${files.length} end-to-end files are skipped; run them with: sudo npm test`);
    sum.skipped += files.length;
  }
}

try {
  await run();
} catch (error) {
  faults.push(error.message);
  if (error instanceof NeedsRoot) process.exitCode = 2;
}
if (isRoot && isFull && sum.skipped > 0)
  faults.push(`${sum.skipped} skipped although everything is set up: that is a failure`);
title('done');
for (const fault of faults) say(`FAILED: ${fault}`);
say(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
process.exitCode ??= sum.failed > 0 || faults.length > 0 ? 1 : 0;

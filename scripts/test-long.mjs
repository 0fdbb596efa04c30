// `npm run test:long -- PART`: a part of the tests at full length, which `npm test` runs shortened. Without an argument the
// parts are listed. What it showed goes, dated, to docs/results/; the last line is the sum of the part's subtests.
// `npm run test:long -- matrix [MIX]` runs the foundation's tests on each mix of datapaths, or on that one; `-- sim FIRST-LAST` the
// random schedules of those seeds and nothing else, `-- sim-mesh HOSTS` the figures of so many.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { bootstrap, isRoot, root } from './bootstrap.mjs';
import { TapReport } from './tap-report.mjs';
import { runMatrix } from './test-matrix.mjs';

/**
 * Each part but the matrix is the end-to-end file of that name; it reads FABRIC_LONG and then takes its full length. Or the one in
 * test/long, which `npm test` does not run.
 */
const PARTS = {
  fuzz: {
    what: 'every fuzz target of native/fuzz for ten minutes, two at a time',
    timeoutS: 3300,
  },
  certificates: { what: 'operator-issued certificates, and one that runs out on a host that runs', timeoutS: 300 },
  'cni-crowd': { what: 'ADD and DEL with 1,000 containers attached, beside those with 10', timeoutS: 300 },
  'cni-shim': { what: 'the CNI plugin as a process, 20,000 calls of all kinds', timeoutS: 1800 },
  daemons: { what: '20 daemons killed at random for ten minutes while containers come and go', timeoutS: 1800 },
  'kill-during-adds': { what: 'kill -9 of a daemon while 20 ADDs are under way, 50 rounds', timeoutS: 1800 },
  'cni-stress': { what: '5,000 ADD/DEL pairs of 20 workers; plugin, daemon and namespaces killed', timeoutS: 1800 },
  'engine-sanitized': {
    what: 'the engine under ThreadSanitizer and under AddressSanitizer, a minute each',
    timeoutS: 600,
  },
  'engine-relays': {
    what: 'TCP and ping by a relay on the engine beside the direct path, 200 MB by it, and what npm test shows of relays',
    timeoutS: 300,
  },
  image: {
    what: 'the container image built and run by containerd, as the pod of deploy/kubernetes',
    timeoutS: 600,
    folder: 'long',
  },
  load: { what: '56 minutes of full load on the engine: flat memory, every frame accounted for', timeoutS: 3590 },
  'engine-lifetime': {
    what: 'daemon and engine killed, stopped and hung, 20 rounds each; keys expire',
    timeoutS: 1800,
  },
  matrix: {
    what: "the foundation's end-to-end tests on each mix of datapaths, or on the one named behind",
    timeoutS: 300,
  },
  nat: { what: 'holes through two NATs, and 60 s without a frame, which NATs do not remember', timeoutS: 180 },
  partition: { what: 'two hosts cut off for 30 s while both attach 50 containers', timeoutS: 300 },
  sim: {
    what: 'fresh random schedules in the simulator, or those of the seeds FIRST-LAST named behind',
    timeoutS: 3300,
    root: false,
  },
  'sim-mesh': {
    what: 'the figures of a mesh of 1,000 hosts over a simulated hour, or of as many as named behind',
    timeoutS: 3500,
    folder: 'long',
    root: false,
  },
  systemd: {
    what: 'fabric.service under a systemd that is process 1: restart, stop, crash, watchdog',
    timeoutS: 300,
    folder: 'long',
  },
  relays: {
    what: 'a cluster that speaks by a relay turns to operator-issued certificates, host by host',
    timeoutS: 300,
  },
  'rekey-day': { what: 'a simulated day of rekeys on each mix of engine and pcap', timeoutS: 3300 },
};

function list() {
  process.stdout.write('usage: npm run test:long -- PART\n\n');
  for (const [name, { what }] of Object.entries(PARTS)) process.stdout.write(`  ${name.padEnd(18)} ${what}\n`);
}

/** Runs the file; returns its counts and all that it said, in TAP. */
async function run(part) {
  const { timeoutS, folder = 'e2e' } = PARTS[part];
  const file = join('dist/test', folder, `${part}.js`);
  if (!existsSync(join(root, file))) throw new Error(`${file} is not built`);
  const tap = join(root, 'node_modules/.bin/tap');
  const child = spawn(tap, ['run', '--reporter=tap', `--timeout=${timeoutS}`, file], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, FORCE_COLOR: '0', FABRIC_LONG: part, FABRIC_LONG_OF: process.argv[3] ?? '' },
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  const report = new TapReport((text) => process.stdout.write(`${text}\n`));
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    report.line(line);
    lines.push(line.replaceAll(root, '.'));
  }
  report.end(await closed);
  return { report, lines };
}

/** `name` is the part, and what was chosen of it. */
function keep(part, name, lines, verdict) {
  const date = new Date().toISOString();
  const folder = join(root, 'docs/results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${date.slice(0, 10)}-${name}.txt`);
  const head = [
    `test:long ${name}: ${PARTS[part].what}`,
    `${date}, Linux ${release()}, Node ${process.versions.node}, ${cpus().length} cores`,
  ];
  writeFileSync(file, `${[...head, '', ...lines, '', verdict].join('\n')}\n`);
  process.stdout.write(`kept in ${relative(root, file)}\n`);
}

const part = process.argv[2];
if (part === undefined) list();
else if (!Object.hasOwn(PARTS, part)) {
  list();
  process.stderr.write(`\nthere is no part ${part}\n`);
  process.exitCode = 2;
} else if (!isRoot && PARTS[part].root !== false) {
  process.stderr.write(`these tests make network namespaces: sudo npm run test:long -- ${part}\n`);
  process.exitCode = 2;
} else {
  bootstrap();
  const { report, lines } = part === 'matrix' ? await runMatrix(process.argv[3], PARTS.matrix) : await run(part);
  const verdict = `${report.passed} passed, ${report.failed} failed, ${report.skipped} skipped`;
  keep(part, process.argv.slice(2).join('-'), lines, verdict);
  process.stdout.write(`${verdict}\n`);
  process.exitCode = report.failed > 0 ? 1 : 0;
}

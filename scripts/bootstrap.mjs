// The bootstrap: turns a fresh clone on a Debian machine with Node into one that builds, runs and tests fabric. It is
// dependency-free JavaScript, says what it does, does only what is missing (a stamp remembers the rest) and starts no
// service. `node scripts/bootstrap.mjs [--only build]`; importable as `bootstrap()`.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** Another apt may be fetching lists for a while: five minutes in all. */
const APT_ATTEMPTS_MAX = 60;
const APT_WAIT_MS = 5_000;
const stampFile = join(root, 'node_modules', '.fabric-stamp.json');

/** What `npm ci` and the native build need: nothing goes without. */
const PACKAGES_BUILD = ['g++', 'libc6-dev', 'make', 'python3', 'libpcap-dev', 'libssl-dev'];
/** What fabric itself, the demo, the tests and the benchmarks call. */
const PACKAGES_TOOLS = [
  'iproute2',
  'nftables',
  'iptables',
  'iputils-ping',
  'tcpdump',
  'iperf3',
  'socat',
  'ethtool',
  'faketime',
  'procps',
  'bind9-dnsutils',
  'openssl',
  'busybox-static',
  'util-linux',
  // Fast AES-GCM for the engine; where it is not there OpenSSL serves.
  ...(process.arch === 'x64' ? ['libipsec-mb-dev'] : []),
];
/**
 * What the end-to-end tests with real container runtimes, Prometheus and a browser, and the fuzz targets, need besides:
 * `FABRIC_SETUP=full`.
 */
const PACKAGES_FULL = [
  'containerd',
  'runc',
  'docker.io',
  'podman',
  'containernetworking-plugins',
  'clang',
  'tshark',
  'libclang-rt-dev',
  'prometheus',
  'chromium',
  'systemd',
];

export const isRoot = process.getuid?.() === 0;
export const isFull = process.env.FABRIC_SETUP === 'full';

function say(text) {
  process.stdout.write(`\u00b7 ${text}\n`);
}

/** Runs a command with its output shown; throws with the command line when it fails. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (result.error) throw result.error;
  if (result.status !== 0)
    throw new Error(`${[command, ...args].join(' ')} ended with ${result.status ?? result.signal}`);
}

function hashFiles(files) {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function filesBelow(folder, accept) {
  const found = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== 'build' && entry.name !== 'node_modules') found.push(...filesBelow(path, accept));
    } else if (accept(entry.name)) found.push(path);
  }
  return found.sort();
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, 'utf8'));
  } catch {
    return {}; // absent or damaged: everything is done anew
  }
}

function writeStamp(stamp) {
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(`${stampFile}.new`, JSON.stringify(stamp));
  renameSync(`${stampFile}.new`, stampFile);
}

function missingPackages(wanted) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
  const result = spawnSync('dpkg-query', ['-W', '-f=${Package} ${db:Status-Status}\n', ...wanted], {
    encoding: 'utf8',
  });
  if (result.error)
    throw new Error(
      'dpkg-query is not there: the bootstrap knows Debian only; install the packages in scripts/bootstrap.mjs by hand',
    );
  const installed = new Set(
    result.stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return wanted.filter((name) => !installed.has(name));
}

/** This can't go on without root; what to run has been said. Exit code 2. */
export class NeedsRoot extends Error {}

/**
 * Installs Debian packages without a question, without starting a service. Without root it prints the line to run and returns
 * what is missing; throws NeedsRoot when not even the build can go on.
 */
function ensureDebianPackages() {
  const missing = missingPackages([...PACKAGES_BUILD, ...PACKAGES_TOOLS, ...(isFull ? PACKAGES_FULL : [])]);
  if (missing.length === 0) return [];
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  if (!isRoot) {
    say(`Debian packages are missing; run:\n    sudo apt-get update && sudo apt-get ${install.join(' ')}`);
    const needed = missing.filter((name) => PACKAGES_BUILD.includes(name));
    if (needed.length > 0) throw new NeedsRoot(`nothing can be built without ${needed.join(', ')}`);
    return missing;
  }
  say(`installing Debian packages: ${missing.join(' ')}`);
  const policy = '/usr/sbin/policy-rc.d';
  const policyIsOurs = !existsSync(policy);
  if (policyIsOurs) {
    writeFileSync(policy, '#!/bin/sh\nexit 101\n');
    chmodSync(policy, 0o755);
  }
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const wait = ['-o', 'DPkg::Lock::Timeout=300', '-q'];
    updatePackageLists([...wait, 'update'], env);
    run('apt-get', [...wait, ...install], { env });
  } finally {
    if (policyIsOurs) rmSync(policy);
  }
  return [];
}

/** apt waits for dpkg's lock by itself (DPkg::Lock::Timeout), for the lock of the package lists it does not. */
function updatePackageLists(args, env) {
  for (let attempt = 0; ; attempt++) {
    const result = spawnSync('apt-get', args, { env, stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' });
    process.stderr.write(result.stderr ?? '');
    if (result.status === 0) return;
    if (attempt === APT_ATTEMPTS_MAX || !/Could not get lock/.test(result.stderr ?? '')) {
      throw new Error(`apt-get update ended with ${result.status ?? result.signal}`);
    }
    say('another apt is at work, waiting');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, APT_WAIT_MS);
  }
}

/** After a run with sudo, files may belong to root. Throws with the line that mends it. */
function assertWritable(folder) {
  const path = join(root, folder);
  try {
    accessSync(existsSync(path) ? path : root, constants.W_OK);
  } catch {
    throw new NeedsRoot(`${folder}/ belongs to another user; run:\n    sudo chown -R ${process.getuid()} ${root}`);
  }
}

/** Node's own headers, when they lie beside Node, save a download that node-gyp would otherwise make. */
function exportNodedir() {
  const prefix = dirname(dirname(process.execPath));
  if (existsSync(join(prefix, 'include', 'node', 'node_api.h'))) process.env.npm_config_nodedir = prefix;
}

function ensureNpmPackages(stamp) {
  const key = `${hashFiles(['package-lock.json', 'package.json', '.taprc'])} ${process.versions.modules}`;
  if (stamp.npm === key) return;
  assertWritable('node_modules');
  say('npm ci (compiles better-sqlite3 and pcap: about two minutes)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel', 'error']);
  say('loading the native modules once');
  run(process.execPath, ['-e', "new (require('better-sqlite3'))(':memory:').close(); require('pcap')"]);
  run(join(root, 'node_modules/.bin/tap'), ['build'], { stdio: ['ignore', 'ignore', 'inherit'] });
  stamp.npm = key;
  delete stamp.native;
  writeStamp(stamp);
}

function ensureNativeBuild(stamp) {
  const sources = filesBelow('native', (name) => /\.(cc|cpp|h|hpp|c|gyp|gypi)$/.test(name));
  const key = `${hashFiles(sources)} ${process.versions.modules}`;
  const shim = join(root, 'bin', 'cni', 'fabric');
  if (stamp.native === key && existsSync(shim)) return;
  assertWritable('native/build');
  assertWritable('bin/cni');
  say('building native/ (addon, CNI shim, engine)');
  run(join(root, 'node_modules/.bin/node-gyp'), ['rebuild', '-C', 'native', '--loglevel', 'error'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  run(process.execPath, ['-e', "require('./native/build/Release/fabric_addon.node')"]);
  stamp.native = key;
  writeStamp(stamp);
}

/** The engine with sanitizers and the fuzz targets, for the tests; make knows what is missing. */
function ensureSanitizedBuild() {
  say('building native/ with sanitizers');
  run('make', ['-s', '-j2', '-C', 'native', '-f', 'sanitized.mk', 'fuzz', 'engine-tsan', 'engine-asan']);
}

function ensureTypeScriptBuild(stamp) {
  const sources = ['src', 'test', 'bench', 'ui'].flatMap((folder) =>
    filesBelow(folder, (name) => name.endsWith('.ts')),
  );
  const key = `${hashFiles(['package-lock.json', 'tsconfig.json', 'ui/tsconfig.json', ...sources])}`;
  if (stamp.typescript === key && existsSync(join(root, 'dist/src/cli/main.js'))) return;
  assertWritable('dist');
  say('compiling TypeScript');
  for (const project of ['tsconfig.json', 'ui/tsconfig.json'])
    run(join(root, 'node_modules/.bin/tsc'), ['-p', project]);
  stamp.typescript = key;
  writeStamp(stamp);
}

/**
 * Does what is missing. Returns the Debian packages that could not be installed for want of root (empty: all is there).
 * Throws when a step fails, its output has been shown, and NeedsRoot when root has to do something first.
 */
export function bootstrap({ only } = {}) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new Error(`Node ${process.versions.node} is too old: fabric needs 20.19 or newer (24 recommended)`);
  }
  exportNodedir();
  const missing = only === 'build' ? [] : ensureDebianPackages();
  const stamp = readStamp();
  ensureNpmPackages(stamp);
  ensureNativeBuild(stamp);
  ensureTypeScriptBuild(stamp);
  if (isFull && isRoot && only !== 'build') ensureSanitizedBuild();
  return missing;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const only = process.argv[2] === '--only' ? process.argv[3] : undefined;
    const missing = bootstrap({ only });
    if (missing.length > 0) process.exit(2);
    say('ready: npm run demo, npm test, bin/fabric --help');
  } catch (error) {
    process.stderr.write(`set-up failed: ${error.message}\n`);
    process.exit(error instanceof NeedsRoot ? 2 : 1);
  }
}

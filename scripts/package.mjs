// `npm run package [-- --to DIR --level 1..9 --as-is]`: a tarball and a .deb of fabric that install on a host without compiler, npm
// or Node. Both hold one tree, /opt/fabric: the compiled TypeScript, the npm packages that it needs at run time, the native
// programs and the Node that they were built for. Nothing in it is configured: `fabric setup` does that.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bootstrap, root } from './bootstrap.mjs';

/** Debian has another package called fabric. */
const NAME = 'fabric-overlay';
const PLACE = 'opt/fabric';
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'LICENSE', 'package.json'];
const NATIVE = ['native/build/Release/fabric-engine', 'native/build/Release/fabric_addon.node', 'bin/cni/fabric'];
/** Of an npm package: what Node loads, and its licence. */
const RUNTIME_FILE = /(\.(c|m)?js|\.json|\.node|\.proto|^licen[cs]e.*|^copying.*|^notice.*)$/i;
/** Folders of a package, which hold what others wrote or tests; and what a build leaves. */
const NOT_RUNTIME = /^(test|tests|deps|docs|example|examples|\.github)$/;
const NOWHERE = /^(node_modules|obj\.target)$/;
/** What fabric runs beside its own programs. */
const TOOLS = ['iproute2', 'nftables'];
/** The Node of the package, whatever Node the host has. */
const COMMAND = `#!/bin/sh
# The fabric command of an installed package: its own Node, its own files.
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")
exec "$root/lib/node" "$root/dist/src/cli/main.js" "$@"
`;

const { values } = parseArgs({
  options: {
    to: { type: 'string', default: join(root, 'build/package') },
    /** Of gzip. */
    level: { type: 'string', default: '6' },
    /** What is built already, without a look whether it is up to date. */
    'as-is': { type: 'boolean', default: false },
  },
});
const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function say(text) {
  process.stdout.write(`\u00b7 ${text}\n`);
}

/** Its standard output; throws with all that it said when it fails. */
function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20, ...options });
  if (result.error) throw result.error;
  if (result.status === 0) return result.stdout;
  throw new Error(`${[command, ...args].join(' ')} ended with ${result.status ?? result.signal}\n${result.stderr}`);
}

/** Copies the files that `accept` takes by their names; folders that hold none are not made. `passOver` is asked of its own folders. */
function copyFiles(from, to, accept, passOver = /^$/) {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      if (!passOver.test(entry.name) && !NOWHERE.test(entry.name)) copyFiles(source, target, accept);
    } else if (entry.isFile() && accept.test(entry.name)) {
      mkdirSync(to, { recursive: true });
      cpSync(source, target);
    }
  }
}

/** /opt/fabric below `stage`. */
function makeTree(stage) {
  const tree = join(stage, PLACE);
  for (const path of [...DOCUMENTS, ...NATIVE]) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    cpSync(join(root, path), join(tree, path));
  }
  copyFiles(join(root, 'dist/src'), join(tree, 'dist/src'), /\.js$/);
  copyFiles(join(root, 'dist/ui'), join(tree, 'dist/ui'), /\.js$/);
  copyFiles(join(root, 'ui'), join(tree, 'ui'), /\.(html|css)$/);
  copyFiles(join(root, 'deploy'), join(tree, 'deploy'), /\.(ya?ml|json|txt)$/);
  copyFiles(join(root, 'docs'), join(tree, 'docs'), /\.(md|json|jpg)$/, /^results$/);
  for (const folder of run('npm', ['ls', '--omit=dev', '--all', '--parseable']).trim().split('\n').slice(1)) {
    copyFiles(folder, join(tree, relative(root, folder)), RUNTIME_FILE, NOT_RUNTIME);
  }
  mkdirSync(join(tree, 'lib'), { recursive: true });
  cpSync(process.execPath, join(tree, 'lib/node'));
  writeFileSync(join(tree, 'bin/fabric'), COMMAND);
  for (const path of ['lib/node', 'bin/fabric']) chmodSync(join(tree, path), 0o755);
  mkdirSync(join(stage, 'usr/bin'), { recursive: true });
  symlinkSync(`/${PLACE}/bin/fabric`, join(stage, 'usr/bin/fabric'));
  makeShellFiles(stage, tree);
  return tree;
}

/** The manual page, and completion where Debian's shells look for it. */
function makeShellFiles(stage, tree) {
  const share = (path, content) => {
    mkdirSync(dirname(join(stage, 'usr/share', path)), { recursive: true });
    writeFileSync(join(stage, 'usr/share', path), content);
  };
  share('man/man8/fabric.8.gz', gzipSync(readFileSync(join(root, 'docs/fabric.8')), { level: 9 }));
  const completion = (shell) => run(join(tree, 'bin/fabric'), ['completion', shell]);
  share('bash-completion/completions/fabric', completion('bash'));
  share('zsh/vendor-completions/_fabric', completion('zsh'));
  share('fish/vendor_completions.d/fabric.fish', completion('fish'));
}

/** Debian's packages with the shared libraries that the tree's programs load, by the versions that they were built with. */
function dependencies(tree) {
  const isProgram = ['(', '-name', '*.node', '-o', '-perm', '-100', ')'];
  const libraries = new Set();
  for (const program of run('find', [tree, '-type', 'f', ...isProgram])
    .trim()
    .split('\n')) {
    // Both say nothing of scripts; ldd has the path of each library, also of those that others of them need.
    const { stdout: dynamic } = spawnSync('readelf', ['-d', program], { encoding: 'utf8' });
    const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name);
    const { stdout: resolved } = spawnSync('ldd', [program], { encoding: 'utf8' });
    for (const [, name, path] of resolved.matchAll(/(\S+) => (\/\S+)/g)) {
      if (needed.includes(name)) libraries.add(`*/${path.split('/').slice(-2).join('/')}`);
    }
  }
  const owners = run('dpkg-query', ['-S', ...libraries]);
  const packages = new Set(
    owners
      .trim()
      .split('\n')
      .map((line) => line.split(':')[0]),
  );
  return [...[...packages].map(versioned), ...TOOLS].sort().join(', ');
}

/** Newer symbols than the C and C++ libraries of the build had are not used; the names of others tell their interface. */
function versioned(name) {
  if (name !== 'libc6' && name !== 'libstdc++6') return name;
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholder
  const [upstream] = run('dpkg-query', ['-W', '-f', '${Version}', name]).split('-');
  return `${name} (>= ${upstream})`;
}

function writeControl(stage, tree) {
  const architecture = run('dpkg', ['--print-architecture']).trim();
  const sizeKiB = run('du', ['-sk', stage]).split('\t')[0];
  mkdirSync(join(stage, 'DEBIAN'));
  writeFileSync(
    join(stage, 'DEBIAN/control'),
    `Package: ${NAME}
Version: ${version}
Architecture: ${architecture}
Maintainer: The fabric authors <fabric@localhost>
Installed-Size: ${sizeKiB}
Depends: ${dependencies(tree)}
Recommends: iproute2
Section: net
Priority: optional
Description: ${description.replace(/^fabric: /, '')}
 Run "fabric launch" on each host, and every container on every host sits on one
 Ethernet segment, encrypted between hosts, without a store beside it.
 .
 /opt/fabric holds all of it, with a Node.js of its own.
`,
  );
  return architecture;
}

if (!values['as-is']) bootstrap();
const { to } = values;
const stage = mkdtempSync(join(tmpdir(), 'fabric-package-'));
try {
  chmodSync(stage, 0o755);
  say(`collecting /${PLACE}`);
  const tree = makeTree(stage);
  const architecture = writeControl(stage, tree);
  mkdirSync(to, { recursive: true });
  const deb = join(to, `${NAME}_${version}_${architecture}.deb`);
  const tarball = join(to, `${NAME}-${version}-${architecture}.tar.gz`);
  say('compressing');
  run('dpkg-deb', ['--root-owner-group', '-Zgzip', `-z${values.level}`, '--build', stage, deb]);
  const ownerless = ['--owner=0', '--group=0', '--numeric-owner', '--sort=name'];
  run('tar', [
    ...ownerless,
    '-C',
    dirname(tree),
    `--use-compress-program=gzip -${values.level}`,
    '-cf',
    tarball,
    basename(tree),
  ]);
  for (const file of [deb, tarball]) say(`${file} (${(statSync(file).size / 1e6).toFixed(0)} MB)`);
} finally {
  rmSync(stage, { recursive: true, force: true });
}

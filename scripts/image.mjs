// `npm run image [-- --to DIR --as-is]`: a container image with fabric in it, as a Docker archive: Debian's smallest base of this machine's
// release, by mmdebstrap, and the package that `npm run package` makes, with what it depends on. Needs root.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isRoot, root } from './bootstrap.mjs';
import { writeDockerArchive } from './docker-archive.mjs';

/** Beside what the package depends on: the manifest's script mounts, the engine encrypts faster, and people look around. */
const PACKAGES = [
  ...['mount', 'iproute2', 'iputils-ping', 'procps'],
  ...(process.arch === 'x64' ? ['libipsec-mb-dev'] : []),
];
/** Where Debian keeps the mirrors that this machine uses; without it mmdebstrap's own. */
const SOURCES = '/etc/apt/sources.list.d/debian.sources';

const { values } = parseArgs({
  options: {
    to: { type: 'string', default: join(root, 'build/image') },
    /** What is built already, without a look whether it is up to date. */
    'as-is': { type: 'boolean', default: false },
  },
});
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function say(text) {
  process.stdout.write(`\u00b7 ${text}\n`);
}

/** Its standard output; throws with all that it said when it fails. */
function run(command, args) {
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 });
  if (result.error) throw result.error;
  if (result.status === 0) return result.stdout;
  throw new Error(`${[command, ...args].join(' ')} ended with ${result.status ?? result.signal}\n${result.stderr}`);
}

function makePackage(folder) {
  const flags = ['--to', folder, '--level', '1', ...(values['as-is'] ? ['--as-is'] : [])];
  run(process.execPath, [join(root, 'scripts/package.mjs'), ...flags]);
  return join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.deb')),
  );
}

/** A tar of Debian with the package installed. */
function makeLayer(folder, deb) {
  const [, suite] = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8')) ?? [];
  if (suite === undefined) throw new Error('this is no release of Debian that mmdebstrap could make');
  const dependencies = run('dpkg-deb', ['--field', deb, 'Depends'])
    .split(',')
    .map((one) => one.trim().split(' ')[0]);
  const layer = join(folder, 'layer.tar');
  run('mmdebstrap', [
    '--quiet',
    '--mode=root',
    '--variant=essential',
    `--include=${[...dependencies, ...PACKAGES].join(',')}`,
    `--customize-hook=upload "${deb}" /fabric.deb`,
    '--customize-hook=chroot "$1" dpkg --install /fabric.deb',
    '--customize-hook=rm "$1/fabric.deb"',
    suite,
    layer,
    ...(existsSync(SOURCES) ? [SOURCES] : []),
  ]);
  return layer;
}

if (!isRoot || !existsSync('/usr/bin/mmdebstrap')) {
  process.stderr.write(
    'an image is made by root with mmdebstrap: sudo apt-get install mmdebstrap && sudo npm run image\n',
  );
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'fabric-image-'));
try {
  say('the package');
  const deb = makePackage(folder);
  say('Debian');
  const layer = makeLayer(folder, deb);
  mkdirSync(values.to, { recursive: true });
  const name = `fabric-overlay:${version}`;
  const file = join(values.to, `fabric-overlay-${version}.tar`);
  const config = { Cmd: ['fabric', '--help'], Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'], StopSignal: 'SIGTERM' };
  writeDockerArchive(file, { layer, images: [{ name: `docker.io/library/${name}`, config }] });
  say(`${file} (${(statSync(file).size / 1e6).toFixed(0)} MB): ctr images import, docker load, podman load`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

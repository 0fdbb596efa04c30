// A container image made of Debian's static busybox alone, as files that runtimes import: nothing is pulled from anywhere.
// `docker import` takes the root file system; `ctr images import` takes a Docker archive around it.

import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from './checkout.ts';
import { exec } from './exec.ts';

const BUSYBOX = '/bin/busybox';
/** What the tests call; every name is a link to busybox. */
const APPLETS = ['sh', 'cat', 'echo', 'httpd', 'ip', 'mkdir', 'nc', 'ping', 'sleep'];
export const IMAGE = 'docker.io/library/fabric-busybox:1';
/** The same files; its process, the only one of a pod that nothing else is put into, serves /www on port 80. */
export const PAUSE_IMAGE = 'docker.io/library/fabric-pause:1';
const PAUSE = ['/bin/httpd', '-f', '-p', '80', '-h', '/www'];

export interface BusyboxImage {
  /** tar of the root file system. */
  readonly rootfs: string;
  /** `docker save` format. */
  readonly archive: string;
}

export async function makeBusyboxImage(folder: string): Promise<BusyboxImage> {
  const root = join(folder, 'rootfs');
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'www']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  copyFileSync(BUSYBOX, join(root, 'bin/busybox'));
  for (const name of APPLETS) symlinkSync('busybox', join(root, 'bin', name));
  writeFileSync(join(root, 'www/index.html'), 'hello from the image\n');
  const rootfs = join(folder, 'rootfs.tar');
  await exec(['tar', '-C', root, '-cf', rootfs, '.']);

  const archive = join(folder, 'image.tar');
  const { writeDockerArchive } = await loadDockerArchive();
  const Env = ['PATH=/bin'];
  writeDockerArchive(archive, {
    layer: rootfs,
    images: [
      { name: IMAGE, config: { Cmd: ['/bin/sh'], Env } },
      { name: PAUSE_IMAGE, config: { Cmd: PAUSE, Env } },
    ],
  });
  return { rootfs, archive };
}

/** Scripts are not compiled, so they do not lie beside what is. */
function loadDockerArchive(): Promise<typeof import('../../scripts/docker-archive.mjs')> {
  return import(join(CHECKOUT, 'scripts/docker-archive.mjs'));
}

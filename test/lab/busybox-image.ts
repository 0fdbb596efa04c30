// A container image made of Debian's static busybox alone, as files that runtimes import: nothing is pulled from anywhere.
// `docker import` takes the root file system; `ctr images import` takes a Docker archive around it.

import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

  const parts = join(folder, 'archive');
  mkdirSync(join(parts, 'layer'), { recursive: true });
  copyFileSync(rootfs, join(parts, 'layer/layer.tar'));
  const layerId = createHash('sha256').update(readFileSync(rootfs)).digest('hex');
  const manifest: object[] = [];
  for (const [name, image, command] of [
    ['config.json', IMAGE, ['/bin/sh']],
    ['pause.json', PAUSE_IMAGE, PAUSE],
  ] as const) {
    const config = {
      architecture: { x64: 'amd64', arm64: 'arm64' }[process.arch as 'x64' | 'arm64'],
      os: 'linux',
      config: { Cmd: command, Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${layerId}`] },
    };
    writeFileSync(join(parts, name), JSON.stringify(config));
    manifest.push({ Config: name, RepoTags: [image], Layers: ['layer/layer.tar'] });
  }
  writeFileSync(join(parts, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(folder, 'image.tar');
  await exec(['tar', '-C', parts, '-cf', archive, 'manifest.json', 'config.json', 'pause.json', 'layer']);
  return { rootfs, archive };
}

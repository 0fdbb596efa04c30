// Writes images of one layer as a Docker archive (what `docker save` writes), which `docker load`, `podman load` and `ctr images import`
// read. Nothing but tar is needed for it.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, linkSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Debian's and Go's names of what Node calls process.arch. */
const ARCHITECTURES = { x64: 'amd64', arm64: 'arm64' };
const CHUNK_BYTES = 1 << 20;

export function writeDockerArchive(file, { layer, images }) {
  // Beside the layer, which is as large as all of it: linked, not copied.
  const parts = mkdtempSync(join(dirname(layer), 'archive-'));
  try {
    linkSync(layer, join(parts, 'layer.tar'));
    const rootfs = { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] };
    const manifest = images.map(({ name, config }, index) => {
      const description = { architecture: ARCHITECTURES[process.arch], os: 'linux', config, rootfs };
      writeFileSync(join(parts, `config-${index}.json`), JSON.stringify(description));
      return { Config: `config-${index}.json`, RepoTags: [name], Layers: ['layer.tar'] };
    });
    writeFileSync(join(parts, 'manifest.json'), JSON.stringify(manifest));
    const names = ['manifest.json', ...manifest.map(({ Config }) => Config), 'layer.tar'];
    const { status, stderr } = spawnSync('tar', ['-C', parts, '-cf', file, ...names], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`tar ended with ${status}: ${stderr}`);
  } finally {
    rmSync(parts, { recursive: true, force: true });
  }
}

function sha256(file) {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const fd = openSync(file, 'r');
  try {
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk))
      hash.update(chunk.subarray(0, length));
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

// fabric's version, for people and for `status`; the protocol's own version is in the mesh hello.

import { createRequire } from 'node:module';

/** Three folders up from here, both in src/ (tests) and in dist/src/ (compiled) a package.json is found on the way. */
function readVersion(): string {
  const require = createRequire(import.meta.url);
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return (require(path) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error('invariant broken: package.json lies above the compiled files');
}

export const VERSION = readVersion();

/** The versions of the mesh protocol that this host speaks. */
export const PROTOCOL = { protocolMin: 1, protocolMax: 1 };

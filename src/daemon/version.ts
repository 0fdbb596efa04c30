// fabric's version, for people and for `status`; the protocol's own version is in the mesh hello.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { INSTALLATION } from '../host/installation.ts';

function readVersion(): string {
  return (JSON.parse(readFileSync(join(INSTALLATION, 'package.json'), 'utf8')) as { version: string }).version;
}

export const VERSION = readVersion();

/** The versions of the mesh protocol that this host speaks. */
export const PROTOCOL = { protocolMin: 1, protocolMax: 1 };

// Stands in for the next version of fabric, until there is one: the compiled daemon of this checkout with a protocol version more,
// and with fields in hellos and records that today's version does not know. A host gets it as an upgrade puts it: in the place of
// the files it runs.

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CHECKOUT } from './checkout.ts';
import type { LabHost } from './host.ts';

export const NEXT_VERSION = '99.0.0';

const TODAY = join(CHECKOUT, 'dist/src');
const FIELD = `tomorrow: { type: 'string', id: 99 }`;

/** Each stands exactly once in its file. */
const CHANGES: readonly (readonly [file: string, today: string, next: string])[] = [
  [
    'daemon/version.js',
    'PROTOCOL = { protocolMin: 1, protocolMax: 1 }',
    `PROTOCOL = { protocolMin: 1, protocolMax: 2, tomorrow: 'sunny' }`,
  ],
  ['daemon/version.js', 'VERSION = readVersion()', `VERSION = '${NEXT_VERSION}'`],
  ['host/mesh/envelope.js', `bootId: { type: 'bytes', id: 5 },`, `bootId: { type: 'bytes', id: 5 }, ${FIELD},`],
  ['gossip/records-schema.js', `bootId: { type: 'bytes', id: 5 },`, `bootId: { type: 'bytes', id: 5 }, ${FIELD},`],
  [
    'gossip/records-schema.js',
    `kind: { type: 'AttachmentKind', id: 4 },`,
    `kind: { type: 'AttachmentKind', id: 4 }, ${FIELD},`,
  ],
  ['gossip/record-codec.js', 'aliases: record.aliases,', `aliases: record.aliases, tomorrow: 'cloudy',`],
];

/** Makes it in that directory; returns its files' folder, for {@link putInPlace}. */
export function makeNextVersion(directory: string): string {
  const folder = join(directory, 'next-version');
  cpSync(TODAY, folder, { recursive: true });
  for (const [file, today, next] of CHANGES) {
    const path = join(folder, file);
    const parts = readFileSync(path, 'utf8').split(today);
    if (parts.length !== 2) throw new Error(`${file} says ${JSON.stringify(today)} ${parts.length - 1} times`);
    writeFileSync(path, parts.join(next));
  }
  return folder;
}

/** From now on, that host finds those files where today's were. What runs goes on as it is. */
export async function putInPlace(host: LabHost, folder: string): Promise<void> {
  await host.run(['mount', '--bind', folder, TODAY]);
}

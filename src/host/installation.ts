// Where the files of this fabric lie: in a checkout or in an installed package, run from its sources or compiled.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from '../base/errors.ts';

/** The folder of the checkout or the package: the nearest one above this code that holds a package.json. */
export const INSTALLATION = rootAbove(dirname(fileURLToPath(import.meta.url)));

function rootAbove(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder;
  assert(dirname(folder) !== folder, 'a package.json lies above the code');
  return rootAbove(dirname(folder));
}

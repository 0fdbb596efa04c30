// Where the checkout is, seen from dist/test/lab, and the executables that the lab runs.

import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CHECKOUT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
export const CNI_PLUGIN = join(CHECKOUT, 'bin/cni/fabric');

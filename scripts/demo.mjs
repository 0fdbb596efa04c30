// `npm run demo`: bootstrap, then the demonstration (test/lab/demo.ts). Exit code 2 when it can't run here.

import { bootstrapForRoot } from './bootstrap-for-root.mjs';

if (bootstrapForRoot('npm run demo')) await import('../dist/test/lab/demo.js');

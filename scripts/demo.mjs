// `npm run demo`: bootstrap, then the demonstration (test/lab/demo.ts). Exit code 2 when it can't run here.

import { bootstrap, isRoot } from './bootstrap.mjs';

try {
  const missing = bootstrap();
  if (missing.length > 0 || !isRoot) {
    process.stderr.write('the demo makes network namespaces and needs root: sudo npm run demo\n');
    process.exitCode = 2;
  } else await import('../dist/test/lab/demo.js');
} catch (error) {
  process.stderr.write(`set-up failed: ${error.message}\n`);
  process.exitCode = 1;
}

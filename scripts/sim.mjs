// `npm run sim -- [OPTIONS]`: builds what is missing and runs the deterministic cluster simulator (docs/simulator.md). Needs no
// root and no network.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

bootstrap({ only: 'build' });
const simulator = spawn(process.execPath, [join(root, 'dist/test/sim/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
});
simulator.once('close', (code) => {
  process.exitCode = code ?? 1;
});

// `npm run sim -- [OPTIONS]`: builds what is missing and runs the deterministic cluster simulator (docs/simulator.md). Needs no
// root and no network.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

bootstrap({ only: 'build' });
/** Messages of thousands of hosts die young, and ten thousand hosts need more than Node's usual heap. */
const MEMORY = ['--max-semi-space-size=64', '--max-old-space-size=20000'];
const simulator = spawn(process.execPath, [...MEMORY, join(root, 'dist/test/sim/main.js'), ...process.argv.slice(2)], {
  stdio: 'inherit',
});
simulator.once('close', (code) => {
  process.exitCode = code ?? 1;
});

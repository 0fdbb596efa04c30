// The bootstrap for what needs root in full: the demo and the benchmark.

import { bootstrap, isRoot } from './bootstrap.mjs';

/** True when `command` may go on; else it has been said why not and what to do, and the exit code is 2. */
export function bootstrapForRoot(command) {
  process.exitCode = 2;
  try {
    if (bootstrap().length > 0) return false;
  } catch (error) {
    process.stderr.write(`set-up failed: ${error.message}\n`);
    return false;
  }
  if (!isRoot) {
    process.stderr.write(`it makes network namespaces, which needs root; run:\n    sudo ${command}\n`);
    return false;
  }
  process.exitCode = 0;
  return true;
}

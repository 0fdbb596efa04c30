// `npm run bench [-- --quick] [-- --json FILE]`: bootstrap, then the benchmark (bench/README.md). Exit code 2 when it can't run.

import { bootstrap, isRoot } from './bootstrap.mjs';

try {
  const missing = bootstrap();
  if (missing.length > 0 || !isRoot) {
    process.stderr.write('the benchmark makes network namespaces and needs root: sudo npm run bench\n');
    process.exitCode = 2;
  } else {
    // `npm run bench -- --quick -- --json FILE` reads well and means the same as one `--`.
    process.argv.splice(2, Infinity, ...process.argv.slice(2).filter((word) => word !== '--'));
    await import('../dist/bench/main.js');
  }
} catch (error) {
  process.stderr.write(`the benchmark failed: ${error.message}\n`);
  process.exitCode = 1;
}

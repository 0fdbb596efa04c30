// `npm run bench [-- --quick] [-- --json FILE]`: bootstrap, then the benchmark (bench/README.md); with `--cni` that of the CNI
// plugin, with `--observe` what it costs to be looked at. Exit code 2 when it can't run.

import { bootstrapForRoot } from './bootstrap-for-root.mjs';

if (bootstrapForRoot('npm run bench')) {
  // `npm run bench -- --quick -- --json FILE` means the same as with one `--`.
  process.argv.splice(2, Infinity, ...process.argv.slice(2).filter((word) => word !== '--'));
  const kind = ['cni', 'observe'].find((name) => process.argv.includes(`--${name}`));
  await import(kind === undefined ? '../dist/bench/main.js' : `../dist/bench/${kind}/main.js`);
}

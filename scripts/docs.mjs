// `npm run docs`: writes docs/cli.md and docs/fabric.8 from the command itself. test/cli/manual.test.ts says when that is due.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, root } from './bootstrap.mjs';

function manual(...flags) {
  const { stdout, status } = spawnSync(join(root, 'bin/fabric'), ['manual', ...flags], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`fabric manual ended with ${status}`);
  return stdout;
}

bootstrap();
writeFileSync(join(root, 'docs/cli.md'), manual('--markdown'));
writeFileSync(join(root, 'docs/fabric.8'), manual());

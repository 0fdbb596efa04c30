// The unit's text, where it depends on where fabric lies. That systemd understands it, and that fabric works within it, shows
// test/e2e/package.ts.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { unitText } from '../../src/cli/systemd-unit.ts';

const PACKAGE = ['/opt/fabric/lib/node', '/opt/fabric/dist/src/cli/main.js'];

function settings({ command = PACKAGE, stateDir = '/var/lib/fabric', runDir = '/run/fabric' } = {}) {
  const lines = unitText({ command, stateDir, runDir }).split('\n');
  return new Map(lines.filter((line) => line.includes('=')).map((line) => [line.split('=')[0], line]));
}

test('words of the command line are quoted, and no specifiers', () => {
  const line = settings({ command: ['/opt/my node', '/opt/100%/$x'] }).get('ExecStart');
  expect(line).toBe(
    'ExecStart="/opt/my node" "/opt/100%%/$$x" launch --state-dir /var/lib/fabric --run-dir /run/fabric',
  );
});

test.each([
  ['a package', {}, 'yes', 'yes'],
  ['a checkout in a home', { command: ['/usr/bin/node', '/root/fabric/main.js'] }, 'read-only', 'yes'],
  ['a Node in a home', { command: ['/home/me/.nvm/node', '/opt/fabric/main.js'] }, 'read-only', 'yes'],
  ['a checkout for a moment', { command: ['/usr/bin/node', '/tmp/fabric/main.js'] }, 'yes', 'no'],
  ['a state for a moment', { stateDir: '/var/tmp/state' }, 'yes', 'no'],
])('%s can be read', (_, places, home, temporary) => {
  const unit = settings(places);
  expect([unit.get('ProtectHome'), unit.get('PrivateTmp')]).toEqual([`ProtectHome=${home}`, `PrivateTmp=${temporary}`]);
});

test('what the daemon writes is writable, and what V8 and sysctls need is not forbidden', () => {
  const unit = settings({ stateDir: '/srv/state', runDir: '/srv/run' });
  expect(unit.get('ReadWritePaths')).toBe('ReadWritePaths=/run /srv/state /srv/run');
  for (const name of ['MemoryDenyWriteExecute', 'ProtectKernelTunables', 'PrivateMounts', 'MountFlags']) {
    expect(unit.has(name)).toBe(false);
  }
});

test('docs/operations.md shows the unit of a package', () => {
  const text = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const shown = /```ini\n([\s\S]*?)```/.exec(text)?.[1];
  expect(shown).toBe(unitText({ command: PACKAGE, stateDir: '/var/lib/fabric', runDir: '/run/fabric' }));
});

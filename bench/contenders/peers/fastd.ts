// fastd in TAP mode with the method that its documentation recommends, salsa2012+umac.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '../../../test/lab/exec.ts';
import { peer } from '../peer-pair.ts';
import { program, startPeer } from '../peer-program.ts';

const LINK = 'fastd0';
const PORT = '10000';
/** What its documentation gives for IPv4 underlays of 1500 bytes. */
const MTU = 1406;

export const fastd = peer({
  name: 'fastd',
  title: 'fastd, frames, salsa2012+umac',
  programs: ['fastd'],
  link: LINK,
  mtu: MTU,
  async prepare([a, b]) {
    const keysOfA = await generateKeys();
    const keysOfB = await generateKeys();
    for (const [{ directory, role, host, remoteIp }, own, remote] of [
      [a!, keysOfA, keysOfB],
      [b!, keysOfB, keysOfA],
    ] as const) {
      const lines = [
        `interface "${LINK}"; mode tap; mtu ${MTU}; method "salsa2012+umac"; log level error;`,
        `bind ${host.ip}:${PORT}; secret "${own.secret}";`,
        `peer "remote" { key "${remote.public}"; remote ${remoteIp}:${PORT}; }`,
      ];
      writeFileSync(join(directory, `${role}.conf`), `${lines.join('\n')}\n`, { mode: 0o600 });
    }
  },
  async start(lab, { host, role, directory }) {
    const command = [program('fastd'), '--config', join(directory, `${role}.conf`)];
    await startPeer(lab, host, { command, link: LINK });
  },
});

/** Two lines: the secret, the public key. */
async function generateKeys(): Promise<{ readonly secret: string; readonly public: string }> {
  const { stdout } = await exec([program('fastd'), '--generate-key', '--machine-readable']);
  const secret = stdout.trim().split('\n')[0]!;
  const shown = await exec([program('fastd'), '--show-key', '--machine-readable', '--config', '-'], {
    input: `secret "${secret}";\nmethod "salsa2012+umac";\nbind any;\n`,
  });
  return { secret, public: shown.stdout.trim() };
}

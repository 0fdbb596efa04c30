// tinc in switch mode, UDP, with its default cipher and digest (1.0: AES-256-CBC and SHA-256).

import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '../../../test/lab/exec.ts';
import { type PeerHost, peer } from '../peer-pair.ts';
import { program, startPeer } from '../peer-program.ts';

const LINK = 'tinc0';

export const tinc = peer({
  name: 'tinc',
  title: 'tinc, frames (switch mode), AES-256-CBC',
  programs: ['tincd'],
  link: LINK,
  mtu: 1400,
  async prepare(ends) {
    for (const end of ends) await configure(end);
    const [a, b] = ends;
    await exec(['cp', hostFile(a!, 'a'), hostFile(b!, 'a')]);
    await exec(['cp', hostFile(b!, 'b'), hostFile(a!, 'b')]);
  },
  async start(lab, end) {
    const command = [program('tincd'), '--config', configOf(end), '--no-detach', `--pidfile=${configOf(end)}/pid`];
    await startPeer(lab, end.host, { command, link: LINK });
  },
});

async function configure(end: PeerHost): Promise<void> {
  const { role, host } = end;
  const config = configOf(end);
  mkdirSync(join(config, 'hosts'), { recursive: true });
  const other = role === 'a' ? 'b' : 'a';
  const lines = [`Name = ${role}`, 'Mode = switch', 'DeviceType = tap', `Interface = ${LINK}`, `ConnectTo = ${other}`];
  writeFileSync(join(config, 'tinc.conf'), `${lines.join('\n')}\n`);
  writeFileSync(hostFile(end, role), `Address = ${host.ip}\n`);
  // Asks where to put the keys; two empty lines take what it proposes: the private key beside tinc.conf, the public one in the host file.
  await exec([program('tincd'), '--config', config, '--generate-keys=2048'], { input: '\n\n' });
  appendFileSync(hostFile(end, role), '\n');
}

function configOf({ directory, role }: PeerHost): string {
  return join(directory, role);
}

function hostFile(end: PeerHost, name: string): string {
  return join(configOf(end), 'hosts', name);
}

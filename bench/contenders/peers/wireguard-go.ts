// wireguard-go: WireGuard in user space over a TUN, so packets, from host to host. It knows one cipher, ChaCha20-Poly1305.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '../../../test/lab/exec.ts';
import { peer } from '../peer-pair.ts';
import { program, startPeer } from '../peer-program.ts';

const LINK = 'wg0';
const PORT = '51820';

export const wireguardGo = peer({
  name: 'wireguard-go',
  title: 'wireguard-go, packets host to host, ChaCha20-Poly1305',
  programs: ['wireguard-go', 'wg'],
  processes: ['wireguard-go'],
  link: LINK,
  mtu: 1420,
  async prepare(ends) {
    for (const { directory, role } of ends) {
      const secret = (await exec([program('wg'), 'genkey'])).stdout;
      writeFileSync(join(directory, `${role}.key`), secret, { mode: 0o600 });
      writeFileSync(
        join(directory, `${role}.pub`),
        (await exec([program('wg'), 'pubkey'], { input: secret })).stdout.trim(),
      );
    }
  },
  async start(lab, { host, role, remoteIp, remoteOverlayIp, directory }) {
    await startPeer(lab, host, { command: [program('wireguard-go'), '-f', LINK], link: LINK });
    const remoteKey = (await exec(['cat', join(directory, `${role === 'a' ? 'b' : 'a'}.pub`)])).stdout;
    const remote = ['peer', remoteKey, 'endpoint', `${remoteIp}:${PORT}`, 'allowed-ips', `${remoteOverlayIp}/32`];
    const own = ['listen-port', PORT, 'private-key', join(directory, `${role}.key`)];
    await host.run([program('wg'), 'set', LINK, ...own, ...remote]);
  },
});

// nebula over a TUN, so packets, from host to host, with its default cipher (AES-256-GCM) and default MTU (1300).

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec } from '../../../test/lab/exec.ts';
import { peer } from '../peer-pair.ts';
import { program, startPeer } from '../peer-program.ts';

const LINK = 'nebula0';
const PORT = 4242;

export const nebula = peer({
  name: 'nebula',
  title: 'nebula, packets host to host, AES-256-GCM',
  programs: ['nebula', 'nebula-cert'],
  processes: ['nebula'],
  link: LINK,
  mtu: null,
  async prepare(ends) {
    const { directory } = ends[0]!;
    const ca = [join(directory, 'ca.crt'), join(directory, 'ca.key')] as const;
    await exec([program('nebula-cert'), 'ca', '-name', 'bench', '-out-crt', ca[0], '-out-key', ca[1]]);
    for (const { role, ip, remoteIp, remoteOverlayIp } of ends) {
      const own = [join(directory, `${role}.crt`), join(directory, `${role}.key`)] as const;
      const facts = ['-name', role, '-ip', `${ip}/24`, '-out-crt', own[0], '-out-key', own[1]];
      await exec([program('nebula-cert'), 'sign', '-ca-crt', ca[0], '-ca-key', ca[1], ...facts]);
      const any = [{ port: 'any', proto: 'any', host: 'any' }];
      const config = {
        pki: { ca: ca[0], cert: own[0], key: own[1] },
        static_host_map: { [remoteOverlayIp]: [`${remoteIp}:${PORT}`] },
        lighthouse: { am_lighthouse: false, hosts: [] },
        listen: { host: '0.0.0.0', port: PORT },
        tun: { dev: LINK },
        logging: { level: 'error' },
        firewall: { outbound: any, inbound: any },
      };
      // YAML holds JSON.
      writeFileSync(join(directory, `${role}.yml`), JSON.stringify(config));
    }
  },
  async start(lab, { host, role, directory }) {
    const command = [program('nebula'), '-config', join(directory, `${role}.yml`)];
    await startPeer(lab, host, { command, link: LINK });
  },
});

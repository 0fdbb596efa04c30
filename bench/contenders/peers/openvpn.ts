// OpenVPN between two hosts over a TAP, TLS with certificates pinned by fingerprint, data by its default cipher AES-256-GCM.

import { join } from 'node:path';
import { exec } from '../../../test/lab/exec.ts';
import { peer } from '../peer-pair.ts';
import { program, startPeer } from '../peer-program.ts';

const LINK = 'ovpn0';

export const openvpn = peer({
  name: 'openvpn',
  title: 'OpenVPN, frames, AES-256-GCM',
  programs: ['openvpn', 'openssl'],
  processes: ['openvpn'],
  link: LINK,
  mtu: 1400,
  async prepare(ends) {
    for (const { directory, role } of ends) {
      const files = ['-keyout', join(directory, `${role}.key`), '-out', join(directory, `${role}.crt`)];
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
      await exec([program('openssl'), 'req', '-x509', ...key, ...files, '-days', '30', '-subj', `/CN=${role}`]);
    }
  },
  async start(lab, { host, role, remoteIp, directory }) {
    const remote = role === 'a' ? 'b' : 'a';
    const certificate = join(directory, `${remote}.crt`);
    const shown = await exec([program('openssl'), 'x509', '-noout', '-fingerprint', '-sha256', '-in', certificate]);
    const command = [
      [program('openvpn'), '--dev', LINK, '--dev-type', 'tap', '--proto', 'udp', '--remote', remoteIp, '--verb', '1'],
      role === 'a' ? ['--tls-server', '--dh', 'none'] : ['--tls-client'],
      ['--cert', join(directory, `${role}.crt`), '--key', join(directory, `${role}.key`)],
      ['--peer-fingerprint', shown.stdout.trim().split('=')[1]!, '--data-ciphers', 'AES-256-GCM'],
    ];
    await startPeer(lab, host, { command: command.flat(), link: LINK });
  },
});

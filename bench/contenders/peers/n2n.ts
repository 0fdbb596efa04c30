// n2n: an edge with a TAP on each host, a supernode beside the first; the edges talk directly once they know each other.
// Default cipher: Twofish in the version that Debian has.

import type { Lab } from '../../../test/lab/lab.ts';
import { type PeerHost, peer } from '../peer-pair.ts';
import { program, startPeer } from '../peer-program.ts';

const LINK = 'n2n0';
const PORT = '7654';
/** The bridge carries the overlay's addresses; the TAP needs some all the same, of another network. */
const TAP_IP = { a: '198.51.100.1', b: '198.51.100.2' } as const;

export const n2n = peer({
  name: 'n2n',
  title: 'n2n, frames, Twofish',
  programs: ['edge', 'supernode'],
  link: LINK,
  mtu: 1400,
  async start(lab, end) {
    const { host, role, remoteIp } = end;
    if (role === 'a') await startPeer(lab, host, { command: [program('supernode'), '-l', PORT], link: null });
    const supernode = `${role === 'a' ? host.ip : remoteIp}:${PORT}`;
    await startEdge(lab, end, supernode);
  },
});

/** `-r`: frames of containers are not the edge's own. */
async function startEdge(lab: Lab, { host, role }: PeerHost, supernode: string): Promise<void> {
  const facts = ['-d', LINK, '-a', TAP_IP[role], '-c', 'bench', '-k', 'bench-key', '-l', supernode];
  await startPeer(lab, host, { command: [program('edge'), ...facts, '-r'], link: LINK });
}

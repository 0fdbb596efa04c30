// Contenders that nobody had to write: FABRIC_BENCH_PEER_<NAME>=PATH names a program that makes one end of a tunnel
// (bench/README.md has the contract). It is started once on each of two hosts, in the foreground, and makes the interface
// `peer0` there: a TAP is put behind a bridge with a container, a TUN gets an address.

import { basename } from 'node:path';
import type { Contender } from '../../contender.ts';
import { peer } from '../peer-pair.ts';
import { startPeer } from '../peer-program.ts';

const PREFIX = 'FABRIC_BENCH_PEER_';
const LINK = 'peer0';

/** One contender for each such variable, in the order of the names. */
export function namedPeers(environment: NodeJS.ProcessEnv): readonly Contender[] {
  return Object.keys(environment)
    .filter((variable) => variable.startsWith(PREFIX) && environment[variable] !== '')
    .sort()
    .map((variable) => namedPeer(variable.slice(PREFIX.length), environment[variable]!));
}

function namedPeer(name: string, path: string): Contender {
  return peer({
    name: name.toLowerCase().replaceAll('_', '-'),
    title: `${basename(path)} (${PREFIX}${name})`,
    programs: [],
    processes: [basename(path)],
    link: LINK,
    mtu: null,
    async start(lab, { host, role, remoteIp, directory }) {
      const facts = { ROLE: role, LOCAL: host.ip, REMOTE: remoteIp, DIRECTORY: directory, INTERFACE: LINK };
      const assignments = Object.entries(facts).map(([key, value]) => `FABRIC_BENCH_${key}=${value}`);
      await startPeer(lab, host, { command: ['env', ...assignments, path], link: LINK });
    },
  });
}

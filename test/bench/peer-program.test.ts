// Where the programs are found that fabric is measured beside, and what is said of those that are not there.

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findProgram, lackOf, variableOf } from '../../bench/contenders/peer-program.ts';
import { namedPeers } from '../../bench/contenders/peers/named.ts';
import { nameOf } from '../../bench/process-time.ts';
import { temporaryDirectory } from '../fakes/temporary-directory.ts';

describe('a program by others', () => {
  it('is the one that its variable names', () => {
    expect(variableOf('wireguard-go')).toBe('FABRIC_BENCH_WIREGUARD_GO');
    expect(findProgram('wireguard-go', { FABRIC_BENCH_WIREGUARD_GO: '/opt/new', PATH: '' })).toBe('/opt/new');
  });

  it('is otherwise the first in the PATH that can be run', () => {
    const [first, second] = [temporaryDirectory(), temporaryDirectory()];
    for (const folder of [first, second]) writeFileSync(join(folder, 'fabric-bench-peer'), '');
    chmodSync(join(second, 'fabric-bench-peer'), 0o755);
    expect(findProgram('fabric-bench-peer', { PATH: `${first}:${second}` })).toBe(join(second, 'fabric-bench-peer'));
  });

  it('is missed by name', () => {
    expect(lackOf('fabric-no-such-program')).toBe(
      'fabric-no-such-program not found (FABRIC_BENCH_FABRIC_NO_SUCH_PROGRAM may name the path)',
    );
  });

  it('may be any that a variable names', () => {
    const peers = namedPeers({ FABRIC_BENCH_PEER_NEW_ONE: '/opt/one', FABRIC_BENCH_PEER_OFF: '', PATH: '' });
    expect(peers.map(({ name, title, isPeer }) => ({ name, title, isPeer }))).toEqual([
      { name: 'new-one', title: 'one (FABRIC_BENCH_PEER_NEW_ONE)', isPeer: true },
    ]);
  });
});

it('a process is told by its name, which may hold anything', () => {
  expect(nameOf('7 (a) b (c) S 1 7')).toBe('a) b (c');
});

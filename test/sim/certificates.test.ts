// Operators' certificates on whole simulated hosts (docs/keys.md): production members over production gossip, whose certificates are
// renewed by another CA on both sides of a partition, and a host that was off meanwhile. Certificates are words here:
// CA and peer; those of OpenSSL are judged in test/host/certificates.

import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { peerIdOf } from '../../src/base/membership.ts';
import { quickCrypto } from '../fakes/quick-crypto.ts';
import { Cluster } from './cluster.ts';
import { disagreement } from './convergence.ts';
import { randomSchedule } from './random-schedule.ts';
import type { SimHost } from './sim-host.ts';

const HOSTS = 5;
const JOINED_MS = 10_000;
const WEST = [0, 1];
const EAST = [2, 3, 4];

/** What the operator has put on a host. */
interface Files {
  readonly ca: string;
  readonly trusted: readonly string[];
}

/** `filesOf` is asked at each look. */
function give(host: SimHost, filesOf: () => Files): void {
  host.certificates = (self) => ({
    demanded: true,
    own: () => utf8(`${filesOf().ca} ${self}`),
    judge: (attestation, identityKey) => {
      const peer = peerIdOf(identityKey, quickCrypto);
      const [ca = '', holder] = new TextDecoder().decode(attestation ?? new Uint8Array(0)).split(' ');
      return filesOf().trusted.includes(ca) && holder === peer
        ? { holds: true, name: peer, keyId: peer, untilMs: Number.MAX_SAFE_INTEGER }
        : { holds: false, why: 'no CA that is trusted has issued it', fix: 'another certificate' };
    },
  });
}

test('the CA is replaced while a partition lasts, and a host that was off is in once it has another certificate', {
  timeout: 60_000,
}, async () => {
  const cluster = new Cluster(randomSchedule({ seed: 6, hosts: HOSTS, durationMs: 400_000, faults: [] }));
  const { hosts, network, world } = cluster;
  const files: Files[] = hosts.map(() => ({ ca: 'old', trusted: ['old'] }));
  for (const [index, host] of hosts.entries()) give(host, () => files[index]!);
  const replace = (indexes: readonly number[], wanted: Files): void => {
    for (const index of indexes) {
      files[index] = wanted;
      hosts[index]!.daemon?.certificatesChanged();
    }
  };
  const links = (): readonly number[] => hosts.map(({ daemon }) => daemon?.links.length ?? 0);
  await world.runUntil(JOINED_MS);
  expect(disagreement(cluster)).toBeNull();

  hosts[4]!.crash();
  network.partition([WEST, EAST]);
  replace(WEST, { ca: 'next', trusted: ['old', 'next'] });
  await world.runUntil(JOINED_MS + 20_000);
  replace([2, 3], { ca: 'next', trusted: ['old', 'next'] });
  await world.runUntil(JOINED_MS + 30_000);
  network.heal();
  await world.runUntil(JOINED_MS + 60_000);
  expect(links()).toEqual([3, 3, 3, 3, 0]);

  replace([0, 1, 2, 3], { ca: 'next', trusted: ['next'] });
  hosts[4]!.launch(null);
  await world.runUntil(JOINED_MS + 150_000);
  expect(links()).toEqual([3, 3, 3, 3, 0]);
  const late = hosts[4]!.peer!;
  for (const host of hosts.slice(0, 4)) expect(host.daemon!.member!.admission.certificates.admits(late)).toBe(false);

  replace([4], { ca: 'next', trusted: ['next'] });
  await world.runUntil(JOINED_MS + 240_000);
  expect(links()).toEqual([4, 4, 4, 4, 4]);
  expect(disagreement(cluster)).toBeNull();
  expect(cluster.failures).toEqual([]);
});

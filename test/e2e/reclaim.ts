// A host that is gone for longer than its lease loses its blocks to another one by vote, without an operator; when it is back it says
// which of its containers are cut off, and gets other blocks: in the default network and in a named one. Leases of ten seconds in the
// place of a day.

import { test } from 'tap';
import { cidrHasIp, parseCidr, parseIp } from '../../src/base/address.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';

const LEASE_MS = 10_000;
const flags = ['--lease-time', `${LEASE_MS / 1_000}s`];

test('the blocks of a killed host go to a survivor after its lease; it returns as a host without them', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const [a, b, c] = [await lab.host('a'), await lab.host('b'), await lab.host('c')] as [LabHost, LabHost, LabHost];
  await a.launch({ flags });
  const token = await a.token();
  for (const host of [b, c]) await host.launch({ join: a, token, flags });
  const old = await c.container('old');
  await c.fabric(['network', 'create', 'blue', '--range6', 'off']);
  const blue = { conf: { name: 'blue', network: 'blue' } };
  const oldBlue = await c.container('old-blue', blue);
  const gone = (await c.status()).self.id;
  await eventually(
    'three hosts vote, and c has a lease that ends',
    async () => (await c.status()).leases.some(({ peer, expiresAt }) => peer === gone && expiresAt !== null),
    { timeoutMs: 20_000 },
  );
  const own = (await c.status()).leases.filter(({ peer }) => peer === gone);
  t.ok(
    own.every(({ expiresAt }) => Date.parse(expiresAt!) - Date.now() <= LEASE_MS),
    'of ten seconds at most',
  );

  await c.kill();
  await c.run(['pkill', '-KILL', '-x', 'fabric-engine']); // alone it would show for three minutes that the host lives
  const killedMs = performance.now();
  await eventually(
    'a says until when the blocks of c are its own, in both networks',
    async () => {
      const rows = (await a.status()).leases.filter(({ peer }) => peer === gone);
      const networks = new Set(rows.map(({ network }) => network));
      return networks.size === 2 && rows.every(({ expiresAt }) => expiresAt !== null);
    },
    { timeoutMs: LEASE_MS },
  );
  t.match(
    (await a.fabric(['status', 'leases'])).stdout,
    /^blue .* c .*foreign +20\d\d-\d\d-\d\dT\d\d:\d\dZ$/m,
    'and tells people',
  );
  await eventually(
    'a and b say that c owns nothing',
    async () => {
      const rows = [...(await a.status()).leases, ...(await b.status()).leases];
      return rows.every(({ peer }) => peer !== gone);
    },
    { timeoutMs: 40_000, everyMs: 250 },
  );
  t.comment(`reclaimed ${Math.round((performance.now() - killedMs) / 1_000)} s after the kill`);
  t.ok(performance.now() - killedMs > LEASE_MS / 2, 'not before its last promise had ended');

  await c.launch();
  const outcomes = async () => {
    const [{ health }, { leases }] = [await c.status(), await a.status()];
    const told = health.problems.find(({ code }) => code === 'address-lost')?.why ?? '';
    const isBack = (ip: string) =>
      leases.some(({ cidr, peer }) => peer === gone && cidrHasIp(parseCidr(cidr)!, parseIp(ip)!));
    return [
      { isBack: isBack(old.ip), isTold: told.includes(`${old.ip} of `) },
      { isBack: isBack(oldBlue.ip), isTold: new RegExp(`\\b${oldBlue.ip} of [^,]* in blue\\b`).test(told) },
    ];
  };
  // Whoever has the most space gives it some: where that has part of what it had, what is in use there is its own again.
  await eventually('what c had is lost and it says so, or a given block brought it back', async () =>
    (await outcomes()).every(({ isTold, isBack }) => isTold !== isBack),
  );
  t.comment(JSON.stringify(await outcomes()));
  const fresh = await c.container('fresh');
  t.not(fresh.ip, old.ip, 'a new container on c has another address');
  const elsewhere = await a.container('web');
  t.not(elsewhere.ip, old.ip, 'and nobody else has the one that is cut off');
  t.ok(await fresh.pings(elsewhere.ip), 'containers of both reach each other');
  const [freshBlue, elsewhereBlue] = [await c.container('fresh-blue', blue), await a.container('web-blue', blue)];
  t.not(freshBlue.ip, oldBlue.ip, 'so it is in the named network');
  t.not(elsewhereBlue.ip, oldBlue.ip);
  t.ok(await freshBlue.pings(elsewhereBlue.ip), 'whose containers reach each other, too');
});

// A host that is gone for longer than its lease loses its blocks to another one by vote, without an operator; when it is back it says
// which of its containers are cut off, and gets other blocks. Leases of ten seconds in the place of a day.

import { test } from 'tap';
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
  const killedMs = performance.now();
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
  await eventually('c says what it has lost', async () => {
    const { problems } = (await c.status()).health;
    return problems.some(({ code, why }) => code === 'address-lost' && why.includes(old.ip));
  });
  const fresh = await c.container('fresh');
  t.not(fresh.ip, old.ip, 'a new container on c has another address');
  const elsewhere = await a.container('web');
  t.not(elsewhere.ip, old.ip, 'and nobody else has the one that is cut off');
  t.ok(await fresh.pings(elsewhere.ip), 'containers of both reach each other');
});

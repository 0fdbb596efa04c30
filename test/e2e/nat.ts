// Two hosts, each behind a NAT of its own, reach each other by public hosts at first, and then directly, through holes that both punched
// at once. Where both NATs give each destination another port they stay relayed, and say why. `npm run test:long -- nat` waits until
// idle mappings would be forgotten.

import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { LabNat } from '../lab/nat.ts';

/** Longer than the lab's NATs remember. */
const IDLE_MS = 60_000;
const PUNCHED_MAX_MS = 5_000;

async function tunnelTo(near: LabHost, far: LabHost) {
  const { tunnels } = await near.status();
  return tunnels.find(({ nickname }) => nickname === far.name) ?? null;
}

test('hosts behind NATs', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const b = await lab.host('b', { ipv4Only: true });
  const d = await lab.host('d', { ipv4Only: true });
  const a = await lab.host('a', { ipv4Only: true });
  const c = await lab.host('c', { ipv4Only: true });
  const nats = [await LabNat.around(lab, a, 1), await LabNat.around(lab, c, 2)] as const;
  await b.launch();
  const token = await b.token();
  await Promise.all([d, a, c].map((host) => host.launch({ join: b, token })));
  await Promise.all([a, b, c, d].map((host) => host.waitReady(3)));
  const [onA, onC, onD] = await Promise.all([a.container('on-a'), c.container('on-c'), d.container('on-d')]);
  /** Both public hosts have seen where the two are. */
  const meet = (): Promise<number> =>
    eventually('containers reach the public host', async () => (await onA.pings(onD.ip)) && onC.pings(onD.ip));

  await t.test('two cones: relayed first, then directly', async (t) => {
    await meet();
    await eventually('the containers talk', () => onA.pings(onC.ip));
    const { stdout } = await onA.run(['ping', '-c', '20', '-i', '0.05', onC.ip]);
    t.match(stdout, / 0% packet loss/, 'no answer is lost on the way from the relay to the direct path');
    const startedMs = performance.now();
    const isPunched = async (near: LabHost, far: LabHost) => (await tunnelTo(near, far))?.nat === 'both';
    await eventually('a hole is punched', async () => (await isPunched(a, c)) && (await isPunched(c, a)), {
      timeoutMs: PUNCHED_MAX_MS,
    });
    t.comment(`direct ${Math.round(performance.now() - startedMs)} ms after twenty pings`);
    const tunnel = await tunnelTo(a, c);
    t.match(tunnel, { relay: null, endpoint: `${nats[1].wanIp}:6783`, reason: null }, 'to where the NAT puts it');
    const trace = await a.fabric(['trace', onA.ip, onC.ip]);
    t.match(trace.stdout, /direct through NAT of both hosts/, 'a trace says so');
    t.match((await a.fabric(['status', 'tunnels'])).stdout, /:6783 through NAT/, 'status, too');
    // Whose hole is open before the first handshake by a relay is over never was relayed.
    const latest = (await a.events()).findLast(({ what }) => what.startsWith('the tunnel to c '));
    t.match(
      latest?.what,
      / is up$| needs no relay any more: direct through NAT of both hosts$/,
      'the latest event agrees',
    );
  });

  if (process.env.FABRIC_LONG === 'nat') {
    await t.test('idle for longer than NATs remember', async (t) => {
      await sleep(IDLE_MS);
      t.ok(await onA.pings(onC.ip), 'the first ping arrives');
      t.equal((await tunnelTo(a, c))?.nat, 'both', 'by the same holes');
    });
  }

  await t.test('two symmetric NATs: relayed, and why', async (t) => {
    for (const nat of nats) await nat.mask('symmetric');
    await Promise.all(
      [a, c].map(async (host) => {
        await host.fabric(['stop']);
        await host.launch();
      }),
    );
    await meet();
    await eventually('the containers talk again', () => onA.pings(onC.ip));
    const isExplained = async () =>
      /both NATs give each destination another port/.test((await tunnelTo(a, c))?.reason ?? '');
    await eventually('both say why', isExplained, { timeoutMs: PUNCHED_MAX_MS });
    t.match(await tunnelTo(a, c), { state: 'established', endpoint: null, nat: null }, 'it stays relayed');
    t.ok(await onC.pings(onA.ip), 'and carries');
  });
});

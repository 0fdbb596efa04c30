// Two hosts whose bridges an operator joined by a wire beside the overlay: without a guard each broadcast would circle over wire
// and tunnel for ever. The port is blocked and named; containers go on; taking the port out makes the host healthy again.

import { test } from 'tap';
import { DATAPATH_MIXES } from '../lab/datapath-mix.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';
import { UDP_PORT } from '../lab/traffic-agent.ts';

const WIRE = 'wire0';

for (const name of ['engine', 'pcap']) {
  test(`TM24 ${name}: a wire beside the overlay`, { timeout: 60_000 }, async (t) => {
    const lab = await Lab.create(DATAPATH_MIXES[name]);
    t.teardown(() => lab.destroy());
    const hosts = [await lab.host('a'), await lab.host('b')] as const;
    const [a, b] = hosts;
    await lab.inSwitch(['ip', 'link', 'add', 'segment', 'type', 'bridge', 'mcast_snooping', '0']);
    await lab.inSwitch(['ip', 'link', 'set', 'segment', 'up']);
    for (const host of hosts) await lab.connect(host, { ifname: WIRE, bridge: 'segment' });
    await a.launch();
    await b.launch({ join: a, token: await a.token() });
    const [one, two] = [await a.container('one'), await b.container('two')];
    for (const host of hosts) await host.waitReady(1);
    await eventually('the containers meet', () => one.pings(two.ip));
    const traffic = await Promise.all([one, two].map((place) => Traffic.start(lab, place, { httpBody: place.name })));
    const [from, to] = traffic as [Traffic, Traffic];

    for (const host of hosts) await host.run(['ip', 'link', 'set', WIRE, 'master', 'fabric0', 'up']);
    for (const index of [1, 2, 3]) await from.send('255.255.255.255', UDP_PORT, `broadcast ${index}`);
    const blocked = async (host: LabHost) =>
      (await host.status()).health.problems.find(({ code }) => code === 'bridge-loop') ?? null;
    await eventually('a host blocks its port', async () => (await blocked(a)) !== null || (await blocked(b)) !== null);
    const guard = (await blocked(b)) === null ? a : b;
    const problem = await blocked(guard);
    t.match(problem!.what, /wire0/, 'status names the port');
    t.match(problem!.why, /a frame of .*, which is on [ab], entered there/, 'and what gave it away');

    await from.send('255.255.255.255', UDP_PORT, 'after');
    await eventually('a broadcast arrives', async () => (await to.count('after')) > 0);
    await from.send('255.255.255.255', UDP_PORT, 'fence');
    await eventually('and one behind it', async () => (await to.count('fence')) > 0);
    t.equal(await to.count('after'), 1, 'once: nothing circles');
    t.ok(await one.pings(two.ip), 'the containers meet all the same');
    t.ok(await two.pings(one.ip6, ['-s', '10000']), 'in both directions');

    await guard.fabric(['stop']);
    await guard.launch();
    await eventually('a new daemon knows the port', async () => (await blocked(guard)) !== null);
    for (const host of hosts) await host.run(['ip', 'link', 'set', WIRE, 'nomaster']);
    for (const host of hosts) await host.waitReady(1);
    t.pass('the wire taken out, both are healthy');
  });
}

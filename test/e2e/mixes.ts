// Two hosts with a container each on every mix of datapaths: the same traffic crosses each, and `status` names what carries it.
// The tests of the foundation at full length on each mix: `npm run test:long -- matrix`.

import { type Test, test } from 'tap';
import { DATAPATH_MIXES, type DatapathMix } from '../lab/datapath-mix.ts';
import { eventually } from '../lab/exec.ts';
import { Lab } from '../lab/lab.ts';
import { Traffic } from '../lab/traffic.ts';
import { UDP_PORT } from '../lab/traffic-agent.ts';

const STREAM_BYTES = 5_000_000;

for (const [name, mix] of Object.entries(DATAPATH_MIXES)) {
  test(`two hosts: ${name}`, { timeout: 60_000 }, (t) => meet(t, mix));
}

async function meet(t: Test, mix: DatapathMix): Promise<void> {
  const lab = await Lab.create(mix);
  t.teardown(() => lab.destroy());
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  const [one, two] = [await a.container('one'), await b.container('two')];
  for (const host of [a, b]) await host.waitReady(1);
  await eventually('the containers meet', () => one.pings(two.ip));
  for (const [index, host] of [a, b].entries()) {
    const name = mix.names[index % mix.names.length]!;
    const tunnel = async () => (await host.status()).tunnels[0]!;
    await eventually(`the tunnel of ${host.name} is on ${name}`, async () => (await tunnel()).datapath === name);
    t.equal((await tunnel()).encrypted, mix.encrypted, `${name} is ${mix.encrypted ? 'encrypted' : 'plain'}`);
  }

  for (const [from, to] of [
    [one, two],
    [two, one],
  ] as const) {
    for (const address of [to.ip, to.ip6]) {
      t.ok(await from.pings(address, ['-s', '10000']), `10,000 bytes from ${from.name} to ${address}`);
    }
  }
  const agents = await Promise.all([one, two].map((place) => Traffic.start(lab, place, { httpBody: place.name })));
  const [first, second] = agents as [Traffic, Traffic];
  for (const [from, to] of [
    [first, two.ip],
    [second, one.ip6],
  ] as const) {
    const { sent, received } = await from.push(to, { bytes: STREAM_BYTES, marker: 'marker' });
    t.equal(received, sent, `TCP to ${to} arrives unchanged`);
  }
  await first.send('255.255.255.255', UDP_PORT, 'to all');
  await eventually('a broadcast arrives', async () => (await second.count('to all')) > 0);
  await first.send('255.255.255.255', UDP_PORT, 'fence');
  await eventually('and one behind it', async () => (await second.count('fence')) > 0);
  t.equal(await second.count('to all'), 1, 'once');
  t.same((await a.status()).health.problems, [], 'no problem');
}

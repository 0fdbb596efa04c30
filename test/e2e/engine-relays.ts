// Two hosts that speak by a third, on the real kernel (test/lab/datapath-pair.ts): the engine as end and as relay, between itself and
// pcap, and as a relay without its daemon. Keys and paths are preset. `npm run test:long -- engine-relays` measures it beside the
// direct path, too. Needs root.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Test, test } from 'tap';
import { summarize } from '../../bench/statistics.ts';
import { CONTAINER, type DatapathChoice, SIDES, type Side } from '../lab/datapath-facts.ts';
import { DatapathPair, type HostProcess } from '../lab/datapath-pair.ts';
import { eventually } from '../lab/exec.ts';
import { DATAGRAMS_PER_DROP_MAX } from '../lab/frame-balance.ts';

const ENGINE: DatapathChoice = { name: 'engine' };
/** Threads for both lanes: what is passed on goes from one to the other. */
const TWO_THREADS: DatapathChoice = { name: 'engine', threads: 2 };
const PCAP: DatapathChoice = { name: 'pcap' };

const MIXES: readonly { readonly name: string; readonly sides: DatapathChoice; readonly relay: DatapathChoice }[] = [
  { name: 'engines by a relay on pcap', sides: ENGINE, relay: PCAP },
  { name: 'pcap by a relay on the engine', sides: PCAP, relay: ENGINE },
];

const { ip4, ip6 } = CONTAINER.b;

const ROUNDS = 3;
const SECONDS = 4;

async function both(hosts: Readonly<Record<Side, HostProcess>>, relayed: boolean): Promise<void> {
  for (const side of SIDES) await hosts[side].ask({ relayed });
}

/** What is relayed, from both ends by the relay to both ends, and what of it may be lost on the way as counted drops. */
async function readCounts({ a, b }: Readonly<Record<Side, HostProcess>>, relay: HostProcess) {
  const [near, passing, far] = [await a.stats(), await relay.stats(), await b.stats()];
  const places = [near, passing, far].flatMap(({ drops, peers }) => [drops, ...peers.map((peer) => peer.drops)]);
  const sumOf = (reason: string) => places.reduce((sum, drops) => sum + (drops[reason] ?? 0), 0);
  const dropped = sumOf('relay-overflow') + sumOf('send-queue-full');
  return {
    sent: near.relayed.sentDatagrams + far.relayed.sentDatagrams,
    forwarded: passing.relayed.forwardedDatagrams,
    received: near.relayed.receivedDatagrams + far.relayed.receivedDatagrams,
    dropped: dropped + sumOf('overload') * DATAGRAMS_PER_DROP_MAX,
  };
}

/** Once nothing moves any more: a connection says its last words when its programs have what they want. */
async function countsAtRest(hosts: Readonly<Record<Side, HostProcess>>, relay: HostProcess) {
  let counts = await readCounts(hosts, relay);
  await eventually(
    'the containers are silent',
    async () => {
      const before = counts;
      counts = await readCounts(hosts, relay);
      return isDeepStrictEqual(counts, before);
    },
    { everyMs: 100 },
  );
  return counts;
}

async function talk(t: Test, pair: DatapathPair, bytes: number): Promise<void> {
  t.equal((await pair.ping(`-c 1 ${ip6}`)).received, 1, 'they talk');
  t.equal((await pair.ping('-c 1 -L ff02::1%eth0')).received, 1, 'to a multicast group, too');
  t.equal((await pair.ping(`-c 1 -s 10000 ${ip4}`)).received, 1, 'and in large packets');
  t.ok(await pair.transfer(bytes, ip4), `${bytes / 1e6} MB of TCP arrive unchanged`);
}

if (process.getuid?.() !== 0) {
  test('relays', { skip: 'needs root' }, async () => {});
} else {
  test('engines by an engine', { timeout: 60_000 }, async (t) => {
    const runDir = mkdtempSync(join(tmpdir(), 'fabric-relay-'));
    const pair = new DatapathPair({ a: TWO_THREADS, b: ENGINE });
    t.teardown(() => {
      pair.destroy();
      rmSync(runDir, { recursive: true });
    });
    const hosts = await pair.start('underlay4');
    const relay = await pair.addRelay({ ...TWO_THREADS, runDir });
    await both(hosts, true);
    pair.inHost('a', 'ip link set under0 down');
    await talk(t, pair, 20_000_000);
    const { relayed, peers } = await relay.stats();
    t.ok(relayed.forwardedBytes > 20_000_000, `the relay passed on ${relayed.forwardedDatagrams} datagrams`);
    t.same(
      peers.map(({ txFrames, rxFrames }) => [txFrames, rxFrames]),
      [
        [0, 0],
        [0, 0],
      ],
      'and saw no frame',
    );
    const counts = await countsAtRest(hosts, relay);
    t.comment(JSON.stringify(counts));
    const { sent, forwarded, received, dropped } = counts;
    t.ok(sent >= forwarded && forwarded >= received, 'none is counted twice');
    t.ok(sent - received <= dropped, 'and each has arrived, or is a counted drop');

    relay.kill();
    await relay.exited;
    t.ok(await pair.transfer(1_000_000, ip4), 'a relay without its daemon goes on');
    const next = pair.launch('relay', 'underlay4');
    await next.ready();
    t.equal(next.adopted.length, 2, 'the next daemon has its sessions');
    t.equal((await pair.ping(`-c 1 ${ip4}`)).received, 1, 'and they talk on');

    pair.inHost('a', 'ip link set under0 up');
    await both(hosts, false);
    t.equal((await pair.ping(`-c 1 ${ip4}`)).received, 1, 'directly again');
    for (const host of [hosts.a, hosts.b, next]) {
      await host.ask({ stop: true });
      t.equal(await host.exited, 0, 'it ends in order');
    }
  });

  const measure = async (t: Test): Promise<void> => {
    const pair = new DatapathPair({ a: ENGINE, b: ENGINE });
    t.teardown(() => pair.destroy());
    const hosts = await pair.start('underlay4');
    await pair.addRelay(ENGINE);
    const rates = { direct: [] as number[], relayed: [] as number[] };
    const trips = { direct: [] as number[], relayed: [] as number[] };
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ['direct', 'relayed'] as const) {
        await both(hosts, way === 'relayed');
        rates[way].push((await pair.iperf(`-t ${SECONDS} -c ${ip4}`)).gbits);
        trips[way].push(await pair.medianPingMs(`-c 200 -i 0.005 ${ip4}`));
      }
    }
    for (const way of ['direct', 'relayed'] as const) {
      const [rate, trip] = [summarize(rates[way]), summarize(trips[way])];
      t.comment(`${way}: TCP ${rate.median.toFixed(2)} Gbit/s, ping ${trip.median.toFixed(3)} ms (medians)`);
    }
    const [direct, relayed] = [rates.direct, rates.relayed].map((values) => summarize(values).median);
    t.ok(relayed! > direct! / 3, 'relaying carries at least a third of the direct path');
    await t.test('much at once', async (t) => talk(t, pair, 200_000_000));
  };
  if (process.env.FABRIC_LONG === 'engine-relays') test('beside the direct path', { timeout: 120_000 }, measure);

  for (const { name, sides, relay } of MIXES) {
    test(name, { timeout: 60_000 }, async (t) => {
      const pair = new DatapathPair({ a: sides, b: sides });
      t.teardown(() => pair.destroy());
      const hosts = await pair.start('underlay4');
      await pair.addRelay(relay);
      await both(hosts, true);
      await talk(t, pair, 1_000_000);
    });
  }
}

// The whole engine under ThreadSanitizer, and under AddressSanitizer and UBSan: two hosts with TCP both ways, pings of several
// sizes and pieces, directly and by a relay, while tables change, keys are replaced and counters are read. A finding ends the
// engine, and so the test.
// `npm run test:long -- engine-sanitized` takes a minute each. Needs root; clang++ for the second (FABRIC_SETUP=full).

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { CHECKOUT } from '../lab/checkout.ts';
import { CONTAINER, type EngineBuild, type HostCommand } from '../lab/datapath-facts.ts';
import { DatapathPair, type HostProcess } from '../lab/datapath-pair.ts';

const SECONDS = process.env.FABRIC_LONG === 'engine-sanitized' ? 60 : 6;
/** Of these by a relay. */
const RELAYED_SECONDS = SECONDS / 3;
/** With fewer the run would show little; two free cores reach three times as many in one round, a slow machine goes some more. */
const RELAYED_MIN = 1_000 * RELAYED_SECONDS;
const REKEYS_MIN = 10 * (SECONDS - RELAYED_SECONDS);
const ROUNDS_MAX = 8;
const CHURN = 64;
/** At both hosts, a MAC and a neighbour each time. */
const CHANGES_PER_REKEY = 4 * CHURN;
const MARKS: Readonly<Record<EngineBuild, RegExp>> = { tsan: /libtsan/, asan: /fabric-engine-asan/, release: /^$/ };

const has = (program: string): boolean => spawnSync('which', [program]).status === 0;

function build(kind: EngineBuild): { readonly status: number | null; readonly output: string } {
  const args = ['-s', '-j2', '-C', join(CHECKOUT, 'native'), '-f', 'sanitized.mk', `engine-${kind}`];
  const { status, stdout, stderr } = spawnSync('make', args, { encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

/** Both hosts, at the same time. */
async function both(hosts: readonly HostProcess[], command: HostCommand): Promise<void> {
  await Promise.all(hosts.map((host) => host.ask(command)));
}

/**
 * New keys again and again, as the handshake does it: added at both ends, used at both, the one before last removed; and as many
 * times other tables. How many it were.
 */
async function unrest(hosts: readonly HostProcess[], firstRekey: number, ended: () => boolean): Promise<number> {
  let next = firstRekey;
  for (; !ended(); next++) {
    await both(hosts, { addKeys: next });
    const former = next > 1 ? { removeKeys: next - 2 } : {};
    await both(hosts, { useKeys: next, ...former, churn: CHURN, stats: true });
  }
  return next - firstRekey;
}

interface Strain {
  /** Of one round. */
  readonly seconds: number;
  /** Generations of keys count up. */
  readonly firstRekey: number;
  /** Whether so many rekeys, and whatever else is wanted, will do. */
  readonly isEnough: (rekeys: number) => boolean | Promise<boolean>;
}

/** Traffic of every kind, and unrest, in rounds; how many rekeys it was. */
async function strain(t: Test, pair: DatapathPair, hosts: readonly HostProcess[], options: Strain): Promise<number> {
  const { seconds, firstRekey, isEnough } = options;
  const { ip4, ip6 } = CONTAINER.b;
  let rekeys = 0;
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    let running = true;
    const traffic = Promise.all([
      pair.iperf(`-t ${seconds} -P 2 --bidir -c ${ip4}`),
      pair.ping(`-f -s 64 -w ${seconds} ${ip4}`),
      pair.ping(`-f -s 1300 -w ${seconds} ${ip6}`),
      pair.ping(`-f -s 9000 -w ${seconds} ${ip4}`),
    ]).finally(() => {
      running = false;
    });
    rekeys += await unrest(hosts, firstRekey + rekeys, () => !running);
    const [tcp, ...pings] = await traffic;
    const changes = rekeys * CHANGES_PER_REKEY;
    t.comment(`round ${round}: ${rekeys} rekeys, ${changes} table changes, ${tcp.gbits.toFixed(2)} Gbit/s of TCP`);
    for (const { received } of pings) t.ok(received > 0, 'pings of every size were answered');
    if (await isEnough(rekeys)) break;
  }
  return rekeys;
}

async function exercise(t: Test, kind: EngineBuild): Promise<void> {
  const made = build(kind);
  t.equal(made.status, 0, `the instrumented engine is built${made.output}`);
  // Two threads also on a machine that has not the CPUs for them: what they share is what is looked at.
  const choice = { name: 'engine', build: kind, without: ['seccomp'], threads: 2 } as const;
  const pair = new DatapathPair({ a: choice, b: choice });
  t.teardown(() => pair.destroy());
  const hosts = Object.values(await pair.start('underlay4'));
  t.match(
    readFileSync(`/proc/${hosts[0]!.enginePid}/maps`, 'utf8'),
    MARKS[kind],
    'it is the instrumented one that runs',
  );

  const rekeys = await strain(t, pair, hosts, {
    seconds: SECONDS - RELAYED_SECONDS,
    firstRekey: 1,
    isEnough: (count) => count >= REKEYS_MIN,
  });
  t.ok(rekeys >= REKEYS_MIN, `${rekeys} rekeys`);
  for (const host of hosts) await host.ask({ pathMtu: 700 });
  t.ok(await pair.transfer(2_000_000, CONTAINER.b.ip4), 'TCP in pieces arrives unchanged');

  const relay = await pair.addRelay(choice);
  await both(hosts, { relayed: true });
  const relayed = async () => (await relay.stats()).relayed.forwardedDatagrams;
  await strain(t, pair, hosts, {
    seconds: RELAYED_SECONDS,
    firstRekey: rekeys + 1,
    isEnough: async () => (await relayed()) >= RELAYED_MIN,
  });
  const datagrams = await relayed();
  t.ok(datagrams >= RELAYED_MIN, `${datagrams} datagrams were relayed`);
  for (const host of [...hosts, relay]) {
    await host.ask({ stop: true });
    t.equal(await host.exited, 0, 'it ends in order');
    t.notMatch(host.complaints, /Sanitizer|runtime error/, 'the sanitizer found nothing');
  }
}

if (process.getuid?.() !== 0) {
  test('engine under sanitizers', { skip: 'needs root' }, async () => {});
} else {
  const timeout = (SECONDS * 4 + 200) * 1000;
  test('ThreadSanitizer', { timeout }, (t) => exercise(t, 'tsan'));
  const skip = has('clang++') ? false : 'needs clang++: FABRIC_SETUP=full installs it';
  test('AddressSanitizer and UBSan', { timeout, skip }, (t) => exercise(t, 'asan'));
}

// The whole engine under ThreadSanitizer, and under AddressSanitizer and UBSan: two hosts with TCP both ways, pings of several
// sizes and pieces, while tables change, keys are replaced and counters are read. A finding ends the engine, and so the test.
// `npm run test:long -- engine-sanitized` takes a minute each. Needs root; clang++ for the second (FABRIC_SETUP=full).

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { CHECKOUT } from '../lab/checkout.ts';
import { CONTAINER, type EngineBuild, type HostCommand } from '../lab/datapath-facts.ts';
import { DatapathPair, type HostProcess } from '../lab/datapath-pair.ts';

const SECONDS = process.env.FABRIC_LONG === 'engine-sanitized' ? 60 : 6;
/** With fewer the run would show little; two free cores reach three times as many. */
const REKEYS_PER_SECOND_MIN = 10;
const CHANGES_PER_SECOND_MIN = 50;
const CHURN = 64;
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

/** New keys again and again, as the handshake does it: added at both ends, used at both, the one before last removed. */
async function unrest(
  hosts: readonly HostProcess[],
  ended: () => boolean,
): Promise<{ rekeys: number; changes: number }> {
  let rekeys = 0;
  let changes = 0;
  while (!ended()) {
    rekeys++;
    await both(hosts, { addKeys: rekeys });
    const former = rekeys > 1 ? { removeKeys: rekeys - 2 } : {};
    await both(hosts, { useKeys: rekeys, ...former, churn: CHURN, stats: true });
    changes += 4 * CHURN;
  }
  return { rekeys, changes };
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

  const { ip4, ip6 } = CONTAINER.b;
  let running = true;
  const traffic = Promise.all([
    pair.iperf(`-t ${SECONDS} -P 2 --bidir -c ${ip4}`),
    pair.ping(`-f -s 64 -w ${SECONDS} ${ip4}`),
    pair.ping(`-f -s 1300 -w ${SECONDS} ${ip6}`),
    pair.ping(`-f -s 9000 -w ${SECONDS} ${ip4}`),
  ]).finally(() => {
    running = false;
  });
  const { rekeys, changes } = await unrest(hosts, () => !running);
  const [tcp, ...pings] = await traffic;
  for (const host of hosts) await host.ask({ pathMtu: 700 });
  t.ok(await pair.transfer(2_000_000, ip4), 'TCP in pieces arrives unchanged');

  t.comment(`${SECONDS} s: ${rekeys} rekeys, ${changes} table changes, ${tcp.gbits.toFixed(2)} Gbit/s of TCP`);
  t.ok(rekeys >= REKEYS_PER_SECOND_MIN * SECONDS, `${REKEYS_PER_SECOND_MIN} rekeys a second`);
  t.ok(changes >= CHANGES_PER_SECOND_MIN * SECONDS, `${CHANGES_PER_SECOND_MIN} table changes a second`);
  for (const { received } of pings) t.ok(received > 0, 'pings of every size were answered');
  for (const host of hosts) {
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

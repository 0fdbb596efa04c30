// ADD and DEL cost as much with many containers attached as with ten. Time says that on a quiet machine only, so what the daemon
// writes for them is counted (proc(5), wchar), with 200 attached; `npm run test:long -- cni-crowd` attaches 1,000 and times, too. And
// who attaches disturbs nobody: what each new container says to a multicast group would go to all others.

import { test } from 'tap';
import { CniCalls, type Times } from '../../bench/cni/calls.ts';
import { FABRIC } from '../../bench/cni/subjects.ts';
import { summarize } from '../../bench/statistics.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { askForListeners } from '../lab/listener-query.ts';

const IS_LONG = process.env.FABRIC_LONG === 'cni-crowd';
const FEW = 10;
const MANY = IS_LONG ? 1_000 : 200;
/** One after the other; a bridge has room for 1,021. */
const PAIRS = 20;
/** The log of the database is copied into it now and then, which falls on some call. */
const WRITTEN_RATIO_MAX = 1.3;
/** Of medians. */
const TIME_RATIO_MAX = 1.2;

test(`ADD and DEL with ${MANY} attached`, { timeout: 300_000 }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.launch();
  const calls = new CniCalls(host);
  const measure = async () => {
    const before = await writtenBytes(host);
    const times = (await calls.inTurn([FABRIC], PAIRS)).get(FABRIC.name)!;
    return { times, bytes: ((await writtenBytes(host)) - before) / PAIRS };
  };
  await calls.fill(FABRIC, FEW);
  await measure(); // the first calls are those of a daemon that has just started
  const few = await measure();
  const heard = await heardBy(host, 'n0');
  await calls.fill(FABRIC, MANY - FEW);
  const many = await measure();
  t.equal((await host.status()).attachments.length, MANY);
  const meanwhile = (await heardBy(host, 'n0')) - heard;
  t.ok(meanwhile < MANY - FEW, `a container heard ${meanwhile} packets to groups while ${MANY - FEW} were attached`);
  await askForListeners(host, 'n1', 'eth0');
  await eventually('what a multicast router asks for arrives', async () => {
    return (await heardBy(host, 'n0')) > heard + meanwhile + MANY / 2;
  });
  const ratio = many.bytes / few.bytes;
  t.ok(ratio <= WRITTEN_RATIO_MAX, `written for a pair: ${many.bytes} bytes, ${ratio.toFixed(2)} of that with ${FEW}`);
  for (const verb of ['ADD', 'DEL'] as const) {
    const [fewMs, manyMs] = [median(few.times, verb), median(many.times, verb)];
    const slower = manyMs / fewMs;
    const words = `${verb}: ${manyMs.toFixed(2)} ms, ${slower.toFixed(2)} of that with ${FEW}`;
    if (IS_LONG) t.ok(slower <= TIME_RATIO_MAX, words);
    else t.comment(words);
  }
});

function median(times: Times, verb: 'ADD' | 'DEL'): number {
  return summarize(times[verb]).median;
}

/** IPv6 packets to multicast groups that reached the namespace, whether anything there wants them or not (RFC 4293). */
async function heardBy(host: LabHost, namespace: string): Promise<number> {
  const { stdout } = await host.run(['ip', 'netns', 'exec', namespace, 'cat', '/proc/net/snmp6']);
  return Number(/^Ip6InMcastPkts\s+(\d+)$/m.exec(stdout)![1]);
}

/** By system calls of the daemon, to whatever file or socket. */
async function writtenBytes(host: LabHost): Promise<number> {
  const { stdout } = await host.run(['cat', `/proc/${await host.daemonPid()}/io`]);
  return Number(/^wchar: (\d+)$/m.exec(stdout)![1]);
}

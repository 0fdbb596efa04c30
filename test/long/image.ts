// The container image as Kubernetes would run it: two hosts with containerd, and on each the pod of deploy/kubernetes/fabric.yaml.
// Containers of the hosts' own containerd find each other through it, and a restart of a pod silences them for a moment only.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Status } from '../../src/daemon/status-types.ts';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import { Containerd, NO_CONTAINERD } from '../lab/containerd.ts';
import { eventually, exec } from '../lab/exec.ts';
import { FabricPod, TOKEN_FOLDER } from '../lab/fabric-pod.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { inWords, ProbePair, silenceOf } from '../lab/probe.ts';
import type { ProbeReport } from '../lab/probe-agent.ts';

const READY_MAX_MS = 60_000;
const RESTARTS = 5;
/** From the SIGTERM of one pod until frames flow through the next. */
const RESTART_MAX_MS = 3_000;

async function readyPod(t: Test, pod: FabricPod, host: LabHost): Promise<void> {
  await eventually(`${host.name} is ready`, () => pod.isReady(), { timeoutMs: READY_MAX_MS });
  const conflist = ['test', '-f', '/etc/cni/net.d/10-fabric.conflist'];
  await eventually('its runtime has a configuration', async () => {
    return (await host.run(conflist, { mayFail: true })).status === 0;
  });
  const status = await pod.exec(['fabric', 'status', '--json']);
  const { datapath } = JSON.parse(status ?? '{}') as Pick<Status, 'datapath'>;
  t.same([datapath.name, datapath.lacks], ['engine', []], `${host.name} has the engine, and it lacks nothing`);
}

test('the image runs as a pod', { skip: NO_CONTAINERD, timeout: 540_000 }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const script = [process.execPath, join(CHECKOUT, 'scripts/image.mjs'), '--as-is', '--to', lab.directory];
  await exec(script, { timeoutMs: 400_000 });
  const image = join(lab.directory, readdirSync(lab.directory).find((name) => /^fabric-overlay.*\.tar$/.test(name))!);
  const { archive } = await makeBusyboxImage(lab.directory);
  const [a, b] = [await lab.host('a'), await lab.host('b')];
  const token = (await a.fabric(['token', '--generate'])).stdout;
  const runtimes: Containerd[] = [];
  for (const host of [a, b]) {
    await host.run(['mkdir', '-p', TOKEN_FOLDER, '/run/fabric']);
    await host.run(['tee', `${TOKEN_FOLDER}/token`], { input: token });
    const runtime = await Containerd.start(lab, host, null, 'overlayfs');
    await runtime.import(image);
    await runtime.import(archive);
    runtimes.push(runtime);
  }
  const [onA, onB] = runtimes as [Containerd, Containerd];
  const pods = [new FabricPod(a), new FabricPod(b)] as const;
  for (const [index, host] of [a, b].entries()) {
    pods[index]!.start(lab, a);
    await readyPod(t, pods[index]!, host);
  }

  await onA.run('web', ['httpd', '-f', '-p', '80', '-h', '/www']);
  await onB.run('client', ['sleep', '600']);
  const [, ip] = /inet (10\.[\d.]+)\//.exec((await onA.exec('web', ['ip', 'address', 'show', 'eth0'])) ?? '') ?? [];
  t.ok(ip, 'a container has an address of the overlay');
  const pings = async () => (await onB.exec('client', ['ping', '-c', '1', '-W', '1', String(ip)])) !== null;
  await eventually('containers of both hosts talk', pings, { timeoutMs: 10_000 });

  const probes = await ProbePair.start(lab, await a.container('near'), await b.container('far'));
  const restarts: ProbeReport[] = [];
  let [pod] = pods as [FabricPod, FabricPod];
  for (let round = 0; round < RESTARTS; round++) {
    const restart = async () => {
      await pod.end();
      pod = new FabricPod(a);
      pod.start(lab, a);
      await readyPod(t, pod, a);
      await eventually('they talk again', pings, { timeoutMs: 10_000 });
    };
    restarts.push(await probes.during(restart));
  }
  const silence = silenceOf(restarts);
  t.ok(silence.longestMs < RESTART_MAX_MS, `${RESTARTS} restarts of a pod: ${inWords(silence)}`);
  await probes.stop();
  await onB.end('client');
  await onA.end('web');
});

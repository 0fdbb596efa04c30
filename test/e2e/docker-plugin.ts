// Docker on two hosts with fabric's network and IPAM driver: containers of both are on one segment, with wished addresses and MACs,
// with their names, and without docker_gwbridge; on a named network they are apart from those of the default one; they stay
// connected while either daemon is killed and comes back, a container that restarts has its address again, and what Docker forgot
// goes.

import { request } from 'node:http';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { makeBusyboxImage } from '../lab/busybox-image.ts';
import { DOCKER_PLUGIN_SOCKET, docker, NO_DOCKER, startDocker } from '../lab/docker.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { httpGet } from '../lab/http-get.ts';
import { Lab } from '../lab/lab.ts';

const IMAGE = 'fabric-busybox';
const WEB_IP = '10.32.7.7';
const CLIENT_MAC = '02:00:00:00:12:34';
const SERVE = ['sh', '-c', 'echo hello from docker > /www/index.html; exec httpd -f -p 80 -h /www'];
const SLEEP = ['sleep', '1000'];
const CREATE = ['network', 'create', '-d', 'fabric', '--ipam-driver', 'fabric'];
/** What is promised of each answer to Docker, by a timer (docker-calls.test.ts): on a busy machine that may itself be late. */
const ANSWER_MS_MAX = 100;

test("Docker's network plugin on two hosts", { skip: NO_DOCKER }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const image = await makeBusyboxImage(lab.directory);
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch({ flags: ['--docker'] });
  await b.launch({ join: a, token: await a.token() });
  t.equal(await hasSocket(b), false, 'nothing of Docker is touched unasked');
  await b.fabric(['setup', 'docker']);
  t.equal(await hasSocket(b), true, 'fabric setup docker opens the plugin');
  const both = (work: (host: LabHost) => Promise<unknown>) => Promise.all([a, b].map(work));
  const daemons = await Promise.all([a, b].map((host) => startDocker(lab, host)));
  for (const host of [a, b]) {
    await docker(host, ['import', image.rootfs, IMAGE]);
    await docker(host, [...CREATE, '--subnet', '10.32.0.0/12', 'net']);
  }

  await run(a, 'web', SERVE, ['--ip', WEB_IP]);
  await run(a, 'any', SLEEP);
  await run(b, 'client', SLEEP, ['--mac-address', CLIENT_MAC]);
  await t.test('two hosts, one segment', async (t) => {
    const rows = (await b.status()).attachments;
    t.match(rows, [{ mac: CLIENT_MAC, owner: 'docker' }], 'the MAC that --mac-address asks for');
    await talks(t, b, 'started');
    const { stdout: routes } = await docker(b, ['exec', 'client', 'ip', 'route']);
    t.match(routes, /^default via 10\.32\.0\.1 dev eth0/, "the way out is fabric's gateway");
    for (const host of [a, b]) t.notMatch(await networkNames(host), /docker_gwbridge/, 'no second interface');
    await eventually('the name of the container is known on the other host', async () => {
      const { stdout } = await b.fabric(['dns', 'lookup', 'web'], { mayFail: true });
      return stdout === `${WEB_IP}\n`;
    });
  });

  await t.test('refused with a reason', async (t) => {
    const taken = await docker(a, ['run', '--rm', '--network', 'net', '--ip', WEB_IP, IMAGE, 'true'], {
      mayFail: true,
    });
    t.match(taken.stderr, /10\.32\.7\.7 is in use by another container/, 'an address that is in use');
    const published = await docker(a, ['run', '--rm', '--network', 'net', '-p', '80:80', IMAGE, 'true'], {
      mayFail: true,
    });
    t.match(published.stderr, /fabric publishes no ports/, 'a published port');
    const outside = await docker(a, [...CREATE, '--subnet', '192.168.7.0/24', 'bad'], { mayFail: true });
    t.match(outside.stderr, /not within 10\.32\.0\.0\/12/, 'a subnet outside of the range');
    const unknown = await docker(a, [...CREATE, ...fabricNetwork('nowhere'), 'bad'], { mayFail: true });
    t.match(unknown.stderr, /no network nowhere.*fabric network create/, 'a fabric network that is not there');
  });

  await t.test('a named network of both hosts, apart from the default one', async (t) => {
    await a.fabric(['network', 'create', 'blue']);
    const rowOn = async (host: LabHost) => (await host.status()).networks.find(({ name }) => name === 'blue');
    await eventually('b has heard of it', async () => (await rowOn(b)) !== undefined);
    const half = await docker(a, [...CREATE, '-o', 'network=blue', 'bad'], { mayFail: true });
    t.match(half.stderr, /Name the network to both drivers/, 'an option that one of the two drivers got');
    await both((host) => docker(host, [...CREATE, ...fabricNetwork('blue'), 'sea']));
    const refused = await a.fabric(['network', 'rm', 'blue'], { mayFail: true });
    t.match(
      refused.stderr,
      /Docker uses the network blue on this host/,
      'in use while Docker has it, without containers',
    );
    await both((host) => run(host, 'fish', SLEEP, ['--network', 'sea']));
    const [ip, other] = [await addressOf(a, 'fish', 'sea'), await addressOf(b, 'fish', 'sea')];
    const { range } = (await rowOn(a))!;
    const [block] = range.split('.0.0/16');
    t.ok([ip, other].every((one) => one.startsWith(`${block}.`)) && ip !== other, `${ip} and ${other} are of ${range}`);
    const ping = (container: string) =>
      docker(b, ['exec', container, 'ping', '-c', '1', '-W', '1', ip], { mayFail: true });
    await eventually('the two reach each other', async () => (await ping('fish')).status === 0);
    t.not((await ping('client')).status, 0, 'a container of the default network does not reach them');
    await docker(b, ['network', 'connect', '--alias', 'shop', 'sea', 'client']);
    await eventually('connected to both it does', async () => (await ping('client')).status === 0);
    const second = await addressOf(b, 'client', 'sea');
    await eventually('and is known there by its alias', async () => {
      const { stdout } = await a.fabric(['dns', 'lookup', 'shop', '--network', 'blue'], { mayFail: true });
      return stdout === `${second}\n`;
    });
    await docker(b, ['network', 'disconnect', 'sea', 'client']);
    const { stdout: routes } = await docker(b, ['exec', 'fish', 'ip', 'route']);
    t.match(routes, new RegExp(`^default via ${block}\\.0\\.1 dev eth0`), "the way out is that network's gateway");
  });

  const ghost = 'ab'.repeat(32);
  await t.test('a container that restarts has its address again', async (t) => {
    const before = await addressOf(a, 'any');
    await docker(a, ['restart', '--time', '0', 'any']);
    t.equal(await addressOf(a, 'any'), before, 'the same address, which nobody asked for by name');
    const pinged = await docker(b, ['exec', 'client', 'ping', '-c', '1', '-W', '2', before], { mayFail: true });
    t.equal(pinged.status, 0, 'and is reached there');
    await makeEndpoint(a, ghost);
    const ids = (await a.status()).attachments.map(({ containerId }) => containerId);
    t.ok(ids.includes(ghost), 'an endpoint of which Docker knows nothing');
  });

  await t.test('a second network beside it', async (t) => {
    await docker(b, ['network', 'connect', 'bridge', 'client']);
    await talks(t, b, 'connected to bridge, too');
  });

  await t.test('our daemon is killed and comes back', async (t) => {
    for (const host of [a, b]) await answeredInTime(t, host);
    const addresses = () => Promise.all([addressOf(a, 'any'), addressOf(a, 'fish', 'sea')]);
    const before = await addresses();
    await Promise.all([a.kill('KILL'), b.kill('KILL')]);
    await talks(t, b, 'both daemons are gone');
    // What Docker asks while nobody is there it asks again, for 30 s.
    const restarts = ['any', 'fish'].map((name) => docker(a, ['restart', '--time', '0', name]));
    await Promise.all([a.launch(), b.launch(), ...restarts]);
    t.same(await addresses(), before, 'containers that restarted meanwhile have their addresses');
    t.equal(await hasSocket(a), true, 'Docker finds its plugin again, without flags');
    await talks(t, b, 'both daemons are back');
    await eventually('the names come again', async () => {
      const names = (await a.status()).attachments.map(({ name }) => name);
      return names.includes('any') && names.includes('web');
    });
  });

  await t.test('a named network outlives our daemon, and goes when Docker lets go of it', async (t) => {
    const ip = await addressOf(a, 'fish', 'sea');
    const reach = async () =>
      (await docker(b, ['exec', 'fish', 'ping', '-c', '1', '-W', '1', ip], { mayFail: true })).status === 0;
    t.equal(await reach(), true, 'its containers reach each other as before');
    await docker(a, ['restart', '--time', '0', 'fish']);
    t.equal(await addressOf(a, 'fish', 'sea'), ip, 'one that restarts has its address again');
    await eventually('and is reached there', reach);
    const { id } = (await a.status()).networks.find(({ name }) => name === 'blue')!;
    await both((host) => docker(host, ['rm', '--force', 'fish']));
    await both((host) => docker(host, ['network', 'rm', 'sea']));
    await eventually(
      'b has said that it left',
      async () => (await a.fabric(['network', 'rm', 'blue'], { mayFail: true })).status === 0,
    );
    await eventually('nothing of it is left', async () => {
      const links = await Promise.all([a, b].map((host) => host.run(['ip', '-br', 'link'])));
      return links.every(({ stdout }) => !stdout.includes(`fabn${id}`));
    });
  });

  await t.test('dockerd is killed and comes back', async (t) => {
    await a.run(['sh', '-c', 'kill -KILL $(cat /var/run/docker.pid)']);
    await eventually('dockerd is gone', () => daemons[0]!.exitCode !== null || daemons[0]!.signalCode !== null);
    await talks(t, b, 'without dockerd');
    await startDocker(lab, a);
    await docker(a, ['start', 'web', 'any']);
    t.equal(await addressOf(a, 'web'), WEB_IP, 'a wished address is had again');
    await talks(t, b, 'with a new dockerd');
    await eventually(
      'what Docker has not is gone, and what it has is there',
      async () => {
        const names = (await a.status()).attachments.map(({ name }) => name).sort();
        return names.join(' ') === 'any web';
      },
      { timeoutMs: 20_000 },
    );
  });

  await t.test('in time, and gone at the end', async (t) => {
    for (const host of [a, b]) {
      await answeredInTime(t, host);
      await docker(host, ['rm', '--force', ...(host === a ? ['web', 'any'] : ['client'])]);
      await docker(host, ['network', 'rm', 'net']);
      t.same((await host.status()).attachments, [], `${host.name}: no container is attached`);
      t.equal((await host.status()).docker.networks, 0, `${host.name}: no network of Docker is known`);
      await host.fabric(['setup', 'docker', '--remove']);
      t.equal(await hasSocket(host), false, `${host.name}: the plugin is gone`);
    }
  });
});

async function run(
  host: LabHost,
  name: string,
  command: readonly string[],
  flags: readonly string[] = [],
): Promise<void> {
  // A dockerd that comes back ends what it finds, and gives it ten seconds for the usual signal, which neither program heeds.
  const network = flags.includes('--network') ? [] : ['--network', 'net'];
  const how = ['--detach', '--name', name, '--stop-signal', 'SIGKILL', ...network, ...flags];
  await docker(host, ['run', ...how, IMAGE, ...command]);
}

/** Ping and HTTP from the client on one host to the server on the other. */
async function talks(t: Test, host: LabHost, when: string): Promise<void> {
  const exec = (command: readonly string[]) => docker(host, ['exec', 'client', ...command], { mayFail: true });
  await eventually(`${when}: the client reaches the server`, async () => {
    return (await exec(['ping', '-c', '1', '-W', '1', WEB_IP])).status === 0;
  });
  const { stdout } = await exec(httpGet(WEB_IP));
  t.match(stdout, /\nhello from docker\n$/, `${when}: and gets its page`);
}

async function answeredInTime(t: Test, host: LabHost): Promise<void> {
  const { counters } = (await host.status()).docker;
  t.comment(`${host.name}: ${JSON.stringify(counters)}`);
  t.ok(counters.medianMs! < ANSWER_MS_MAX, `${host.name}: half of the answers took less than ${ANSWER_MS_MAX} ms`);
}

/** Of `docker network create`. */
function fabricNetwork(name: string): readonly string[] {
  return ['-o', `network=${name}`, '--ipam-opt', `network=${name}`];
}

async function addressOf(host: LabHost, name: string, network = 'net'): Promise<string> {
  const format = `{{.NetworkSettings.Networks.${network}.IPAddress}}`;
  return (await docker(host, ['inspect', '--format', format, name])).stdout.trim();
}

async function networkNames(host: LabHost): Promise<string> {
  return (await docker(host, ['network', 'ls', '--format', '{{.Name}}'])).stdout;
}

async function hasSocket(host: LabHost): Promise<boolean> {
  return (await host.run(['test', '-S', DOCKER_PLUGIN_SOCKET], { mayFail: true })).status === 0;
}

/** As a dockerd does that dies before it has written down what it asked for. */
async function makeEndpoint(host: LabHost, id: string): Promise<void> {
  const { stdout } = await docker(host, ['network', 'inspect', '--format', '{{.Id}}', 'net']);
  const body = { NetworkID: stdout.trim(), EndpointID: id, Interface: { Address: '10.32.7.8/12' } };
  const socketPath = join(host.runDirectory, DOCKER_PLUGIN_SOCKET.slice('/run/'.length));
  await new Promise<void>((resolve, reject) => {
    const call = request({ socketPath, path: '/NetworkDriver.CreateEndpoint', method: 'POST' }, (response) => {
      response.resume().on('end', resolve);
    });
    call.on('error', reject);
    call.end(JSON.stringify(body));
  });
}

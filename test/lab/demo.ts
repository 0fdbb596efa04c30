// `npm run demo`: two hosts in namespaces of this machine, four containers attached by the CNI plugin, and the proof that they
// share one encrypted Ethernet segment: ping, HTTP on port 80 of all at once, `fabric status`, and two captures. Every step
// throws when what it shows is not so; exit code 0 means that all was shown.
//
//     host one: web1 web2 ─ fabric0 ─ daemon ═══ encrypted UDP 6783 ═══ daemon ─ fabric0 ─ web3 web4 :host two

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { countPackets, holdsText, packetsIn } from './capture-file.ts';
import type { LabContainer } from './container.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';
import { withLab } from './with-lab.ts';

const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const bold = (text: string) => (colour ? `\u001b[1m${text}\u001b[0m` : text);
const green = (text: string) => (colour ? `\u001b[32m${text}\u001b[0m` : text);
const dim = (text: string) => (colour ? `\u001b[2m${text}\u001b[0m` : text);

const startMs = performance.now();

const FETCH = { timeoutMs: 5_000 };
/** Many times what one frame holds: IP fragments it, and every fragment crosses. */
const LARGE_PING_BYTES = 10_000;

async function demo(lab: Lab): Promise<void> {
  title('Two hosts on one underlay');
  const one = await lab.host('one');
  const two = await lab.host('two');
  shown(`one ${one.ip} and two ${two.ip}, each with its own network, mounts and processes`);

  title('fabric launch on both');
  await launch(one, two);

  title('Containers, attached by the CNI plugin as a runtime does it');
  const containers: LabContainer[] = [];
  for (const [host, name] of [
    [one, 'web1'],
    [one, 'web2'],
    [two, 'web3'],
    [two, 'web4'],
  ] as const) {
    const container = await host.container(name);
    containers.push(container);
    shown(`${name} on ${host.name}: ${container.ip}, ${container.ip6}, ${container.mac}`);
  }

  const marker = `plaintext-${randomBytes(8).toString('hex')}`;
  const underlay = await lab.capture('underlay');
  const bridge = await lab.captureIn(one, 'fabric0', 'bridge');

  title('Ping, every pair, IPv4 and IPv6');
  await pingAll(containers);

  title('HTTP on port 80 of every container, from every other, all at once');
  await serveAll(lab, containers, marker);
  await fetchAll(containers, marker);

  title('fabric status');
  for (const host of [one, two]) await showStatus(host);

  title('What crossed the underlay');
  const [underlayFile, bridgeFile] = [await underlay.stop(), await bridge.stop()];
  await proveEncryption(underlayFile, bridgeFile, marker);
}

async function launch(one: LabHost, two: LabHost): Promise<void> {
  command(one, 'fabric launch --detach');
  const first = await timed(() => one.launch());
  quote(first.value.stdout);
  shown(`ready after ${first.ms.toFixed(0)} ms`);
  const token = await one.token();
  command(two, `fabric launch --detach --join ${one.ip} --token-file -`);
  const second = await timed(() => two.launch({ join: one, token }));
  quote(second.value.stdout);
  shown(`ready after ${second.ms.toFixed(0)} ms`);
}

async function pingAll(containers: readonly LabContainer[]): Promise<void> {
  for (const address of ['ip', 'ip6'] as const) {
    const averages: string[] = [];
    for (const from of containers) {
      for (const to of containers.filter((other) => other !== from)) {
        const { stdout } = await from.run(['ping', '-q', '-c', '2', '-i', '0.01', '-W', '2', to[address]]);
        averages.push(/= [\d.]+\/([\d.]+)\//.exec(stdout)![1]!);
      }
    }
    const worst = Math.max(...averages.map(Number));
    shown(
      `${averages.length} pairs over ${address === 'ip' ? 'IPv4' : 'IPv6'}, slowest average ${worst.toFixed(1)} ms`,
    );
  }
  const [from, to] = [containers[0]!, containers[containers.length - 1]!];
  await from.run(['ping', '-q', '-c', '1', '-W', '2', '-s', String(LARGE_PING_BYTES), to.ip]);
  shown(`${from.name} to ${to.name} with ${LARGE_PING_BYTES} bytes in one packet`);
}

/** Each serves a page of its own with the marker in it. */
async function serveAll(lab: Lab, containers: readonly LabContainer[], marker: string): Promise<void> {
  for (const container of containers) {
    const folder = join(lab.directory, `www-${container.name}`);
    mkdirSync(folder);
    writeFileSync(join(folder, 'index.html'), page(container, marker));
    await container.run(['busybox', 'httpd', '-p', '80', '-h', folder]);
  }
}

async function fetchAll(containers: readonly LabContainer[], marker: string): Promise<void> {
  const pairs = containers.flatMap((from) => containers.filter((to) => to !== from).map((to) => ({ from, to })));
  await Promise.all(
    pairs.map(async ({ from, to }) => {
      const { stdout } = await from.run(['busybox', 'wget', '-q', '-O', '-', `http://${to.ip}/`], FETCH);
      if (stdout !== page(to, marker)) throw new Error(`${from.name} got a wrong page from ${to.name}: ${stdout}`);
    }),
  );
  shown(`${pairs.length} requests at the same time, each got the page of the container that it asked`);
}

function page(container: LabContainer, marker: string): string {
  return `this is ${container.name}, and ${marker} is in every page\n`;
}

async function showStatus(host: LabHost): Promise<void> {
  await host.waitReady(1);
  for (const section of [[], ['tunnels']]) {
    const words = ['status', ...section];
    command(host, `fabric ${words.join(' ')}`);
    quote((await host.fabric(words)).stdout);
  }
}

async function proveEncryption(underlayFile: string, bridgeFile: string, marker: string): Promise<void> {
  const tunnelled = await countPackets(underlayFile, 'udp port 6783');
  const foreign = await packetsIn(underlayFile, '(tcp or udp) and not port 6783');
  if (tunnelled === 0) throw new Error('the capture of the underlay holds no tunnel datagram');
  if (foreign.length > 0) throw new Error(`TCP or UDP outside port 6783 on the underlay:\n${foreign.join('\n')}`);
  shown(`${tunnelled} datagrams on UDP 6783, no TCP or UDP on any other port`);
  if (!(await holdsText(bridgeFile, marker))) throw new Error(`the capture of the bridge does not hold ${marker}`);
  shown(`the bridge of host one carried "${marker}" in the clear, as containers sent it`);
  if (await holdsText(underlayFile, marker)) throw new Error(`the capture of the underlay holds ${marker}`);
  shown('the underlay never did: what leaves a host is encrypted');
}

function title(text: string): void {
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  process.stdout.write(`\n${bold(text)} ${dim(`(${seconds} s)`)}\n`);
}

function shown(text: string): void {
  process.stdout.write(`  ${green('✔')} ${text}\n`);
}

function command(host: LabHost, text: string): void {
  process.stdout.write(`  ${dim(`${host.name}#`)} ${text}\n`);
}

function quote(text: string): void {
  for (const line of text.trimEnd().split('\n')) process.stdout.write(line === '' ? '\n' : `    ${line}\n`);
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const beforeMs = performance.now();
  const value = await work();
  return { value, ms: performance.now() - beforeMs };
}

const TWO_MACHINES = `On two real machines, in a checkout of each (npm run setup):
  first#   bin/fabric launch
  second#  bin/fabric launch --join FIRST --token-file -     and paste what the first one printed
  both#    bin/fabric attach netns:NAME                       or CNI: {"cniVersion":"1.0.0","name":"fabric","type":"fabric"}
TCP and UDP 6783 must be open between them.`;

try {
  await withLab(demo);
  title('All shown, all removed');
  process.stdout.write(`${TWO_MACHINES}\n`);
} catch (error) {
  process.stderr.write(`\nthe demo failed: ${(error as Error).message}\n`);
  process.exitCode = 1;
}

// Whatever a runtime gives to the plugin's binary, and whatever answers on the daemon's socket: it ends by itself, with success or
// with one CNI error as JSON and nothing on stderr. Seeded: each finding names the call that shows it again.

import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { inParallel } from '../lab/in-parallel.ts';
import { runShim, type ShimExit, type ShimSite } from './shim-process.ts';

const AT_ONCE = 4;
const VERBS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION', 'add', 'X'];
const ODD_TEXTS = ['', '..', '/', 'a/b', '\u{1f980}', '\n', '"', '\\', '%s%n', '-1', '__proto__', 'x'.repeat(5000)];
const VARIABLES = [
  'CNI_CONTAINERID',
  'CNI_IFNAME',
  'CNI_NETNS',
  'CNI_PATH',
  'CNI_ARGS',
  'CNI_NETNS_OVERRIDE',
  'CNI_ODD',
];
const CONFIG = {
  cniVersion: '1.1.0',
  name: 'fabric',
  type: 'fabric',
  ipam: { type: 'nobody', ranges: [[{ subnet: '10.32.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] },
  runtimeConfig: { ips: ['10.32.0.5/12'], aliases: ['\u00fc'], nested: [[[[{}]]]] },
  prevResult: { cniVersion: '1.1.0', ips: [], interfaces: [{ name: 'eth0' }] },
};
/** Whole and cut; none of them is an answer. */
const REPLY = Buffer.from(
  'HTTP/1.1 200 OK\r\ncontent-length: 62\r\n\r\n{"exec":{"plugin":"host-local","env":{},"stdin":"","continuat',
);

/** One call and what became of it: null, or the finding in words. */
export async function fuzzShim(
  site: ShimSite,
  { seed, runs }: { readonly seed: number; readonly runs: number },
): Promise<readonly string[]> {
  const { runDir: nobody } = site.place();
  const { runDir: somebody, stateDir } = site.place();
  const random = new SeededRandom(seed);
  const server = await babble(join(somebody, 'fabric.sock'), random.split());
  try {
    const calls = Array.from({ length: runs }, () => random.split());
    const findings = await inParallel(calls, AT_ONCE, async (own, index) => {
      const runDir = own.below(2) === 0 ? nobody : somebody;
      const env = { ...oddEnv(own, site), FABRIC_RUN_DIR: runDir, FABRIC_STATE_DIR: stateDir };
      const stdin = oddConfig(own);
      const finding = judge(await runShim(env, stdin));
      return finding === null ? [] : [`seed ${seed}, call ${index}: ${finding}: ${JSON.stringify(env)} ${stdin}`];
    });
    return findings.flat();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

function judge({ code, stdout, stderr }: ShimExit): string | null {
  if (code === null) return 'a signal ended it';
  if (code === 0) return stdout === '' || isJson(stdout) ? null : `success that says ${stdout}`;
  if (stderr !== '') return `stderr says ${stderr}`;
  const error = isJson(stdout) ? (JSON.parse(stdout) as unknown) : null;
  const isCniError =
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    typeof error.code === 'number' &&
    'msg' in error &&
    typeof error.msg === 'string' &&
    'cniVersion' in error &&
    typeof error.cniVersion === 'string';
  return isCniError ? null : `exit code ${code}, and stdout is no CNI error: ${stdout}`;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A good call's variables, some missing, some odd. Variables hold no zero byte. */
function oddEnv(random: SeededRandom, site: ShimSite): Record<string, string> {
  const env: Record<string, string> = site.env(VERBS[random.below(VERBS.length)]!);
  for (const name of VARIABLES) {
    const what = random.below(8);
    if (what === 0) delete env[name];
    if (what === 1) env[name] = ODD_TEXTS[random.below(ODD_TEXTS.length)]!;
    if (what === 2) env[name] = Buffer.from(random.bytes(random.below(40)).map((byte) => byte || 1)).toString('latin1');
  }
  return env;
}

/** A configuration with bytes changed, put in, repeated or cut off; at times nothing that resembles one. */
function oddConfig(random: SeededRandom): Buffer {
  if (random.below(8) === 0) return Buffer.from(random.bytes(random.below(300)));
  if (random.below(16) === 0) return Buffer.from('['.repeat(random.below(100_000)));
  let bytes = Buffer.from(JSON.stringify(CONFIG));
  for (let changes = random.below(4); changes > 0; changes--) {
    const at = random.below(bytes.length);
    const rest = bytes.subarray(at);
    const kinds = [
      () => [bytes.subarray(0, at), Buffer.from(random.bytes(1)), rest.subarray(1)],
      () => [bytes.subarray(0, at), Buffer.from(ODD_TEXTS[random.below(ODD_TEXTS.length)]!), rest],
      () => [bytes.subarray(0, at), rest.subarray(0, 40), rest],
      () => [bytes.subarray(0, at)],
    ];
    bytes = Buffer.concat(kinds[random.below(kinds.length)]!());
    if (bytes.length === 0) break;
  }
  return bytes;
}

/** Answers each connection with a piece of an answer, with bytes changed, and hangs up. */
async function babble(path: string, random: SeededRandom): Promise<Server> {
  const server = createServer((socket) => {
    // The shim may hang up first.
    socket.on('error', () => socket.destroy());
    socket.once('data', () => {
      const said = Buffer.from(REPLY.subarray(0, random.below(REPLY.length)));
      for (let changes = random.below(3); changes > 0 && said.length > 0; changes--) {
        said[random.below(said.length)] = random.below(256);
      }
      socket.end(said);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

// An engine whose daemon is gone or hangs, on the real kernel (test/lab/datapath-pair.ts): frames go on, the next daemon is told
// what lives, one daemon at a time controls it, and keys have an end. Needs root.

import { spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Test, test } from 'tap';
import { ENGINE_UID } from '../../src/router/engine/left-engine.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import { CONTAINER, type DatapathChoice, HOST, indexOf, OTHER, TUNNEL_PORT } from '../lab/datapath-facts.ts';
import { DatapathPair } from '../lab/datapath-pair.ts';
import { eventually, exec } from '../lab/exec.ts';

const LIFE_MS = 4_000;
/** After the last key's end. */
const END_WITHIN_MS = 700;
/** Of native/engine: kOutputMax, kEventBytesMax and what the socket holds. */
const EVENTS_MAX_KIB = 12 * 1_024;
const { ip4 } = CONTAINER.b;

interface AloneOptions {
  /** How old the keys of both sides get. */
  readonly sessionLifeMs?: number;
  readonly runDir?: string;
}

const makeRunDir = (): string => mkdtempSync(join(tmpdir(), 'fabric-engine-'));

/** The engine of side a outlives its daemon. */
async function alonePair(t: Test, { runDir = makeRunDir(), ...life }: AloneOptions = {}) {
  const lasting: DatapathChoice = { name: 'engine', runDir, ...life };
  const pair = new DatapathPair({ a: lasting, b: { name: 'engine' } });
  const hosts = await pair.start('underlay4').catch((error: unknown) => {
    pair.destroy();
    throw error;
  });
  t.teardown(() => {
    if (isRunning(hosts.a.enginePid)) process.kill(hosts.a.enginePid, 'SIGKILL');
    pair.destroy();
    rmSync(runDir, { recursive: true });
  });
  return { pair, hosts, runDir };
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function residentKib(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

if (process.getuid?.() !== 0) {
  test('an engine alone', { skip: 'needs root' }, async () => {});
} else {
  test('its daemon is killed, and another comes', { timeout: 60_000 }, async (t) => {
    const { pair, hosts } = await alonePair(t);
    t.same(hosts.a.adopted, [], 'the first finds nothing');
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'they talk');
    hosts.a.kill();
    await hosts.a.exited;
    t.equal((await pair.ping(`-c 20 -i 0.05 ${ip4}`)).received, 20, 'without daemon they talk on');
    const heardMs = async () => (await hosts.b.stats()).peers[0]!.lastReceivedMs!;
    const lastPingMs = await heardMs();
    await eventually('idle, the engine shows that it lives', async () => (await heardMs()) > lastPingMs + 1_000, {
      timeoutMs: 3_000,
    });

    await hosts.b.ask({ handshakes: 1 });
    const second = pair.launch('a', 'underlay4');
    await second.ready();
    t.equal(second.enginePid, hosts.a.enginePid, 'the second daemon has the same engine');
    t.equal(second.adopted.length, 1, 'and is told of its session');
    const [session] = second.adopted;
    t.match(session, {
      peer: HOST[OTHER.a].peer,
      localIndex: HOST.a.index,
      remoteIndex: HOST.b.index,
      initiator: true,
    });
    t.match(session, { role: 'current', confirmed: true, exhausted: false, cipher: 'aes-256-gcm', pathMtu: 1500 });
    t.match(session, { path: { ip: HOST.b.underlay4, port: TUNNEL_PORT } });
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'they talk on');
    const stats = await second.stats();
    t.ok(stats.peers[0]!.txFrames >= 26, `counters go on: ${stats.peers[0]!.txFrames} frames sent`);
    t.equal(stats.drops['daemon-absent'], 1, 'a handshake that nobody was there for is counted');

    const third = pair.launch('a', 'underlay4');
    t.not(await third.exited, 0, 'a third daemon beside the second gives up');
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'and disturbs nothing');
    await second.ask({ stop: true });
    t.equal(await second.exited, 0, 'the second ends');
    t.notOk(isRunning(hosts.a.enginePid), 'and with its stop the engine');
  });

  test('the next daemon knows other containers', { timeout: 60_000 }, async (t) => {
    const { pair, hosts } = await alonePair(t);
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'they talk');
    hosts.a.kill();
    await hosts.a.exited;
    const forgetful = pair.launch('a', 'underlay4', { emptyTables: true });
    await forgetful.ready();
    t.equal(forgetful.adopted.length, 1, 'the session is there');
    await t.rejects(pair.ping(`-c 2 -i 0.2 -W 1 ${ip4}`), 'but the tables are those of the new daemon');
    forgetful.kill();
    await forgetful.exited;
    await pair.launch('a', 'underlay4').ready();
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'with the one after that they talk again');
  });

  test('no daemon comes back', { timeout: 60_000 }, async (t) => {
    const beforeMs = performance.now();
    const { pair, hosts, runDir } = await alonePair(t, { sessionLifeMs: LIFE_MS });
    const keyedMs = performance.now() - beforeMs;
    hosts.a.kill();
    await hosts.a.exited;
    t.equal((await pair.ping(`-c 10 -i 0.1 ${ip4}`)).received, 10, 'the keys serve for a while');
    await eventually('the engine is gone', async () => !isRunning(hosts.a.enginePid), { timeoutMs: 2 * LIFE_MS });
    const goneMs = performance.now() - beforeMs;
    t.ok(goneMs >= LIFE_MS, `keys that were made within ${keyedMs.toFixed(0)} ms kept it for ${goneMs.toFixed(0)} ms`);
    t.ok(goneMs < keyedMs + LIFE_MS + END_WITHIN_MS, 'and when they were over it ended itself');
    t.match(readFileSync(join(runDir, 'engine.log'), 'utf8'), /no daemon came back/, 'and said why');
    const next = pair.launch('a', 'underlay4');
    await next.ready();
    t.ok(next.enginePid !== hosts.a.enginePid, 'the next daemon makes another');
    t.same(next.adopted, [], 'without sessions');
    await next.ask({ stop: true });
  });

  test('a daemon that hangs', { timeout: 60_000 }, async (t) => {
    const { pair, hosts } = await alonePair(t, { sessionLifeMs: LIFE_MS });
    const before = residentKib(hosts.a.enginePid);
    hosts.a.kill('SIGSTOP');
    t.equal((await pair.ping(`-c 10 -i 0.1 ${ip4}`)).received, 10, 'the keys serve for a while');
    for (let burst = 0; burst < 100; burst++) {
      await hosts.b.ask({ handshakes: 500 });
      await hosts.b.stats(); // they have left when it answers
    }
    const grownKib = residentKib(hosts.a.enginePid) - before;
    t.ok(grownKib < EVENTS_MAX_KIB, `a flood of handshakes that nobody reads costs ${grownKib} KiB`);
    await wait(LIFE_MS);
    t.ok(isRunning(hosts.a.enginePid), 'the engine stays for it');
    await t.rejects(pair.ping(`-c 2 -i 0.2 -W 1 ${ip4}`), 'but keys are not used longer than they may');
    hosts.a.kill('SIGCONT');
    const { drops } = await hosts.a.stats();
    t.ok(drops.overload! > 1_000, `what was too much is counted: ${drops.overload} datagrams`);
  });

  test('handshakes that a daemon does not read displace no other event', { timeout: 60_000 }, async (t) => {
    const { pair, hosts } = await alonePair(t);
    const generations = [1, 2, 3];
    t.equal((await pair.ping(`-c 1 ${ip4}`)).received, 1, 'the first session is confirmed');
    for (const addKeys of generations) await Promise.all([hosts.a.ask({ addKeys }), hosts.b.ask({ addKeys })]);
    hosts.a.kill('SIGSTOP');
    for (let burst = 0; burst < 40; burst++) {
      await hosts.b.ask({ handshakes: 500 });
      await hosts.b.stats(); // they have left when it answers
    }
    await hosts.b.ask({ handshakes: 500, short: true }); // the last gap is filled
    for (const useKeys of generations) {
      await hosts.b.ask({ useKeys });
      t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'the other side sends on another session');
    }
    hosts.a.kill('SIGCONT');
    const { drops } = await hosts.a.stats();
    t.ok(drops.overload! > 1_000, `what was too much is counted: ${drops.overload} datagrams`);
    const { confirmed } = await hosts.a.ask({ confirmed: true });
    const all = [0, ...generations].map((generation) => indexOf('a', generation));
    t.same(confirmed, all, 'the daemon hears of each that it is confirmed');
  });

  test('an engine of another version is there', { timeout: 60_000 }, async (t) => {
    const runDir = makeRunDir();
    chownSync(runDir, ENGINE_UID, ENGINE_UID);
    const program = join(CHECKOUT, 'dist/test/lab/future-engine.js');
    // Without NODE_OPTIONS, through which tap would load itself into it.
    const command = ['-u', 'NODE_OPTIONS', process.execPath, program, join(runDir, 'engine.sock')];
    const other = spawn('env', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.teardown(() => other.kill('SIGKILL'));
    const words = createInterface({ input: other.stdout })[Symbol.asyncIterator]();
    await words.next();
    const { pair, hosts } = await alonePair(t, { runDir });
    t.equal((await words.next()).value, 'stop', 'it is told to stop, and nothing else');
    t.equal((await pair.ping(`-c 3 -i 0.1 ${ip4}`)).received, 3, 'another takes its place');
    t.same(hosts.a.adopted, [], 'of which nothing is taken over');
  });

  test('others want to control it', { timeout: 60_000 }, async (t) => {
    const { hosts, runDir } = await alonePair(t);
    const path = join(runDir, 'engine.sock');
    const { mode, uid } = statSync(path);
    t.same([mode & 0o777, uid], [0o600, 0], 'its socket is for root alone');
    hosts.a.kill();
    await hosts.a.exited;
    chmodSync(runDir, 0o755);
    chmodSync(path, 0o666);
    const stranger = await exec([
      'setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      'socat',
      '-u',
      `UNIX:${path}`,
      '-',
    ]);
    t.equal(stranger.stdout, '', 'even with its socket open to all, a stranger is told nothing');
    t.ok(isRunning(hosts.a.enginePid), 'and it goes on');
  });
}

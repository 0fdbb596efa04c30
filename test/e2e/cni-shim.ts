// The real plugin binary on its own: without a daemon, and against servers that misbehave. Everything lives in a temporary
// directory; no interface and no namespace is made. cni-shim-daemon.ts has it with the daemon's route.

import { execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { versionReport } from '../../src/cni-plugin/version.ts';
import { parseDeferredDelete, parseShimRequest } from '../../src/cni-plugin/wire.ts';
import { fuzzShim } from '../cni-plugin/shim-fuzz.ts';
import { REPOSITORY, records, runShim, SHIM, ShimSite, startShim, until } from '../cni-plugin/shim-process.ts';

/** `npm run test:long -- cni-shim` takes 20,000 and another seed each time. */
const IS_LONG = process.env.FABRIC_LONG === 'cni-shim';
const FUZZ_RUNS = IS_LONG ? 20_000 : 300;
const FUZZ_SEED = IS_LONG ? Date.now() % 2 ** 32 : 11;

const site = new ShimSite();
t.teardown(() => site.remove());

type Reply = { readonly status?: number; readonly body: string | Buffer } | 'hang-up' | 'silence';

/** A server on the run directory's socket that keeps the bodies it gets and replies as told. */
async function serve(t: Test, runDir: string, reply: (path: string, body: Buffer) => Reply) {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const answer = reply(request.url ?? '', Buffer.concat(chunks));
      if (answer === 'hang-up') request.socket.destroy();
      else if (answer !== 'silence') {
        response.writeHead(answer.status ?? 200, { 'content-length': Buffer.byteLength(answer.body) });
        response.end(answer.body);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(join(runDir, 'fabric.sock'), resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
}

t.test('the binary is static, stripped and small', async (t) => {
  const bytes = readFileSync(SHIM);
  t.equal(bytes.subarray(0, 4).toString('latin1'), '\x7fELF');
  const tableAt = Number(bytes.readBigUInt64LE(32));
  const types = Array.from({ length: bytes.readUInt16LE(56) }, (_, i) =>
    bytes.readUInt32LE(tableAt + i * bytes.readUInt16LE(54)),
  );
  t.notOk(types.includes(3), 'no PT_INTERP: no dynamic loader');
  t.notOk(types.includes(2), 'no PT_DYNAMIC');
  t.notOk(bytes.includes('.symtab'), 'no symbol table');
  t.ok(bytes.length < 2 << 20, `${bytes.length} bytes`);
});

t.test('it starts quickly', async (t) => {
  const took: number[] = [];
  for (let i = 0; i < 30; i++) {
    took.push((await runShim({ CNI_COMMAND: 'VERSION', FABRIC_RUN_DIR: site.root })).tookMs);
  }
  const median = took.sort((a, b) => a - b)[15] ?? 0;
  t.comment(`VERSION p50 ${median.toFixed(2)} ms, Node's own spawn included`);
  t.ok(median < 30, 'far below the start of Node');
});

const fuzzing = { timeout: IS_LONG ? 1_700_000 : 60_000 };
t.test(`whatever it gets, it ends with success or one CNI error, seed ${FUZZ_SEED}`, fuzzing, async (t) => {
  t.same(await fuzzShim(site, { seed: FUZZ_SEED, runs: FUZZ_RUNS }), [], `${FUZZ_RUNS} calls`);
});

t.test('E7 blank command: about text on stderr, exit 0, stdin unread', async (t) => {
  const { code, stdout, stderr } = await runShim({ CNI_COMMAND: '' });
  t.same({ code, stdout }, { code: 0, stdout: '' });
  t.match(stderr, /CNI protocol versions supported: .*1\.1\.0/);
});

t.test('without a daemon', async (t) => {
  const { config, stateDir } = site.place();
  const stdin = JSON.stringify(config);

  t.test('V2 VERSION is answered as the daemon would', async (t) => {
    for (const asked of ['0.4.0', '9.9.9']) {
      const { code, stdout, stderr } = await runShim(
        site.env('VERSION'),
        JSON.stringify({ ...config, cniVersion: asked }),
      );
      t.same({ code, stdout, stderr }, { code: 0, stdout: versionReport(asked), stderr: '' });
    }
    const { stdout } = await runShim({ CNI_COMMAND: 'VERSION', FABRIC_RUN_DIR: site.root }, '');
    t.equal(stdout, versionReport(null), 'with empty stdin');
  });

  for (const [verb, code] of [
    ['STATUS', 50],
    ['ADD', 11],
    ['CHECK', 11],
    ['GC', 11],
    ['NONE', 4],
  ] as const) {
    t.test(`F2 T1 ${verb} is code ${code}`, async (t) => {
      const exit = await runShim(site.env(verb), stdin);
      t.match(JSON.parse(exit.stdout), { cniVersion: '1.0.0', code, msg: String });
      t.same([exit.code, exit.stderr], [1, '']);
    });
  }

  t.test('D1 DEL leaves a durable record and succeeds', async (t) => {
    const { code, stdout, stderr } = await runShim(site.env('DEL', { CNI_NETNS: '', CNI_ARGS: 'a="\\\n' }), stdin);
    t.same({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' });
    const [path = '', ...more] = records(stateDir);
    t.same(more, []);
    t.match(path, /\.json$/);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(statSync(join(stateDir, 'cni-pending')).mode & 0o777, 0o700);
    const record = parseDeferredDelete(readFileSync(path));
    t.match(record?.env, { CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c1', CNI_ARGS: 'a="\\\n' });
    t.equal(Buffer.from(record?.stdin ?? []).toString(), stdin);
  });

  t.test('a DEL that can not be recorded fails', async (t) => {
    writeFileSync(join(site.root, 'file'), '');
    const exit = await runShim(
      site.env('DEL'),
      JSON.stringify({ ...config, stateDir: join(site.root, 'file', 'state') }),
    );
    t.match(JSON.parse(exit.stdout), { code: 5 });
    t.equal(exit.code, 1);
  });

  t.test('a DEL that names nothing or has no configuration is no record', async (t) => {
    const before = records(stateDir).length;
    t.match(JSON.parse((await runShim(site.env('DEL', { CNI_IFNAME: '' }), stdin)).stdout), { code: 4 });
    const other = site.env('DEL', { FABRIC_RUN_DIR: site.root, FABRIC_STATE_DIR: stateDir });
    t.match(JSON.parse((await runShim(other, '{')).stdout), { code: 6 });
    t.equal(records(stateDir).length, before);
  });

  t.test('a foreign IPAM plugin gives its address back at once', async (t) => {
    const marker = join(site.root, 'released');
    const bin = site.plugin('host-local', `echo "$CNI_COMMAND $CNI_CONTAINERID $(cat)" > ${marker}`);
    const withIpam = JSON.stringify({ ...config, ipam: { type: 'host-local' } });
    t.equal(
      (await runShim({ ...process.env, ...site.env('DEL', { CNI_PATH: bin }) } as Record<string, string>, withIpam))
        .code,
      0,
    );
    t.equal(readFileSync(marker, 'utf8').trim(), `DEL c1 ${withIpam}`);
  });
});

t.test('the run directory: configuration in any case, then FABRIC_RUN_DIR', async (t) => {
  const one = site.place();
  const two = site.place();
  await serve(t, one.runDir, () => ({ body: '{"exitCode":0,"stdout":"one","stderr":""}' }));
  await serve(t, two.runDir, () => ({ body: '{"exitCode":0,"stdout":"two","stderr":""}' }));
  const escaped = [...one.runDir].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
  const variables = site.env('STATUS', { FABRIC_RUN_DIR: two.runDir });
  t.equal((await runShim(variables, `{"name":[{"runDir":"/no"}],"RUNDIR":"${escaped}"}`)).stdout, 'one');
  t.equal((await runShim(variables, '{"runDir":7}')).stdout, 'two');
  t.equal((await runShim(variables, 'no json')).stdout, 'two');
  const long = await runShim(site.env('ADD'), JSON.stringify({ runDir: `/${'x'.repeat(200)}` }));
  t.match(JSON.parse(long.stdout), { code: 11, details: /too long/ });
});

t.test('the request names the open namespace, and nothing but CNI_* of the environment', async (t) => {
  const { runDir, config } = site.place();
  const bodies: Buffer[] = [];
  let seen: { dev: bigint; ino: bigint } | null = null;
  await serve(t, runDir, (path, body) => {
    bodies.push(body);
    const request = parseShimRequest(JSON.parse(body.toString()));
    const namespace = request?.cni.namespace;
    if (namespace != null) {
      const { dev, ino } = statSync(`/proc/${namespace.pid}/fd/${namespace.fd}`, { bigint: true });
      seen = { dev, ino };
    }
    return { body: JSON.stringify({ exitCode: 0, stdout: path, stderr: '' }) };
  });
  const stdin = JSON.stringify({ ...config, text: 'ä\u0001"' });
  const running = startShim(site.env('ADD', { SECRET: 'x', CNI_ARGS: 'ä;\t' }), stdin);
  t.match(await running.exit, { code: 0, stdout: '/v1/cni', stderr: '' });
  const request = parseShimRequest(JSON.parse(bodies[0]?.toString() ?? ''));
  const own = statSync('/proc/self/ns/net', { bigint: true });
  t.equal(request?.pid, running.process.pid);
  t.same(seen, { dev: own.dev, ino: own.ino });
  t.match(request?.cni.namespace, { dev: own.dev, ino: own.ino });
  t.same(request?.cni.callerNamespace, { dev: own.dev, ino: own.ino });
  t.same(request?.cni.env, site.env('ADD', { CNI_ARGS: 'ä;\t' }));
  t.equal(Buffer.from(request?.cni.stdin ?? []).toString(), stdin);

  await runShim(site.env('ADD', { CNI_NETNS: join(site.root, 'gone') }), stdin);
  t.match(parseShimRequest(JSON.parse(bodies[1]?.toString() ?? ''))?.cni, {
    namespace: null,
    namespaceFault: 'No such file or directory',
  });
});

t.test('the answer is printed as it is', async (t) => {
  const { runDir, config } = site.place();
  const stdout = 'a"\\/\b\f\n\r\t\u0001ä\u20ac\u{1f600}';
  const ascii = JSON.stringify({ exitCode: 3, stdout, stderr: 'e' }).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const bodies = [ascii, JSON.stringify({ more: [{}], exitCode: 3, stdout, stderr: 'e' })];
  let next = 0;
  await serve(t, runDir, () => ({ body: bodies[next++] ?? '' }));
  for (const _ of bodies)
    t.match(await runShim(site.env('ADD'), JSON.stringify(config)), { code: 3, stdout, stderr: 'e' });
});

t.test('16 MiB of stdin are carried, one byte more is code 7', async (t) => {
  const { runDir, config } = site.place();
  let stdinBytes = 0;
  await serve(t, runDir, (_, body) => {
    stdinBytes = parseShimRequest(JSON.parse(body.toString()))?.cni.stdin.length ?? 0;
    return { body: '{"exitCode":0,"stdout":"","stderr":""}' };
  });
  const head = JSON.stringify(config);
  const full = head + ' '.repeat((16 << 20) - head.length);
  t.equal((await runShim(site.env('ADD'), full)).code, 0);
  t.equal(stdinBytes, 16 << 20);
  t.match(JSON.parse((await runShim(site.env('ADD'), `${full} `)).stdout), { code: 7 });
});

t.test('a daemon that breaks in mid-call: ADD is code 11, DEL is recorded', async (t) => {
  const replies: Record<string, Reply> = {
    'hangs up': 'hang-up',
    'answers 404': { status: 404, body: '{"error":{}}' },
    'answers 503': { status: 503, body: '' },
    'answers no JSON': { body: 'hello' },
    'answers half': { body: '{"exitCode":0,"stdout":"' },
    'orders a plugin outside CNI_PATH': {
      body: JSON.stringify({
        exitCode: 0,
        stdout: '',
        stderr: '',
        exec: { plugin: '../bin/sh', env: {}, stdin: '', continuation: 'k' },
      }),
    },
  };
  for (const [name, reply] of Object.entries(replies)) {
    t.test(name, async (t) => {
      const { runDir, stateDir, config } = site.place();
      await serve(t, runDir, () => reply);
      const add = await runShim(site.env('ADD'), JSON.stringify(config));
      t.match(JSON.parse(add.stdout), { code: 11 });
      t.same([add.code, add.stderr], [1, '']);
      t.match(await runShim(site.env('DEL'), JSON.stringify(config)), { code: 0, stdout: '', stderr: '' });
      t.equal(records(stateDir).length, 1);
    });
  }
});

t.test('a daemon that dies after an IPAM plugin reserved: what it reserved is given back', async (t) => {
  for (const [verbs, expected] of [
    [['ADD'], 'ADD DEL'],
    [['ADD', 'DEL'], 'ADD DEL'],
    [['STATUS'], 'STATUS'],
  ] as const) {
    const { runDir, config } = site.place();
    const calls = join(runDir, 'calls');
    const bin = site.plugin('host-local', `echo -n "$CNI_COMMAND $(cat | wc -c);" >> ${calls}`);
    const orders = verbs.map((verb) => ({ plugin: 'host-local', env: { CNI_COMMAND: verb }, stdin: 'e30=' }));
    let asked = 0;
    await serve(t, runDir, () => {
      const order = orders[asked++];
      const exec = { ...order, continuation: 'k' };
      return order === undefined ? 'hang-up' : { body: JSON.stringify({ exitCode: 0, stdout: '', stderr: '', exec }) };
    });
    const variables = { PATH: '/usr/bin:/bin', ...site.env('ADD', { CNI_PATH: bin }) };
    t.match(JSON.parse((await runShim(variables, JSON.stringify(config))).stdout), { code: 11 });
    const said = readFileSync(calls, 'utf8')
      .split(';')
      .filter((call) => call !== '');
    t.equal(said.map((call) => call.split(' ')[0]).join(' '), expected, 'no plugin is left with a reservation');
    t.ok(
      said.every((call) => call.endsWith(' 2')),
      'each with the configuration of the order',
    );
  }
});

t.test('L3 a socket that nobody accepts on: code 11 after 1 s', async (t) => {
  const { runDir, config } = site.place();
  const path = join(runDir, 'fabric.sock');
  const script = `require('net').createServer().listen({path:${JSON.stringify(path)},backlog:1},()=>{
    process.stdout.write('.'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0,20000)})`;
  const blocked = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => blocked.kill('SIGKILL'));
  await new Promise((resolve) => blocked.stdout.once('data', resolve));
  // The backlog holds two; what does not fit fails with EAGAIN, which is what is wanted.
  const fillers = Array.from({ length: 4 }, () => connect(path).on('error', () => {}));
  t.teardown(() => {
    for (const filler of fillers) filler.destroy();
  });
  await until(() => fillers.some((filler) => filler.errored !== null));
  const exit = await runShim(site.env('ADD'), JSON.stringify(config));
  t.match(JSON.parse(exit.stdout), { code: 11, details: /timed out/ });
  t.ok(exit.tookMs >= 900 && exit.tookMs < 3000, `${exit.tookMs} ms`);
});

t.test('L3 a daemon that never answers: code 11 at the time-out, DEL is recorded', async (t) => {
  // 60 s in the real binary; this one is built with 300 ms and is otherwise the same.
  const quick = join(site.root, 'quick-shim');
  const sources = readdirSync(`${REPOSITORY}native/cni-shim`).filter((name) => name.endsWith('.cc'));
  execFileSync('g++', [
    ...['-std=c++20', '-O0', '-fno-exceptions', '-fno-rtti', '-D_GNU_SOURCE', '-DFABRIC_SHIM_ANSWER_TIMEOUT_MS=300'],
    ...sources.map((name) => `${REPOSITORY}native/cni-shim/${name}`),
    ...['-o', quick],
  ]);
  const { runDir, stateDir, config } = site.place();
  await serve(t, runDir, () => 'silence');
  const add = await runShim(site.env('ADD'), JSON.stringify(config), quick);
  t.match(JSON.parse(add.stdout), { code: 11, details: /timed out/ });
  t.ok(add.tookMs >= 290 && add.tookMs < 3000, `${add.tookMs} ms`);
  t.match(await runShim(site.env('DEL'), JSON.stringify(config), quick), { code: 0, stdout: '', stderr: '' });
  t.equal(records(stateDir).length, 1);
});

// What a daemon is given that it should never get: state files that are damaged, empty or missing, and random bytes on each
// of its sockets. Damage is reported and nothing is replaced; garbage is dropped, and the containers never notice.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { assert } from '../../src/base/errors.ts';
import { eventually } from '../lab/exec.ts';
import { Lab } from '../lab/lab.ts';
import { copyRestingState } from '../lab/state-copy.ts';

/** What is done to a state directory, and what launch says of it. */
interface Damage {
  readonly what: string;
  readonly says: RegExp;
  /** The database itself is whole and is opened before the damage is met. */
  readonly databaseIsRead?: boolean;
  apply(directory: string): void;
}

const overwrite = (path: string, at: number): void => {
  const bytes = readFileSync(path);
  bytes.fill(0xa5, at, at + 512);
  writeFileSync(path, bytes);
};

const DAMAGES: readonly Damage[] = [
  {
    what: 'an empty identity',
    says: /identity.json is damaged\n.*empty/,
    apply: (directory) => truncateSync(join(directory, 'identity.json')),
  },
  {
    what: 'half an identity',
    says: /identity.json is damaged/,
    apply: (directory) => truncateSync(join(directory, 'identity.json'), 300),
  },
  {
    what: 'a changed identity',
    says: /identity.json is damaged\n.*checksum/,
    apply: (directory) => {
      const path = join(directory, 'identity.json');
      const text = readFileSync(path, 'utf8');
      const changed = text.replace(/"peer": "./, '"peer": "-');
      assert(changed !== text, 'the identity names the peer');
      writeFileSync(path, changed);
    },
  },
  {
    what: 'no identity beside a database',
    says: /identity.json is missing/,
    apply: (directory) => rmSync(join(directory, 'identity.json')),
  },
  {
    what: 'an empty database',
    says: /fabric.db/,
    apply: (directory) => truncateSync(join(directory, 'fabric.db')),
  },
  {
    what: 'no database',
    says: /fabric.db/,
    apply: (directory) => rmSync(join(directory, 'fabric.db')),
  },
  {
    what: 'a database with a damaged head',
    says: /fabric.db/,
    apply: (directory) => overwrite(join(directory, 'fabric.db'), 0),
  },
  {
    what: 'a database with a damaged page',
    says: /fabric.db/,
    apply: (directory) => overwrite(join(directory, 'fabric.db'), 4096),
  },
  {
    what: 'damaged notes on the kernel',
    says: /host-network.json/,
    databaseIsRead: true,
    apply: (directory) => writeFileSync(join(directory, 'host-network.json'), '{"place":'),
  },
];

/** Content of identity and database; a start that gets past the database writes to it. */
function hashes(directory: string, { databaseIsRead = false }: Damage): Record<string, string> {
  const names = readdirSync(directory).filter((name) => {
    return name === 'identity.json' || name === 'host-network.json' || (name === 'fabric.db' && !databaseIsRead);
  });
  const hashed = names.map((name) => {
    return [
      name,
      createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex'),
    ];
  });
  return Object.fromEntries(hashed);
}

test('state files that are damaged, empty or missing are reported and never replaced', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.launch();
  const container = await host.container('c');
  const id = (await host.status()).self.id;
  await host.fabric(['stop']);
  const whole = copyRestingState(host);
  for (const damage of DAMAGES) {
    const { what, says } = damage;
    damage.apply(host.stateDirectory);
    const before = hashes(host.stateDirectory, damage);
    const { status, stderr } = await host.fabric(['launch', '--detach'], { mayFail: true });
    t.equal(status, 1, `${what}: launch fails`);
    t.match(stderr, says, `${what}: says what is wrong`);
    t.match(stderr, /\n {2}do: {2}\S/, `${what}: says what to do`);
    t.same(hashes(host.stateDirectory, damage), before, `${what}: the files are as they were`);
    whole.restore(host);
  }
  await host.launch();
  const { self, attachments } = await host.status();
  t.equal(self.id, id, 'with its files back the host is who it was');
  t.same(
    attachments.map(({ containerId }) => containerId),
    [container.id],
    'with its container',
  );
  t.equal(statSync(host.stateDirectory).mode & 0o777, 0o700, 'the directory is for root alone');
  for (const name of ['fabric.db', 'identity.json']) {
    t.equal(statSync(join(host.stateDirectory, name)).mode & 0o777, 0o600, `${name} too`);
  }
});

const GARBAGE = fileURLToPath(new URL('../lab/garbage.js', import.meta.url));

test('random bytes on every socket change nothing', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const a = await lab.host('a');
  const b = await lab.host('b');
  await a.launch();
  await b.launch({ join: a, token: await a.token() });
  const [one, two] = [await a.container('one'), await b.container('two')];
  await eventually('the containers talk', () => one.pings(two.ip));
  const pid = await a.daemonPid();
  const attacker = await lab.host('attacker');
  const node = ['env', '-u', 'NODE_OPTIONS', process.execPath, GARBAGE];
  await Promise.all([
    attacker.run([...node, 'udp', a.ip, '6783', '1']),
    attacker.run([...node, 'tcp', a.ip, '6783', '2']),
    attacker.run([...node, 'tcp', a.ip6, '6783', '3']),
    a.run([...node, 'unix', '/run/fabric/fabric.sock', '4']),
  ]);
  t.equal(await a.daemonPid(), pid, 'the daemon lives');
  t.ok(await two.pings(one.ip), 'and its containers talk');
  const status = await a.status();
  t.ok(status.health.ok, `healthy: ${JSON.stringify(status.health.problems)}`);
  t.same(
    status.peers.map(({ nickname, state }) => [nickname, state]),
    [['b', 'alive']],
    'nobody became a peer',
  );
  const lines = readFileSync(join(a.stateDirectory, 'fabric.log'), 'utf8').split('\n').length;
  t.ok(lines < 100, `it logged ${lines} lines, not one per datagram`);
});

test('malformed CNI calls get a CNI error', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.launch();
  const container = await host.namespace('c');
  const rows: readonly (readonly [stdin: string, code: number])[] = [
    ['', 6],
    ['{', 6],
    ['[]', 6],
    ['{"cniVersion":"1.0.0","type":"fabric"}', 7],
    ['{"cniVersion":"1.0.0","name":"../etc","type":"fabric"}', 7],
    ['{"cniVersion":"9.0.0","name":"fabric","type":"fabric"}', 1],
    ['{"cniVersion":"1.0.0","name":"fabric","type":"fabric","args":{"cni":{"ips":["nonsense"]}}}', 7],
  ];
  for (const [stdin, code] of rows) {
    const { status, stdout } = await container.cni('ADD', { mayFail: true, input: stdin });
    t.not(status, 0, `${stdin || 'nothing'}: fails`);
    t.equal((JSON.parse(stdout) as { code: number }).code, code, `${stdin || 'nothing'}: code ${code}`);
  }
  t.same((await host.status()).attachments, [], 'nothing is attached');
  t.ok(await container.tryAdd(), 'a good call works');
});

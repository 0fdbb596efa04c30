import { describe, expect, test } from 'vitest';
import { addEnv, CONFIG, FakeBackend, run } from './fake-backend.ts';

async function code(env: Record<string, string>, config: unknown = CONFIG): Promise<number> {
  return (await run(new FakeBackend(), env, config)).json.code ?? 0;
}

function without(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(addEnv()).filter(([name]) => !names.includes(name)));
}

describe('environment', () => {
  test('E7 blank CNI_COMMAND: about text on stderr, exit 0', async () => {
    const { outcome } = await run(new FakeBackend(), {}, '');
    expect(outcome).toMatchObject({ exitCode: 0, stdout: '' });
    expect(outcome.stderr).toMatch(/CNI protocol versions supported: 0\.1\.0, .*1\.1\.0/);
  });

  test('E6 unknown command: code 4', async () => {
    expect(await code(addEnv({ CNI_COMMAND: 'add' }))).toBe(4);
    expect(await code(addEnv({ CNI_COMMAND: 'toString' }))).toBe(4);
  });

  test('E2 all missing variables are reported at once, code 4', async () => {
    const { json } = await run(new FakeBackend(), { CNI_COMMAND: 'ADD' });
    expect(json).toMatchObject({
      code: 4,
      msg: 'required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing',
    });
  });

  const v11 = { ...CONFIG, cniVersion: '1.1.0', 'cni.dev/valid-attachments': [] };
  test.each([
    ['ADD', ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH']],
    ['CHECK', ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH']],
    ['DEL', ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH']],
    ['GC', ['CNI_PATH']],
    ['STATUS', ['CNI_PATH']],
    ['VERSION', []],
  ] as const)('E1 %s needs %j, an empty value counts as missing', async (verb, names) => {
    const { json } = await run(new FakeBackend(), { CNI_COMMAND: verb, CNI_IFNAME: '' }, v11);
    if (names.length === 0) expect(json.code).toBeUndefined();
    else expect(json.msg).toBe(`required env variables [${names.join(',')}] missing`);
  });

  test('D3 DEL needs no CNI_NETNS', async () => {
    expect(await code({ ...without('CNI_NETNS'), CNI_COMMAND: 'DEL' })).toBe(0);
  });

  test.each(['-c1', '.c1', 'a/b', 'a b', 'ä', 'a\n', `a${'b'.repeat(255)}`])(
    'E3 CONTAINERID %j breaks the pattern: code 4',
    async (id) => {
      for (const verb of ['ADD', 'DEL', 'CHECK']) {
        expect(await code(addEnv({ CNI_COMMAND: verb, CNI_CONTAINERID: id }))).toBe(4);
      }
    },
  );

  test.each(['a', 'k8s.io-0f', 'A_b.c-d', '9'])('E3 CONTAINERID %j is good', async (id) => {
    expect(await code(addEnv({ CNI_CONTAINERID: id }))).toBe(0);
  });

  test.each([
    ['sixteen bytes', 'abcdefghijklmnop'],
    ['sixteen bytes in eight characters', 'ääääääää'],
    ['a dot', '.'],
    ['two dots', '..'],
    ['a slash', 'eth/0'],
    ['a colon', 'eth0:1'],
    ['a space', 'eth 0'],
    ['a tab', 'eth\t0'],
    ['a control character', 'eth\u00010'],
    ['a no-break space', 'eth\u00a00'],
  ])('E5 IFNAME of %s: code 4', async (_, ifname) => {
    expect(await code(addEnv({ CNI_IFNAME: ifname }))).toBe(4);
  });

  test.each(['abcdefghijklmno', 'eth0', '...', 'a'])('E5 IFNAME %j is good', async (ifname) => {
    expect(await code(addEnv({ CNI_IFNAME: ifname }))).toBe(0);
  });
});

describe('C9 CNI_ARGS', () => {
  test.each([
    ['an unknown key without IgnoreUnknown', 'FOO=1', 4],
    ['an unknown key with IgnoreUnknown=0', 'IgnoreUnknown=0;FOO=1', 4],
    ['an unknown key with IgnoreUnknown=1', 'IgnoreUnknown=1;FOO=1', 0],
    ['an unknown key with IgnoreUnknown=true after it', 'FOO=1;IgnoreUnknown=true', 0],
    ['IgnoreUnknown that is no boolean', 'IgnoreUnknown=perhaps', 4],
    ['a pair without =', 'FOO', 4],
    ['a pair without key', '=1', 4],
    ['K8S_POD_* keys', 'K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=d', 0],
    ['empty pairs', ';;IP=10.32.0.9;', 0],
    ['an IP that is none', 'IP=10.32.0', 4],
    ['a MAC that is none', 'MAC=02:00', 4],
  ])('%s (%s): code %d', async (_, args, expected) => {
    expect(await code(addEnv({ CNI_ARGS: args }))).toBe(expected);
  });

  test('nothing in CNI_ARGS makes DEL fail', async () => {
    expect(await code(addEnv({ CNI_COMMAND: 'DEL', CNI_ARGS: 'FOO;=;IP=x' }))).toBe(0);
  });
});

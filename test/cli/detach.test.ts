import { expect, test } from 'vitest';
import { type ErrorCode, FabricError } from '../../src/base/errors.ts';
import { childArguments, Obstacles, refusalOf } from '../../src/cli/detach.ts';
import { describeError, EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, exitCodeOf } from '../../src/cli/exit.ts';
import { status } from './status/some-status.ts';

test.each<[string, string[], string[]]>([
  ['nothing but the verb', ['launch', '--detach'], ['launch']],
  [
    'other flags stay in order',
    ['launch', '--nickname', 'a', '--detach', '--port', '7000'],
    ['launch', '--nickname', 'a', '--port', '7000'],
  ],
  ['the token goes with its flag', ['launch', '--token', 'fabric1-secret', '--join', 'h'], ['launch', '--join', 'h']],
  ['the token file goes too', ['launch', '--token-file', '-', '--join', 'h'], ['launch', '--join', 'h']],
  [
    'flags written with an equals sign',
    ['launch', '--token=fabric1-secret', '--token-file=x', '--join=h'],
    ['launch', '--join=h'],
  ],
])('arguments of the detached daemon: %s', (_name, argv, kept) => {
  expect(childArguments(argv)).toEqual(kept);
});

test('no argument of the detached daemon ever holds the token', () => {
  const forms = [['--token', 'SECRET'], ['--token=SECRET'], ['--token-file', 'SECRET'], ['--token-file=SECRET']];
  for (const form of forms) {
    expect(childArguments(['launch', '--init', ...form, '--detach']).join(' ')).not.toContain('SECRET');
  }
});

test.each<[ErrorCode, number]>([
  ['usage', EXIT_USAGE],
  ['not-implemented', EXIT_USAGE],
  ['token-missing', EXIT_USAGE],
  ['daemon-unreachable', EXIT_UNREACHABLE],
  ['timeout', EXIT_FAILED],
  ['internal', EXIT_FAILED],
])('%s ends with exit code %i', (code, status) => {
  expect(exitCodeOf(new FabricError(code, { what: 'x' }))).toBe(status);
});

test('errors are told in lines of their own; a bug shows its stack', () => {
  const error = new FabricError('usage', { what: 'it is so', why: 'because', fix: 'Do this' });
  expect(describeError(error)).toBe('fabric: it is so\n  why: because\n  do:  Do this');
  expect(describeError(new FabricError('usage', { what: 'it is so' }))).toBe('fabric: it is so');
  expect(exitCodeOf(new Error('boom'))).toBe(EXIT_FAILED);
  expect(describeError(new Error('boom'))).toContain('detach.test.ts');
});

test('a file that the system refuses is no bug: no stack, and root is named where that helps', () => {
  const refused = (code: string) =>
    Object.assign(new Error(`${code}: no, open '/opt/x'`), { code, syscall: 'open', path: '/opt/x' });
  expect(describeError(refused('EACCES'))).toBe(
    "fabric: EACCES: no, open '/opt/x'\n  do:  Run the command as root (sudo)",
  );
  expect(describeError(refused('EROFS'))).toBe("fabric: EROFS: no, open '/opt/x'");
});

const REFUSED = "can't join h: it belongs to another cluster";
test.each<[string, { code?: string; errors?: (string | null)[]; clusterId?: string }, boolean]>([
  ['every host refuses it', {}, true],
  ['one has not been asked yet', { errors: [REFUSED, null] }, false],
  ['one refuses it, one does not answer', { errors: [REFUSED, "can't join i: nothing listens there"] }, true],
  ['it was told to join itself', { code: 'join-self', errors: ['self'] }, true],
  ['none answers', { code: 'peer-unreachable' }, false],
  ['it is a member already', { clusterId: 'c' }, false],
])('a launch is given up: %s', (_, { code = 'cluster-mismatch', errors = [REFUSED], clusterId = null }, isGivenUp) => {
  const problem = { code, what: 'a', why: 'b', fix: 'c' };
  const current = status({
    health: { ok: false, problems: [problem], notices: [] },
    targets: errors.map((error, i) => ({
      host: `h${i}:6783`,
      state: error === 'self' ? 'self' : 'waiting',
      error: error === 'self' ? null : error,
    })),
  });
  expect(refusalOf({ ...current, self: { ...current.self, clusterId } })).toEqual(isGivenUp ? problem : null);
});

test('what a launch waits for is told once each, when it has lasted; what ends it soon is not', () => {
  const obstacles = new Obstacles();
  const problem = (code: string, why: string) => ({ code, what: "can't join h", why });
  const route = problem('peer-unreachable', 'there is no route to it');
  const firewall = problem('peer-unreachable', 'it does not answer');
  const looks: [ms: number, seen: typeof route | null, told: string | null][] = [
    [0, route, null],
    [1_900, route, null],
    [2_100, route, "fabric: can't join h: there is no route to it; trying on for up to 30 s"],
    [2_300, route, null],
    [2_500, firewall, null],
    [2_700, null, null],
    [2_900, firewall, null],
    [5_000, firewall, "fabric: can't join h: it does not answer; trying on for up to 30 s"],
    [9_000, route, null],
    [12_000, route, null],
    [12_500, problem('joining', 'no answer so far'), null],
    [15_500, problem('joining', 'no answer so far'), null],
    [16_000, problem('token-refused', 'wrong'), null],
    [19_000, problem('token-refused', 'wrong'), null],
  ];
  for (const [nowMs, seen, told] of looks) expect([nowMs, obstacles.news(seen, nowMs)]).toEqual([nowMs, told]);
});

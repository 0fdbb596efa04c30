// The files of --ca, --cert and --key: what can be wrong with them is told apart, and new ones are taken up without a restart.

import { appendFileSync, chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ClusterId } from '../../../src/base/ids.ts';
import type { CertificatePaths } from '../../../src/host/certificates/files.ts';
import { OperatorCertificates } from '../../../src/host/certificates/operator-certificates.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { ManualTimers } from '../../fakes/manual-timers.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';
import { sharedDirectory, temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { type IssuedCertificate, OperatorCa } from '../../lab/operator-ca.ts';

const LOOK_MS = 2_000;
const directory = sharedDirectory();
const ca = new OperatorCa(directory, 'ca');
const other = new OperatorCa(directory, 'other');
const good = ca.issue('good');
const identity = { clusterId: 'ab'.repeat(16) as ClusterId, identityKey: new Uint8Array(32).fill(1) };

function open(paths: CertificatePaths) {
  const timers = new ManualTimers(new ManualClock(Date.now()));
  const log = new RecordingLog();
  const files = new OperatorCertificates({ paths, clock: timers.clock, timers, log });
  files.load();
  return { files, timers, log };
}

function write(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const open0644 = write('open.key', readFileSync(good.key, 'utf8'), 0o644);
const expired = ca.issue('expired', { days: -1 });
const weak = new OperatorCa(directory, 'weak', { key: 'rsa1024' });
const damaged = readFileSync(good.cert, 'utf8').replace(/\n..../, '\nAAAA');

describe('what is wrong with the files is told apart', () => {
  test.each<[string, Partial<CertificatePaths>, RegExp]>([
    ['nothing', {}, /^$/],
    ['a missing file', { cert: '/nonexistent' }, /\/nonexistent can't be read: ENOENT/],
    ['a directory', { ca: directory }, /can't be read: EISDIR/],
    ['no PEM', { cert: good.key }, /can't be read as certificates: it has no -----BEGIN/],
    ['a damaged certificate', { cert: write('damaged.pem', damaged) }, /a certificate in it is damaged/],
    ['the key of another certificate', { key: expired.key }, /does not belong to the certificate .*good\.pem/],
    ['a key that is none', { key: write('none.key', 'x') }, /none\.key can't be read: it is no private key in PEM/],
    ['a key that others can read', { key: open0644 }, /is open to others: its mode is 0644.*chmod 600/],
    ['an expired certificate', expired, /expired\.pem can't be used: it expired at/],
    ['a certificate of another CA', other.issue('foreign'), /none of the CAs of --ca has issued it; it names CN=other/],
    ['a CA as certificate', { cert: ca.file }, /it is the certificate of a CA/],
    ['a host as CA', { ca: good.cert }, /is no CA for hosts: .*it may issue no certificates/],
    ['a weak CA', { ca: weak.file }, /its key is too weak/],
  ])('%s', (_, paths, words) => {
    const { files, log } = open({ ca: ca.file, ...good, ...paths });
    expect(files.fault?.message ?? '').toMatch(words);
    expect(files.fault?.code ?? 'certificate-invalid').toBe('certificate-invalid');
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(files.fault === null ? 0 : 1);
    expect(JSON.stringify([log.lines, files.fault?.message])).not.toContain('PRIVATE KEY');
  });
});

test('without CA a certificate is shown, and none is demanded', () => {
  const { files, timers } = open({ ca: null, ...good });
  expect([files.demanded, files.fault, files.own?.name]).toEqual([false, null, 'O=example, CN=good']);
  expect(files.attest(identity)).not.toBeNull();
  files.watch(() => {});
  expect(timers.pending).toBe(1);
  files.stop();
  expect(timers.pending).toBe(0);
});

test('a host that was told nothing looks at nothing', () => {
  const { files, timers } = open({ ca: null, cert: null, key: null });
  files.watch(() => {});
  expect([timers.pending, files.attest(identity), files.own]).toEqual([0, null, null]);
});

test('a host that can not read its CAs admits nobody', () => {
  const { files } = open({ ca: '/nonexistent', ...good });
  const shown = open({ ca: null, ...good }).files.attest(identity);
  expect(files.demanded).toBe(true);
  expect(files.judge(shown, identity).holds).toBe(false);
});

describe('files that change', () => {
  function running() {
    const place = temporaryDirectory();
    const paths = { ca: join(place, 'ca.pem'), cert: join(place, 'host.pem'), key: join(place, 'host.key') };
    const put = (issued: IssuedCertificate): void => {
      for (const name of ['cert', 'key'] as const) {
        writeFileSync(`${paths[name]}.new`, readFileSync(issued[name]), { mode: 0o600 });
        renameSync(`${paths[name]}.new`, paths[name]);
      }
    };
    writeFileSync(paths.ca, readFileSync(ca.file));
    put(good);
    const opened = open(paths);
    let changes = 0;
    opened.files.watch(() => changes++);
    return { ...opened, paths, put, changes: () => changes };
  }

  test('are taken up within two seconds, once', () => {
    const { files, timers, put, changes } = running();
    const before = files.attest(identity);
    expect(files.attest(identity)).toBe(before);
    put(ca.issue('renewed'));
    timers.advance(LOOK_MS);
    expect([changes(), files.own?.name]).toEqual([1, 'O=example, CN=renewed']);
    expect(files.judge(files.attest(identity), identity)).toMatchObject({ holds: true, name: 'O=example, CN=renewed' });
    timers.advance(10 * LOOK_MS);
    expect(changes()).toBe(1);
  });

  test('and can not be used leave everything as it was, and say why, until they can', () => {
    const { files, timers, paths, put, changes, log } = running();
    const before = files.attest(identity);
    writeFileSync(paths.cert, readFileSync(ca.issue('half').cert));
    timers.advance(3 * LOOK_MS);
    expect(files.fault?.message).toMatch(/does not belong to the certificate/);
    expect([changes(), files.attest(identity)]).toEqual([0, before]);
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    put(ca.issue('whole'));
    timers.advance(LOOK_MS);
    expect([files.fault, changes(), files.own?.name]).toEqual([null, 1, 'O=example, CN=whole']);
  });

  test('a second CA in the bundle lets in its hosts, too; taken out, it does not', () => {
    const { files, timers, paths, changes } = running();
    const theirs = open({ ca: null, ...other.issue('theirs') }).files.attest(identity);
    expect(files.judge(theirs, identity).holds).toBe(false);
    appendFileSync(paths.ca, readFileSync(other.file));
    timers.advance(LOOK_MS);
    expect([changes(), files.judge(theirs, identity).holds]).toEqual([1, true]);
    writeFileSync(paths.ca, readFileSync(ca.file));
    timers.advance(LOOK_MS);
    expect([changes(), files.judge(theirs, identity).holds]).toEqual([2, false]);
  });
});

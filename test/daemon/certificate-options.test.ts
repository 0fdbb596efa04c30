import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { checkCertificateFlags, checkTogether, mergeCertificatePaths } from '../../src/daemon/certificate-options.ts';
import { certificateNotices, certificateProblems } from '../../src/daemon/certificate-problems.ts';

const ALL = { ca: '/ca', cert: '/cert', key: '/key' };

describe('--ca, --cert and --key', () => {
  test.each([
    ['none given, none remembered', {}, undefined, undefined],
    ['none given: as before', {}, ALL, ALL],
    ['all given', ALL, undefined, ALL],
    ['one is replaced', { ca: '/next' }, ALL, { ...ALL, ca: '/next' }],
    ['none is demanded any more', { ca: 'off' }, ALL, { ...ALL, ca: null }],
    ['the first step of a migration', { cert: '/cert', key: '/key' }, undefined, { ...ALL, ca: null }],
    ['a path from here', { ca: 'ca.pem' }, ALL, { ...ALL, ca: `${process.cwd()}/ca.pem` }],
  ])('%s', (_, flags, remembered, merged) => {
    expect(mergeCertificatePaths(checkCertificateFlags(flags), remembered)).toEqual(merged);
  });

  test.each([
    [ALL, null],
    [{ ca: null, cert: null, key: null }, null],
    [{ ...ALL, ca: null }, null],
    [{ ...ALL, key: null }, /--cert needs --key/],
    [{ ...ALL, cert: null }, /--key needs --cert/],
    [{ ca: '/ca', cert: null, key: null }, /--ca needs --cert and --key/],
  ])('%o', (paths, refusal) => {
    if (refusal === null) expect(() => checkTogether(paths)).not.toThrow();
    else expect(() => checkTogether(paths)).toThrow(refusal);
  });
});

describe('what health says of certificates', () => {
  const DAY_MS = 86_400_000;
  const year = { name: 'CN=a', fromMs: 0, untilMs: 365 * DAY_MS };
  const day = { name: 'CN=a', fromMs: 0, untilMs: DAY_MS };
  const fault = new FabricError('certificate-invalid', { what: 'the key is open', why: 'mode', fix: 'chmod' });

  test.each([
    ['nothing of none', null, null, 0, []],
    ['nothing with a month left', year, null, 330 * DAY_MS, []],
    ['that a week is left', year, null, 359 * DAY_MS, ['certificate-expiring']],
    ['nothing with a third of a short one left', day, null, (2 / 3) * DAY_MS, []],
    ['that the last quarter of a short one runs', day, null, 0.8 * DAY_MS, ['certificate-expiring']],
    ['that it has expired', year, null, 366 * DAY_MS, ['certificate-expired']],
    ['what is wrong with the files', null, fault, 0, ['certificate-invalid']],
  ])('%s', (_, own, wrong, nowMs, codes) => {
    const facts = { files: { own, fault: wrong }, certificates: null, nowMs, nameOf: (peer: string) => peer };
    const said = [...certificateProblems(facts), ...certificateNotices(facts)];
    expect(said.map(({ code }) => code)).toEqual(codes);
    for (const { what, why, fix } of said) expect(Math.min(what.length, why.length, fix.length)).toBeGreaterThan(3);
  });

  test('two members with one certificate are a problem, those that are kept out a notice that names five', () => {
    const peers = Array.from({ length: 7 }, (_, index) => String(index).repeat(32) as never);
    const certificates = {
      shared: () => [{ name: 'CN=x', peers: peers.slice(0, 2) }],
      refused: () => peers.map((peer) => [peer, 'it expired'] as const),
    };
    const facts = {
      files: { own: null, fault: null },
      certificates,
      nowMs: 0,
      nameOf: (peer: string) => `n${peer[0]}`,
    };
    expect(certificateProblems(facts)).toMatchObject([
      { code: 'certificate-shared', what: 'n0 and n1 show one certificate' },
    ]);
    const [notice] = certificateNotices(facts);
    expect(notice).toMatchObject({ code: 'certificate-refused' });
    expect(notice?.why).toMatch(/^n0 \(it expired\), .*n4 \(it expired\) and 2 more$/);
  });
});

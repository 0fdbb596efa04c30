// Who is let in where certificates are demanded, by a judge that reads `NAME KEY UNTIL` for a certificate.

import { describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import type { PeerId } from '../../src/base/ids.ts';
import { Certificates } from '../../src/daemon/certificates.ts';
import type { CertificateJudgement } from '../../src/host/certificates/judge.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';

const [SELF, ONE, TWO, NEW] = ['11', '22', '33', '44'].map((byte) => byte.repeat(16)) as [
  PeerId,
  PeerId,
  PeerId,
  PeerId,
];
const KEY = new Uint8Array(32);
const FOREVER = Number.MAX_SAFE_INTEGER;
const shown = (name: string, key = `key of ${name}`, untilMs = FOREVER) => utf8(`${name}|${key}|${untilMs}`);

function setUp({ demanded = true } = {}) {
  const timers = new ManualTimers();
  const { clock } = timers;
  const members = new Set([SELF, ONE, TWO]);
  const [removed, revoked] = [new Set<PeerId>(), new Set<PeerId>()];
  const keyless = new Set<PeerId>();
  const distrusted = new Set<string>();
  const did: string[] = [];
  const own = { attestation: shown('self') as Uint8Array | null };
  const judge = (attestation: Uint8Array | null): CertificateJudgement => {
    if (attestation === null) return { holds: false, why: 'it shows none', fix: 'launch it with --cert' };
    const [name, keyId, until] = new TextDecoder().decode(attestation).split('|') as [string, string, string];
    const untilMs = Number(until);
    if (distrusted.has(name) || untilMs < clock.wallMs())
      return { holds: false, why: `${name} does not hold`, fix: '' };
    return { holds: true, name, keyId, untilMs };
  };
  const certificates = new Certificates({
    self: SELF,
    clock,
    timers,
    judge: { demanded, own: () => own.attestation, judge },
    identityKeyOf: (peer) => (keyless.has(peer) ? null : KEY),
    members: () => [...members],
    isRemoved: (peer) => removed.has(peer),
    isRevoked: (peer) => revoked.has(peer),
    revoked: () => [...revoked],
    publish: (attestation) =>
      void did.push(
        `publish ${attestation === null ? 'nothing' : new TextDecoder().decode(attestation).split('|')[0]}`,
      ),
    cut: (peer, why) => void did.push(`cut ${peer.slice(0, 2)}: ${why}`),
    failed: (error) => {
      throw error;
    },
  });
  const enter = (peer: PeerId, attestation: Uint8Array | null) =>
    certificates.refusalOf({ peer, identityKey: KEY }, attestation)?.code ?? 'welcome';
  /** The two members, each with a certificate of its own. */
  const heardBoth = (untilMs = FOREVER): void => {
    certificates.heard(ONE, shown('one', 'key of one', untilMs));
    certificates.heard(TWO, shown('two', 'key of two', untilMs));
  };
  /** Why members were cut off. */
  const cuts = (): readonly string[] => did.filter((what) => what.startsWith('cut'));
  return { certificates, timers, members, removed, revoked, keyless, distrusted, did, own, enter, heardBoth, cuts };
}

describe('where none is demanded', () => {
  test('everybody is let in, and told what this host shows', () => {
    const { certificates, enter, timers, did } = setUp({ demanded: false });
    expect([enter(NEW, null), certificates.admits(NEW), certificates.refused()]).toEqual(['welcome', true, []]);
    certificates.wake();
    timers.advance(0);
    expect(did).toEqual(['publish self']);
  });
});

describe('TM34 where certificates are demanded', () => {
  test('who shows none, or one that does not hold, is neither linked nor tunnelled to', () => {
    const { certificates, enter, distrusted } = setUp();
    distrusted.add('bad');
    for (const attestation of [null, shown('bad')]) expect(enter(NEW, attestation)).toBe('certificate-refused');
    expect(certificates.admits(NEW)).toBe(false);
    expect(enter(NEW, shown('new'))).toBe('welcome');
    expect(certificates.admits(NEW)).toBe(true);
  });

  test('a member is believed by its record, once its key is known', () => {
    const { certificates, keyless } = setUp();
    keyless.add(ONE);
    certificates.heard(ONE, shown('one'));
    expect(certificates.admits(ONE)).toBe(false);
    keyless.delete(ONE);
    expect(certificates.admits(ONE)).toBe(true);
    certificates.heard(ONE, null);
    expect(certificates.admits(ONE)).toBe(false);
  });

  test('members that show none are cut off, and named', () => {
    const { certificates, timers, cuts } = setUp();
    certificates.heard(ONE, shown('one'));
    certificates.wake();
    timers.advance(59_000);
    expect(cuts()).toEqual([]);
    timers.advance(2_000);
    expect(cuts()).toEqual(['cut 33: it shows none']);
    expect(certificates.refused()).toEqual([[TWO, 'it shows none']]);
  });

  test('a certificate that expires ends what it opened within two minutes, unless it is renewed', () => {
    const { certificates, timers, did, own, heardBoth, cuts } = setUp();
    const endsMs = timers.clock.wallMs() + 60_000;
    heardBoth(endsMs);
    certificates.wake();
    timers.advance(50_000);
    certificates.heard(TWO, shown('two', 'two', FOREVER));
    own.attestation = null;
    timers.advance(100_000);
    expect(cuts()).toEqual(['cut 22: one does not hold']);
    expect([certificates.admits(ONE), certificates.admits(TWO)]).toEqual([false, true]);
    expect(did.at(-2)).toBe('publish nothing');
  });

  test('a CA that is taken away takes its hosts along', () => {
    const { certificates, timers, did, distrusted, heardBoth, cuts } = setUp();
    heardBoth();
    expect(certificates.refused()).toEqual([]);
    distrusted.add('two');
    certificates.changed();
    timers.advance(0);
    expect([did, certificates.admits(TWO)]).toEqual([['publish self'], false]);
    timers.advance(60_000);
    expect(cuts()).toEqual(['cut 33: two does not hold']);
  });

  test('files that are replaced on one host a minute before the other cut nobody off', () => {
    const { certificates, timers, distrusted, heardBoth, cuts } = setUp();
    heardBoth();
    distrusted.add('two');
    certificates.changed();
    timers.advance(55_000);
    certificates.heard(TWO, shown('two of the next CA'));
    timers.advance(300_000);
    expect(cuts()).toEqual([]);
  });
});

describe('TM35 one certificate is one identity', () => {
  test.each([
    ['the certificate of a member', shown('one'), 'certificate-in-use'],
    ['another certificate of that name', shown('one', 'another key'), 'certificate-in-use'],
    ['another name for the same key', shown('new', 'key of one'), 'certificate-in-use'],
    ['one of its own', shown('new'), 'welcome'],
  ])('a new identity with %s', (_, attestation, code) => {
    const { certificates, enter } = setUp();
    certificates.heard(ONE, shown('one'));
    expect(enter(NEW, attestation)).toBe(code);
  });

  test('the member itself comes back with it, and with a renewed one', () => {
    const { certificates, enter } = setUp();
    certificates.heard(ONE, shown('one'));
    expect([enter(ONE, shown('one')), enter(ONE, shown('one', 'another key'))]).toEqual(['welcome', 'welcome']);
  });

  test('a host that was removed frees its certificate for the machine that takes its place', () => {
    const { certificates, enter, removed } = setUp();
    certificates.heard(ONE, shown('one'));
    removed.add(ONE);
    expect(enter(NEW, shown('one'))).toBe('welcome');
  });

  test('so does one that left the cluster', () => {
    const { certificates, enter, members } = setUp();
    certificates.heard(ONE, shown('one'));
    members.delete(ONE);
    expect(enter(NEW, shown('one'))).toBe('welcome');
  });

  test("a revoked host's key lets in nobody any more; a new key of that name does", () => {
    const { certificates, enter, removed, revoked } = setUp();
    certificates.heard(ONE, shown('one'));
    for (const set of [removed, revoked]) set.add(ONE);
    expect(enter(NEW, shown('one'))).toBe('certificate-in-use');
    expect(certificates.refusalOf({ peer: NEW, identityKey: KEY }, shown('one'))?.why).toMatch(/which was revoked/);
    expect(enter(NEW, shown('one', 'another key'))).toBe('welcome');
  });

  test('nor does it keep in whoever came in by it on the other side of a partition', () => {
    const { certificates, timers, enter, removed, revoked, members, cuts } = setUp();
    certificates.heard(ONE, shown('one'));
    certificates.heard(TWO, shown('two', 'key of one'));
    expect([enter(TWO, shown('two', 'key of one')), certificates.admits(TWO)]).toEqual(['welcome', true]);
    for (const set of [removed, revoked]) set.add(ONE);
    members.delete(ONE);
    expect([enter(TWO, shown('two', 'key of one')), certificates.admits(TWO)]).toEqual(['certificate-in-use', false]);
    certificates.wake();
    timers.advance(0);
    expect(cuts()).toEqual([`cut 33: it shows the certificate key of peer ${ONE}, which was revoked: two`]);
    expect(enter(TWO, shown('two', 'a new key'))).toBe('welcome');
    expect(certificates.admits(TWO)).toBe(true);
  });

  test('a revoked host that takes its certificate back, or shows another, leaves its key shut out', () => {
    for (const last of [null, shown('one', 'another key')]) {
      const { certificates, enter, removed, revoked } = setUp();
      certificates.heard(ONE, shown('one'));
      for (const set of [removed, revoked]) set.add(ONE);
      certificates.heard(ONE, last);
      expect(enter(NEW, shown('new', 'key of one'))).toBe('certificate-in-use');
    }
  });

  test('two that came in on two sides of a partition are told, and go on', () => {
    const { certificates } = setUp();
    certificates.heard(ONE, shown('one'));
    certificates.heard(TWO, shown('one'));
    expect(certificates.shared()).toEqual([{ name: 'one', peers: [ONE, TWO] }]);
    expect([certificates.admits(ONE), certificates.admits(TWO), certificates.refused()]).toEqual([true, true, []]);
  });
});

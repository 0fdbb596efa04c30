import { describe, expect, test } from 'vitest';
import { parseCidr, parseIp } from '../../src/base/address.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { parseReverseName, relativeName, reverseName, reverseZone } from '../../src/dns/domain-names.ts';
import { encodeAnswer } from '../../src/dns/response.ts';
import { Zone } from '../../src/dns/zone.ts';
import { answerFromZones, type ServedNetwork } from '../../src/dns/zone-answers.ts';
import { type QueryParts, query, seen } from './messages.ts';

const A = 'aa'.repeat(16) as PeerId;
const B = 'bb'.repeat(16) as PeerId;
const macOf = (n: number) => `02:00:00:00:00:0${n}` as Mac;

/** A zone of hosts A and B; `owners` says whose claim on a MAC counts. */
function setUp(distanceTo?: (peer: PeerId) => number) {
  const owners = new Map<Mac, PeerId>();
  const dead = new Set<PeerId>();
  const zone = new Zone({
    domain: 'fabric.internal',
    holderOf: (mac) => {
      const owner = owners.get(mac) ?? null;
      return owner !== null && dead.has(owner) ? null : owner;
    },
    isAlive: (peer) => !dead.has(peer),
    ...(distanceTo === undefined ? {} : { distanceTo }),
  });
  const network: ServedNetwork = {
    id: DEFAULT_VNI,
    zone,
    range: parseCidr('10.32.0.0/12')!,
    range6: parseCidr('fd00:1:2::/48')!,
    servers: ['10.32.0.1', 'fd00:1:2::1'],
  };
  const attach = (author: PeerId, n: number, name: string, aliases: readonly string[] = []) => {
    owners.set(macOf(n), author);
    const ips = [`10.32.0.${n}`, `fd00:1:2::${n}`, 'fe80::1'];
    zone.setClaim(author, { mac: macOf(n), ips, name, aliases });
  };
  const add = (author: PeerId, name: string, targets: readonly { ip: string; mac: Mac | null }[]) =>
    zone.setAdded(author, { network: DEFAULT_VNI, name, targets });
  const ask = (name: string, parts: QueryParts = {}) => {
    const asked = query(name, parts, 'tcp');
    const answer = answerFromZones(network, asked);
    return answer === null ? null : seen(encodeAnswer(asked, answer));
  };
  return { zone, owners, dead, attach, add, ask, v4: (name: string) => zone.addresses(name, 4) };
}

const SOA = ['fabric.internal SOA 1'];

describe('answers', () => {
  const { attach, ask } = setUp();
  attach(A, 5, 'web', ['db.prod', 'Shop_1', '-bad-', 'other.fabric.internal']);

  test.each<[string, string, QueryParts, object]>([
    ['an address', 'web.fabric.internal', {}, { rcode: 'NOERROR', answers: ['web.fabric.internal A 10.32.0.5'] }],
    ['an IPv6 address', 'web.fabric.internal', { type: 'AAAA' }, { answers: ['web.fabric.internal AAAA fd00:1:2::5'] }],
    ['both', 'web.fabric.internal', { type: 'ANY' }, { answers: { length: 2 } }],
    ['case is kept', 'WeB.Fabric.internal', {}, { question: 'WeB.Fabric.internal', answers: { length: 1 } }],
    ['an alias', 'shop_1.fabric.internal', {}, { answers: { length: 1 } }],
    ['an alias given with the domain', 'other.fabric.internal', {}, { answers: { length: 1 } }],
    ['another type', 'web.fabric.internal', { type: 'MX' }, { rcode: 'NOERROR', answers: [], authorities: SOA }],
    ['nobody', 'nobody.fabric.internal', {}, { rcode: 'NXDOMAIN', answers: [], authorities: SOA }],
    ['below a container', 'x.web.fabric.internal', {}, { rcode: 'NXDOMAIN', authorities: SOA }],
    ['between names', 'prod.fabric.internal', {}, { rcode: 'NOERROR', answers: [], authorities: SOA }],
    ['the domain itself', 'fabric.internal', {}, { answers: ['fabric.internal A 10.32.0.1'] }],
    ['its SOA', 'fabric.internal', { type: 'SOA' }, { answers: SOA, authorities: [] }],
    ['its NS', 'fabric.internal', { type: 'NS' }, { answers: ['fabric.internal NS fabric.internal'] }],
    ['its MX', 'fabric.internal', { type: 'MX' }, { rcode: 'NOERROR', answers: [], authorities: SOA }],
    ['the gateway', '1.0.32.10.in-addr.arpa', { type: 'PTR' }, { answers: { length: 1 } }],
    [
      'a free address',
      '9.0.32.10.in-addr.arpa',
      { type: 'PTR' },
      { rcode: 'NXDOMAIN', authorities: ['32.10.in-addr.arpa SOA 1'] },
    ],
    ['a reverse name that lacks labels', '0.32.10.in-addr.arpa', { type: 'PTR' }, { rcode: 'NOERROR', answers: [] }],
    ['a reverse SOA', '32.10.in-addr.arpa', { type: 'SOA' }, { answers: ['32.10.in-addr.arpa SOA 1'] }],
    ['a reverse name of another type', '5.0.32.10.in-addr.arpa', {}, { rcode: 'NOERROR', answers: [] }],
  ])('%s', (_name, asked, parts, expected) => {
    expect(ask(asked, parts)).toMatchObject({ ...expected, authoritative: true });
  });

  test('a reverse name has all names of its container', () => {
    const names = ['web', 'db.prod', 'shop_1', 'other'].map((name) => `${name}.fabric.internal`);
    const v4 = '5.0.32.10.in-addr.arpa';
    expect(ask(v4, { type: 'PTR' })!.answers).toEqual(names.map((name) => `${v4} PTR ${name}`));
    expect(ask(reverseName(parseIp('fd00:1:2::5')!), { type: 'PTR' })!.answers).toHaveLength(names.length);
  });

  test.each([
    'example.test',
    'xfabric.internal',
    'internal',
    '.',
    '5.2.0.192.in-addr.arpa',
    '10.in-addr.arpa',
    'arpa',
    'x.in-addr.arpa',
  ])('%s is not ours', (name) => {
    expect(ask(name, { type: 'PTR' })).toBeNull();
  });
});

describe('what counts', () => {
  test('several containers of one name take turns', () => {
    const { attach, v4 } = setUp();
    attach(A, 2, 'web');
    attach(B, 3, 'web');
    attach(B, 4, 'web');
    expect([v4('web')[0], v4('web')[0], v4('web')[0], v4('web')[0]]).toEqual([
      '10.32.0.2',
      '10.32.0.3',
      '10.32.0.4',
      '10.32.0.2',
    ]);
  });

  test('the families of a name take turns apart: who asks for both sees both change', () => {
    const { attach, zone } = setUp();
    for (const n of [2, 3]) attach(A, n, 'web');
    const both = () => [zone.addresses('web', 4)[0], zone.addresses('web', 6)[0]];
    expect([both(), both()]).toEqual([
      ['10.32.0.2', 'fd00:1:2::2'],
      ['10.32.0.3', 'fd00:1:2::3'],
    ]);
  });

  test('nearest first: those equally far take turns', () => {
    const { attach, v4 } = setUp((peer) => (peer === A ? 0 : 5));
    for (const n of [2, 4]) attach(B, n, 'web');
    for (const n of [3, 5]) attach(A, n, 'web');
    expect(v4('web')).toEqual(['10.32.0.3', '10.32.0.5', '10.32.0.2', '10.32.0.4']);
    expect(v4('web')).toEqual(['10.32.0.5', '10.32.0.3', '10.32.0.4', '10.32.0.2']);
  });

  test('names of a dead host are gone, and back with it', () => {
    const { attach, dead, ask, zone } = setUp();
    attach(B, 2, 'web.b');
    dead.add(B);
    expect(ask('web.b.fabric.internal')!.rcode).toBe('NXDOMAIN');
    expect(ask('b.fabric.internal')!.rcode).toBe('NXDOMAIN');
    expect(zone.rows()).toEqual([]);
    expect(zone.namesOf('10.32.0.2')).toEqual([]);
    dead.delete(B);
    expect(ask('web.b.fabric.internal')!.rcode).toBe('NOERROR');
  });

  test('a claim that is not believed makes no name', () => {
    const { attach, owners, v4 } = setUp();
    attach(B, 2, 'web');
    owners.set(macOf(2), A);
    expect(v4('web')).toEqual([]);
    owners.delete(macOf(2));
    expect(v4('web')).toEqual([]);
  });

  test('an added name goes with the container that it hangs on, also when another gets the address', () => {
    const { attach, add, zone, owners, v4 } = setUp();
    attach(B, 2, '');
    add(A, 'front', [{ ip: '10.32.0.2', mac: zone.claimOn('10.32.0.2') }]);
    expect(v4('front')).toEqual(['10.32.0.2']);
    zone.removeClaim(B, macOf(2));
    owners.delete(macOf(2));
    expect(v4('front')).toEqual([]);
    owners.set(macOf(3), B);
    zone.setClaim(B, { mac: macOf(3), ips: ['10.32.0.2'], name: 'new' });
    expect(v4('front')).toEqual([]);
  });

  test('an added name that hangs on no container goes with its author', () => {
    const { add, dead, v4, zone } = setUp();
    add(B, 'printer', [{ ip: '192.0.2.7', mac: null }]);
    expect(v4('printer')).toEqual(['192.0.2.7']);
    dead.add(B);
    expect(v4('printer')).toEqual([]);
    dead.clear();
    zone.removeAdded(B, 'printer');
    expect(v4('printer')).toEqual([]);
  });

  test('TM17 names are additive: what one host adds takes nothing from another', () => {
    const { add, attach, v4, zone } = setUp();
    attach(A, 2, 'web');
    add(B, 'web', [{ ip: '192.0.2.7', mac: null }]);
    expect(v4('web').toSorted()).toEqual(['10.32.0.2', '192.0.2.7']);
    zone.removeAdded(B, 'web');
    expect(v4('web')).toEqual(['10.32.0.2']);
  });

  test('a claim that changes its names leaves none of the old ones', () => {
    const { attach, ask, v4 } = setUp();
    attach(A, 2, 'old', ['x.y']);
    attach(A, 2, 'new');
    expect([v4('old'), v4('new')]).toEqual([[], ['10.32.0.2']]);
    expect(ask('y.fabric.internal')!.rcode).toBe('NXDOMAIN');
  });
});

describe('names', () => {
  test.each([
    ['Web', 'web'],
    ['web.fabric.internal.', 'web'],
    ['a.b', 'a.b'],
    ['x'.repeat(63), 'x'.repeat(63)],
    ['x'.repeat(64), null],
    ['fabric.internal', null],
    ['', null],
    ['a..b', null],
    ['-a', null],
    ['a b', null],
    ['a\u0000', null],
    [Array(4).fill('x'.repeat(60)).join('.'), null],
  ])('%j under the domain is %j', (text, expected) => {
    expect(relativeName(text, 'fabric.internal')).toBe(expected);
  });

  test.each([
    ['10.32.0.5', '10.32.0.0/12', '32.10.in-addr.arpa'],
    ['10.32.0.5', '10.32.0.0/16', '32.10.in-addr.arpa'],
    ['10.32.0.5', '10.32.0.0/29', '5.0.32.10.in-addr.arpa'],
    ['fd00:1:2::5', 'fd00:1:2::/48', '2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa'],
  ])('the reverse zone of %s in %s is %s', (ip, block, expected) => {
    expect(reverseZone(parseIp(ip)!, parseCidr(block)!)).toBe(expected);
  });

  test.each(['10.32.0.5', '0.0.0.0', 'fd00:1:2::5', '::'])('%s and its reverse name are one', (text) => {
    const ip = parseIp(text)!;
    expect(parseReverseName(reverseName(ip))).toEqual({ ip, whole: true });
  });

  test.each([
    '1.2.3.4.5.in-addr.arpa',
    '256.0.0.10.in-addr.arpa',
    '01.0.0.10.in-addr.arpa',
    'ab.ip6.arpa',
    'in-addr.arpa',
  ])('%s is no reverse name', (name) => {
    expect(parseReverseName(name)).toBeNull();
  });
});

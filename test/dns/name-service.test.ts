import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../src/base/address.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { Forwarder } from '../../src/dns/forwarder.ts';
import { NameService } from '../../src/dns/name-service.ts';
import { Zone } from '../../src/dns/zone.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';
import { address, queryBytes, replyTo, seen } from './messages.ts';

const SELF = 'aa'.repeat(16) as PeerId;
const SERVER = '10.32.0.1';
const MANY = 400;

function setUp() {
  const timers = new ManualTimers();
  const zone = new Zone({ domain: 'fabric.internal', holderOf: () => SELF, isAlive: () => true });
  zone.setClaim(SELF, { mac: '02:00:00:00:00:02' as Mac, ips: ['10.32.0.2'], name: 'web' });
  const targets = Array.from({ length: MANY }, (_, i) => ({ ip: `198.51.${i >> 8}.${i & 255}`, mac: null }));
  zone.setAdded(SELF, { network: 0 as never, name: 'many', targets });
  const sent: Uint8Array[] = [];
  const forwarder = new Forwarder({
    clock: timers.clock,
    timers,
    random: new SeededRandom(1),
    upstreams: {
      servers: () => [{ ip: '192.0.2.53', port: 53 }],
      exchange: ({ message, received }) => {
        sent.push(message);
        const answers = Array.from({ length: MANY }, (_, i) => address('x.test', `198.51.${i >> 8}.${i & 255}`));
        timers.soon(() => received(replyTo(message, { answers })));
        return () => undefined;
      },
    },
  });
  const network = { id: DEFAULT_VNI, zone, range: parseCidr('10.32.0.0/12')!, range6: null, servers: [SERVER] };
  const service = new NameService({
    networkAt: (server) => (server === SERVER ? network : null),
    forwarder,
    furtherNetworks: (_network, ip) => (ip === '172.16.0.9' ? [] : null),
  });
  const ask = (bytes: Uint8Array, ip = '10.32.0.7', transport: 'udp' | 'tcp' = 'udp') => {
    const answers: Uint8Array[] = [];
    service.handle(bytes, { ip, transport, server: SERVER }, (answer) => answers.push(answer));
    timers.advance(1);
    return answers;
  };
  return { service, ask, sent };
}

describe('TM32 who is served', () => {
  test.each([
    ['a container', '10.32.0.7', 'NOERROR'],
    ['the host itself', '10.32.0.1', 'NOERROR'],
    ['a container whose address another plugin chose', '172.16.0.9', 'NOERROR'],
    ['somebody outside', '192.0.2.9', 'REFUSED'],
    ['somebody outside, by IPv6', '2001:db8::9', 'REFUSED'],
  ])('%s', (_name, ip, rcode) => {
    const { ask, service } = setUp();
    expect(seen(ask(queryBytes('web.fabric.internal'), ip)[0]!).rcode).toBe(rcode);
    expect(service.counters.strangers).toBe(rcode === 'REFUSED' ? 1 : 0);
  });

  test('nobody outside gets anything asked of other servers', () => {
    const { ask, sent } = setUp();
    expect(seen(ask(queryBytes('x.test'), '192.0.2.9')[0]!).rcode).toBe('REFUSED');
    expect(sent).toEqual([]);
  });
});

describe('what comes back', () => {
  test.each<[string, Uint8Array, object]>([
    [
      'our own name',
      queryBytes('web.fabric.internal'),
      { rcode: 'NOERROR', answers: ['web.fabric.internal A 10.32.0.2'] },
    ],
    ['OPT to who sent one', queryBytes('web.fabric.internal', { edns: {} }), { additionals: ['OPT'] }],
    ['no OPT to who did not', queryBytes('web.fabric.internal'), { additionals: [] }],
    ['another opcode', queryBytes('x.test', { flags: 0x2900 }), { rcode: 'NOTIMP' }],
    ['a transfer', queryBytes('fabric.internal', { type: 'AXFR' }), { rcode: 'REFUSED' }],
    ['others without recursion', queryBytes('x.test', { flags: 0 }), { rcode: 'REFUSED' }],
  ])('%s', (_name, bytes, expected) => {
    const { ask } = setUp();
    expect(seen(ask(bytes)[0]!)).toMatchObject({ id: 7, ...expected });
  });

  test.each(['my printer._ipp._tcp', 'größe', 'a\\b'])('%s under our domain is nobody else’s to answer', (name) => {
    const { ask, sent } = setUp();
    expect(seen(ask(queryBytes(`${name}.fabric.internal`))[0]!).rcode).toBe('NXDOMAIN');
    expect(sent).toEqual([]);
  });

  test.each(['many.fabric.internal', 'x.test'])('%s: truncated by UDP, whole by TCP', (name) => {
    const { ask } = setUp();
    const [plain] = ask(queryBytes(name));
    expect(plain!.length).toBeLessThanOrEqual(512);
    expect(seen(plain!).truncated).toBe(true);
    const [edns] = ask(queryBytes(name, { edns: {} }));
    expect(edns!.length).toBeLessThanOrEqual(1232);
    expect(seen(edns!).truncated).toBe(true);
    const whole = seen(ask(queryBytes(name), '10.32.0.7', 'tcp')[0]!);
    expect([whole.truncated, whole.answers.length]).toEqual([false, MANY]);
  });

  test('an answer gets no answer, what can not be read FORMERR', () => {
    const { ask, service } = setUp();
    expect(ask(replyTo(queryBytes('web.fabric.internal')))).toEqual([]);
    expect([...ask(queryBytes('x.test').subarray(0, 15))[0]!]).toEqual([0, 7, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(service.counters.malformed).toBe(2);
  });

  test('any bytes: at most one answer, which is whole and no larger than asked for', () => {
    const { ask } = setUp();
    const damaged = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 5 }).map((changes) => {
      const bytes = new Uint8Array(queryBytes('web.fabric.internal', { edns: {} }));
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (bytes) => {
        const answers = ask(bytes);
        expect(answers.length).toBeLessThanOrEqual(1);
        for (const answer of answers) {
          expect(answer.length).toBeLessThanOrEqual(1232);
          expect([answer[0], answer[1], answer[2]! >> 7]).toEqual([bytes[0], bytes[1], 1]);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

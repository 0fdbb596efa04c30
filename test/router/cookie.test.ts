import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { COOKIE_REPLY_BYTES, CookieIssuer, cookieReceiverIndex, openCookie } from '../../src/router/cookie.ts';
import { mac1Of, writeInitiation, writeMac2 } from '../../src/router/handshake-message.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const FROM = { ip: '192.0.2.1', port: 6783 };
const COOKIE_KEY = new Uint8Array(32).fill(1);

function setup() {
  const clock = new ManualClock();
  const issuer = new CookieIssuer({ crypto: nodeCrypto, clock, random: new SeededRandom(1) });
  const initiation = writeInitiation(nodeCrypto, new Uint8Array(32), 7, new Uint8Array(120));
  const reply = issuer.reply(initiation, FROM, { receiverIndex: 7, cookieKey: COOKIE_KEY });
  return { clock, issuer, initiation, reply };
}

describe('cookies', () => {
  test('the cookie in a reply proves the address it was made for, no other, and for 120 s', () => {
    const { clock, issuer, initiation, reply } = setup();
    expect(reply.length).toBe(COOKIE_REPLY_BYTES);
    expect(cookieReceiverIndex(reply)).toBe(7);
    expect(issuer.proven(initiation, FROM)).toBe(false);
    const cookie = openCookie(nodeCrypto, { reply, cookieKey: COOKIE_KEY, mac1: mac1Of(initiation) })!;
    writeMac2(nodeCrypto, cookie, initiation);
    expect(issuer.proven(initiation, FROM)).toBe(true);
    expect(issuer.proven(initiation, { ...FROM, port: 1 })).toBe(false);
    expect(issuer.proven(initiation, { ...FROM, ip: '192.0.2.2' })).toBe(false);
    clock.advance(119_999);
    expect(issuer.proven(initiation, FROM)).toBe(true);
    clock.advance(1);
    expect(issuer.proven(initiation, FROM)).toBe(false);
  });

  test('a reply opens only for the initiation that it answers and under the responder it came from', () => {
    const { initiation, reply } = setup();
    const mac1 = mac1Of(initiation);
    expect(openCookie(nodeCrypto, { reply, cookieKey: new Uint8Array(32), mac1 })).toBeNull();
    expect(openCookie(nodeCrypto, { reply, cookieKey: COOKIE_KEY, mac1: new Uint8Array(16) })).toBeNull();
    expect(cookieReceiverIndex(reply.subarray(1))).toBeNull();
    expect(cookieReceiverIndex(reply.slice().fill(1, 1, 2))).toBeNull();
  });

  test('two replies share no bytes behind the header', () => {
    const { issuer, initiation, reply } = setup();
    const second = issuer.reply(initiation, FROM, { receiverIndex: 7, cookieKey: COOKIE_KEY });
    expect(second.subarray(0, 8)).toEqual(reply.subarray(0, 8));
    expect(second.subarray(8, 24)).not.toEqual(reply.subarray(8, 24));
    expect(second.subarray(36)).not.toEqual(reply.subarray(36));
  });
});

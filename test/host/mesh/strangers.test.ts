// Whoever is not of the cluster, and whatever is not fabric: real sockets on loopback, no grpc-js on the stranger's side.

import { createServer, type Socket, connect as tcpConnect } from 'node:net';
import { connect, createServer as createTlsServer } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { deriveClusterKeys } from '../../../src/base/token.ts';
import { generateHostKeys } from '../../../src/host/identity-file.ts';
import { CALLER_LIMITS, CallerGate } from '../../../src/host/mesh/caller-limits.ts';
import { certificatePem, makeHostCertificate, privateKeyPem } from '../../../src/host/mesh/certificate.ts';
import { CONNECTION_LIMITS } from '../../../src/host/mesh/connection.ts';
import { dial } from '../../../src/host/mesh/dial.ts';
import { decodeEnvelope, type Envelope, encodeEnvelope } from '../../../src/host/mesh/envelope.ts';
import { nodeCrypto } from '../../../src/host/node-crypto.ts';
import { nodeRandom } from '../../../src/host/node-random.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { credentialsOf, newToken, startHost, type TestHost, until } from './mesh-fixture.ts';

/** Resolves with the error code, or `closed`. */
function tlsOutcome(port: number, options: object): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'], ...options });
    socket.on('error', (error) => resolve('code' in error ? String(error.code) : error.message));
    socket.on('close', () => resolve('closed'));
    socket.on('data', () => {});
  });
}

async function stillServes(host: TestHost, token: Parameters<typeof startHost>[0]['token']): Promise<void> {
  const member = await startHost({ token });
  member.join(host);
  await until(() => member.linkedTo(host), 'a member still gets in');
}

describe('callers that are refused', () => {
  test('TLS 1.2', async () => {
    const token = newToken();
    const host = await startHost({ token });
    expect(await tlsOutcome(host.port, { maxVersion: 'TLSv1.2' })).toContain('ALERT_PROTOCOL_VERSION');
    expect(host.refusals[0]!.why).toContain('TLS 1.3');
    await stillServes(host, token);
  });

  test('no client certificate', async () => {
    const token = newToken();
    const host = await startHost({ token });
    await tlsOutcome(host.port, {});
    await until(() => host.refusals.length > 0, 'refusal');
    expect(host.refusals[0]!.why).toContain('no certificate');
    await stillServes(host, token);
  });

  test('no HTTP/2', async () => {
    const host = await startHost({ token: newToken() });
    await tlsOutcome(host.port, { ALPNProtocols: ['http/1.1'] });
    await until(() => host.refusals.length > 0 || (host.mesh.drops()['caller-handshake'] ?? 0) > 0, 'refusal');
  });

  test("a member's name with somebody else's key", async () => {
    const token = newToken();
    const host = await startHost({ token });
    const { caSeed } = deriveClusterKeys(token, nodeCrypto);
    const [victim, thief] = [0, 1].map(() => generateHostKeys(nodeRandom, nodeCrypto)) as [
      ReturnType<typeof generateHostKeys>,
      ReturnType<typeof generateHostKeys>,
    ];
    const cert = certificatePem(makeHostCertificate(token, { caSeed, identityKey: victim.identityKey }, nodeCrypto));
    const key = privateKeyPem(thief.identitySeed, thief.identityKey);
    expect(() => connect({ host: '127.0.0.1', port: host.port, cert, key })).toThrow(/key values mismatch/i);
  });

  test('garbage, silence and hang-ups harm nobody', async () => {
    const token = newToken();
    const host = await startHost({ token });
    const sockets: Socket[] = [];
    for (const greeting of [
      'GET / HTTP/1.1\r\n\r\n',
      '\u0016\u0003\u0001\u0000\u0001x',
      '',
      'SSH-2.0-OpenSSH_9.9\r\n',
    ]) {
      const socket = tcpConnect(host.port, '127.0.0.1');
      socket.on('error', () => {}); // a reset is one of the fine answers
      socket.write(greeting);
      sockets.push(socket);
    }
    const hungUp = tcpConnect(host.port, '127.0.0.1', () => hungUp.destroy());
    await until(() => (host.mesh.drops()['caller-handshake'] ?? 0) >= 3, 'counted');
    await stillServes(host, token);
    for (const socket of sockets) socket.destroy();
  });

  test('more than the gate lets in are dropped and counted', async () => {
    const token = newToken();
    const limits = { ...CALLER_LIMITS, pendingPerAddressMax: 3 };
    const host = await startHost({ token, callerLimits: limits });
    const sockets = Array.from({ length: 6 }, () => tcpConnect(host.port, '127.0.0.1').on('error', () => {}));
    await until(() => host.mesh.drops()['caller-pending'] === 3, 'three dropped');
    for (const socket of sockets) socket.destroy();
    await until(() => host.mesh.drops()['caller-handshake'] === 3, 'three gone');
    await stillServes(host, token);
  });
});

describe('a member that misbehaves', () => {
  /** A member driven by hand, greeted and welcomed. */
  async function memberByHand(host: TestHost, token: Parameters<typeof startHost>[0]['token']) {
    const keys = generateHostKeys(nodeRandom, nodeCrypto);
    const credentials = credentialsOf(keys, token);
    const reached = await dial({ host: '127.0.0.1', port: host.port }, credentials, new AbortController().signal);
    if ('refusal' in reached) throw new Error(reached.refusal.why);
    const heard: Envelope[] = [];
    const state = { closed: false };
    const { wire } = reached;
    onTestFinished(() => wire.destroy());
    wire.open({
      message: (bytes) => heard.push(decodeEnvelope(bytes)!),
      closed: () => {
        state.closed = true;
      },
    });
    const say = (envelope: Envelope): void => wire.write(encodeEnvelope(envelope), () => {});
    await until(() => heard[0]?.kind === 'hello', 'hello');
    const [first] = heard;
    if (first?.kind !== 'hello') throw new Error('no hello');
    say({ kind: 'hello', hello: { ...first.hello, bootId: '00000000000000ff' as typeof first.hello.bootId } });
    say({ kind: 'welcome' });
    await until(() => host.mesh.link(keys.peer) !== null, 'link');
    return { keys, wire, say, heard, state };
  }

  test('malformed messages between good ones do not end the link', async () => {
    const token = newToken();
    const host = await startHost({ token });
    const member = await memberByHand(host, token);
    for (let n = 0; n < 20; n++) {
      member.wire.write(Uint8Array.of(0xff, n, 0xff), () => {});
      member.say({ kind: 'gossip', bytes: utf8(`good ${n}`) });
    }
    await until(() => host.messages.length === 20, 'good messages');
    expect(host.mesh.drops()['link-malformed']).toBe(20);
    expect(host.mesh.link(member.keys.peer)).not.toBeNull();
  });

  test('one that sends more than a message may have loses its link, and only its own', async () => {
    const token = newToken();
    const host = await startHost({ token });
    const member = await memberByHand(host, token);
    member.say({ kind: 'gossip', bytes: new Uint8Array(5 * 1024 * 1024) });
    await until(() => host.downs.length === 1 || member.state.closed, 'link down');
    await until(() => host.mesh.link(member.keys.peer) === null, 'gone');
    await stillServes(host, token);
  });

  test('one that vanishes without a word is noticed by its connection', async () => {
    const token = newToken();
    const host = await startHost({ token });
    const member = await memberByHand(host, token);
    const started = performance.now();
    member.wire.destroy();
    await until(() => host.downs.length === 1, 'link down');
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(host.downs[0]!.reason).toBe('lost');
  });

  test('one that stops answering is dead after the time that is set', async () => {
    const token = newToken();
    const connectionLimits = { ...CONNECTION_LIMITS, pingAfterMs: 200, deadAfterMs: 600 };
    const host = await startHost({ token, connectionLimits });
    const member = await memberByHand(host, token);
    const started = performance.now();
    await until(() => host.downs.length === 1, 'link down', 2_000);
    expect(host.downs[0]!.reason).toBe('silent');
    expect(performance.now() - started).toBeGreaterThan(400);
    expect(member.heard.some(({ kind }) => kind === 'ping')).toBe(true);
  });
});

describe('dialling what is no fabric', () => {
  const token = newToken();
  const credentials = credentialsOf(generateHostKeys(nodeRandom, nodeCrypto), token);

  async function refusalOf(host: string, port: number): Promise<{ code: string; why: string; what: string }> {
    const result = await dial({ host, port }, credentials, new AbortController().signal);
    if ('wire' in result) throw new Error('reached');
    return result.refusal;
  }

  function listen(answer: (socket: Socket) => void): Promise<number> {
    const server = createServer(answer);
    onTestFinished(() => void server.close());
    return new Promise((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
  }

  test('nothing listens', async () => {
    const port = await listen(() => {});
    const refusal = await refusalOf('127.0.0.1', port === 1 ? 2 : 1);
    expect(refusal).toMatchObject({
      code: 'peer-unreachable',
      why: 'nothing listens there',
      what: "can't join 127.0.0.1:1",
    });
  });

  test('a name without an address', async () => {
    expect((await refusalOf('no-such-host.invalid', 6783)).why).toContain('name has no address');
  });

  test.each<[string, (socket: Socket) => void, RegExp]>([
    ['an HTTP server', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), /does not speak TLS 1.3/],
    ['one that hangs up', (socket) => socket.destroy(), /closed the connection during the TLS handshake/],
  ])('%s', async (_, answer, why) => {
    expect((await refusalOf('127.0.0.1', await listen(answer))).why).toMatch(why);
  });

  test('a TLS server of something else', async () => {
    const foreign = newToken();
    const { tls } = credentialsOf(generateHostKeys(nodeRandom, nodeCrypto), foreign).own[0]!;
    const server = createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false });
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect((await refusalOf('127.0.0.1', port)).why).toContain('does not speak gRPC');
  });

  test('a dial can be given up', async () => {
    const port = await listen(() => {}); // takes the connection and says nothing
    const abort = new AbortController();
    const result = dial({ host: '127.0.0.1', port }, credentials, abort.signal);
    abort.abort();
    expect(await result).toHaveProperty('refusal');
  });
});

describe('caller gate', () => {
  test('bounds the pending by address and in all, and the rate by address', () => {
    const clock = new ManualClock();
    const gate = new CallerGate(clock, { pendingMax: 5, pendingPerAddressMax: 3, burst: 4, perSecond: 2 });
    expect([1, 2, 3, 4].map(() => gate.enter('a'))).toEqual([null, null, null, 'caller-pending']);
    expect([1, 2, 3].map(() => gate.enter('b'))).toEqual([null, null, 'caller-pending']);
    for (const address of ['a', 'a', 'a', 'b', 'b']) gate.leave(address);
    expect(gate.pending).toBe(0);
    expect([1, 2].map(() => gate.enter('a'))).toEqual([null, 'caller-rate']);
    clock.advance(1_000);
    expect([1, 2, 3].map(() => gate.enter('a'))).toEqual([null, null, 'caller-pending']);
  });

  test('remembers a bounded number of addresses', () => {
    const gate = new CallerGate(new ManualClock(), CALLER_LIMITS);
    for (let n = 0; n < 10_000; n++) {
      expect(gate.enter(`address ${n}`)).toBeNull();
      gate.leave(`address ${n}`);
    }
    expect(gate.pending).toBe(0);
  });
});

import { describe, expect, test } from 'vitest';
import { utf8 } from '../../../src/base/bytes.ts';
import { FabricError } from '../../../src/base/errors.ts';
import type { BootId } from '../../../src/base/ids.ts';
import { generateHostKeys } from '../../../src/host/identity-file.ts';
import { nodeCrypto } from '../../../src/host/node-crypto.ts';
import { nodeRandom } from '../../../src/host/node-random.ts';
import { credentialsOf, genesisOf, newToken, startHost, type TestHost, until } from './mesh-fixture.ts';

/** Both sides have exactly one link to each other, and it is the same connection. */
async function linked(a: TestHost, b: TestHost): Promise<void> {
  await until(() => a.linkedTo(b) && b.linkedTo(a), 'both sides linked');
}

describe('joining', () => {
  test('a joiner with the token gets in and learns the genesis before the link is up', async () => {
    const token = newToken();
    const first = await startHost({ token });
    const joiner = await startHost({ token, genesisId: null, address: '127.0.0.2' });
    joiner.join(first);
    await linked(first, joiner);
    expect(joiner.admissions).toEqual([genesisOf(token.clusterId, 'one')]);
    expect(first.mesh.link(joiner.peer)?.hello.nickname).toBe(joiner.peer.slice(0, 4));
    expect(first.mesh.link(joiner.peer)?.endpoint.port).toBe(joiner.port);
    expect(first.refusals).toEqual([]);
    expect(joiner.mesh.targets()).toMatchObject([{ state: 'linked', peer: first.peer, lastError: null }]);
  });

  test('messages pass both ways, in order, on both channels, and the round trip is measured', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token });
    b.join(a);
    await linked(a, b);
    for (let n = 0; n < 50; n++) {
      a.mesh.link(b.peer)!.send(n % 2 === 0 ? 'gossip' : 'lease', utf8(`a${n}`));
      b.mesh.link(a.peer)!.send('gossip', utf8(`b${n}`));
    }
    await until(() => a.messages.length === 50 && b.messages.length === 50, 'all messages');
    expect(b.messages.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, n) => `a${n}`));
    expect(b.messages[1]).toEqual({ peer: a.peer, channel: 'lease', text: 'a1' });
    await until(() => a.mesh.link(b.peer)?.rttMs != null, 'round trip');
  });

  test('a joiner that fails to make its admission durable stays out, both say why, and it tries again', async () => {
    const token = newToken();
    const first = await startHost({ token });
    const full = await startHost({ token, genesisId: null });
    full.admit = (): void => {
      throw new FabricError('limit', { what: 'the state can not be written', why: 'the disk is full' });
    };
    full.join(first);
    await until(() => full.refusals.length > 0 && first.refusals.length > 0, 'refusals');
    expect(full.refusals[0]).toMatchObject({ code: 'limit', why: 'the disk is full' });
    expect(first.refusals[0]!.why).toContain('the disk is full');
    expect(full.ups).toEqual([]);
    full.admit = (): void => {};
    await linked(full, first);
  });

  test('IPv4 and IPv6 callers reach one dual-stack listener', async () => {
    const token = newToken();
    const dual = await startHost({ token, address: '::' });
    const four = await startHost({ token });
    const six = await startHost({ token, address: '::1' });
    four.join(dual, '127.0.0.1');
    six.join(dual, '::1');
    await linked(four, dual);
    await linked(six, dual);
    expect(dual.mesh.link(four.peer)!.endpoint).toEqual({ ip: '127.0.0.1', port: four.port });
    expect(dual.mesh.link(six.peer)!.endpoint).toEqual({ ip: '::1', port: six.port });
  });

  test('a port that is taken is said', async () => {
    const token = newToken();
    const first = await startHost({ token });
    await expect(startHost({ token, port: first.port })).rejects.toMatchObject({ code: 'port-in-use' });
  });

  test('a token that was rotated lets both generations in, then only the new one', async () => {
    const token = newToken();
    const next = { ...token, generation: 2, secret: newToken().secret };
    const first = await startHost({ token });
    first.transport.updateCredentials(credentialsOf(first.keys, next, token));
    const renewed = await startHost({ token: next });
    renewed.join(first);
    await linked(renewed, first);
    first.transport.updateCredentials(credentialsOf(first.keys, next));
    const late = await startHost({ token });
    late.join(first);
    await until(() => first.refusals.length > 0, 'refusal');
    expect(first.refusals[0]!.why).toContain('generation 1');
  });
});

describe('hosts of different tokens find the one that both hold', () => {
  const one = newToken();
  const two = { ...one, generation: 2, secret: newToken().secret };
  const twin = { ...one, generation: 2, secret: newToken().secret };
  const three = { ...one, generation: 3, secret: newToken().secret };

  test.each([
    ['a host that missed a rotation is called', { token: two, older: [one] }, { token: one }],
    ['a host that missed a rotation calls', { token: one }, { token: two, older: [one] }],
    ['both sides of a partition have rotated', { token: two, older: [one] }, { token: twin, older: [one] }],
    ['two of one generation, held in another order', { token: two, older: [twin] }, { token: twin, older: [two] }],
    ['rotated once more meanwhile', { token: three, older: [two] }, { token: two, older: [one] }],
  ])('%s', async (_story, callersSetup, calledSetup) => {
    const caller = await startHost(callersSetup);
    const called = await startHost(calledSetup);
    caller.join(called);
    await linked(caller, called);
  });

  test('two rotations behind there is none: both sides say so', async () => {
    const caller = await startHost({ token: one });
    const called = await startHost({ token: three, older: [two] });
    caller.join(called);
    await until(() => caller.refusals.length > 0 && called.refusals.length > 0, 'refusals');
    expect(caller.refusals[0]).toMatchObject({ code: 'token-outdated', why: expect.stringContaining('generation 3') });
    expect(called.refusals[0]).toMatchObject({ code: 'token-refused', why: expect.stringContaining('generation 1') });
  });
});

describe('refusals are told on both sides and both live on', () => {
  async function refused(a: TestHost, b: TestHost): Promise<void> {
    b.join(a);
    await until(() => a.refusals.length > 0 && b.refusals.length > 0, 'refusals on both sides');
    expect(a.linkedTo(b) || b.linkedTo(a)).toBe(false);
  }

  test('TM12 a wrong token: same cluster id, another secret', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token: { ...token, secret: newToken().secret }, genesisId: null });
    await refused(a, b);
    for (const { refusals } of [a, b]) {
      expect(refusals[0]).toMatchObject({ code: 'token-refused', peer: null });
      expect(refusals[0]!.why).toContain('another secret');
    }
    expect(b.mesh.targets()[0]).toMatchObject({ state: 'waiting', lastError: { code: 'token-refused' } });
    expect(b.admissions).toEqual([]);
  });

  test("another cluster's token: each names the other's cluster", async () => {
    const [tokenA, tokenB] = [newToken(), newToken()];
    const a = await startHost({ token: tokenA });
    const b = await startHost({ token: tokenB });
    await refused(a, b);
    expect(a.refusals[0]).toMatchObject({ code: 'cluster-mismatch' });
    expect(a.refusals[0]!.why).toContain(tokenB.clusterId);
    expect(b.refusals[0]!.why).toContain(tokenA.clusterId);
    const c = await startHost({ token: tokenA, genesisId: null });
    c.join(a);
    await linked(a, c);
  });

  test('an old generation of the token', async () => {
    const token = newToken();
    const a = await startHost({ token: { ...token, generation: 2 } });
    const b = await startHost({ token });
    await refused(a, b);
    expect(a.refusals[0]!.why).toContain('generation 1');
  });

  test('two clusters created from one token', async () => {
    const token = newToken();
    const a = await startHost({ token, genesisId: 'one' });
    const b = await startHost({ token, genesisId: 'two' });
    await refused(a, b);
    for (const { refusals } of [a, b]) expect(refusals[0]!.why).toContain('different beginnings');
  });

  test('two joiners', async () => {
    const token = newToken();
    const a = await startHost({ token, genesisId: null });
    const b = await startHost({ token, genesisId: null });
    await refused(a, b);
    for (const { refusals } of [a, b]) expect(refusals[0]!.why).toContain('both are waiting to join');
    const member = await startHost({ token });
    a.join(member);
    await linked(a, member);
    b.join(a);
    await linked(a, b);
  });

  test('a genesis that its creator did not sign', async () => {
    const token = newToken();
    const a = await startHost({ token, facts: { genesis: utf8('forged') } });
    const b = await startHost({ token, genesisId: null });
    b.join(a);
    await until(() => b.refusals.length > 0, 'refusal');
    expect(b.refusals[0]!.why).toContain('not signed by its creator');
    expect(b.admissions).toEqual([]);
  });

  test('protocols without overlap: both versions are named', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token, facts: { protocolMin: 2, protocolMax: 3, version: '9.0.0' } });
    await refused(a, b);
    for (const { refusals } of [a, b]) {
      expect(refusals[0]!.code).toBe('version-mismatch');
      expect(refusals[0]!.why).toMatch(/9\.0\.0.*0\.1\.0|0\.1\.0.*9\.0\.0/);
    }
  });

  test('a peer that is barred by record', async () => {
    const token = newToken();
    const bar = () => ({ code: 'certificate-refused', what: 'refused', why: 'it was removed', fix: 'none' }) as const;
    const a = await startHost({ token, options: { bar } });
    const b = await startHost({ token });
    await refused(a, b);
    expect(b.refusals[0]!.why).toContain('it was removed');
    expect(b.removals).toEqual([]);
  });

  test('a peer that is barred after it has greeted', async () => {
    const token = newToken();
    const refusal = { code: 'token-refused', what: 'refused', why: 'it shows generation 1', fix: 'none' } as const;
    let judged = 0;
    const a = await startHost({ token, options: { bar: () => (judged++ === 0 ? null : refusal) } });
    const b = await startHost({ token });
    await refused(a, b);
    expect(a.ups).toEqual([]);
    expect(a.refusals[0]!.why).toBe('it shows generation 1');
  });

  test('a peer that is shut out while it greets', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const bar = () => {
      a.mesh.shutOut(b.peer, 'it was removed');
      return null;
    };
    const b = await startHost({ token, options: { bar } });
    b.join(a);
    await until(() => b.refusals.length + b.downs.length > 0, 'told, with or without a link on its side');
    expect(a.ups).toEqual([]);
  });

  test('a peer with a token that was replaced is told so, in words about itself', async () => {
    const token = newToken();
    const bar = () => ({ code: 'token-refused', what: 'refused', why: 'it shows generation 1', fix: 'none' }) as const;
    const a = await startHost({ token, options: { bar } });
    const b = await startHost({ token, genesisId: null });
    await refused(a, b);
    expect(b.refusals[0]).toMatchObject({
      code: 'token-refused',
      why: "the cluster's token was replaced, and this host has the one before",
      fix: "Use the current token: 'fabric token' on a member prints it",
    });
    expect(a.refusals[0]!.why).toBe('it shows generation 1');
  });

  test('a peer that an operator removed is told so', async () => {
    const token = newToken();
    const bar = () => ({ code: 'peer-removed', what: 'refused', why: 'an operator removed it', fix: 'none' }) as const;
    const a = await startHost({ token, options: { bar } });
    const b = await startHost({ token });
    b.join(a);
    await until(() => b.removals.length > 0, 'told');
    expect(b.removals[0]).toMatchObject({ code: 'peer-removed', why: 'an operator removed it' });
    expect(a.mesh.links()).toEqual([]);
    expect(a.removals).toEqual([]);
  });
});

describe('exactly one link', () => {
  test('ourselves are met once, without a failure, and never dialled again', async () => {
    const a = await startHost({ token: newToken() });
    a.join(a);
    await until(() => a.mesh.targets()[0]?.state === 'self', 'self');
    expect(a.refusals).toEqual([]);
    expect(a.clones).toEqual([]);
    expect(a.log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
    expect(a.mesh.links()).toEqual([]);
    a.mesh.tick();
    expect(a.mesh.targets()[0]).toMatchObject({ state: 'self', attempts: 1, nextDialMs: null });
  });

  test('a clone of ourselves is reported on both sides', async () => {
    const token = newToken();
    const keys = generateHostKeys(nodeRandom, nodeCrypto);
    const a = await startHost({ token, keys });
    const b = await startHost({ token, keys });
    b.join(a);
    await until(() => a.clones.length > 0 && b.clones.length > 0, 'clone on both sides');
    expect(a.clones[0]).toMatchObject({ code: 'identity-clone', peer: a.peer });
    expect(a.mesh.links()).toEqual([]);
  });

  test('a third host that meets two clones keeps the first and tells both', async () => {
    const token = newToken();
    const keys = generateHostKeys(nodeRandom, nodeCrypto);
    const third = await startHost({ token });
    const original = await startHost({ token, keys, bootId: '0000000000000001' as BootId });
    original.join(third);
    await linked(original, third);
    const copy = await startHost({ token, keys, bootId: '0000000000000002' as BootId });
    copy.join(third);
    await until(() => third.clones.length > 0, 'clone noticed');
    expect(third.mesh.link(keys.peer)?.bootId).toBe('0000000000000001');
    await until(() => original.clones.length > 0 && copy.clones.length > 0, 'the third host tells both');
    expect(original.clones[0]).toMatchObject({ code: 'identity-clone', peer: keys.peer });
    expect(original.clones[0]!.why).toMatch(/another live host uses this identity .*0000000000000002/);
    expect([third.downs, original.downs, copy.ups]).toEqual([[], [], []]);
  });

  test('twenty simultaneous dials each way end in one link without flapping', async () => {
    const token = newToken();
    for (let round = 0; round < 20; round++) {
      const [a, b] = await Promise.all([startHost({ token }), startHost({ token })]);
      a.join(b);
      b.join(a);
      await linked(a, b);
      await until(() => settled(a) && settled(b), 'dials settled');
      for (const host of [a, b]) {
        expect(host.ups).toHaveLength(1);
        expect(host.downs).toEqual([]);
        expect(host.refusals).toEqual([]);
      }
      a.mesh.link(b.peer)!.send('gossip', utf8('same wire'));
      await until(() => b.messages.length === 1, 'message');
      await Promise.all([a.mesh.stop(), b.mesh.stop()]);
    }
  });

  test('several names of one host end in one link', async () => {
    const token = newToken();
    const a = await startHost({ token, address: '0.0.0.0' });
    const b = await startHost({ token });
    for (const address of ['127.0.0.1', '127.0.0.2', '127.0.0.3', 'localhost']) b.join(a, address);
    await until(() => b.mesh.targets().every(({ state }) => state === 'linked'), 'all targets linked');
    expect(b.ups).toHaveLength(1);
    expect(a.ups).toHaveLength(1);
  });

  test('known peers find each other at their endpoints', async () => {
    const token = newToken();
    const hosts = await Promise.all(
      ['127.0.0.1', '127.0.0.2', '127.0.0.3'].map((address) => startHost({ token, address })),
    );
    const known = hosts.map(({ peer, port }, n) => ({ peer, endpoints: [{ ip: `127.0.0.${n + 1}`, port }] }));
    for (const host of hosts) host.mesh.setKnownPeers(known);
    await until(() => hosts.every(({ mesh }) => mesh.links().length === 2), 'full mesh');
    for (const host of hosts) expect(host.refusals).toEqual([]);
  });
});

function settled(host: TestHost): boolean {
  host.mesh.tick();
  return host.mesh.targets().every(({ state }) => state === 'linked');
}

describe('the end of a link', () => {
  test('a goodbye is told with its reason, and the link comes back by itself after a restart', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const keys = generateHostKeys(nodeRandom, nodeCrypto);
    const b = await startHost({ token, keys });
    a.join(b);
    await linked(a, b);
    await b.mesh.stop();
    await until(() => a.downs.length === 1, 'link down');
    expect(a.downs[0]!.reason).toBe('stopping');
    const again = await startHost({ token, keys, port: b.port });
    await until(() => a.linkedTo(again) && again.linkedTo(a), 'linked again', 6_000);
    expect(a.clones).toEqual([]);
  });

  test('a connection that breaks is noticed at once on the other side and made again', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token });
    b.join(a);
    await linked(a, b);
    const started = performance.now();
    b.mesh.link(a.peer)!.abandon('lost');
    await until(() => a.downs.length === 1, 'link down', 2_000);
    expect(performance.now() - started).toBeLessThan(1_000);
    await linked(a, b);
    expect(a.refusals).toEqual([]);
  });

  test('stop is quick and final', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token });
    b.join(a);
    await linked(a, b);
    const started = performance.now();
    await Promise.all([a.mesh.stop('leaving'), b.mesh.stop()]);
    expect(performance.now() - started).toBeLessThan(1_500);
    const [ups, downs] = [a.ups.length, a.downs.length];
    a.mesh.tick();
    expect([a.ups.length, a.downs.length]).toEqual([ups, downs]);
    expect(downs).toBe(1);
  });
});

describe('flow control', () => {
  test('send says stop, writable says go, nothing is lost', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token });
    b.join(a);
    await linked(a, b);
    const link = a.mesh.link(b.peer)!;
    const chunk = utf8('x'.repeat(64 * 1024));
    let sent = 0;
    while (link.send('gossip', chunk)) sent++;
    sent++;
    expect(sent).toBeLessThanOrEqual(5);
    await until(() => a.writables === 1, 'writable');
    await until(() => b.messages.length === sent, 'all arrived');
    expect(link.queuedBytes).toBe(0);
  });

  test('a message of 3 MiB passes', async () => {
    const token = newToken();
    const a = await startHost({ token });
    const b = await startHost({ token });
    b.join(a);
    await linked(a, b);
    a.mesh.link(b.peer)!.send('gossip', new Uint8Array(3 * 1024 * 1024));
    await until(() => b.messages.length === 1, 'message');
    expect(b.messages[0]!.text).toHaveLength(3 * 1024 * 1024);
  });
});

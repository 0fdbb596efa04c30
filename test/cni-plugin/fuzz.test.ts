// Whatever a runtime sends, the answer is one CNI error or a success, never a rejection; and what the parsers take from a
// shim, a plugin or a record is well-formed or null.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CniOutcome } from '../../src/cni-plugin/ipam-plugin.ts';
import { CNI_VERBS, CNI_VERSIONS } from '../../src/cni-plugin/version.ts';
import { parseDeferredDelete, parseExecReport, parseShimRequest } from '../../src/cni-plugin/wire.ts';
import { FakeBackend, run } from './fake-backend.ts';

const RUNS = { numRuns: 400 };

function expectWellFormed({ exitCode, stdout, stderr }: CniOutcome): void {
  if (exitCode === 0) {
    if (stdout !== '') JSON.parse(stdout);
    return;
  }
  expect(stderr).toBe('');
  const error: unknown = JSON.parse(stdout);
  expect(error).toMatchObject({ code: expect.any(Number), msg: expect.any(String), cniVersion: expect.any(String) });
}

const name = fc.oneof(fc.constantFrom('', 'eth0', 'c1', 'a/b', '__proto__'), fc.string());
const env = fc.record(
  {
    CNI_COMMAND: fc.oneof(fc.constantFrom(...CNI_VERBS), fc.string()),
    CNI_CONTAINERID: name,
    CNI_IFNAME: name,
    CNI_NETNS: name,
    CNI_PATH: name,
    CNI_ARGS: fc.oneof(
      fc.string(),
      fc
        .array(fc.tuple(fc.constantFrom('IP', 'MAC', 'IgnoreUnknown', 'K8S_POD_NAME', 'X'), fc.string()))
        .map((pairs) => pairs.map((pair) => pair.join('=')).join(';')),
    ),
    CNI_NETNS_OVERRIDE: fc.string(),
  },
  { requiredKeys: [] },
);
const address = fc.oneof(fc.constantFrom('10.32.0.4/12', 'fd00::4/48', '0.0.0.0/0', 'x'), fc.string());
const odd = fc.oneof({ arbitrary: fc.jsonValue({ maxDepth: 2 }), weight: 1 }, { arbitrary: address, weight: 1 });
const result = fc.record(
  {
    cniVersion: fc.oneof(fc.constantFrom(...CNI_VERSIONS), odd),
    interfaces: fc.oneof(fc.array(fc.record({ name: odd, sandbox: odd }, { requiredKeys: [] })), odd),
    ips: fc.oneof(fc.array(fc.record({ address, gateway: odd, interface: odd }, { requiredKeys: [] })), odd),
    routes: fc.oneof(fc.array(fc.record({ dst: address, gw: odd, mtu: odd, table: odd }, { requiredKeys: [] })), odd),
    ip4: odd,
    dns: odd,
  },
  { requiredKeys: [] },
);
const config = fc.record(
  {
    cniVersion: fc.oneof(fc.constantFrom(...CNI_VERSIONS), odd),
    name: fc.oneof(fc.constant('fabric'), odd),
    type: odd,
    network: odd,
    ipam: fc.oneof(fc.record({ type: fc.constantFrom('', 'fabric', 'host-local'), routes: odd, ranges: odd }), odd),
    dns: fc.oneof(fc.record({ nameservers: odd, search: odd }), odd),
    args: fc.oneof(fc.record({ cni: fc.record({ ips: odd, mac: odd }, { requiredKeys: [] }) }), odd),
    runtimeConfig: fc.oneof(fc.record({ ips: fc.array(odd), mac: odd, aliases: odd, dns: odd, ipRanges: odd }), odd),
    prevResult: fc.oneof(result, odd),
    defaultRoute: odd,
    'cni.dev/valid-attachments': fc.oneof(fc.array(fc.record({ containerID: odd, ifname: odd })), odd),
  },
  { requiredKeys: [] },
);

describe('the answer is always well-formed', () => {
  test('for any variables and any configuration', async () => {
    await fc.assert(
      fc.asyncProperty(env, config, result, async (variables, configuration, grant) => {
        const backend = new FakeBackend();
        const exec = async () => ({ exitCode: 0, stdout: JSON.stringify(grant), stderr: '' });
        const defined = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));
        const { outcome } = await run(backend, defined, configuration, { exec });
        expectWellFormed(outcome);
        // An ADD that failed leaves nothing, one that succeeded left one.
        expect(backend.attached.size).toBe(outcome.exitCode === 0 && variables.CNI_COMMAND === 'ADD' ? 1 : 0);
      }),
      RUNS,
    );
  });

  test('for a good call with any configuration', async () => {
    const good = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c', CNI_IFNAME: 'e', CNI_NETNS: '/n', CNI_PATH: '/p' };
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...CNI_VERBS), config, async (CNI_COMMAND, configuration) => {
        const valid = { cniVersion: '1.1.0', name: 'fabric' };
        expectWellFormed(
          (await run(new FakeBackend(), { ...good, CNI_COMMAND }, { ...configuration, ...valid })).outcome,
        );
      }),
      RUNS,
    );
  });

  test('for any bytes on stdin', async () => {
    const good = { CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c', CNI_IFNAME: 'e', CNI_PATH: '/p' };
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        async (stdin) => {
          expectWellFormed((await run(new FakeBackend(), good, stdin)).outcome);
        },
      ),
      RUNS,
    );
  });

  test('for a configuration nested deeper than any stack', async () => {
    const good = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c', CNI_IFNAME: 'e', CNI_NETNS: '/n', CNI_PATH: '/p' };
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    const backend = new FakeBackend();
    const text = `{"cniVersion":"1.0.0","name":"a","prevResult":{"deep":${deep}}}`;
    const { outcome } = await run(backend, good, text);
    expectWellFormed(outcome);
    expect(backend.attached.size).toBe(outcome.exitCode === 0 ? 1 : 0);
  });
});

describe('parsers of the wire', () => {
  test('never throw', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        parseShimRequest(value);
        parseExecReport(value);
      }),
      RUNS,
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(parseDeferredDelete(bytes)).toBeNull();
      }),
      RUNS,
    );
  });
});

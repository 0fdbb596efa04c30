import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { Mac } from '../../../src/base/ids.ts';
import { arpProbe, usedByOther } from '../../../src/host/doctor/duplicate-address.ts';
import { mayAccept } from '../../../src/host/doctor/input-rules.ts';
import { isReadOnly, missingCapabilities } from '../../../src/host/doctor/machine.ts';
import { parseNeighbourStatistics } from '../../../src/host/doctor/neighbour-tables.ts';
import { legacyDropping } from '../../../src/host/doctor/packet-filter.ts';
import { tcpFault } from '../../../src/host/doctor/path.ts';

describe('ARP probes', () => {
  const own = { ip: '192.0.2.11', mac: '02:00:00:00:00:01' as Mac };
  const other = { ip: '192.0.2.11', mac: '02:00:00:00:00:02' as Mac };
  /** What that machine answers. */
  const reply = (from: typeof own): Buffer => {
    const frame = arpProbe(from);
    frame[21] = 2;
    Buffer.from(from.ip.split('.').map(Number)).copy(frame, 28);
    return frame;
  };

  test('are of RFC 5227: to all, from nobody, about the address', () => {
    expect(arpProbe(own).toString('hex')).toBe(
      `ffffffffffff0200000000010806000108000604000102000000000100000000000000000000${'c000020b'}`,
    );
  });

  test.each([
    ['another machine’s reply', reply(other), other],
    ['our own reply', reply(own), null],
    ['a reply about another address', reply({ ...other, ip: '192.0.2.12' }), null],
    ['a probe of another machine', arpProbe(other), null],
    ['a frame that is cut off', reply(other).subarray(0, 40), null],
  ])('%s', (_, frame, found) => {
    expect(usedByOther(frame, [own])).toEqual(found);
  });
});

describe('an input chain', () => {
  const rule = (...expr: readonly unknown[]) => ({ rule: { expr } });
  const match = (left: unknown, right: unknown, op = '==') => ({ match: { op, left, right } });
  const dport = (right: unknown, protocol = 'udp') => match({ payload: { protocol, field: 'dport' } }, right);
  const accept = { accept: null };
  const state = { ct: { key: 'state' } };

  test.each([
    ['no rule', [], false],
    ['our port', [rule(dport(6783), accept)], true],
    ['another port', [rule(dport(22), accept)], false],
    ['a set with our port', [rule(dport({ set: [22, 6783] }), accept)], true],
    ['a range around our port', [rule(dport({ set: [{ range: [6000, 7000] }] }), accept)], true],
    ['a named set', [rule(dport('@open'), accept)], true],
    ['TCP only', [rule(dport(6783, 'tcp'), accept)], false],
    [
      'either by th',
      [rule(match({ meta: { key: 'l4proto' } }, { set: ['tcp', 'udp'] }), dport(6783, 'th'), accept)],
      true,
    ],
    ['replies only', [rule(match(state, ['established', 'related'], 'in'), accept)], false],
    ['loopback only', [rule(match({ meta: { key: 'iifname' } }, 'lo'), accept)], false],
    ['a trusted interface', [rule(match({ meta: { key: 'iifname' } }, 'eth1'), accept)], true],
    ['a trusted source', [rule(match({ payload: { protocol: 'ip', field: 'saddr' } }, '192.0.2.12'), accept)], true],
    ['ICMP only', [rule(match({ payload: { protocol: 'icmp', field: 'type' } }, 'echo-request'), accept)], false],
    ['GRE only', [rule(match({ payload: { protocol: 'ip', field: 'protocol' } }, 'gre'), accept)], false],
    ['what is not our port', [rule(match({ payload: { protocol: 'udp', field: 'dport' } }, 22, '!='), accept)], true],
    ['a drop of our port', [rule(dport(6783), { drop: null })], false],
    ['states by a map', [rule({ vmap: { key: state, data: { set: [['established', accept]] } } })], false],
    ['interfaces by a map', [rule({ vmap: { key: { meta: {} }, data: { set: [['eth1', accept]] } } })], true],
    ['what nobody understands', [rule({ xt: null }, accept)], true],
    ['no rules at all in a table', [{ chain: { name: 'input' } }, { rule: null }], false],
  ] as const)('%s', (_, listing, open) => {
    expect(mayAccept(listing as never, 'udp', 6783)).toBe(open);
  });
});

test.each([
  ['a policy', '-P FORWARD DROP\n', ['FORWARD']],
  ['a last rule', '-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable\n', ['FORWARD']],
  ['our bridge let through', '-P FORWARD DROP\n-A FORWARD -i fabric0 -j ACCEPT\n', []],
  ['nothing dropped', '-P FORWARD ACCEPT\n-A FORWARD -s 10.0.0.0/8 -j DROP\n', []],
])('iptables-legacy: %s', (_, listing, chains) => {
  expect(legacyDropping(listing, ['fabric0'])).toEqual(chains);
});

test('iptables-legacy: each bridge has to be let through', () => {
  const listing = '-P FORWARD DROP\n-A FORWARD -i fabric0 -j ACCEPT\n';
  expect(legacyDropping(listing, ['fabric0', 'fabn2'])).toEqual(['FORWARD']);
  expect(legacyDropping(`${listing}-A FORWARD -i fabn2 -j ACCEPT\n`, ['fabric0', 'fabn2'])).toEqual([]);
});

test.each([
  ['root', '000001ffffffffff', []],
  ['nobody', '0000000000000000', ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN']],
  ['a container’s default', '00000000a80425fb', ['CAP_NET_ADMIN', 'CAP_SYS_ADMIN']],
])('capabilities of %s', (_, mask, missing) => {
  expect(missingCapabilities(`Name:\tnode\nCapEff:\t${mask}\n`)).toEqual(missing);
});

test.each([
  ['a host', 'proc /proc proc rw,nosuid 0 0', false],
  ['a container', 'proc /proc proc rw 0 0\nproc /proc/sys proc ro,nosuid 0 0', true],
  ['one that was opened again', 'proc /proc/sys proc ro 0 0\nproc /proc/sys proc rw 0 0', false],
  ['a longer name', '/ / ext4 rw 0 0\nx /proc/system proc ro 0 0', false],
])('/proc/sys in %s', (_, mounts, readOnly) => {
  expect(isReadOnly('/proc/sys', mounts)).toBe(readOnly);
});

test('a TCP connection stands, or it is said why not', async () => {
  const server = createServer((socket) => socket.resume());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  expect(await tcpFault('127.0.0.1', port, 1_000)).toBeNull();
  await new Promise((resolve) => server.close(resolve));
  expect(await tcpFault('127.0.0.1', port, 1_000)).toMatch(/refuses connections/);
});

describe('statistics of the neighbour table', () => {
  const head = 'entries  allocs   destroys hash_grows table_fulls\n';

  test('have the entries in each line, and what each CPU refused', () => {
    const text = `${head}00000008 0000999e 000095c4 00000003 000007a0\n00000008 00009d4b 0000a11d 00000005 00000851\n`;
    expect(parseNeighbourStatistics(text)).toEqual({ entries: 8, refused: 0x7a0 + 0x851 });
  });

  test.each(['', head, 'entries  allocs\n00000008 0000999e\n'])('of another kernel say nothing: %j', (text) => {
    expect(parseNeighbourStatistics(text)).toBeNull();
  });
});

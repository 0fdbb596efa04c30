import { describe, expect, test } from 'vitest';
import { overview } from '../../../src/cli/status/overview.ts';
import type { Status } from '../../../src/daemon/status-types.ts';
import { nameServer, other, status, tunnel } from './some-status.ts';

describe('the overview', () => {
  test('says first whether all is well, then who and what', () => {
    const lines = overview(status()).split('\n');
    expect(lines[0]).toBe('healthy');
    expect(lines).toContain(`host      one  ${'aa'.repeat(16)}  fabric 0.1.0, up 1 min`);
    expect(lines).toContain('datapath  pcap, encryption required, overlay MTU 1418');
    expect(lines).toContain('network   fabric  10.32.0.0/12, gateway 10.32.0.1, bridge fabric0');
    expect(lines).toContain('peers        1 alive');
    expect(lines).toContain('routes       2 (1 local)');
  });

  test('each problem says what, why and what to do, with control characters shown', () => {
    const problem = { code: 'x', what: 'it broke\u0007', why: 'because', fix: 'Mend it' };
    const text = overview(status({ health: { ok: false, problems: [problem, problem], notices: [] } }));
    expect(text).toContain('NOT HEALTHY: 2 problems');
    expect(text).toContain('  it broke\\x07\n    why: because\n    do:  Mend it');
  });

  test.each<[string, Partial<Status['self']>, string | null]>([
    ['exposed', { addresses: ['10.32.0.2/12', 'fd00::2/48'] }, 'address   10.32.0.2/12 and fd00::2/48'],
    ['hidden', { addresses: [] }, 'address   none on the overlay: see fabric expose'],
    ['not joined yet', { clusterId: null, addresses: [] }, null],
  ])("this host's own address: %s", (_name, change, line) => {
    const before = status();
    const lines = overview({ ...before, self: { ...before.self, ...change } }).split('\n');
    expect(lines.find((one) => one.startsWith('address')) ?? null).toBe(line);
  });

  test('notices follow, and leave it healthy', () => {
    const notice = { code: 'n', what: 'not all hosts answer', why: 'two (silent)', fix: 'Start it' };
    const text = overview(status({ health: { ok: true, problems: [], notices: [notice] } }));
    expect(text.split('\n')[0]).toBe('healthy, 1 thing to know');
    expect(text).toContain('  not all hosts answer\n    why: two (silent)\n    do:  Start it');
  });

  test('every tunnel of a live host that is not on its best path says why, a few by name', () => {
    const peers = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((id) => {
      return {
        id,
        nickname: `host-${id}`,
        endpoint: null,
        state: id === 'g' ? 'dead' : 'alive',
        lastSeenMs: 0,
      } as const;
    });
    const tunnels = peers.map(({ id, nickname }) => ({ ...tunnel, peer: id, nickname, reason: `reason ${id}\u0007` }));
    const text = overview(status({ peers, tunnels }));
    expect(text).toContain('not on their best path\n  host-a  reason a\\x07\n');
    expect(text).toContain('  and 1 more: fabric status tunnels');
    expect(text).not.toContain('host-g');
    expect(overview(status())).not.toContain('best path');
  });

  test.each<[string, Status['http'], string]>([
    ['served', { state: 'serving', address: '127.0.0.1:6784', reason: null }, 'http      127.0.0.1:6784'],
    ['off', { state: 'off', address: null, reason: null }, 'http      off'],
    [
      'taken',
      { state: 'failed', address: '127.0.0.1:6784', reason: 'the port is held by weaver' },
      'http      not served: the port is held by weaver',
    ],
  ])('the HTTP port, %s', (_name, http, line) => {
    expect(overview(status({ http }))).toContain(line);
  });

  test('what flows, while it is watched', () => {
    const total = { txBytes: 1e6, rxBytes: 2_000, txFrames: 900, rxFrames: 100.4, drops: 0 };
    expect(overview(status(), { total, ofPeer: new Map() })).toContain(
      'traffic      8.0 Mbit/s out, 16.0 kbit/s in, 1000 frames/s, 0 drops/s',
    );
  });

  test('a host that has not joined yet', () => {
    const { self, datapath } = status();
    const joining = status({
      self: { ...self, clusterId: null },
      datapath: { ...datapath, mtu: null },
      networks: [],
      peers: [],
      tunnels: [],
      routes: [],
      targets: [{ host: '192.0.2.1:6783', state: 'waiting', error: 'nothing listens there' }],
    });
    const text = overview(joining);
    expect(text).toContain('cluster   not joined yet');
    expect(text).toContain('overlay MTU unknown');
    expect(text).toContain('peers        none');
    expect(text).not.toContain('dialling');
  });

  test.each<[string, Partial<Status['nameServer']>, string]>([
    ['served', {}, 'names        1 under fabric.internal, served on 10.32.0.1'],
    [
      'served in several networks',
      { addresses: ['10.32.0.1', 'fd00::1', '10.160.0.1'] },
      'names        1 under fabric.internal, served on 10.32.0.1 and 10.160.0.1',
    ],
    [
      'not served',
      { state: 'failed', addresses: [], reason: 'port 53 is held by x\u0007' },
      'names        1 under fabric.internal, not served: port 53 is held by x\\x07',
    ],
  ])('names, %s', (_name, change, line) => {
    const row = { name: 'web.fabric.internal', ips: ['10.32.0.5/12'], peer: other, network: 'fabric' };
    expect(
      overview(status({ dns: [row, { ...row, peer: 'cc' }], nameServer: { ...nameServer, ...change } })),
    ).toContain(line);
  });

  test('a member names the hosts that it can not reach', () => {
    const targets = [{ host: '192.0.2.1:6783', state: 'waiting', error: "can't join 192.0.2.1: no answer" }] as const;
    expect(overview(status({ targets }))).toContain("dialling     can't join 192.0.2.1: no answer");
  });
});

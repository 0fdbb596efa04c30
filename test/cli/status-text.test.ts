import { describe, expect, test } from 'vitest';
import { overview, sectionText } from '../../src/cli/status-text.ts';
import { STATUS_SECTIONS, type Status, type TunnelRow } from '../../src/daemon/status-types.ts';

const other = 'bb'.repeat(16);

const tunnel: TunnelRow = {
  peer: other,
  nickname: 'two',
  endpoint: '192.0.2.12:6783',
  state: 'established',
  encrypted: true,
  datapath: 'pcap',
  cipher: 'aes-256-gcm',
  mtu: 1500,
  rttMs: 1.234,
  txBytes: 2048,
  rxBytes: 10,
  txFrames: 2,
  rxFrames: 1,
  drops: { replayed: 2, 'no-endpoint': 3 },
  reason: null,
};

const nameServer: Status['nameServer'] = {
  state: 'serving',
  domain: 'fabric.internal',
  addresses: ['10.32.0.1'],
  upstreams: ['192.0.2.53:53'],
  reason: null,
  counters: {},
};

function status(change: Partial<Status> = {}): Status {
  return {
    apiVersion: 'fabric/v1',
    health: { ok: true, problems: [] },
    self: { id: 'aa'.repeat(16), nickname: 'one', version: '0.1.0', clusterId: 'cc'.repeat(16), uptimeMs: 65_000 },
    datapath: {
      name: 'pcap',
      reason: null,
      lacks: [],
      mtu: 1418,
      encryption: 'required',
      framesIn: 0,
      framesOut: 0,
      drops: {},
    },
    networks: [
      {
        name: 'fabric',
        id: 0,
        range: '10.32.0.0/12',
        range6: null,
        gateway: '10.32.0.1',
        domain: 'fabric.internal',
        bridge: 'fabric0',
      },
    ],
    peers: [{ id: other, nickname: 'two', endpoint: '192.0.2.12:6783', state: 'alive', lastSeenMs: 120 }],
    tunnels: [tunnel],
    routes: [
      {
        network: 'fabric',
        mac: '02:00:00:00:00:01',
        ips: ['10.32.0.5/12'],
        peer: 'aa'.repeat(16),
        local: true,
        sequence: 0,
        state: 'active',
        reason: null,
      },
      {
        network: 'fabric',
        mac: '02:00:00:00:00:02',
        ips: ['10.40.0.5/12'],
        peer: other,
        local: false,
        sequence: 1,
        state: 'refused',
        reason: 'it does not own that address',
      },
    ],
    leases: [],
    attachments: [],
    reservations: [],
    dns: [],
    nameServer,
    docker: { state: 'off', networks: 0, waiting: 0, reason: null, counters: {} },
    targets: [],
    ...change,
  };
}

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
    const text = overview(status({ health: { ok: false, problems: [problem, problem] } }));
    expect(text).toContain('NOT HEALTHY: 2 problems');
    expect(text).toContain('  it broke\\x07\n    why: because\n    do:  Mend it');
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

describe('sections', () => {
  test.each(STATUS_SECTIONS)('%s has a table, and words when it is empty', (section) => {
    expect(sectionText(status({ [section]: [] }), section)).toBe('none');
  });

  test('peers: age of the last sign of life', () => {
    const rows = (['alive', 'suspect', 'dead'] as const).map((state, index) => ({
      id: other,
      nickname: `n${index}`,
      endpoint: null,
      state,
      lastSeenMs: [120, 4_000, null][index] ?? null,
    }));
    const lines = sectionText(status({ peers: rows }), 'peers').split('\n');
    expect(lines[1]).toMatch(/^n0 +alive +- +now/);
    expect(lines[2]).toMatch(/^n1 +suspect +- +4 s ago/);
    expect(lines[3]).toMatch(/^n2 +dead +- +never/);
  });

  test('tunnels: drops are summed, unknown values are dashes', () => {
    const failed = { ...tunnel, state: 'failed', cipher: null, mtu: null, rttMs: null, reason: 'no answer' } as const;
    const lines = sectionText(status({ tunnels: [tunnel, failed] }), 'tunnels').split('\n');
    expect(lines[1]).toMatch(/^two +established .* 1\.2 ms +2\.0 KiB +10 B +5$/);
    expect(lines[2]).toMatch(/^two +failed .* - +- +- .* no answer$/);
  });

  test('routes: hosts by name, ours as this host, and why one is refused', () => {
    const lines = sectionText(status(), 'routes').split('\n');
    expect(lines[1]).toMatch(/this host +0 +active$/);
    expect(lines[2]).toMatch(/two +1 +refused +it does not own that address$/);
  });
});

import { describe, expect, test } from 'vitest';
import { sectionTable } from '../../../src/cli/status/section-table.ts';
import { STATUS_SECTIONS } from '../../../src/daemon/status-types.ts';
import { other, status, tunnel } from './some-status.ts';

describe('sections', () => {
  test.each(STATUS_SECTIONS)('%s has a table, and words when it is empty', (section) => {
    expect(sectionTable(status({ [section]: [] }), section)).toBe('none');
  });

  test('peers: age of the last sign of life', () => {
    const rows = (['alive', 'suspect', 'dead'] as const).map((state, index) => ({
      id: other,
      nickname: `n${index}`,
      endpoint: null,
      state,
      lastSeenMs: [120, 4_000, null][index] ?? null,
    }));
    const lines = sectionTable(status({ peers: rows }), 'peers').split('\n');
    expect(lines[1]).toMatch(/^n0 +alive +- +now/);
    expect(lines[2]).toMatch(/^n1 +suspect +- +4 s ago/);
    expect(lines[3]).toMatch(/^n2 +dead +- +never/);
  });

  test('tunnels: drops are summed, unknown values are dashes', () => {
    const failed = { ...tunnel, state: 'failed', cipher: null, mtu: null, rttMs: null, reason: 'no answer' } as const;
    const lines = sectionTable(status({ tunnels: [tunnel, failed] }), 'tunnels').split('\n');
    expect(lines[1]).toMatch(/^two +established .* 1\.2 ms +2\.0 KiB +10 B +5$/);
    expect(lines[2]).toMatch(/^two +failed .* - +- +- .* no answer$/);
  });

  test('routes: hosts by name, ours as this host, and why one is refused', () => {
    const lines = sectionTable(status(), 'routes').split('\n');
    expect(lines[1]).toMatch(/this host +0 +active$/);
    expect(lines[2]).toMatch(/two +1 +refused +it does not own that address$/);
  });

  test('more rows than wanted are counted', () => {
    expect(sectionTable(status(), 'routes', { limit: 1 }).split('\n')).toHaveLength(3);
    expect(sectionTable(status(), 'routes', { limit: 1 })).toMatch(/… and 1 more$/);
    expect(sectionTable(status(), 'routes', { limit: 2 })).not.toMatch(/more/);
  });

  test('watched tunnels show what flows, busiest first', () => {
    const rate = { txBytes: 1_000, rxBytes: 0, txFrames: 10, rxFrames: 1, drops: 2 };
    const rates = { total: rate, ofPeer: new Map([['bb', rate]]) };
    const tunnels = [
      { ...tunnel, peer: 'aa', nickname: 'idle' },
      { ...tunnel, peer: 'bb', nickname: 'busy' },
    ];
    const lines = sectionTable(status({ tunnels }), 'tunnels', { rates }).split('\n');
    expect(lines[1]).toMatch(/^busy +established +pcap +8\.0 kbit\/s +0 bit\/s +11 +2$/);
    expect(lines[2]).toMatch(/^idle +established +pcap +0 bit\/s +0 bit\/s +0 +0$/);
  });
});

// What a benchmark run says: medians, ratios, when it is void, and which goals it meets.

import { describe, expect, it } from 'vitest';
import { busyUs, processUs } from '../../bench/cpu-time.ts';
import { summarize } from '../../bench/statistics.ts';
import { averageOfPing } from '../../bench/traffic.ts';
import { judge, type Measured, ratiosToVxlan, voidReason } from '../../bench/verdict.ts';

describe('summarize', () => {
  const rows: [story: string, values: number[], median: number][] = [
    ['one run', [7], 7],
    ['an odd number: the middle one', [9, 1, 5], 5],
    ['an even number: the mean of the middle two', [4, 1, 3, 2], 2.5],
    ['numbers, not their text', [10, 9, 100], 10],
  ];
  it.each(rows)('%s', (_story, values, median) => {
    const summary = summarize(values);
    expect(summary).toEqual({ min: Math.min(...values), median, max: Math.max(...values), values });
  });

  it('refuses an empty run', () => {
    expect(() => summarize([])).toThrow(RangeError);
  });
});

const startUp = {
  launchMs: summarize([600]),
  joinToPingMs: summarize([900]),
  statusMs: summarize([130]),
  idleResidentMiB: summarize([101]),
};

function measured(gbps: { bare: number; vxlan: number; pcap: number }): Measured {
  const contenders = Object.entries(gbps).map(([name, value]) => [name, { tcpGbps: summarize([value]) }]);
  return { contenders: Object.fromEntries(contenders), startUp };
}

describe('a run', () => {
  it('is held against kernel VXLAN', () => {
    const ratios = ratiosToVxlan(measured({ bare: 20, vxlan: 10, pcap: 0.5 }));
    expect(ratios).toEqual({ bare: { tcpGbps: 2 }, vxlan: { tcpGbps: 1 }, pcap: { tcpGbps: 0.05 } });
  });

  it('counts while VXLAN reaches half of bare veth', () => {
    expect(voidReason(measured({ bare: 20, vxlan: 10, pcap: 0.5 }))).toBeNull();
    expect(voidReason(measured({ bare: 20, vxlan: 9.9, pcap: 0.5 }))).toContain('busy');
  });

  it('meets its goals up to the limit itself, and misses them one by one', () => {
    expect(judge(measured({ bare: 20, vxlan: 10, pcap: 0.25 })).every(({ met }) => met)).toBe(true);
    const missed = judge(measured({ bare: 20, vxlan: 10, pcap: 0.24 })).filter(({ met }) => !met);
    expect(missed.map(({ measured: ratio }) => ratio)).toEqual([0.024]);
  });
});

describe('what the system says', () => {
  it("reads ping's average", () => {
    expect(averageOfPing('rtt min/avg/max/mdev = 0.010/0.018/0.066/0.006 ms')).toBe(0.018);
    expect(() => averageOfPing('3 packets transmitted, 0 received')).toThrow('no average');
  });

  it('counts as busy what is neither idle nor waiting for a disk nor stolen', () => {
    expect(busyUs('cpu  1 2 3 1000 1000 4 5 1000 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n')).toBe(150_000);
  });

  it('reads the time of a process whose name holds brackets and spaces', () => {
    expect(processUs('7 (a) b (c) S 1 7 7 0 -1 4194560 90 0 0 0 12 34 0 0 20 0 1 0 5 0 0')).toBe(460_000);
  });
});

// What a benchmark run says: medians, ratios, when it is void, and which goals it meets.

import { describe, expect, it, test } from 'vitest';
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
  return { contenders: Object.fromEntries(contenders), startUp, idle: {} };
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
    expect(judge(measured({ bare: 20, vxlan: 10, pcap: 0.25 }), []).every(({ met }) => met)).toBe(true);
    const missed = judge(measured({ bare: 20, vxlan: 10, pcap: 0.24 }), []).filter(({ met }) => !met);
    expect(missed.map(({ measured: ratio }) => ratio)).toEqual([0.024]);
  });
});

test.each([
  [9.7, true],
  [9.69, false],
])("fabric's plain VXLAN at %d of 10 Gbit/s made by hand: met %s", (gbps, met) => {
  const contenders = { vxlan: { tcpGbps: summarize([10]) }, 'fabric-vxlan': { tcpGbps: summarize([gbps]) } };
  expect(judge({ contenders, startUp: {}, idle: {} }, [])).toMatchObject([{ limit: 0.97, met }]);
});

describe('the goals of the engine', () => {
  const figures = (values: Record<string, number>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, summarize([value])]));
  const VXLAN = { tcpGbps: 10, tcp8Gbps: 10, udpGbps: 1, udpPps: 100, rttMs: 1, cpuUsPer64KiB: 50, tcpLossGbps: 2 };
  const AT_LIMIT = { ...VXLAN, tcpGbps: 8.5, tcp8Gbps: 8.5, udpPps: 70, rttMs: 3, cpuUsPer64KiB: 75, tcpLossGbps: 1.8 };
  const OF_PROCESSES = { cpuSecondsPerGbit: 0.4, daemonMsPerGB: 70 };
  const run = (engine: Record<string, number>): Measured => ({
    contenders: {
      vxlan: figures(VXLAN),
      engine: figures({ ...AT_LIMIT, ...OF_PROCESSES, ...engine }),
      'wireguard-go': figures({ tcpGbps: 2.8, cpuSecondsPerGbit: 1 }),
      tinc: figures({ tcpGbps: 0.1 }),
    },
    startUp: {},
    idle: figures({ tunnelsCpuPercent: 0.5 }),
  });
  const missedBy = (engine: Record<string, number>) =>
    judge(run(engine), ['wireguard-go', 'tinc'])
      .filter(({ met }) => !met)
      .map(({ what }) => what);

  it('are met at their limits', () => {
    expect(missedBy({})).toEqual([]);
  });

  const rows: [metric: string, value: number, missed: string][] = [
    ['tcpGbps', 8.49, 'engine, TCP 1 stream, × kernel VXLAN'],
    ['tcp8Gbps', 8.4, 'engine, TCP 8 streams, × kernel VXLAN'],
    ['cpuUsPer64KiB', 76, 'engine, CPU per 64 KiB, × kernel VXLAN'],
    ['udpGbps', 0.99, 'engine, UDP 1300 bytes, × kernel VXLAN'],
    ['udpPps', 69, 'engine, UDP 64 bytes, × kernel VXLAN'],
    ['rttMs', 3.1, 'engine, idle ping, × kernel VXLAN'],
    ['tcpLossGbps', 1.7, 'engine, TCP with 1 % loss, × kernel VXLAN'],
    ['cpuSecondsPerGbit', 0.41, 'engine, CPU per Gbit, × wireguard-go'],
    ['daemonMsPerGB', 71, "engine, daemons' JavaScript, ms/GB"],
  ];
  it.each(rows)('miss %s at %d', (metric, value, missed) => {
    expect(missedBy({ [metric]: value })).toEqual([missed]);
  });

  it('are held against the best program by others, not the worst', () => {
    const fast = run({});
    const contenders = { ...fast.contenders, tinc: figures({ tcpGbps: 3 }) };
    const goal = judge({ ...fast, contenders }, ['wireguard-go', 'tinc']).find(({ what }) =>
      what.includes('best peer'),
    );
    expect(goal).toMatchObject({ met: false, measured: 8.5 / 3 });
  });

  it('are void with frames that vanished in any round', () => {
    const lost = { ...run({}).contenders, engine: { unaccountedFrames: summarize([0, 3, 0]) } };
    expect(voidReason({ ...run({}), contenders: lost })).toBe(
      'engine: 3 frames entered that were neither delivered nor counted as dropped',
    );
  });

  it('are left out where the run lacks their figures', () => {
    expect(judge({ contenders: { engine: figures({ tcpGbps: 1 }) }, startUp: {}, idle: {} }, ['tinc'])).toEqual([]);
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

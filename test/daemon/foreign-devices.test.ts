import { describe, expect, test } from 'vitest';
import { FabricError } from '../../src/base/errors.ts';
import { DEFAULT_VNI, type Mac, type PeerId } from '../../src/base/ids.ts';
import { ForeignDevices } from '../../src/daemon/foreign-devices.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

const OTHER = 'b'.repeat(32) as PeerId;
const mac = (n: number) =>
  `0a:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}` as Mac;

function setUp(taken: readonly Mac[] = []) {
  const clock = new ManualClock();
  const announced = new Set<Mac>();
  const elsewhere = new Set<Mac>();
  let wakes = 0;
  let isDiskFull = false;
  const written = (): void => {
    if (isDiskFull) throw new FabricError('limit', { what: 'the disk is full' });
  };
  const devices = new ForeignDevices({
    clock,
    claims: {
      publishClaim: (record) => {
        written();
        announced.add(record.mac);
      },
      withdrawClaim: (_network, gone) => {
        written();
        announced.delete(gone);
      },
    },
    mayClaim: (_network, candidate) => !taken.includes(candidate),
    isHere: (_network, candidate) => !elsewhere.has(candidate),
    wake: () => void wakes++,
  });
  return { clock, announced, elsewhere, devices, wakes: () => wakes, fillDisk: (full: boolean) => (isDiskFull = full) };
}

describe('foreign devices', () => {
  test('are announced once and age out', () => {
    const { clock, announced, devices } = setUp();
    devices.learned(DEFAULT_VNI, mac(1));
    clock.advance(200_000);
    devices.learned(DEFAULT_VNI, mac(2));
    expect(devices.tick()).toBe(100_000);
    clock.advance(100_000);
    devices.tick();
    expect([...announced]).toEqual([mac(2)]);
  });

  test('that speak elsewhere now are withdrawn at once, and learned again when they return', () => {
    const { clock, announced, elsewhere, devices, wakes } = setUp();
    for (const n of [1, 2]) devices.learned(DEFAULT_VNI, mac(n));
    const claim = { network: DEFAULT_VNI, ips: [], sequence: 1, name: '', kind: 'foreign' } as const;
    devices.claim(OTHER, { ...claim, mac: mac(3) });
    expect(wakes()).toBe(2);
    elsewhere.add(mac(1));
    devices.claim(OTHER, { ...claim, mac: mac(1) });
    expect(wakes()).toBe(3);
    clock.advance(1_000);
    expect(devices.tick()).toBe(299_000);
    expect([...announced]).toEqual([mac(2)]);
    elsewhere.clear();
    devices.learned(DEFAULT_VNI, mac(1));
    expect(announced.has(mac(1))).toBe(true);
  });

  test('whose claim could not be written are announced when they speak again, and withdrawn at the next look', () => {
    const { clock, announced, devices, fillDisk } = setUp();
    fillDisk(true);
    expect(() => devices.learned(DEFAULT_VNI, mac(1))).toThrow('full');
    fillDisk(false);
    devices.learned(DEFAULT_VNI, mac(1));
    expect([...announced]).toEqual([mac(1)]);
    clock.advance(300_000);
    fillDisk(true);
    expect(() => devices.tick()).toThrow('full');
    fillDisk(false);
    devices.tick();
    expect(announced.size).toBe(0);
  });

  test("never take a container's or host's MAC", () => {
    const { announced, devices } = setUp([mac(1)]);
    devices.learned(DEFAULT_VNI, mac(1));
    expect(announced.size).toBe(0);
  });

  test('are bounded and counted', () => {
    const { announced, devices } = setUp();
    for (let n = 0; n < 300; n++) devices.learned(DEFAULT_VNI, mac(n));
    expect(announced.size).toBe(256);
    expect(devices.refused).toBe(44);
  });
});

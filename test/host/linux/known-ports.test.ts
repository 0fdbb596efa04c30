import { describe, expect, test } from 'vitest';
import { DEFAULT_VNI, type Mac } from '../../../src/base/ids.ts';
import { type KnownPort, KnownPorts } from '../../../src/host/linux/known-ports.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

function known(number: number, change: Partial<KnownPort> = {}): KnownPort {
  const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as Mac;
  const port = { hostIfname: `fab${number}`, mac, ips: [`10.32.0.${number}`, `10.33.0.${number % 3}`] };
  return { network: DEFAULT_VNI, port, index: number, live: true, ...change };
}

describe('KnownPorts', () => {
  test('finds live ports only', () => {
    const ports = new KnownPorts();
    ports.set(known(1, { live: false, index: null }));
    expect([ports.named('fab1'), ports.hasMac(known(1).port.mac), ports.hasIp('10.32.0.1')]).toEqual([
      null,
      false,
      false,
    ]);
    expect(ports.get('fab1')?.index).toBeNull();
    ports.update('fab1', { live: true, index: 7 });
    expect([ports.named('fab1')?.index, ports.hasMac(known(1).port.mac), ports.hasIp('10.32.0.1')]).toEqual([
      7,
      true,
      true,
    ]);
  });

  test('a port that is gone is not made again by news of it', () => {
    const ports = new KnownPorts();
    ports.set(known(1));
    ports.delete('fab1');
    ports.update('fab1', { live: true });
    expect([ports.has('fab1'), ports.all()]).toEqual([false, []]);
  });

  test('an address of two ports stays until the second is gone', () => {
    const ports = new KnownPorts();
    for (const number of [1, 4]) ports.set(known(number));
    ports.delete('fab1');
    expect([ports.hasIp('10.33.0.1'), ports.hasIp('10.32.0.1')]).toEqual([true, false]);
    ports.clear();
    expect([ports.hasIp('10.33.0.1'), ports.live()]).toEqual([false, []]);
  });

  test('after any changes says what a walk over all ports says', () => {
    const random = new SeededRandom(5);
    const ports = new KnownPorts();
    const oracle = new Map<string, KnownPort>();
    for (let step = 0; step < 2_000; step++) {
      const port = known(random.below(12), { live: random.below(2) === 0 });
      const name = port.port.hostIfname;
      const before = oracle.get(name);
      switch (random.below(3)) {
        case 0:
          ports.set(port);
          oracle.set(name, port);
          break;
        case 1:
          ports.delete(name);
          oracle.delete(name);
          break;
        default:
          ports.update(name, { live: port.live });
          if (before !== undefined) oracle.set(name, { ...before, live: port.live });
      }
      const asked = known(random.below(12)).port;
      const live = [...oracle.values()].filter((each) => each.live);
      expect(ports.named(asked.hostIfname)).toEqual(
        live.find((each) => each.port.hostIfname === asked.hostIfname) ?? null,
      );
      expect(ports.hasMac(asked.mac)).toBe(live.some((each) => each.port.mac === asked.mac));
      for (const ip of asked.ips) expect(ports.hasIp(ip)).toBe(live.some((each) => each.port.ips.includes(ip)));
    }
  });
});

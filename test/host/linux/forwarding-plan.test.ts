import { describe, expect, it } from 'vitest';
import {
  type ForwardingSysctls,
  type InterfaceSysctls,
  planForwarding,
  planRestore,
  type SysctlWrite,
} from '../../../src/host/linux/forwarding-plan.ts';
import { NO_GUARD } from '../../../src/host/linux/overlay-rules.ts';
import { parseHostState } from '../../../src/host/linux/state-file.ts';
import { SeededRandom } from '../../fakes/seeded-random.ts';

const FRESH = { originals: {}, guard: NO_GUARD };
const IP6 = { ip6: true };

/** The kernel's part: a write to `all/forwarding` writes every interface's own, and IPv4 redirects. */
class Kernel {
  readonly values: Map<string, string>;
  readonly #names: readonly string[];
  readonly #kinds: ReadonlyMap<string, string | null>;
  /** Interfaces that lost their default route because forwarding came on with accept_ra 1. */
  readonly lostRoutes: string[] = [];

  constructor(interfaces: readonly InterfaceSysctls[], all4: string, all6: string) {
    this.#names = interfaces.map(({ name }) => name);
    this.#kinds = new Map(interfaces.map(({ name, kind }) => [name, kind]));
    this.values = new Map([
      ['net/ipv4/conf/all/forwarding', all4],
      ['net/ipv4/conf/default/forwarding', all4],
      ['net/ipv4/conf/all/accept_redirects', all4 === '1' ? '0' : '1'],
      ['net/ipv6/conf/all/forwarding', all6],
      ['net/ipv6/conf/default/forwarding', all6],
      ...interfaces.flatMap(({ name, forwarding4, forwarding6, acceptRa }) => [
        [`net/ipv4/conf/${name}/forwarding`, forwarding4!] as const,
        [`net/ipv6/conf/${name}/forwarding`, forwarding6!] as const,
        [`net/ipv6/conf/${name}/accept_ra`, acceptRa!] as const,
      ]),
    ]);
  }

  apply(writes: readonly SysctlWrite[]): void {
    for (const { path, value } of writes) {
      const all = /^net\/(ipv[46])\/conf\/all\/forwarding$/.exec(path);
      if (all !== null && this.values.get(path) !== value) this.#switch(all[1]!, value);
      this.values.set(path, value);
    }
  }

  observe(): ForwardingSysctls {
    const value = (path: string): string | null => this.values.get(`net/${path}`) ?? null;
    return {
      all4: value('ipv4/conf/all/forwarding'),
      default4: value('ipv4/conf/default/forwarding'),
      acceptRedirects4: value('ipv4/conf/all/accept_redirects'),
      all6: value('ipv6/conf/all/forwarding'),
      default6: value('ipv6/conf/default/forwarding'),
      interfaces: this.#names.map((name) => ({
        name,
        kind: this.#kinds.get(name) ?? null,
        forwarding4: value(`ipv4/conf/${name}/forwarding`),
        forwarding6: value(`ipv6/conf/${name}/forwarding`),
        acceptRa: value(`ipv6/conf/${name}/accept_ra`),
      })),
    };
  }

  #switch(family: string, value: string): void {
    for (const name of ['default', ...this.#names]) {
      const hadRouter = this.values.get(`net/ipv6/conf/${name}/accept_ra`) === '1';
      if (
        family === 'ipv6' &&
        value === '1' &&
        hadRouter &&
        this.values.get(`net/ipv6/conf/${name}/forwarding`) === '0'
      ) {
        this.lostRoutes.push(name);
      }
      this.values.set(`net/${family}/conf/${name}/forwarding`, value);
    }
    if (family === 'ipv4') this.values.set('net/ipv4/conf/all/accept_redirects', value === '1' ? '0' : '1');
  }
}

function link(name: string, changes: Partial<InterfaceSysctls> = {}): InterfaceSysctls {
  return { name, kind: null, forwarding4: '0', forwarding6: '0', acceptRa: '1', ...changes };
}

describe('switching forwarding on', () => {
  it('sets accept_ra to 2 before, where advertisements counted', () => {
    const kernel = new Kernel(
      [link('eth0'), link('eth1', { acceptRa: '0' }), link('eth2', { acceptRa: '2' })],
      '0',
      '0',
    );
    const plan = planForwarding(kernel.observe(), FRESH, IP6);
    expect(plan.writes).toEqual([
      { path: 'net/ipv4/conf/all/forwarding', value: '1' },
      { path: 'net/ipv6/conf/eth0/accept_ra', value: '2' },
      { path: 'net/ipv6/conf/all/forwarding', value: '1' },
    ]);
    kernel.apply(plan.writes);
    expect(kernel.lostRoutes).toEqual([]);
  });

  it('leaves a host alone that forwards already', () => {
    const forwarding = link('eth0', { forwarding4: '1', forwarding6: '1' });
    expect(planForwarding(new Kernel([forwarding], '1', '1').observe(), FRESH, IP6)).toEqual({ writes: [], ...FRESH });
  });

  it('leaves IPv6 alone for a network without it', () => {
    const plan = planForwarding(new Kernel([link('eth0')], '0', '0').observe(), FRESH, { ip6: false });
    expect(plan.writes.map(({ path }) => path)).toEqual(['net/ipv4/conf/all/forwarding']);
    expect(plan.guard.ip6).toBeNull();
  });

  it('remembers who forwarded by itself, and which bridges there were', () => {
    const interfaces = [link('wg0', { forwarding4: '1' }), link('br0', { kind: 'bridge' })];
    const { guard } = planForwarding(new Kernel(interfaces, '0', '1').observe(), FRESH, IP6);
    expect(guard).toEqual({ ip4: { forwardedFrom: ['wg0'], bridgesBefore: ['br0'] }, ip6: null });
  });

  it('is done once', () => {
    const kernel = new Kernel([link('eth0')], '0', '0');
    const plan = planForwarding(kernel.observe(), FRESH, IP6);
    kernel.apply(plan.writes);
    expect(planForwarding(kernel.observe(), plan, IP6)).toEqual({ ...plan, writes: [] });
  });

  it('is done again when someone switched it off, with the first originals', () => {
    const kernel = new Kernel([link('eth0')], '0', '0');
    const plan = planForwarding(kernel.observe(), FRESH, IP6);
    kernel.apply(plan.writes);
    kernel.apply([{ path: 'net/ipv4/conf/all/forwarding', value: '0' }]);
    const again = planForwarding(kernel.observe(), plan, IP6);
    expect(again.writes).toEqual([{ path: 'net/ipv4/conf/all/forwarding', value: '1' }]);
    expect(again.originals).toEqual(plan.originals);
  });

  it.each([
    ['hardware', null, true],
    ['a bond', 'bond', true],
    ["a container runtime's bridge", 'bridge', false],
    ["a container's veth", 'veth', false],
  ])('%s that comes later hears advertisements: %s → %s', (_name, kind, expected) => {
    const late = link('late0', { kind, forwarding6: '1' });
    const before = { originals: {}, guard: { ip4: null, ip6: { forwardedFrom: [], bridgesBefore: [] } } };
    const plan = planForwarding(new Kernel([late], '1', '1').observe(), before, IP6);
    expect(plan.writes).toEqual(expected ? [{ path: 'net/ipv6/conf/late0/accept_ra', value: '2' }] : []);
  });
});

it('every host is after reset as it was before launch, whatever it was', () => {
  const random = new SeededRandom(20_261_121);
  for (let round = 0; round < 500; round++) {
    const bit = (): string => String(random.below(2));
    const all4 = bit();
    const all6 = bit();
    const interfaces = Array.from({ length: random.below(5) }, (_, i) =>
      link(`if${i}`, {
        kind: random.below(2) === 0 ? null : 'bridge',
        forwarding4: bit(),
        forwarding6: bit(),
        acceptRa: String(random.below(3)),
      }),
    );
    const kernel = new Kernel(interfaces, all4, all6);
    const before = new Map(kernel.values);
    let plan: Pick<ReturnType<typeof planForwarding>, 'originals' | 'guard'> = FRESH;
    for (let launch = random.below(3); launch >= 0; launch--) {
      const next = planForwarding(kernel.observe(), plan, { ip6: random.below(4) > 0 });
      kernel.apply(next.writes);
      plan = next;
      const stored = parseHostState(JSON.stringify({ place: 'here', ...plan }));
      expect(stored?.originals).toEqual(plan.originals);
      expect(stored?.guard).toEqual(plan.guard);
    }
    expect(kernel.lostRoutes).toEqual([]);
    kernel.apply(planRestore(plan.originals));
    expect(kernel.values).toEqual(before);
  }
});

// LinuxHostNetwork on the real kernel: this file runs itself inside a namespace that plays the host, with two containers, a
// router that leads outside and a foreign host beside it. Needs root, ip, nft, ping; iptables where it is installed.
//
//   c1 ── fbc1 ┐              ┌ up0 ── router (203.0.113.1, 2001:db8:ff::1 behind it)
//   c2 ── fbc2 ┤ fabric0 host ┤
//      host0 ──┘              └ f0 ─── foreign host

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { parseCidr } from '../../src/base/address.ts';
import { toHex } from '../../src/base/bytes.ts';
import { LinuxHostNetwork } from '../../src/host/linux/linux-host-network.ts';
import { RecordingLog } from '../fakes/recording-log.ts';
import {
  ALL_NODES_MAC,
  arpFrame,
  BROADCAST,
  icmp6Frame,
  injectCommand,
  mac,
  neighbourAdvertisement,
  routerAdvertisement,
  udp4Frame,
} from '../host/linux/test-frames.ts';
import {
  advertise,
  attach,
  check,
  eventually,
  FOREIGN,
  GATEWAY_MAC,
  HOST,
  hostState,
  linkLocal,
  makeContainer,
  makeNeighbours,
  NETWORK,
  netns,
  OUTSIDE,
  pings,
  rulesOfHost,
  setBrNetfilter,
  sysctl,
} from '../host/linux/test-host.ts';
import { ArrivalCounter, attempt, namespacePrefix, run, runInsideHost } from '../host/linux/test-namespaces.ts';

/** More than a container ever has; a bridge that learned would show each of them. */
const FLOOD_MACS = 600;
const TINY_SERVER = "require('http').createServer((_, r) => r.end('published')).listen(80, '0.0.0.0')";
const TINY_CLIENT =
  "fetch('http://192.0.2.2:8080/').then((r) => r.text(), () => '').then((text) => process.stdout.write(text))";

async function scenarios(): Promise<void> {
  const { default: t } = await import('tap');
  const folder = mkdtempSync(join(tmpdir(), 'fabric-host-network-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const log = new RecordingLog();
  const statePath = join(folder, 'host-network.json');
  const open = (): LinuxHostNetwork => new LinuxHostNetwork({ log, statePath });
  const { router, foreign } = makeNeighbours();
  const containers = [1, 2].map(makeContainer);
  const [c1, c2] = [containers[0]!, containers[1]!];
  const before = hostState();

  /** Runs `work` on a complete host, then removes everything and compares. */
  async function onHost(
    t: Test,
    work: (host: LinuxHostNetwork, changes: () => number) => Promise<void>,
  ): Promise<void> {
    const start = hostState();
    const host = open();
    try {
      await host.preflight();
      await host.ensure(NETWORK);
      await host.ensureDatapathPort('veth');
      await host.exposeHost(HOST);
      let changes = 0;
      await host.watch(() => changes++);
      for (const container of containers) await attach(host, container);
      await work(host, () => changes);
      for (const { config } of containers) await host.removeContainer(config);
    } finally {
      await host.remove();
      await host.close();
    }
    t.same(hostState(), start, 'links, addresses, routes, rules and sysctls are as before');
  }

  for (const brNetfilter of ['1', '0']) {
    await t.test(`everybody reaches everybody, br_netfilter ${brNetfilter}`, async (t) => {
      setBrNetfilter(brNetfilter);
      await onHost(t, async (host) => {
        for (const ip of ['10.32.0.1', '10.32.0.2', '10.32.0.12', 'fd00:1::1', 'fd00:1::2', 'fd00:1::12']) {
          t.ok(c1.namespace.pings(ip), `container → ${ip}`);
        }
        for (const ip of ['10.32.0.11', 'fd00:1::12']) t.ok(pings(ip), `host → ${ip}`);
        t.ok(c1.namespace.pings(OUTSIDE.ip), 'container → outside, masqueraded');
        t.ok(c1.namespace.pings(OUTSIDE.ip6), 'container → outside over IPv6, masqueraded');
        t.notOk(router.pings('10.32.0.11'), 'nobody outside opens a connection to a container');
        for (const container of containers) t.same(await check(host, container), []);
      });
    });
  }
  setBrNetfilter('1');

  await t.test('TM22 the IPv6 default route from a router survives', async (t) => {
    await onHost(t, async () => {
      t.match(run('ip', ['-6', 'route', 'show', 'default']), /default via fe80::.* dev up0 proto ra/);
      const expiry = (): number => Number(/expires (\d+)sec/.exec(run('ip', ['-6', 'route', 'show', 'default']))?.[1]);
      const left = expiry();
      await eventually(() => expiry() < left);
      advertise(router);
      await eventually(() => expiry() >= left);
      t.pass('and is renewed by the next advertisement');
    });
  });

  await t.test('what was not forwarded before is not forwarded now', async (t) => {
    t.notOk(foreign.pings(OUTSIDE.ip), 'before');
    await onHost(t, async (host) => {
      t.equal(sysctl('net/ipv4/ip_forward'), '1');
      t.notOk(foreign.pings(OUTSIDE.ip), 'while fabric runs');
      t.ok(c1.namespace.pings(OUTSIDE.ip));
      await host.ensure(NETWORK);
      t.notOk(foreign.pings(OUTSIDE.ip), 'after a second ensure, that finds forwarding on');
    });
    t.equal(sysctl('net/ipv4/ip_forward'), '0');
  });

  await t.test('what was forwarded before is forwarded now, and after', async (t) => {
    run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
    await onHost(t, async () => {
      t.ok(foreign.pings(OUTSIDE.ip));
      t.ok(c1.namespace.pings(FOREIGN));
    });
    t.ok(foreign.pings(OUTSIDE.ip));
    run('sysctl', ['-qw', 'net.ipv4.ip_forward=0']);
  });

  await t.test(
    'a published port is reached from outside, and software that comes later can forward, too',
    async (t) => {
      await onHost(t, async (_host, changes) => {
        run('nft', ['add table ip portmap; add chain ip portmap pre { type nat hook prerouting priority dstnat; }']);
        run('nft', ['add rule ip portmap pre iifname up0 tcp dport 8080 dnat to 10.32.0.11:80']);
        const server = c1.namespace.start(process.execPath, '-e', TINY_SERVER);
        const get = [process.execPath, '-e', TINY_CLIENT];
        await eventually(() => attempt('ip', ['netns', 'exec', router.name, ...get]).stdout === 'published');
        server.kill();
        run('nft', ['delete table ip portmap']);

        const seen = changes();
        run('ip', ['link', 'add', 'late0', 'type', 'bridge']);
        run('ip', ['link', 'set', 'f0', 'master', 'late0']);
        run('ip', ['addr', 'flush', 'dev', 'f0', 'scope', 'global']);
        run('ip', ['addr', 'add', '198.51.100.1/24', 'dev', 'late0']);
        run('ip', ['link', 'set', 'late0', 'up']);
        await eventually(() => changes() > seen && foreign.pings(OUTSIDE.ip));
        t.pass('a bridge made after fabric is forwarded');
        run('ip', ['link', 'del', 'late0']);
        run('ip', ['addr', 'add', '198.51.100.1/24', 'dev', 'f0']);
      });
    },
  );

  await t.test('a forward chain that drops, as an administrator makes it', async (t) => {
    run('nft', [
      'add table inet admin; add chain inet admin forwarded { type filter hook forward priority 10; policy drop; }',
    ]);
    run('nft', [
      'add table ip rejects; add chain ip rejects forwarded { type filter hook forward priority 10; policy accept; }',
    ]);
    run('nft', ['add rule ip rejects forwarded iifname "f0" accept; add rule ip rejects forwarded counter reject']);
    await onHost(t, async (_host, changes) => {
      t.ok(c1.namespace.pings('10.32.0.12'), 'bridged');
      t.ok(c1.namespace.pings(OUTSIDE.ip), 'routed');
      t.ok(c1.namespace.pings(OUTSIDE.ip6), 'routed, IPv6');
      t.notOk(router.pings('10.32.0.11'), 'but nothing from outside');
      const seen = changes();
      run('nft', ['flush chain inet admin forwarded']);
      await eventually(() => changes() > seen && c1.namespace.pings(OUTSIDE.ip));
      t.pass('accepted again after a flush');
    });
    run('nft', ['delete table inet admin; delete table ip rejects']);
  });

  const iptables = attempt('iptables-nft', ['--version']).status === 0;
  await t.test("Docker's FORWARD drop", { skip: iptables ? false : 'iptables is not installed' }, async (t) => {
    const rules = ['-P FORWARD DROP', '-N DOCKER-USER', '-A DOCKER-USER -j RETURN', '-I FORWARD -j DOCKER-USER'];
    for (const rule of rules) run('iptables-nft', rule.split(' '));
    await onHost(t, async (_host, changes) => {
      t.ok(c1.namespace.pings('10.32.0.12'), 'bridged');
      t.ok(c1.namespace.pings(OUTSIDE.ip), 'routed');
      t.match(run('iptables-nft', ['-S', 'DOCKER-USER']), /-i fabric0 .*-j ACCEPT/, 'iptables still reads its table');
      const seen = changes();
      run('iptables-nft', ['-F', 'DOCKER-USER']);
      run('iptables-nft', ['-A', 'DOCKER-USER', '-j', 'RETURN']);
      await eventually(() => changes() > seen && c1.namespace.pings(OUTSIDE.ip));
      t.pass('accepted again after a flush');
    });
    run('nft', ['delete table ip filter']);
  });

  await t.test('TM20 TM21 TM22 containers can not lie about who they are', async (t) => {
    await onHost(t, async () => {
      const honest = { source: c1.config.mac, destination: BROADCAST, from: '10.32.0.11', to: '10.47.255.255' };
      const inject = (...frames: readonly Uint8Array[]): void => {
        c1.namespace.run(...injectCommand('eth0', frames));
      };
      const arrives = (match: string, ...frames: readonly Uint8Array[]): boolean => {
        const counter = new ArrivalCounter(c2.namespace.name, 'eth0', match);
        inject(...frames);
        const packets = counter.packets();
        counter.remove();
        return packets > 0;
      };
      const udp = 'udp dport 7777';
      t.ok(arrives(udp, udp4Frame(honest)), 'an honest broadcast arrives');
      t.notOk(arrives(udp, udp4Frame({ ...honest, source: mac('02:00:00:00:00:99') })), "another's source MAC");
      t.notOk(arrives(udp, udp4Frame({ ...honest, source: GATEWAY_MAC })), "the gateway's source MAC");
      t.notOk(arrives(udp, udp4Frame({ ...honest, from: '10.32.0.12' })), "another's source address");
      const arp = { operation: 1, senderMac: c1.config.mac, senderIp: '10.32.0.11', targetIp: '10.32.0.77' } as const;
      const isArp = 'ether type arp arp daddr ip 10.32.0.77';
      t.ok(arrives(isArp, arpFrame(arp)), 'an honest ARP request arrives');
      t.ok(arrives(isArp, arpFrame({ ...arp, senderIp: '0.0.0.0' })), 'and a probe');
      t.notOk(arrives(isArp, arpFrame({ ...arp, senderIp: '10.32.0.1' })), 'ARP in the name of the gateway');
      t.notOk(arrives(isArp, arpFrame({ ...arp, operation: 2, senderIp: '10.32.0.12' })), 'ARP in the name of another');
      const lie = { ...arp, source: c1.config.mac, senderMac: GATEWAY_MAC };
      t.notOk(arrives(isArp, arpFrame(lie)), "ARP with another's MAC inside");
      const nd = { source: c1.config.mac, destination: ALL_NODES_MAC, from: 'fd00:1::11', to: 'ff02::1' };
      const isNa = 'icmpv6 type nd-neighbor-advert';
      t.ok(
        arrives(isNa, icmp6Frame(nd, neighbourAdvertisement('fd00:1::11', c1.config.mac))),
        'an honest advertisement',
      );
      const stolen = neighbourAdvertisement('fd00:1::1', c1.config.mac);
      t.notOk(arrives(isNa, icmp6Frame(nd, stolen)), 'an advertisement for the gateway');
      t.notOk(arrives(isNa, icmp6Frame({ ...nd, from: 'fd00:1::12' }, stolen)), 'in the name of another');
      const router = icmp6Frame({ ...nd, from: linkLocal(c1) }, routerAdvertisement('2001:db8:bad::'));
      t.notOk(arrives('icmpv6 type nd-router-advert', router), 'a router advertisement');
      t.notMatch(run('ip', ['-6', 'route']), /2001:db8:bad/);
      t.notMatch(c2.namespace.run('ip', '-6', 'route'), /2001:db8:bad/);
    });
  });

  await t.test('TM23 a flood of source MACs fills no table, and known ones survive', async (t) => {
    await onHost(t, async () => {
      const known = () => run('bridge', ['fdb', 'show', 'br', 'fabric0']).split('\n').sort().join('\n');
      const before = known();
      t.match(before, c1.config.mac, 'the bridge knows its containers');
      const flood = Array.from({ length: FLOOD_MACS }, (_, i) => {
        const source = mac(`02:00:00:01:${toHex(Uint8Array.of(i >> 8))}:${toHex(Uint8Array.of(i & 255))}`);
        return udp4Frame({ source, destination: BROADCAST, from: '10.32.0.11', to: '10.47.255.255' });
      });
      const counter = new ArrivalCounter(null, 'fabric0q', 'ether type ip udp dport 7777');
      c1.namespace.run(...injectCommand('eth0', flood));
      t.equal(counter.packets(), 0, 'none of them leaves');
      counter.remove();
      t.equal(known(), before, 'and the bridge has learned none');
      t.ok(c1.namespace.pings('10.32.0.12'), 'who tried still reaches its neighbour');
    });
  });

  await t.test('the port to other hosts', async (t) => {
    await onHost(t, async () => {
      const out = (match: string, work: () => void): boolean => {
        const counter = new ArrivalCounter(null, 'fabric0q', match);
        work();
        const packets = counter.packets();
        counter.remove();
        return packets > 0;
      };
      const ask = (ip: string) => () => void attempt('ip', [...netns(c1), 'ping', '-c1', '-W1', ip]);
      t.ok(out('ether type arp arp daddr ip 10.32.0.50', ask('10.32.0.50')), 'ARP for an address elsewhere leaves');
      c1.namespace.run('ip', 'neigh', 'flush', 'all');
      t.notOk(out('ether type arp arp daddr ip 10.32.0.1', ask('10.32.0.1')), 'ARP for the gateway stays');
      t.notOk(
        out(`ether saddr ${GATEWAY_MAC}`, () => void pings('10.32.0.11')),
        "the gateway's own frames stay",
      );

      const elsewhere = {
        source: mac('02:00:00:00:09:09'),
        destination: c2.config.mac,
        from: '10.32.9.9',
        to: '10.32.0.12',
      };
      const arrives = (match: string, frame: Uint8Array): boolean => {
        const counter = new ArrivalCounter(c2.namespace.name, 'eth0', match);
        const [program, ...args] = injectCommand('fabric0q', [frame]);
        run(program!, args);
        const packets = counter.packets();
        counter.remove();
        return packets > 0;
      };
      t.ok(arrives('udp dport 7777', udp4Frame(elsewhere)), 'a frame of another host arrives');
      t.notOk(arrives('udp dport 7777', udp4Frame({ ...elsewhere, source: GATEWAY_MAC })), 'not from the gateway MAC');
      t.notOk(
        arrives('udp dport 7777', udp4Frame({ ...elsewhere, source: c1.config.mac })),
        'not from a MAC that lives here',
      );
      const claim = {
        operation: 2,
        senderMac: mac('02:00:00:00:09:09'),
        senderIp: '10.32.0.1',
        targetIp: '10.32.0.12',
      } as const;
      t.notOk(arrives('ether type arp', arpFrame(claim)), 'not ARP in the name of the gateway');
      const offloads = run('ethtool', ['-k', 'fabric0p']);
      t.match(offloads, /tx-checksumming: off/);
      t.match(offloads, /generic-segmentation-offload: off/);
      t.match(run('ip', ['-d', 'link', 'show', 'fabric0p']), /isolated on/);
      t.equal(run('ip', ['addr', 'show', 'fabric0q']).includes('inet'), false, 'no address on the far end');
    });
  });

  await t.test('what others delete comes back', async (t) => {
    await onHost(t, async (host, changes) => {
      const damages: readonly (readonly [string, readonly string[]])[] = [
        ['all of nftables', ['nft', 'flush', 'ruleset']],
        ['anti-spoof elements', ['nft', 'flush', 'set', 'bridge', 'fabric', 'source_ips']],
        ['the bridge', ['ip', 'link', 'del', 'fabric0']],
        ['the host interface', ['ip', 'link', 'del', 'host0']],
        ['the gateway address', ['ip', 'addr', 'del', '10.32.0.1/32', 'dev', 'fabric0']],
        ['a host route', ['ip', 'route', 'del', '10.32.0.11']],
        ['a forwarding entry', ['bridge', 'fdb', 'del', c1.config.mac, 'dev', 'fbc1', 'master']],
        ['forwarding', ['sysctl', '-qw', 'net.ipv4.ip_forward=0']],
      ];
      for (const [what, [program, ...args]] of damages) {
        const seen = changes();
        const rules = rulesOfHost();
        run(program!, args);
        const alive = (await host.listContainerPorts()).filter((port) => port.alive);
        t.equal(alive.length, containers.length, `${what}: meanwhile the containers live`);
        await eventually(() => changes() > seen);
        t.same(rulesOfHost(), rules, `${what}: the rules are whole`);
        t.ok(
          c1.namespace.pings('10.32.0.1') && c1.namespace.pings('10.32.0.12') && pings('10.32.0.11'),
          `${what}: works`,
        );
        t.ok(c1.namespace.pings(OUTSIDE.ip), `${what}: outside, too`);
      }
      const quiet = changes();
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      t.equal(changes(), quiet, 'and then it is quiet');
    });
  });

  await t.test('a daemon that was killed leaves containers connected; the next one adopts them', async (t) => {
    const first = open();
    await first.ensure(NETWORK);
    await first.exposeHost(HOST);
    for (const container of containers) await attach(first, container);
    await first.close();
    t.ok(c1.namespace.pings('10.32.0.12'), 'without a daemon');

    const second = open();
    await second.ensure(NETWORK);
    t.same(second.exposed, HOST, "the host's own place is kept");
    t.ok(run('nft', ['list', 'set', 'bridge', 'fabric', 'owned_macs']).includes(HOST.mac), 'and so is its MAC');
    t.ok(c1.namespace.pings('10.32.0.12'), 'before they are adopted');
    run('ip', ['link', 'del', 'fabric0']); // as if somebody had done so while no daemon ran
    await second.ensure(NETWORK);
    const ports = await second.listContainerPorts();
    t.same(
      ports.map(({ hostIfname, alive }) => ({ hostIfname, alive })),
      [
        { hostIfname: 'fbc1', alive: true },
        { hostIfname: 'fbc2', alive: true },
      ],
    );
    await second.adoptContainer(c1.config);
    t.same(await check(second, c1), []);
    await second.removeContainer({ network: null, hostIfname: 'fbc2', mac: null, ips: [] });
    t.notMatch(run('nft', ['list', 'ruleset']), /fbc2/, 'one that nobody knows any more leaves nothing');
    t.notMatch(run('ip', ['route']), /10\.32\.0\.12/);
    await second.removeContainer(c1.config);
    await second.remove();
    await second.close();
    t.same(hostState(), before);
  });

  await t.test('K2 a check tells each difference', async (t) => {
    const host = open(); // nobody watches, so nothing comes back
    await host.ensure(NETWORK);
    await attach(host, c1);
    t.same(await check(host, c1), [], 'none at first');
    const inside = (...command: readonly string[]) => c1.namespace.run(...(command as [string, ...string[]]));
    for (const [damage, finding] of [
      [() => run('bridge', ['fdb', 'del', c1.config.mac, 'dev', 'fbc1', 'master']), /forwarding entry/],
      [() => run('ip', ['route', 'del', '10.32.0.11']), /10\.32\.0\.11/],
      [() => run('nft', ['flush', 'set', 'bridge', 'fabric', 'source_ips']), /the packet filter/],
      [() => inside('ip', 'route', 'del', 'default'), /no route to 0\.0\.0\.0\/0/],
      [() => inside('ip', 'address', 'del', '10.32.0.11/12', 'dev', 'eth0'), /lacks the address 10\.32\.0\.11/],
      [() => inside('ip', 'link', 'set', 'eth0', 'down'), /eth0 is down/],
      [() => inside('ip', 'link', 'del', 'eth0'), /no interface eth0/],
    ] as const) {
      t.notMatch((await check(host, c1)).join('; '), finding);
      damage();
      t.match((await check(host, c1)).join('; '), finding);
    }
    await host.removeContainer(c1.config);
    await host.remove();
    await host.close();
    t.same(hostState(), before);
  });

  await t.test('A1 A3 an attach that fails leaves nothing behind', async (t) => {
    await onHost(t, async (host) => {
      const c3 = makeContainer(3);
      // The kernel looks for duplicates of addresses for a second or two; what it finds is no trace of an attach.
      await eventually(() => !run('ip', ['-6', 'addr']).includes('tentative'));
      const start = { ...hostState(), inside: c3.namespace.run('ip', 'route') };
      c3.namespace.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other');
      await t.rejects(attach(host, c3), { code: 'interface-exists' });
      c3.namespace.run('ip', 'link', 'del', 'eth0');
      const wrongRoute = { ...c3.config, routes: [{ dst: '192.0.2.0/24', gw: '172.31.255.1' }] };
      await t.rejects(attach(host, { ...c3, config: wrongRoute }), { code: 'netlink' });
      await t.rejects(attach(host, { ...c3, config: { ...c3.config, hostIfname: 'f0' } }), {
        code: 'interface-exists',
      });
      t.same({ ...hostState(), inside: c3.namespace.run('ip', 'route') }, start);
      t.same(await attach(host, { ...c3, config: { ...c3.config, routes: [{ dst: '192.0.2.0/24', gw: null }] } }), [
        { dst: '192.0.2.0/24', gw: '10.32.0.1' },
        { dst: '0.0.0.0/0', gw: '10.32.0.1' },
        { dst: '::/0', gw: 'fd00:1::1' },
      ]);
      await host.removeContainer(c3.config);
      await host.removeContainer(c3.config);
      c3.namespace.remove();
    });
  });

  await t.test('what the host tells about itself', async (t) => {
    await onHost(t, async (host) => {
      const addresses = await host.underlayAddresses();
      t.equal(addresses[0]?.ip, '192.0.2.2', 'first the interface of the default route');
      t.equal(addresses[0]?.mtu, 1500);
      t.notOk(addresses.some(({ ip }) => ip.startsWith('10.32.') || ip.startsWith('fe80') || ip.startsWith('127.')));
      t.same(await host.overlappingRoutes(NETWORK.range), []);
      t.same(await host.overlappingRoutes(parseCidr('198.51.0.0/16')!), ['198.51.100.0/24 dev f0']);
    });
  });
}

if (namespacePrefix() === null) runInsideHost(import.meta.url);
else await scenarios();

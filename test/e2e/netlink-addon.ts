// The addon on the real kernel, in network namespaces of its own: handles, sysctls, offloads, monitors and nftables elements
// inside them, with `nft -j` as oracle; that nothing leaks, and that our own namespace stays ours. Needs root.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { test } from 'tap';
import { macToBytes } from '../../src/base/ids.ts';
import { NetworkNamespace, readOffloads, readSysctl, setOffloads, writeSysctl } from '../../src/host/native.ts';
import { isMissing } from '../../src/host/netlink/errors.ts';
import { RtnetlinkMonitor } from '../../src/host/netlink/monitor.ts';
import { concatKey, ifnameKey, Nfnetlink } from '../../src/host/netlink/nfnetlink.ts';
import type { NetlinkEvent } from '../../src/host/netlink/objects.ts';
import { Rtnetlink } from '../../src/host/netlink/rtnetlink.ts';
import { cidr, fails, ip, mac, openDescriptors, run, space, upVeth } from '../host/netlink/space.ts';

test('a namespace is opened only when it is one', async (t) => {
  const here = space(t);
  const again = NetworkNamespace.open(`/run/netns/${here.name}`);
  t.ok(again.equals(here.namespace.id));
  t.notOk(again.equals(NetworkNamespace.currentId()));
  const own = NetworkNamespace.open('/proc/self/ns/net');
  t.ok(own.equals(NetworkNamespace.currentId()));
  const byFd = NetworkNamespace.open(`/proc/${process.pid}/fd/${again.fd}`);
  t.ok(byFd.equals(here.namespace.id), 'through /proc/PID/fd/N');
  for (const handle of [again, own, byFd]) handle.close();
  t.throws(() => again.fd, /invariant/, 'a closed one is not used');

  const fifo = `${t.testdir()}/fifo`;
  run('mkfifo', fifo);
  for (const path of ['/proc/self/ns/mnt', '/etc/passwd', '/dev/null', fifo, '/run/netns/no-such', '/proc/self/ns']) {
    t.throws(() => NetworkNamespace.open(path), { code: 'namespace-invalid' }, path);
  }
});

test('elements of nftables sets', async (t) => {
  const here = space(t);
  const set = '{ type ifname . ether_addr . ipv4_addr\n }';
  run('ip', 'netns', 'exec', here.name, 'nft', `table bridge fabric { \nset spoof ${set}\n }`);
  const nfnetlink = Nfnetlink.open(here.namespace.fd);
  t.teardown(() => nfnetlink.close());
  const key = (n: number) =>
    concatKey(ifnameKey(`veth${n}`), macToBytes(mac('02:00:00:00:00:05')), new Uint8Array([10, 32, n >> 8, n & 255]));
  const change = { family: 'bridge', table: 'fabric', set: 'spoof' } as const;
  const elements = () => {
    const text = run('ip', 'netns', 'exec', here.name, 'nft', '-j', 'list', 'set', 'bridge', 'fabric', 'spoof');
    return (JSON.parse(text) as { nftables: { set?: { elem?: unknown[] } }[] }).nftables.flatMap(
      (x) => x.set?.elem ?? [],
    );
  };

  await nfnetlink.setElements({ ...change, operation: 'add', elements: [key(1), key(2)] });
  await nfnetlink.setElements({ ...change, operation: 'add', elements: [key(2)] });
  t.same(elements(), [
    { concat: ['veth1', '02:00:00:00:00:05', '10.32.0.1'] },
    { concat: ['veth2', '02:00:00:00:00:05', '10.32.0.2'] },
  ]);
  const absent = nfnetlink.setElements({ ...change, operation: 'delete', elements: [key(1), key(3)] });
  t.ok(isMissing(await absent.catch((error: unknown) => error)));
  t.equal(elements().length, 2, 'a failed transaction changes nothing');
  await nfnetlink.setElementsAll([
    { ...change, operation: 'delete', elements: [key(1)] },
    { ...change, operation: 'add', elements: [key(4)] },
    { ...change, operation: 'add', elements: [] },
  ]);
  t.equal(elements().length, 2);
  await fails(t, nfnetlink.setElements({ ...change, set: 'none', operation: 'add', elements: [key(1)] }), 'ENOENT');
  await t.rejects(nfnetlink.setElements({ ...change, operation: 'add', elements: [key(1).subarray(0, 8)] }), {
    code: 'netlink',
  });
  const many = Array.from({ length: 3000 }, (_, n) => key(n));
  await nfnetlink.setElements({ ...change, operation: 'add', elements: many });
  t.equal(elements().length, 3000);
  await nfnetlink.setElements({ ...change, operation: 'delete', elements: many });
  t.equal(elements().length, 0);
  const endless = Array.from({ length: 20_000 }, (_, n) => key(n));
  await fails(t, nfnetlink.setElements({ ...change, operation: 'add', elements: endless }), 'EMSGSIZE');
});

test('sysctls and offloads inside a namespace', async (t) => {
  const here = space(t);
  await upVeth(here, 'eth0.7', 'b');
  const fd = here.namespace.fd;
  const path = 'net/ipv6/conf/eth0.7/accept_ra';
  await writeSysctl(path, '0', fd);
  t.equal(await readSysctl(path, fd), '0');
  await writeSysctl(path, '2', fd);
  t.equal(run('ip', 'netns', 'exec', here.name, 'cat', `/proc/sys/${path}`), '2\n');
  await t.rejects(readSysctl(path), { code: 'ENOENT' }, 'our own namespace has no such interface');
  await t.rejects(writeSysctl(path, 'nonsense', fd), { code: 'EINVAL', syscall: 'write' });
  await t.rejects(readSysctl('net/../kernel/hostname', fd), /invariant/);

  const before = await readOffloads('b', fd);
  t.same(before, { txChecksum: true, tso: true, gso: true, gro: false });
  await setOffloads('b', { txChecksum: false, tso: false, gso: false, gro: false }, fd);
  t.same(await readOffloads('b', fd), { txChecksum: false, tso: false, gso: false, gro: false });
  t.same(await readOffloads('eth0.7', fd), before, 'the other end keeps its own');
  await setOffloads('b', { txChecksum: true, tso: true }, fd);
  t.match(await readOffloads('b', fd), { txChecksum: true, tso: true, gso: false });
  await t.rejects(setOffloads('nobody', { gro: false }, fd), { code: 'ENODEV' });
});

test('a monitor tells what changes', async (t) => {
  const here = space(t);
  const events: NetlinkEvent[] = [];
  const monitor = RtnetlinkMonitor.open(
    ['links', 'addresses', 'routes', 'neighbours'],
    (event) => events.push(event),
    here.namespace.fd,
  );
  t.teardown(() => monitor.close());
  const seen = async (name: string, matches: (event: NetlinkEvent) => boolean) => {
    for (let i = 0; i < 100 && !events.some(matches); i++) await wait(10);
    t.ok(events.some(matches), name);
  };
  const { netlink } = here;
  const bridge = await netlink.createBridge({ name: 'br', up: true });
  const port = await netlink.createVeth({ name: 'p', master: bridge.index, up: true, peer: { name: 'q' } });
  const address = mac('02:00:00:00:00:77');
  await netlink.addAddress({ index: bridge.index, ip: ip('10.32.0.1'), prefix: 32 });
  await netlink.addRoute({ dst: cidr('10.32.0.9/32'), index: bridge.index });
  await netlink.setNeighbour({ index: bridge.index, ip: ip('10.32.0.9'), mac: address });
  await netlink.setFdbEntry({ index: port.index, mac: address });
  await netlink.deleteLink('p');

  await seen('new link', (e) => e.kind === 'link' && !e.deleted && e.link.name === 'p');
  await seen('new port', (e) => e.kind === 'bridge-port' && !e.deleted && e.master === bridge.index);
  await seen('address', (e) => e.kind === 'address' && e.address.ip.value === ip('10.32.0.1').value);
  await seen('route', (e) => e.kind === 'route' && e.route.dst.base === ip('10.32.0.9').value);
  await seen('neighbour', (e) => e.kind === 'neighbour' && e.neighbour.mac === address);
  await seen('forwarding entry', (e) => e.kind === 'fdb' && !e.deleted && e.entry.mac === address);
  await seen('forwarding entry gone', (e) => e.kind === 'fdb' && e.deleted && e.entry.mac === address);
  await seen('link gone', (e) => e.kind === 'link' && e.deleted && e.link.index === port.index);

  events.length = 0;
  monitor.close();
  monitor.close();
  await netlink.setLink('br', { alias: 'x' });
  await wait(20);
  t.same(events, [], 'nothing after close');
});

test('a monitor that was too slow hears of it', async (t) => {
  const here = space(t);
  const { netlink } = here;
  const { index } = await upVeth(here);
  const kinds = new Set<string>();
  const monitor = RtnetlinkMonitor.open(['routes'], (event) => kinds.add(event.kind), here.namespace.fd);
  t.teardown(() => monitor.close());
  const lines = Array.from({ length: 20_000 }, (_, n) => `route add 10.${n >> 8}.${n & 255}.1/32 dev a`).join('\n');
  // Runs synchronously: our event loop stands still while 20,000 messages arrive.
  execFileSync('ip', ['-n', here.name, '-batch', '-'], { input: lines });
  for (let i = 0; i < 100 && !kinds.has('overrun'); i++) await wait(10);
  t.ok(kinds.has('overrun'));
  t.equal((await netlink.listRoutes({ family: 4, index, protocol: 3 })).length, 20_000, 'a large dump is whole');
});

test('nothing leaks and our own namespace stays', async (t) => {
  const before = NetworkNamespace.currentId();
  const ownLinks = run('ip', '-j', 'link');
  const here = space(t);
  await upVeth(here);
  const settled = openDescriptors().length;
  for (let i = 0; i < 200; i++) {
    const namespace = NetworkNamespace.open(`/run/netns/${here.name}`);
    const client = Rtnetlink.open(namespace.fd);
    const nfnetlink = Nfnetlink.open(namespace.fd);
    const monitor = RtnetlinkMonitor.open(['links'], () => {}, namespace.fd);
    const [link] = await Promise.all([client.getLink('a'), readSysctl('net/ipv4/ip_forward', namespace.fd)]);
    if (link === null) t.fail('the link is there');
    for (const resource of [client, nfnetlink, monitor, namespace]) resource.close();
  }
  await wait(20);
  t.equal(openDescriptors().length, settled, 'file descriptors');
  t.same(NetworkNamespace.currentId(), before);
  for (const task of readdirSync('/proc/self/task')) {
    t.equal(readlinkSync(`/proc/self/task/${task}/ns/net`), `net:[${before.ino}]`, `thread ${task}`);
  }
  t.equal(run('ip', '-j', 'link'), ownLinks, 'our own links are as before');
});

test('what nobody closes is closed with its object, and memory does not grow', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const here = space(t);
  await upVeth(here);
  const settle = async () => {
    for (let i = 0; i < 5; i++) {
      collect();
      await wait(5);
    }
  };
  const round = async (clients: number) => {
    for (let i = 0; i < clients; i++) {
      const client = Rtnetlink.open(here.namespace.fd);
      await Promise.all([client.listLinks(), client.getLink('a'), readOffloads('a', here.namespace.fd)]);
    }
    await settle();
  };
  await round(300);
  const descriptors = openDescriptors().length;
  const residentBytes = process.memoryUsage.rss();
  for (let i = 0; i < 5; i++) await round(300);
  t.ok(openDescriptors().length <= descriptors + 5, 'descriptors', { found: openDescriptors() });
  const grownMiB = (process.memoryUsage.rss() - residentBytes) / 2 ** 20;
  t.ok(grownMiB < 16, `resident memory grew by ${grownMiB.toFixed(1)} MiB over 1,500 clients`);
});

test('an environment that ends takes its monitors and exchanges along', async (t) => {
  const here = space(t);
  const monitor = new URL('../../src/host/netlink/monitor.js', import.meta.url).href;
  const client = new URL('../../src/host/netlink/rtnetlink.js', import.meta.url).href;
  const busy = (fd: number, then: string) => `
    Promise.all([import('${monitor}'), import('${client}')]).then(([{ RtnetlinkMonitor }, { Rtnetlink }]) => {
      RtnetlinkMonitor.open(['links', 'routes'], () => {}, ${fd});
      const netlinks = Array.from({ length: 8 }, () => Rtnetlink.open(${fd}));
      for (let i = 0; i < 200; i++) void netlinks[i % 8].listLinks();
      setImmediate(() => ${then});
    });`;
  const child = spawn(process.execPath, ['--eval', busy(3, 'process.exit(7)')], {
    stdio: ['ignore', 'ignore', 'inherit', here.namespace.fd],
  });
  t.same(await once(child, 'exit'), [7, null], 'process.exit with exchanges under way');

  const before = openDescriptors().filter((path) => path.startsWith('socket:')).length;
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(busy(here.namespace.fd, "require('node:worker_threads').parentPort.postMessage(1)"), {
      eval: true,
    });
    await once(worker, 'message');
    await worker.terminate();
  }
  t.equal(openDescriptors().filter((path) => path.startsWith('socket:')).length, before);
});

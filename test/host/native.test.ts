// The parts of the addon that need no root. Skipped, and said so, where the addon is not built.

import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  boottimeMs,
  limitTcpSegments,
  NETLINK_ROUTE,
  NetworkNamespace,
  openNetlinkMonitor,
  openNetlinkSocket,
  peerCredentials,
  readSysctl,
  sendUnixDatagram,
  tryLockFile,
  writeSysctl,
} from '../../src/host/native.ts';
import { Rtnetlink } from '../../src/host/netlink/rtnetlink.ts';

const built = existsSync(new URL('../../native/build/Release/fabric_addon.node', import.meta.url));

describe.skipIf(!built)('the native addon', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fabric-native-'));
  });
  afterAll(async () => rm(folder, { recursive: true }));

  test('knows our own network namespace', () => {
    const own = NetworkNamespace.open('/proc/self/ns/net');
    expect(own.equals(NetworkNamespace.currentId())).toBe(true);
    own.close();
    own.close();
    expect(() => own.fd).toThrow(/invariant/);
  });

  test('says why a unix datagram reached nobody', async () => {
    const send = (address: string) => sendUnixDatagram(address, 'READY=1', 100);
    await expect(send(join(folder, 'nobody'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(send(`@${folder}/nobody`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(send('/')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(send(`/${'x'.repeat(107)}`)).rejects.toMatchObject({ code: 'EINVAL' });
  });

  test('limits the segments of TCP, and says when it cannot', async () => {
    const server = createServer();
    expect(() => limitTcpSegments(server, 536)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', () => listening()));
    limitTcpSegments(server, 536);
    expect(() => limitTcpSegments(server, 1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    server.close();
  });

  test.each(['/proc/self/ns/uts', '/dev/zero', '/', '/no/such/path'])('refuses %s as a network namespace', (path) => {
    expect(() => NetworkNamespace.open(path)).toThrow(expect.objectContaining({ code: 'namespace-invalid' }));
  });

  test('reads links without privileges', async () => {
    const netlink = Rtnetlink.open();
    expect(await netlink.getLink('lo')).toMatchObject({ index: 1, loopback: true, mtu: 65_536 });
    expect(await netlink.getLink('no-such-link')).toBeNull();
    expect((await netlink.listLinks()).some(({ name }) => name === 'lo')).toBe(true);
    netlink.close();
  });

  test('opens and closes sockets and monitors, and refuses wrong ones', async () => {
    const socket = openNetlinkSocket(NETLINK_ROUTE, null);
    await expect(socket.exchange([new Uint8Array(0)], 100)).rejects.toMatchObject({ code: 'ENODATA' });
    socket.close();
    socket.close();
    expect(() => socket.exchange([new Uint8Array(16)], 100)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    const monitor = openNetlinkMonitor(NETLINK_ROUTE, [1], null, () => {});
    monitor.close();
    monitor.close();
    expect(() => openNetlinkSocket(NETLINK_ROUTE, 9999)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(() => openNetlinkMonitor(NETLINK_ROUTE, [4711], null, () => {})).toThrow(
      expect.objectContaining({ syscall: 'setsockopt' }),
    );
  });

  test('an exchange without an answer ends at its time-out', async () => {
    const socket = openNetlinkSocket(NETLINK_ROUTE, null);
    // Not a request (no NLM_F_REQUEST), so that the kernel passes over it, though it asks for a dump.
    const silent = new Uint8Array([16, 0, 0, 0, 18, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0]);
    await expect(socket.exchange([silent], 20)).rejects.toMatchObject({ code: 'ETIMEDOUT', syscall: 'recvmsg' });
    socket.close();
  });

  test('reads sysctls and names what it can not', async () => {
    expect(await readSysctl('net/ipv4/ip_forward')).toMatch(/^[01]$/);
    await expect(readSysctl('net/ipv4/no_such_key')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
    await expect(writeSysctl('net/ipv4/no_such_key', '1')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.each(['kernel/hostname', 'net', 'net/../kernel/hostname', 'net//ipv4', 'net/./x', '/net/ipv4'])(
    'refuses the sysctl path %s',
    async (path) => {
      await expect(readSysctl(path)).rejects.toThrow(/invariant/);
    },
  );

  test('the boot clock runs', () => {
    const first = boottimeMs();
    expect(first).toBeGreaterThan(0);
    expect(boottimeMs()).toBeGreaterThanOrEqual(first);
    expect(Number.isInteger(first)).toBe(false);
  });

  test('a lock belongs to one open file', () => {
    const path = join(folder, 'lock');
    const [first, second] = [openSync(path, 'w'), openSync(path, 'w')];
    expect([tryLockFile(first), tryLockFile(first), tryLockFile(second)]).toEqual([true, true, false]);
    closeSync(first);
    expect(tryLockFile(second)).toBe(true);
    closeSync(second);
    expect(() => tryLockFile(9999)).toThrow(expect.objectContaining({ code: 'EBADF' }));
  });

  test('a unix socket tells who is at its other end', async () => {
    const path = join(folder, 'socket');
    const server = createServer();
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const client = connect(path);
    const us = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    const served = await accepted;
    expect(peerCredentials(served)).toEqual(us);
    served.destroy();
    expect(() => peerCredentials(served)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
});

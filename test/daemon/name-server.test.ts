import { describe, expect, test } from 'vitest';
import { NameServer, RETRY_MS } from '../../src/daemon/name-server.ts';
import { ManualTimers } from '../fakes/manual-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

const ADDRESSES = ['10.32.0.1', 'fd00::1'];
const turn = () => new Promise((resolve) => setImmediate(resolve));

function setUp() {
  const timers = new ManualTimers();
  const log = new RecordingLog();
  /** By address: who holds the port, or why else it can't be had. */
  const taken = new Map<string, string>();
  const open = new Map<string, (reason: string) => void>();
  /** For who holds a port. */
  const searches: string[] = [];
  const addresses = [...ADDRESSES];
  const server = new NameServer({
    addresses: () => addresses,
    timers,
    log,
    service: { handle: () => undefined },
    sockets: {
      open: async (ip, _handler, failed) => {
        if (taken.has(ip)) throw Object.assign(new Error(`bind EADDRINUSE ${ip}:53`), { code: 'EADDRINUSE' });
        open.set(ip, failed);
        return { close: async () => void open.delete(ip) };
      },
      holderOf: async (ip) => {
        searches.push(ip);
        return taken.get(ip) ?? null;
      },
    },
  });
  const retry = async () => {
    timers.advance(RETRY_MS);
    await turn();
  };
  return { timers, log, taken, open, server, retry, addresses, searches };
}

describe('the sockets', () => {
  test('are open on all addresses, and closed at the end', async () => {
    const { server, open, timers } = setUp();
    await server.start();
    expect([server.serving, server.fault, timers.pending]).toEqual([ADDRESSES, null, 0]);
    await server.stop();
    expect([server.serving, open.size]).toEqual([[], 0]);
  });

  test('a port that is taken fails nothing; the holder is named, once in the log, until the port is free', async () => {
    const { server, taken, retry, log, searches } = setUp();
    taken.set('10.32.0.1', 'dnsmasq (process 12) on UDP 0.0.0.0:53');
    await server.start();
    expect(server.serving).toEqual(['fd00::1']);
    expect(server.fault).toBe('port 53 of 10.32.0.1 is held by dnsmasq (process 12) on UDP 0.0.0.0:53');
    for (let i = 0; i < 3; i++) await retry();
    expect(searches).toEqual(['10.32.0.1']); // through all processes
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    taken.clear();
    await retry();
    expect([server.serving, server.fault]).toEqual([ADDRESSES, null]);
  });

  test('one that breaks is opened again', async () => {
    const { server, open } = setUp();
    await server.start();
    open.get('10.32.0.1')!('ENOBUFS');
    expect([server.serving, server.fault]).toEqual([['fd00::1'], 'ENOBUFS']);
    await turn();
    expect([server.serving, server.fault]).toEqual([ADDRESSES, null]);
  });

  test('addresses come and go; one that has gone is missed no more', async () => {
    const { server, open, addresses, taken, timers } = setUp();
    await server.addressesChanged();
    expect(open.size).toBe(0);
    await server.start();
    addresses.push('10.200.0.1', '10.201.0.1');
    taken.set('10.201.0.1', 'x');
    await server.addressesChanged();
    expect([server.serving, timers.pending]).toEqual([[...ADDRESSES, '10.200.0.1'], 1]);
    addresses.splice(2);
    await server.addressesChanged();
    expect([[...open.keys()], server.fault, timers.pending]).toEqual([ADDRESSES, null, 0]);
  });

  test('no try is left when it is stopped', async () => {
    const { server, taken, timers } = setUp();
    taken.set('10.32.0.1', 'x');
    await server.start();
    expect(timers.pending).toBe(1);
    await server.stop();
    expect(timers.pending).toBe(0);
  });
});

// What a service manager's variables mean, and the datagrams that it gets.

import { expect, test } from 'vitest';
import { takeNotifySocket } from '../../src/host/notify-socket.ts';

const PID = 42;

function take(environment: Record<string, string>) {
  const sent: (readonly [address: string, payload: string])[] = [];
  const socket = takeNotifySocket(environment, {
    pid: PID,
    send: async (address, payload) => void sent.push([address, payload]),
  });
  return { socket, sent, left: Object.keys(environment) };
}

test('its words are lines of one datagram, and a value can make no line of its own', async () => {
  const { socket, sent } = take({ NOTIFY_SOCKET: '/run/systemd/notify' });
  await socket?.tell({ READY: '1', STATUS: 'healthy\nMAINPID=1' });
  expect(sent).toEqual([['/run/systemd/notify', 'READY=1\nSTATUS=healthy MAINPID=1\n']]);
});

test('children inherit none of its variables', () => {
  const { left } = take({ NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '1000', WATCHDOG_PID: '42', PATH: '/bin' });
  expect(left).toEqual(['PATH']);
});

test.each([
  ['nobody waits for word', {}, undefined],
  ['an address that is no unix socket', { NOTIFY_SOCKET: 'vsock:2:1234' }, undefined],
  ['an empty address', { NOTIFY_SOCKET: '' }, undefined],
  ['no watchdog', { NOTIFY_SOCKET: '@x' }, null],
  ['a watchdog of 30 s', { NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '42' }, 30_000],
  ['a watchdog for whoever got the variable', { NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '500' }, 0.5],
  ['a watchdog for another process', { NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '41' }, null],
  ['a watchdog of no time', { NOTIFY_SOCKET: '@x', WATCHDOG_USEC: '0' }, null],
  ['a watchdog that is no number', { NOTIFY_SOCKET: '@x', WATCHDOG_USEC: 'soon' }, null],
] as const)('%s', (_, environment, watchdogMs) => {
  expect(take({ ...environment }).socket?.watchdogMs).toBe(watchdogMs);
});

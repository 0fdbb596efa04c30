// The service manager that started this process, by the protocol of sd_notify(3): lines of NAME=VALUE as one datagram to the unix
// socket that $NOTIFY_SOCKET names. The variables are taken out of the environment, so that no child (the engine outlives us)
// speaks in our name or believes that it is watched.

import { sendUnixDatagram } from './native.ts';

export interface NotifySocket {
  /** The manager ends a service that has not said WATCHDOG=1 for so long, in milliseconds; null: it does not watch. */
  readonly watchdogMs: number | null;
  /** One datagram. Rejects with ErrnoException when nobody takes it within a second. */
  tell(lines: Readonly<Record<string, string>>): Promise<void>;
}

type Environment = Record<string, string | undefined>;

const TELL_MS_MAX = 1_000;

/** Null where no service manager waits for word. Unix sockets only: a path, or @ and a name in the abstract space. */
export function takeNotifySocket(
  environment: Environment,
  { send, pid }: { readonly send: typeof sendUnixDatagram; readonly pid: number } = {
    send: sendUnixDatagram,
    pid: process.pid,
  },
): NotifySocket | null {
  const { NOTIFY_SOCKET: address, WATCHDOG_USEC: interval, WATCHDOG_PID: watched } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  if (address === undefined || !/^[/@]./.test(address)) return null;
  const isWatched = interval !== undefined && /^\d+$/.test(interval) && Number(watched ?? pid) === pid;
  return {
    watchdogMs: isWatched && Number(interval) > 0 ? Number(interval) / 1_000 : null,
    tell: (lines) => {
      const text = Object.entries(lines).map(([name, value]) => `${name}=${value.replaceAll('\n', ' ')}\n`);
      return send(address, text.join(''), TELL_MS_MAX);
    },
  };
}

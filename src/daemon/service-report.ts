// Tells the service manager how this daemon is: READY when containers can be attached, a sentence that `systemctl status` shows,
// STOPPING, and that the event loop turns (WATCHDOG). Invariant: words arrive in the order in which they were said; one that does not
// arrive is logged and keeps nothing from going on.

import type { Cancel, Log, Timers } from '../base/capabilities.ts';
import type { Health } from './status-types.ts';

export interface Glance {
  health(): Health;
  /** Why no container can be attached now, in words; null when one can. */
  unreadiness(): string | null;
}

export interface ServiceReportPorts {
  readonly timers: Timers;
  readonly log: Pick<Log, 'warn'>;
  readonly glance: Glance;
  /** Longest pause between two signs of life that the manager bears, in milliseconds; null: it does not watch. */
  readonly watchdogMs: number | null;
  tell(lines: Readonly<Record<string, string>>): Promise<void>;
}

/** Before the first readiness, and afterwards. */
const LOOK_EARLY_MS = 100;
const LOOK_LATER_MS = 5_000;

export class ServiceReport {
  readonly #ports: ServiceReportPorts;
  #cancel: Cancel = () => undefined;
  #told: Promise<void> = Promise.resolve();
  #isReady = false;
  #status = '';

  constructor(ports: ServiceReportPorts) {
    this.#ports = ports;
  }

  start(): void {
    const { timers, watchdogMs } = this.#ports;
    this.#look();
    // sd_watchdog_enabled(3): every half of the time.
    const patienceMs = watchdogMs === null ? Number.POSITIVE_INFINITY : watchdogMs / 2;
    this.#cancel = timers.after(Math.min(this.#isReady ? LOOK_LATER_MS : LOOK_EARLY_MS, patienceMs), () =>
      this.start(),
    );
  }

  /** Says so, and nothing more. Resolves when it has been said, or nobody takes it: the process must not end before. */
  stopping(): Promise<void> {
    this.#cancel();
    this.#tell({ STOPPING: '1', STATUS: 'stopping' });
    return this.#told;
  }

  #look(): void {
    const { glance, watchdogMs } = this.#ports;
    const obstacle = glance.unreadiness();
    const becameReady = !this.#isReady && obstacle === null;
    this.#isReady ||= becameReady;
    const status = obstacle === null ? verdict(glance.health()) : `not ready: ${obstacle}`;
    const lines = {
      ...(becameReady ? { READY: '1' } : {}),
      ...(status === this.#status ? {} : { STATUS: status }),
      ...(watchdogMs !== null && this.#isReady ? { WATCHDOG: '1' } : {}),
    };
    this.#status = status;
    if (Object.keys(lines).length > 0) this.#tell(lines);
  }

  #tell(lines: Readonly<Record<string, string>>): void {
    const { tell, log } = this.#ports;
    this.#told = this.#told
      .then(() => tell(lines))
      .catch((error: Error) => {
        log.warn('the service manager was not told', { words: Object.keys(lines).join(' '), reason: error.message });
      });
  }
}

/** Calls `ready` once, as soon as a container can be attached. */
export function whenReady(
  { timers, glance }: Pick<ServiceReportPorts, 'timers'> & { readonly glance: Pick<Glance, 'unreadiness'> },
  ready: () => void,
): Cancel {
  let cancel: Cancel = () => undefined;
  const look = (): void => {
    if (glance.unreadiness() === null) ready();
    else cancel = timers.after(LOOK_EARLY_MS, look);
  };
  look();
  return () => cancel();
}

function verdict({ ok, problems }: Health): string {
  const [first] = problems;
  return ok || first === undefined ? 'healthy' : `NOT HEALTHY: ${first.what}: ${first.why}`;
}

// Waits for what address management can't answer at once: asks again each time that leases changed, up to a limit.

import { formatIp, parseIp } from '../base/address.ts';
import type { Timers } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { AllocationRequest, AllocationResult } from '../ipam/types.ts';
import type { AddressWish } from './attachment-ports.ts';

/** A gift is one round trip; a donor that does not answer is given up and another asked within this time. */
const WAIT_MS = 10_000;

export class Allocator {
  readonly #timers: Timers;
  readonly #allocate: (request: AllocationRequest) => AllocationResult;
  readonly #waiting = new Set<() => void>();
  #refusal: FabricError | null = null;

  constructor(timers: Timers, allocate: (request: AllocationRequest) => AllocationResult) {
    this.#timers = timers;
    this.#allocate = allocate;
  }

  /** Leases changed: everyone who waits asks again. */
  changed(): void {
    for (const again of [...this.#waiting]) again();
  }

  /** From now on nobody waits: who does is refused with this error. */
  stop(refusal: FabricError): void {
    this.#refusal = refusal;
    this.changed();
  }

  /** Resolves to the address's canonical text, durable with the next synced write; rejects with `address-…` or `timeout`. */
  allocate({ wanted: wantedText, ...wish }: AddressWish): Promise<string> {
    const { family } = wish;
    const wanted = wantedText === null ? null : parseIp(wantedText);
    const ask = () => this.#allocate(wanted === null ? wish : { ...wish, wanted });
    return new Promise((resolve, reject) => {
      let why = '';
      const finish = (): void => {
        cancelTimeout();
        this.#waiting.delete(attempt);
      };
      const attempt = (): void => {
        let result: AllocationResult;
        try {
          result = ask();
        } catch (error) {
          finish(); // the store failed: this caller is told, the others ask for themselves
          reject(error);
          return;
        }
        if (result.status === 'wait' && this.#refusal !== null) result = { status: 'failed', error: this.#refusal };
        if (result.status === 'wait') {
          why = result.why;
          return;
        }
        finish();
        if (result.status === 'ok') resolve(formatIp(result.ip));
        else reject(result.error);
      };
      const cancelTimeout = this.#timers.after(WAIT_MS, () => {
        finish();
        reject(new FabricError('timeout', { what: `no IPv${family} address within ${WAIT_MS / 1000} s`, why }));
      });
      this.#waiting.add(attempt);
      attempt();
    });
  }
}

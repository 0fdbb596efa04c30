// Serves the CNI shim on the local API. One call of the plugin is one operation, which may take several exchanges on one
// connection: each time a foreign IPAM plugin has to run, the answer is an order to the shim and the shim's report
// continues the operation. Invariants: operations on one container interface run one after the other; an operation whose
// connection closes is cancelled; a namespace is only taken from the process that the socket's credentials name.

import { toHex } from '../base/bytes.ts';
import type { Clock, Log, Random } from '../base/capabilities.ts';
import { FabricError } from '../base/errors.ts';
import type { CniBackend } from '../cni-plugin/backend.ts';
import type { CniRequest } from '../cni-plugin/call.ts';
import { asCniError, CNI_CODE, CniError, formatCniError } from '../cni-plugin/cni-error.ts';
import type { CniOutcome, PluginCall } from '../cni-plugin/ipam-plugin.ts';
import { handleCni } from '../cni-plugin/operations.ts';
import { execOrder, parseExecReport, parseShimRequest, type ShimAnswer } from '../cni-plugin/wire.ts';
import type { ApiCall, ApiRoutes } from './local-api.ts';

/** Ours: calls served at once. Beyond it a runtime is told to try again, instead of piling up behind a lock. */
export const CNI_OPERATIONS_MAX = 1024;

export interface ShimConnection {
  /** The peer's pid by SO_PEERCRED, as this process sees it. */
  readonly peerPid: number;
  /** Fires when the connection closes. The same signal for all exchanges of one connection. */
  readonly closed: AbortSignal;
}

export interface CniRouteCounters {
  malformed: number;
  wrongPeer: number;
  unknownContinuation: number;
  refusedBusy: number;
  cancelled: number;
  succeeded: number;
  failed: number;
}

export interface CniRoutePorts {
  readonly backend: CniBackend;
  readonly random: Random;
  readonly clock: Clock;
  readonly log: Log;
  /** A call was answered. */
  readonly served: (call: { readonly verb: string; readonly ok: boolean; readonly tookMs: number }) => void;
  /** Works off deferred DELs: one of them may concern the container interface that an ADD is about to make. */
  readonly beforeAdd: (env: CniRequest['env']) => Promise<void>;
}

/** An operation under way: what it waits for, and who waits for its next answer. */
interface Operation {
  readonly peerPid: number;
  /** Set while the shim runs a plugin. */
  report: ((outcome: CniOutcome) => void) | null;
  /** Resolves the exchange that is open. */
  answer: (answer: ShimAnswer) => void;
}

export class CniRoute {
  readonly counters: CniRouteCounters = {
    malformed: 0,
    wrongPeer: 0,
    unknownContinuation: 0,
    refusedBusy: 0,
    cancelled: 0,
    succeeded: 0,
    failed: 0,
  };
  readonly #ports: CniRoutePorts;
  /** Operations that wait for a report, by continuation. */
  readonly #waiting = new Map<string, Operation>();
  /** The last operation of each container interface; the next one starts when it has ended. */
  readonly #tails = new Map<string, Promise<void>>();
  #running = 0;

  constructor(ports: CniRoutePorts) {
    this.#ports = ports;
  }

  /** POST /v1/cni. Rejects with FabricError when the request is none of a shim's; CNI failures are answers. */
  async handle(body: unknown, connection: ShimConnection): Promise<ShimAnswer> {
    const request = parseShimRequest(body);
    if (request === null) {
      this.counters.malformed++;
      throw new FabricError('usage', { what: 'malformed CNI request' });
    }
    if (request.pid !== connection.peerPid) {
      this.counters.wrongPeer++;
      throw new FabricError('namespace-invalid', {
        what: 'CNI request refused',
        why: `the socket's peer is process ${connection.peerPid}, the request says ${request.pid}`,
        fix: 'Run the CNI plugin in the PID namespace of the fabric daemon',
      });
    }
    if (this.#running >= CNI_OPERATIONS_MAX) {
      this.counters.refusedBusy++;
      return busy();
    }
    return new Promise((answer) => this.#start(request.cni, answer, connection));
  }

  /** POST /v1/cni/exec: what the plugin said that we had asked the shim to run. Rejects as {@link handle}. */
  async handleExec(body: unknown, connection: ShimConnection): Promise<ShimAnswer> {
    const report = parseExecReport(body);
    if (report === null) {
      this.counters.malformed++;
      throw new FabricError('usage', { what: 'malformed report of a plugin' });
    }
    const operation = this.#waiting.get(report.continuation);
    if (operation?.report == null || operation.peerPid !== connection.peerPid) {
      this.counters.unknownContinuation++;
      throw new FabricError('usage', { what: 'no operation waits for this report of a plugin' });
    }
    const resume = operation.report;
    return new Promise((answer) => {
      operation.answer = answer;
      resume(report.outcome);
    });
  }

  /** Operations under way; for status, and for a stop that waits. */
  get running(): number {
    return this.#running;
  }

  #start(request: CniRequest, answer: Operation['answer'], connection: ShimConnection): void {
    const operation: Operation = { peerPid: connection.peerPid, report: null, answer };
    this.#running++;
    const startedMs = this.#ports.clock.monotonicMs();
    void this.#inOrder(request, async () => {
      const outcome = await this.#serve(request, operation, connection.closed);
      this.#running--;
      this.#account(request, outcome, connection.closed.aborted, this.#ports.clock.monotonicMs() - startedMs);
      operation.answer(outcome);
    });
  }

  async #serve(request: CniRequest, operation: Operation, closed: AbortSignal): Promise<CniOutcome> {
    try {
      if (request.env.CNI_COMMAND === 'ADD') await this.#ports.beforeAdd(request.env);
    } catch (error) {
      return { exitCode: 1, stdout: formatCniError(asCniError(error), null), stderr: '' };
    }
    const exec = (call: PluginCall): Promise<CniOutcome> => this.#execAtShim(call, operation, closed);
    return handleCni(request, this.#ports.backend, closed, exec);
  }

  /** Answers the open exchange with the order and waits for the report; rejects when the shim is gone. */
  #execAtShim(call: PluginCall, operation: Operation, closed: AbortSignal): Promise<CniOutcome> {
    return new Promise((resolve, reject) => {
      const continuation = toHex(this.#ports.random.bytes(16));
      const finish = (): void => {
        closed.removeEventListener('abort', gone);
        this.#waiting.delete(continuation);
        operation.report = null;
      };
      const gone = (): void => {
        finish();
        reject(new FabricError('timeout', { what: `the caller hung up while the plugin ${call.plugin} ran` }));
      };
      if (closed.aborted) return gone();
      closed.addEventListener('abort', gone, { once: true });
      operation.report = (outcome) => {
        finish();
        resolve(outcome);
      };
      this.#waiting.set(continuation, operation);
      operation.answer(execOrder(call, continuation));
    });
  }

  /** One at a time per container interface: a DEL must find the ADD before it finished or rolled back. */
  #inOrder(request: CniRequest, work: () => Promise<void>): Promise<void> {
    const slot = `${request.env.CNI_CONTAINERID ?? ''}/${request.env.CNI_IFNAME ?? ''}`;
    if (slot === '/') return work();
    const tail = (this.#tails.get(slot) ?? Promise.resolve()).then(work).finally(() => {
      if (this.#tails.get(slot) === tail) this.#tails.delete(slot);
    });
    this.#tails.set(slot, tail);
    return tail;
  }

  #account(request: CniRequest, outcome: CniOutcome, cancelled: boolean, tookMs: number): void {
    if (outcome.exitCode === 0) this.counters.succeeded++;
    else this.counters.failed++;
    if (cancelled) this.counters.cancelled++;
    const verb = request.env.CNI_COMMAND ?? '';
    this.#ports.served({ verb, ok: outcome.exitCode === 0, tookMs });
    const fields = {
      verb,
      container: request.env.CNI_CONTAINERID ?? '',
      ifname: request.env.CNI_IFNAME ?? '',
      tookMs,
    };
    if (outcome.exitCode === 0) this.#ports.log.debug('CNI call served', fields);
    else this.#ports.log.warn('CNI call failed', { ...fields, error: outcome.stdout.trim(), cancelled });
  }
}

/** The routes of the local API. `peerPidOf` gives the pid by SO_PEERCRED of a connection's descriptor. */
export function cniApiRoutes(route: CniRoute, peerPidOf: (socketFd: number) => number): ApiRoutes {
  const connectionOf = ({ socketFd, closed }: ApiCall): ShimConnection => ({ peerPid: peerPidOf(socketFd), closed });
  return {
    'POST /v1/cni': (call) => route.handle(call.body, connectionOf(call)),
    'POST /v1/cni/exec': (call) => route.handleExec(call.body, connectionOf(call)),
  };
}

function busy(): CniOutcome {
  const error = new CniError(CNI_CODE.tryAgainLater, `more than ${CNI_OPERATIONS_MAX} CNI calls at once`);
  return { exitCode: 1, stdout: formatCniError(error, null), stderr: '' };
}

// One netlink socket as a queue of requests: what is asked without awaiting in between goes to the kernel together, in order,
// in one system call; dumps, transactions and sysctls in steps of their own, but in the same turn of libuv's pool. One turn is
// under way at a time, so that a socket never occupies more than one thread, however long the kernel holds its lock. Interrupted
// dumps are repeated, a bounded number of times.

import {
  type ExchangeStep,
  errnoName,
  openNetlinkSocket,
  type RawNetlinkSocket,
  type SysctlSetting,
  sysctlSettings,
} from '../native.ts';
import { errnoNameOf, NetlinkError } from './errors.ts';
import {
  isDump,
  type Message,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
  parseOutcome,
  type Request,
  setSequence,
} from './message.ts';

/** Requests in one system call: their replies fit the socket's receive buffer of 1 MiB. */
const BATCH_MAX = 32;
/** Steps in one turn of the pool. */
const TURN_MAX = 8;
/** Requests waiting; above it a caller is told at once (ENOBUFS). */
const WAITING_MAX = 4096;
/** A dump that is interrupted this often gives up (EINTR): the table changes faster than it can be read. */
const DUMP_ATTEMPTS_MAX = 8;
/** The kernel answers within its lock's wait, tens of milliseconds; this only bounds a kernel that is stuck. */
const TIMEOUT_MS = 10_000;

/** One message, or the messages of a transaction, which succeed or fail together. */
interface Job {
  readonly messages: readonly Uint8Array[];
  /** Sysctls to write in place of messages. */
  readonly settings: readonly SysctlSetting[] | null;
  readonly operation: string;
  /** Dumps and transactions need the socket for themselves. */
  readonly alone: boolean;
  attempts: number;
  readonly resolve: (replies: readonly Message[]) => void;
  readonly reject: (error: NetlinkError) => void;
}

export class NetlinkSocket {
  readonly #socket: RawNetlinkSocket;
  readonly #waiting: Job[] = [];
  #running = false;
  #closed = false;
  #sequence: number;
  /** By which the kernel names this socket to others, once it has answered for the first time. */
  portId: number | null = null;

  /** Owns the socket. Messages are numbered from `sequence` + 1, modulo 2^32. */
  constructor(socket: RawNetlinkSocket, sequence = 0) {
    this.#socket = socket;
    this.#sequence = sequence;
  }

  /** In the namespace of `namespaceFd` (needed only during this call), or in the process's own. Throws NetlinkError. */
  static open(protocol: number, namespaceFd: number | null): NetlinkSocket {
    try {
      return new NetlinkSocket(openNetlinkSocket(protocol, namespaceFd));
    } catch (cause) {
      throw systemFailure('open a netlink socket', cause);
    }
  }

  /** Resolves with what the kernel answered besides the ack: nothing, an object, or the messages of a dump. */
  request(request: Request): Promise<readonly Message[]> {
    const { bytes, operation } = request;
    return this.#enqueue({ messages: [bytes], settings: null, operation, alone: isDump(bytes) });
  }

  /** Messages that the kernel takes as one (nfnetlink's BATCH_BEGIN to BATCH_END). */
  async transaction(messages: readonly Uint8Array[], operation: string): Promise<void> {
    await this.#enqueue({ messages, settings: null, operation, alone: true });
  }

  /** In the socket's namespace, between the requests before and behind; keys as of `sysctl`, those that are not there are passed over. */
  async writeSysctls(values: Readonly<Record<string, string>>): Promise<void> {
    const operation = `write ${Object.keys(values).join(', ')}`;
    await this.#enqueue({ messages: [], settings: sysctlSettings(values), operation, alone: true });
  }

  /** Idempotent. What waits is rejected with ECANCELED; an exchange under way ends and is answered. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
    for (const job of this.#waiting.splice(0)) job.reject(closed(job.operation));
  }

  #enqueue(asked: Pick<Job, 'messages' | 'settings' | 'operation' | 'alone'>): Promise<readonly Message[]> {
    const { operation } = asked;
    if (this.#closed) return Promise.reject(closed(operation));
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(new NetlinkError(operation, 'ENOBUFS', `${WAITING_MAX} requests are waiting`));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...asked, attempts: 0, resolve, reject });
      if (this.#running) return;
      this.#running = true;
      // Behind the caller's further calls of this turn, so that they share the system call.
      queueMicrotask(() => void this.#run());
    });
  }

  /** Never rejects: every failure goes to the jobs it belongs to. */
  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batches = this.#takeTurn();
      const jobs = batches.flat();
      try {
        this.#settle(jobs, parseMessages(await this.#exchange(batches)));
      } catch (cause) {
        for (const job of jobs) job.reject(systemFailure(job.operation, cause));
      }
    }
    this.#running = false;
  }

  #takeTurn(): readonly (readonly Job[])[] {
    const batches: (readonly Job[])[] = [];
    while (this.#waiting.length > 0 && batches.length < TURN_MAX) batches.push(this.#takeBatch());
    return batches;
  }

  #takeBatch(): readonly Job[] {
    let count = 1;
    if (!this.#waiting[0]!.alone) {
      while (count < BATCH_MAX && this.#waiting[count]?.alone === false) count++;
    }
    return this.#waiting.splice(0, count);
  }

  #exchange(batches: readonly (readonly Job[])[]): Promise<Uint8Array> {
    const steps = batches.map((jobs): ExchangeStep => {
      const settings = jobs[0]?.settings ?? null;
      if (settings !== null) return settings;
      const messages = jobs.flatMap((job) => job.messages);
      for (const message of messages) {
        this.#sequence = (this.#sequence + 1) >>> 0;
        setSequence(message, this.#sequence);
      }
      return Buffer.concat(messages);
    });
    return this.#socket.exchange(steps, TIMEOUT_MS);
  }

  /** Sequence numbers were given out in the order of the jobs' messages and end with the current one. */
  #settle(jobs: readonly Job[], replies: readonly Message[]): void {
    this.portId = replies[0]?.portId ?? this.portId;
    let next = this.#sequence + 1 - jobs.reduce((sum, job) => sum + job.messages.length, 0);
    for (const job of jobs) {
      const sequences = new Set(job.messages.map(() => next++ >>> 0));
      this.#finish(
        job,
        replies.filter((reply) => sequences.has(reply.sequence)),
      );
    }
  }

  #finish(job: Job, replies: readonly Message[]): void {
    const content: Message[] = [];
    for (const reply of replies) {
      if (reply.type !== NLMSG_ERROR && reply.type !== NLMSG_DONE) {
        content.push(reply);
        continue;
      }
      const { errno, words } = parseOutcome(reply);
      if (errno === 0) continue;
      job.reject(new NetlinkError(job.operation, errnoNameOf(errno), words));
      return;
    }
    if (replies.some(({ flags }) => (flags & NLM_F_DUMP_INTR) !== 0)) this.#repeat(job);
    else job.resolve(content);
  }

  #repeat(job: Job): void {
    job.attempts++;
    if (this.#closed) job.reject(closed(job.operation));
    else if (job.attempts < DUMP_ATTEMPTS_MAX) this.#waiting.unshift(job);
    else job.reject(new NetlinkError(job.operation, 'EINTR', `the table changed during each of ${job.attempts} reads`));
  }
}

function systemFailure(operation: string, cause: unknown): NetlinkError {
  return new NetlinkError(operation, errnoName(cause) ?? String(cause), '', { cause });
}

function closed(operation: string): NetlinkError {
  return new NetlinkError(operation, 'ECANCELED', 'the netlink socket was closed');
}

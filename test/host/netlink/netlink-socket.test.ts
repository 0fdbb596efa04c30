// The queue in front of a netlink socket, on a kernel made of a function: batching, order, whose error is whose, repeated
// dumps, limits and closing.

import { endianness } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { ExchangeStep, RawNetlinkSocket, SysctlSetting } from '../../../src/host/native.ts';
import { hasErrno, NetlinkError } from '../../../src/host/netlink/errors.ts';
import {
  type Message,
  MessageWriter,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  parseMessages,
  type Request,
  setSequence,
} from '../../../src/host/netlink/message.ts';
import { NetlinkSocket } from '../../../src/host/netlink/netlink-socket.ts';

interface Answer {
  readonly type: number;
  readonly flags?: number;
  /** The errno of an ack, or what stands in an object. */
  readonly number?: number;
}

/** Answers each message by `answer`; remembers the types of the messages of each exchange. */
class FakeKernel implements RawNetlinkSocket {
  /** An empty one is a write of sysctls. */
  readonly exchanges: number[][] = [];
  readonly written: SysctlSetting[] = [];
  turns = 0;
  readonly answer: (message: Message) => readonly Answer[];
  isClosed = false;
  failure: Error | null = null;

  constructor(answer: (message: Message) => readonly Answer[] = () => [ACK]) {
    this.answer = answer;
  }

  async exchange(steps: readonly ExchangeStep[]): Promise<Uint8Array> {
    this.turns++;
    return Buffer.concat(
      steps.map((step) => (step instanceof Uint8Array ? this.#exchangeOne(step) : this.#write(step))),
    );
  }

  #write(settings: readonly SysctlSetting[]): Uint8Array {
    if (this.failure !== null) throw this.failure;
    this.exchanges.push([]);
    this.written.push(...settings);
    return new Uint8Array(0);
  }

  #exchangeOne(request: Uint8Array): Uint8Array {
    const messages = parseMessages(request);
    this.exchanges.push(messages.map(({ type }) => type));
    if (this.failure !== null) throw this.failure;
    return Buffer.concat(messages.flatMap((message) => this.answer(message).map((answer) => reply(message, answer))));
  }

  close(): void {
    this.isClosed = true;
  }
}

const PORT_ID = 0xfffffff1;
const ACK: Answer = { type: NLMSG_ERROR, number: 0 };
const DONE: Answer = { type: NLMSG_DONE, number: 0 };

function reply({ sequence }: Message, { type, flags = 0, number = 0 }: Answer): Uint8Array {
  const bytes = new MessageWriter(type, flags).u32(-number >>> 0).finish();
  setSequence(bytes, sequence);
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(12, PORT_ID, endianness() === 'LE');
  return bytes;
}

function request(type: number): Request {
  return { bytes: new MessageWriter(type, NLM_F_REQUEST | NLM_F_ACK).finish(), operation: `do ${type}` };
}

function dump(type: number): Request {
  return { bytes: new MessageWriter(type, NLM_F_REQUEST | NLM_F_DUMP).finish(), operation: `list ${type}` };
}

test('calls of one turn share an exchange, up to 32, in order', async () => {
  const kernel = new FakeKernel();
  const socket = new NetlinkSocket(kernel);
  await Promise.all(Array.from({ length: 70 }, (_, n) => socket.request(request(100 + n))));
  expect(kernel.exchanges.map(({ length }) => length)).toEqual([32, 32, 6]);
  expect(kernel.exchanges.flat()).toEqual(Array.from({ length: 70 }, (_, n) => 100 + n));
  await socket.request(request(1));
  expect(kernel.exchanges).toHaveLength(4);
});

test('dumps and transactions go alone and keep their place', async () => {
  const kernel = new FakeKernel(({ flags }) => ((flags & NLM_F_DUMP) === NLM_F_DUMP ? [DONE] : [ACK]));
  const socket = new NetlinkSocket(kernel);
  await Promise.all([
    socket.request(request(1)),
    socket.request(request(2)),
    socket.request(dump(3)),
    socket.request(request(4)),
    socket.transaction([request(5).bytes, request(6).bytes], 'change two'),
    socket.request(request(7)),
  ]);
  expect(kernel.exchanges).toEqual([[1, 2], [3], [4], [5, 6], [7]]);
  expect(kernel.turns).toBe(1);
});

test('sysctls are written between the requests before and behind, in the same turn', async () => {
  const kernel = new FakeKernel();
  const socket = new NetlinkSocket(kernel);
  await Promise.all([
    socket.request(request(1)),
    socket.writeSysctls({ 'net/ipv6/conf/eth0/accept_ra': '0', 'net/ipv6/conf/eth0/disable_ipv6': '0' }),
    socket.request(request(2)),
    socket.request(request(3)),
  ]);
  expect([kernel.exchanges, kernel.turns]).toEqual([[[1], [], [2, 3]], 1]);
  expect(kernel.written).toEqual([
    { path: '/proc/sys/net/ipv6/conf/eth0/accept_ra', value: '0' },
    { path: '/proc/sys/net/ipv6/conf/eth0/disable_ipv6', value: '0' },
  ]);
  kernel.failure = Object.assign(new Error('EROFS: read-only file system, open'), { code: 'EROFS' });
  await expect(socket.writeSysctls({ 'net/ipv4/conf/eth0/arp_notify': '1' })).rejects.toMatchObject({
    errno: 'EROFS',
    message: expect.stringContaining('net/ipv4/conf/eth0/arp_notify'),
  });
});

test('the kernel tells by which number it names the socket', async () => {
  const socket = new NetlinkSocket(new FakeKernel());
  expect(socket.portId).toBe(null);
  await socket.request(request(1));
  expect(socket.portId).toBe(PORT_ID);
});

test('eight system calls share a turn of the pool', async () => {
  const kernel = new FakeKernel(() => [DONE]);
  const socket = new NetlinkSocket(kernel);
  await Promise.all(Array.from({ length: 17 }, (_, n) => socket.request(dump(100 + n))));
  expect([kernel.exchanges.length, kernel.turns]).toEqual([17, 3]);
});

test('an error belongs to its call alone', async () => {
  const kernel = new FakeKernel(({ type }) => [{ type: NLMSG_ERROR, number: type === 2 ? 17 : 0 }]);
  const socket = new NetlinkSocket(kernel);
  const results = await Promise.allSettled([1, 2, 3].map((type) => socket.request(request(type))));
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  const { reason } = results[1] as PromiseRejectedResult;
  expect(reason).toBeInstanceOf(NetlinkError);
  expect(reason).toMatchObject({ code: 'netlink', errno: 'EEXIST', message: "can't do 2: EEXIST" });
});

test('an error anywhere in a transaction fails it', async () => {
  const kernel = new FakeKernel(({ type }) => [{ type: NLMSG_ERROR, number: type === 3 ? 2 : 0 }]);
  const socket = new NetlinkSocket(kernel);
  const messages = [1, 2, 3].map((type) => request(type).bytes);
  await expect(socket.transaction(messages, 'change three')).rejects.toMatchObject({ errno: 'ENOENT' });
});

test('objects are given to the call that asked for them', async () => {
  const kernel = new FakeKernel(({ type }) => [{ type: type + 100 }, ACK]);
  const socket = new NetlinkSocket(kernel);
  const answers = await Promise.all([1, 2].map((type) => socket.request(request(type))));
  expect(answers.map((messages) => messages.map(({ type }) => type))).toEqual([[101], [102]]);
});

describe('a dump that was interrupted', () => {
  const interrupted = (times: number) => {
    let left = times;
    return new FakeKernel(() => (left-- > 0 ? [{ ...DONE, flags: NLM_F_DUMP_INTR }] : [{ type: 9 }, DONE]));
  };

  test('is repeated', async () => {
    const kernel = interrupted(7);
    expect(await new NetlinkSocket(kernel).request(dump(3))).toHaveLength(1);
    expect(kernel.exchanges).toHaveLength(8);
  });

  test('gives up after eight attempts', async () => {
    const kernel = interrupted(Number.POSITIVE_INFINITY);
    await expect(new NetlinkSocket(kernel).request(dump(3))).rejects.toMatchObject({ errno: 'EINTR' });
    expect(kernel.exchanges).toHaveLength(8);
  });
});

test('sequence numbers wrap around', async () => {
  const seen: number[] = [];
  const kernel = new FakeKernel(({ sequence }) => {
    seen.push(sequence);
    return [ACK];
  });
  const socket = new NetlinkSocket(kernel, 0xffff_fffe);
  await Promise.all([1, 2, 3].map((type) => socket.request(request(type))));
  expect(seen).toEqual([0xffff_ffff, 0, 1]);
});

test('a failed exchange fails its calls and no others', async () => {
  const kernel = new FakeKernel();
  const socket = new NetlinkSocket(kernel);
  kernel.failure = Object.assign(new Error('lost'), { code: 'ETIMEDOUT' });
  await expect(socket.request(request(1))).rejects.toMatchObject({ errno: 'ETIMEDOUT' });
  kernel.failure = null;
  expect(await socket.request(request(2))).toEqual([]);
});

test('4096 calls may wait, and one more is told so', async () => {
  const socket = new NetlinkSocket(new FakeKernel());
  const waiting = Array.from({ length: 4096 }, () => socket.request(request(1)));
  await expect(socket.request(request(1))).rejects.toMatchObject({ errno: 'ENOBUFS' });
  await Promise.all(waiting);
  await socket.request(request(1));
});

test('closing rejects what waits and what comes', async () => {
  const kernel = new FakeKernel();
  const socket = new NetlinkSocket(kernel);
  const waiting = [socket.request(request(1)), socket.request(request(2))];
  socket.close();
  socket.close();
  for (const call of [...waiting, socket.request(request(3))]) {
    const error = await call.catch((reason: unknown) => reason);
    expect(hasErrno(error, 'ECANCELED')).toBe(true);
  }
  expect(kernel).toMatchObject({ isClosed: true, exchanges: [] });
});

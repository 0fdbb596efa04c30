// One gRPC stream as the rest of the mesh sees it: whole messages in both directions, how much waits, when it ended. It is a
// port: the dialler's and the acceptor's streams of grpc-js stand behind it, and a pair of arrays in unit tests.

import type { Socket } from 'node:net';

export interface WireEvents {
  message(bytes: Uint8Array): void;
  /** Fires once, also after destroy(). `detail` is for people, empty when the other side ended in good order. */
  closed(detail: string): void;
}

export interface Wire {
  /** To be called once, before the first message can arrive. */
  open(events: WireEvents): void;
  /** Never fails: after the end it does nothing. `flushed` fires when the message has left our buffers. */
  write(bytes: Uint8Array, flushed: () => void): void;
  /** Sends what waits, then closes; destroy() follows by itself when that takes too long. */
  end(): void;
  destroy(): void;
  /** Resolves when the connection beneath is closed. */
  finished(): Promise<void>;
  /** Bytes that came from the other side so far: progress inside a long message counts as a sign of life. */
  bytesReceived(): number;
}

/** The part of grpc-js' duplex streams that both sides share. */
export interface MessageStream {
  on(event: 'data', listener: (message: Buffer) => void): unknown;
  on(event: 'end' | 'close' | 'cancelled', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  write(message: Buffer, flushed: () => void): boolean;
  end(): unknown;
  destroy(): unknown;
}

const END_GRACE_MS = 500;

export class GrpcWire implements Wire {
  readonly #stream: MessageStream;
  readonly #socket: Socket;
  #ended = false;
  #closed = false;

  constructor(stream: MessageStream, socket: Socket) {
    this.#stream = stream;
    this.#socket = socket;
  }

  open(events: WireEvents): void {
    const close = (detail: string): void => {
      if (this.#closed) return;
      this.#closed = true;
      this.destroy();
      events.closed(detail);
    };
    this.#stream.on('data', (message) => {
      if (!this.#closed) events.message(message);
    });
    this.#stream.on('end', () => close(''));
    this.#stream.on('cancelled', () => close(''));
    this.#stream.on('error', (error) => close(error.message));
    this.#stream.on('close', () => close(''));
    this.#socket.on('close', () => close(''));
    if (this.#socket.destroyed) queueMicrotask(() => close(''));
  }

  write(bytes: Uint8Array, flushed: () => void): void {
    if (this.#ended || this.#closed) return;
    this.#stream.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), flushed);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stream.end();
    const timer = setTimeout(() => this.destroy(), END_GRACE_MS);
    timer.unref();
    this.#socket.on('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#ended = true;
    this.#socket.destroy();
  }

  finished(): Promise<void> {
    if (this.#socket.closed) return Promise.resolve();
    return new Promise((resolve) => this.#socket.once('close', () => resolve()));
  }

  bytesReceived(): number {
    return this.#socket.bytesRead;
  }
}

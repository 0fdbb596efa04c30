// Captures frames on interfaces of this host into a pcapng stream: AF_PACKET behind libpcap, which compiles the filter for the kernel,
// so that what is not wanted never leaves it. Bounded in frames, bytes and time. Writing blocks: a slow reader makes the kernel's ring
// drop, which is counted and written at the end. For processes that end with the capture (src/router/pcap/pcap-port.ts says why).

import { writeSync } from 'node:fs';
import pcap from 'pcap';
import type { Clock } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import { errnoName } from '../native.ts';
import { Rtnetlink } from '../netlink/rtnetlink.ts';
import { interfaceDescription, interfaceStatistics, packetBytes, sectionHeader, writePacket } from './pcapng.ts';

/** Of each interface: what comes while the reader of the stream is busy. */
const RING_BYTES = 8 << 20;
const CHUNK_BYTES = 256 << 10;
const LOOK_EVERY_MS = 500;
const MINIMUM_SNAP_BYTES = 64;

export interface CaptureWish {
  readonly interfaces: readonly string[];
  /** A pcap expression (pcap-filter(7)); empty: everything. */
  readonly filter: string;
  /** Of each frame, bytes. */
  readonly snapBytes: number;
  readonly framesMax: number;
  /** Of the whole stream. */
  readonly bytesMax: number;
  readonly durationMsMax: number;
}

/** Why it ended. `reader-gone`: nobody reads the stream any more. */
export type CaptureEnd = 'stopped' | 'frames' | 'bytes' | 'time' | 'reader-gone' | 'interface-gone';

export interface CaptureResult {
  readonly end: CaptureEnd;
  readonly frames: number;
  readonly bytes: number;
  /** Frames that the filter let through and the kernel had no room for. */
  readonly dropped: number;
}

interface Source {
  readonly name: string;
  readonly index: number;
  readonly session: pcap.PcapSession;
  delivered: number;
}

export class FrameCapture {
  readonly #wish: CaptureWish;
  readonly #openStream: () => number;
  readonly #clock: Clock;
  readonly #netlink = Rtnetlink.open();
  readonly #sources: Source[] = [];
  readonly #chunk = Buffer.alloc(CHUNK_BYTES);
  #fd = -1;
  #used = 0;
  #frames = 0;
  #bytes = 0;
  #flushing = false;
  #settle: (end: CaptureEnd) => void = () => undefined;

  /** `openStream` gives the descriptor that gets the stream; called once all interfaces are open, so that a refusal writes nothing. */
  constructor(wish: CaptureWish, openStream: () => number, clock: Clock) {
    this.#wish = { ...wish, snapBytes: Math.max(wish.snapBytes, MINIMUM_SNAP_BYTES) };
    this.#openStream = openStream;
    this.#clock = clock;
  }

  /**
   * Runs until a bound is reached, `stop` fires, the reader or an interface is gone; `listening` is called when it captures. Rejects
   * with `usage` (a filter that libpcap does not understand), `not-root` or `kernel-feature-missing`. Called once.
   */
  async run(stop: AbortSignal, listening: () => void): Promise<CaptureResult> {
    const ended = new Promise<CaptureEnd>((resolve) => {
      this.#settle = resolve;
    });
    await this.#openAll();
    if (stop.aborted) this.#settle('stopped');
    stop.addEventListener('abort', () => this.#settle('stopped'), { once: true });
    const time = setTimeout(() => this.#settle('time'), Math.min(this.#wish.durationMsMax, 2 ** 31 - 1));
    const look = setInterval(() => void this.#lookAtInterfaces(), LOOK_EVERY_MS);
    this.#flush();
    listening();
    const end = await ended;
    clearTimeout(time);
    clearInterval(look);
    return this.#close(end);
  }

  /** All interfaces in one turn of the event loop, so that the stream begins with all of them, before the first frame. */
  async #openAll(): Promise<void> {
    const { interfaces, snapBytes, filter } = this.#wish;
    const indexes = await Promise.all(interfaces.map((name) => this.#indexOf(name)));
    for (const [interfaceId, name] of interfaces.entries()) {
      const session = openSession(name, { filter, snapBytes });
      const source: Source = { name, index: indexes[interfaceId]!, session, delivered: 0 };
      this.#sources.push(source);
      session.on('packet', ({ buf, header }: pcap.PacketWithHeader) => {
        this.#frame(source, interfaceId, buf.subarray(0, Math.min(header.readUInt32LE(8), buf.length)), header);
      });
    }
    this.#fd = this.#openStream();
    this.#write(sectionHeader('fabric capture'));
    for (const name of interfaces) this.#write(interfaceDescription(name, { snapBytes, filter }));
  }

  async #indexOf(name: string): Promise<number> {
    const link = await this.#netlink.getLink(name);
    if (link !== null) return link.index;
    throw new FabricError('kernel-feature-missing', {
      what: `there is no interface ${name}`,
      fix: 'See fabric status',
    });
  }

  /** `bytes` is valid only during the call. */
  #frame(source: Source, interfaceId: number, bytes: Uint8Array, header: Buffer): void {
    const length = packetBytes(bytes.length);
    if (this.#frames >= this.#wish.framesMax || this.#bytes + length > this.#wish.bytesMax) return;
    if (this.#used + length > CHUNK_BYTES) this.#flush();
    const seconds = header.readUInt32LE(0);
    const microseconds = header.readUInt32LE(4);
    const frame = { interfaceId, seconds, microseconds, bytes, wireBytes: header.readUInt32LE(12) };
    if (length > CHUNK_BYTES) {
      const large = Buffer.alloc(length);
      writePacket(large, 0, frame);
      this.#write(large);
    } else {
      this.#used = writePacket(this.#chunk, this.#used, frame);
    }
    this.#frames++;
    this.#bytes += length;
    source.delivered++;
    if (this.#frames >= this.#wish.framesMax) this.#settle('frames');
    else if (this.#bytes + packetBytes(this.#wish.snapBytes) > this.#wish.bytesMax) this.#settle('bytes');
    this.#flushSoon();
  }

  /** Once per turn of the event loop: all frames of one wake-up leave in one write. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const used = this.#used;
    this.#used = 0;
    if (used > 0) this.#write(this.#chunk.subarray(0, used));
  }

  #write(bytes: Buffer): void {
    try {
      for (let at = 0; at < bytes.length; ) at += this.#writeSome(bytes.subarray(at));
    } catch (error) {
      if (errnoName(error) !== 'EPIPE') throw error;
      this.#settle('reader-gone');
    }
  }

  /** Waits where the descriptor does not: a pipe that somebody made non-blocking. */
  #writeSome(bytes: Buffer): number {
    for (;;) {
      try {
        return writeSync(this.#fd, bytes);
      } catch (error) {
        if (errnoName(error) !== 'EAGAIN') throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
      }
    }
  }

  /** libuv says nothing when an interface goes: its descriptor is just never ready again. */
  async #lookAtInterfaces(): Promise<void> {
    for (const { name, index } of this.#sources) {
      const link = await this.#netlink.getLink(name);
      if (link?.index !== index) this.#settle('interface-gone');
    }
  }

  #close(end: CaptureEnd): CaptureResult {
    this.#flush();
    let dropped = 0;
    for (const [interfaceId, { session, delivered }] of this.#sources.entries()) {
      const { ps_recv: received, ps_drop: lost } = session.stats();
      dropped += lost;
      const wallMs = this.#clock.wallMs();
      const time = { seconds: Math.floor(wallMs / 1000), microseconds: Math.floor((wallMs % 1000) * 1000) };
      if (end !== 'reader-gone') {
        this.#write(interfaceStatistics({ interfaceId, ...time, received, dropped: lost, delivered }));
      }
      session.close();
    }
    this.#netlink.close();
    return { end, frames: this.#frames, bytes: this.#bytes, dropped };
  }
}

function openSession(name: string, { filter, snapBytes }: { filter: string; snapBytes: number }): pcap.PcapSession {
  Object.assign(pcap, { warningHandler: () => {} }); // about interfaces without an address, on the console
  try {
    return pcap.createSession(name, {
      filter,
      snap_length: snapBytes,
      buffer_size: RING_BYTES,
      buffer_timeout: 0,
      promiscuous: false,
    });
  } catch (error) {
    const why = error instanceof Error && error.message !== '' ? error.message : 'libpcap gave no reason';
    if (/permission|not permitted/i.test(why)) {
      throw new FabricError(
        'not-root',
        { what: `can't capture on ${name}`, why, fix: 'Run it as root (sudo)' },
        { cause: error },
      );
    }
    if (filter !== '') {
      const what = `the filter is not understood: ${filter}`;
      const fix = 'See man 7 pcap-filter; peers are listed by fabric status peers, containers by fabric ps';
      throw new FabricError('usage', { what, why, fix }, { cause: error });
    }
    throw new FabricError('kernel-feature-missing', { what: `can't capture on ${name}`, why }, { cause: error });
  }
}

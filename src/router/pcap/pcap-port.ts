// The far end of the port veth through npm `pcap` 3.1. The near end, in the bridge, has its offloads off, so the kernel has
// segmented and checksummed what arrives here; the far end should have TSO, GSO and GRO off too, because libpcap then sizes the
// slots of its ring by the MTU (5,500 frames in 8 MiB) instead of by 64 KiB (128 frames).
//
// Traits of the package that this file deals with (measured with libpcap 1.10):
// - One buffer serves all packets, and a dispatch runs until the ring is empty: a blast of frames would starve the sockets.
//   So after DISPATCH_MAX_MS the rest of the dispatch is dropped and counted.
// - When the interface vanishes or goes down, libuv stops polling and nobody says so: a wake-up that brings no frame shows it.
// - `close` frees ring and descriptor only at the next dispatch that meets a frame, and none may ever come: a second session
//   and one frame in each direction (a pause frame's address, which no bridge forwards) make that happen at once.
// - A session's poll handle lies inside the native object and stays in libuv's list: collecting the object crashes the process.

import { createRequire } from 'node:module';
import type pcap from 'pcap';
import type { Clock } from '../../base/capabilities.ts';
import { assert, FabricError } from '../../base/errors.ts';
import type { FramePort, FramePortEvents } from './frame-port.ts';

/** From the kernel's largest superframe upwards, so that nothing is cut off silently. */
const SNAP_BYTES = 262_144;
const RING_BYTES = 8 * 1024 * 1024;
/** Zero asks npm pcap for libpcap's immediate mode: each frame wakes us at once. */
const IMMEDIATE = 0;
/**
 * No filter at all: the far end sends only what we inject, and a packet socket is not shown what it sent itself. An `inbound`
 * filter would lose the first frame and report an empty wake-up: libpcap runs that one in user space, without packet types.
 */
const EVERYTHING = '';
/** Our tuning: how long sockets and timers may wait for a flood of frames. TCP stops by itself long before. */
const DISPATCH_MAX_MS = 50;
/** The time is looked at once in so many frames. */
const FRAMES_PER_LOOK = 64;

const BELL_ETHER_TYPE = '0x88b5'; // IEEE 802 local experimental
const BELL = Buffer.from(`0180c2000001020000000000${BELL_ETHER_TYPE.slice(2)}${'00'.repeat(46)}`, 'hex');

/** Silent about interfaces without an address, which a bridge port is by design. Most hosts capture nothing, and load none of it. */
function loadPcap(): typeof pcap {
  return Object.assign(createRequire(import.meta.url)('pcap') as typeof pcap, { warningHandler: () => {} });
}

/** What npm pcap's typings leave out: the native session under the event emitter, called by name from its JavaScript. */
interface NativeSession {
  dispatch(packet: Buffer, header: Buffer): number;
  /** What libuv's poll calls; absent: nothing. */
  read_callback: (() => void) | undefined;
}
interface SessionInside {
  readonly session: NativeSession;
  readonly buf: Buffer;
  readonly header: Buffer;
}

/** Never collected, see above: a few hundred bytes for each time that a port was opened. */
const nativeSessions: NativeSession[] = [];

export class PcapPort implements FramePort {
  readonly #name: string;
  readonly #clock: Clock;
  #capture: Capture | null = null;
  #events: FramePortEvents | null = null;
  #overload = 0;
  #capturedBefore = 0;
  #framesInDispatch = 0;
  #dispatchStartMs = 0;
  #tooLong = false;

  constructor(name: string, clock: Clock) {
    this.#name = name;
    this.#clock = clock;
  }

  open(events: FramePortEvents): void {
    assert(this.#capture === null, 'a port is opened once');
    this.#events = events;
    this.#capture = this.#listen();
  }

  inject(frame: Uint8Array): boolean {
    return this.#capture?.inject(frame) ?? false;
  }

  losses(): { overload: number; captureOverrun: number } {
    return { overload: this.#overload, captureOverrun: this.#capturedBefore + (this.#capture?.overruns() ?? 0) };
  }

  close(): void {
    this.#events = null;
    const capture = this.#capture;
    if (capture === null) return;
    this.#capturedBefore += capture.overruns();
    this.#capture = null;
    capture.close();
  }

  #listen(): Capture {
    return new Capture(this.#name, EVERYTHING, RING_BYTES, {
      begin: () => {
        this.#framesInDispatch = 0;
        this.#tooLong = false;
        this.#dispatchStartMs = this.#clock.monotonicMs();
      },
      frame: (bytes, wireBytes) => this.#frame(bytes, wireBytes),
      end: (woken) => {
        if (woken && this.#framesInDispatch === 0) this.#reopen();
      },
    });
  }

  #frame(bytes: Uint8Array, wireBytes: number): void {
    this.#framesInDispatch++;
    if (this.#framesInDispatch % FRAMES_PER_LOOK === 0) {
      this.#tooLong = this.#clock.monotonicMs() - this.#dispatchStartMs > DISPATCH_MAX_MS;
    }
    if (this.#tooLong) this.#overload++;
    else this.#events?.frame(bytes, wireBytes);
  }

  /** After an error libuv polls this session no more: capture anew, or say why that is impossible. */
  #reopen(): void {
    const events = this.#events;
    this.close();
    if (events === null) return;
    try {
      this.#events = events;
      this.#capture = this.#listen();
    } catch (error) {
      this.close();
      events.failed(error instanceof FabricError ? error.message : String(error));
    }
  }
}

interface CaptureEvents {
  begin(): void;
  frame(bytes: Uint8Array, wireBytes: number): void;
  /** `woken`: the kernel called, as opposed to the look that npm pcap takes once after opening. */
  end(woken: boolean): void;
}

/** One npm pcap session, made closable and observable. */
class Capture {
  readonly #session: pcap.PcapSession;
  readonly #inside: SessionInside;
  readonly #dispatch: (packet: Buffer, header: Buffer) => number;
  readonly #name: string;
  #dispatches = 0;
  #closed = false;
  #freed = false;
  /** Inside the native dispatch, which must not be entered again. */
  #reading = false;

  constructor(name: string, filter: string, ringBytes: number, events: CaptureEvents | null) {
    this.#name = name;
    this.#session = openSession(name, filter, ringBytes);
    this.#inside = this.#session as unknown as SessionInside;
    const native = this.#inside.session;
    assert(typeof native?.dispatch === 'function', 'npm pcap 3.1 keeps its native session in `session`');
    nativeSessions.push(native);
    this.#dispatch = native.dispatch.bind(native);
    native.dispatch = (packet, header) => this.#read(packet, header, events);
    if (events !== null) {
      this.#session.on('packet', ({ buf, header }: pcap.PacketWithHeader) => {
        const wireBytes = header.readUInt32LE(12);
        events.frame(buf.subarray(0, Math.min(header.readUInt32LE(8), buf.length)), wireBytes);
      });
    }
  }

  inject(frame: Uint8Array): boolean {
    if (this.#freed) return false;
    try {
      this.#session.inject(frame as Buffer);
      return true;
    } catch {
      return false; // npm pcap throws without errno: interface down or gone, or no memory; the caller counts it
    }
  }

  overruns(): number {
    return this.#freed ? 0 : this.#session.stats().ps_drop;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#session.close();
    if (this.#reading) return; // the dispatch that we are called from ends with BREAK
    this.#free();
    if (!this.#freed) this.#ring();
  }

  #read(packet: Buffer, header: Buffer, events: CaptureEvents | null): number {
    if (this.#freed) return 0;
    const woken = this.#dispatches++ > 0;
    if (!this.#closed) events?.begin();
    this.#reading = true;
    const result = this.#dispatch(packet, header);
    this.#reading = false;
    if (result === BREAK) this.#letGo();
    else if (!this.#closed) events?.end(woken);
    return result;
  }

  /** Frees the session if a frame is there for the dispatch to meet. */
  #free(): void {
    if (!this.#freed && this.#dispatch(this.#inside.buf, this.#inside.header) === BREAK) this.#letGo();
  }

  /** What is kept of the native session keeps nothing else. */
  #letGo(): void {
    this.#freed = true;
    this.#inside.session.read_callback = undefined;
    this.#inside.session.dispatch = () => 0;
  }

  /** A second session and this one show each other a frame: a socket does not see what it sends itself. */
  #ring(): void {
    let other: Capture;
    try {
      other = new Capture(this.#name, `ether proto ${BELL_ETHER_TYPE}`, 1 << 16, null);
    } catch (error) {
      if (error instanceof FabricError) return; // the interface is gone: no frame can come, libuv polls it no more
      throw error;
    }
    this.inject(BELL);
    other.inject(BELL);
    this.#free();
    other.#closed = true;
    other.#session.close();
    other.#free();
  }
}

/** libpcap's PCAP_ERROR_BREAK: npm pcap has freed the session. */
const BREAK = -2;

function openSession(name: string, filter: string, ringBytes: number): pcap.PcapSession {
  try {
    return loadPcap().createSession(name, {
      filter,
      snap_length: SNAP_BYTES,
      buffer_size: ringBytes,
      buffer_timeout: IMMEDIATE,
      promiscuous: true,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const forbidden = /permission|not permitted/i.test(why);
    throw new FabricError(
      forbidden ? 'not-root' : 'kernel-feature-missing',
      {
        what: `can't capture on interface ${name}`,
        why: why === '' ? 'libpcap gave no reason' : why,
        fix: forbidden ? 'run fabric as root' : `check that it exists and is up: ip link show ${name}`,
      },
      { cause: error },
    );
  }
}

// The pcap datapath in the hands of a test, without root: its port is replaced by one in memory, its UDP is real, its time is
// the test's.

import assert from 'node:assert/strict';
import type { FramePort, FramePortEvents } from '../../../src/router/pcap/frame-port.ts';
import { type PcapCapabilities, PcapDatapath } from '../../../src/router/pcap/pcap-datapath.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';
import { CONTRACT_OPTIONS, type ContractBed, type ContractHost, recordEvents } from '../contract-host.ts';

export class MemoryPort implements FramePort {
  readonly left: Uint8Array[] = [];
  events: FramePortEvents | null = null;
  refuse = false;
  overload = 0;

  open(events: FramePortEvents): void {
    this.events = events;
  }

  inject(frame: Uint8Array): boolean {
    if (!this.refuse) this.left.push(frame.slice());
    return !this.refuse;
  }

  losses(): { overload: number; captureOverrun: number } {
    return { overload: this.overload, captureOverrun: 0 };
  }

  close(): void {
    this.events = null;
  }
}

export type PcapHost = ContractHost & { readonly datapath: PcapDatapath; readonly port: MemoryPort };

export class PcapBed implements ContractBed {
  readonly clock: ManualClock;
  readonly frameBytesMin = 0;
  readonly completesChecksums = true;
  readonly #hosts: PcapHost[] = [];

  constructor(clock = new ManualClock()) {
    this.clock = clock;
  }

  async host(extra: Partial<PcapCapabilities> = {}): Promise<PcapHost> {
    const port = new MemoryPort();
    const ports = new Map([['memory', port]]);
    const events = recordEvents();
    const listen = { ip: '127.0.0.1', port: 0 };
    const capabilities = {
      clock: this.clock,
      log: new RecordingLog(),
      makePort: (name: string) => ports.get(name)!,
      ...extra,
    };
    const datapath = new PcapDatapath({ ...CONTRACT_OPTIONS, listen, portName: 'memory' }, capabilities);
    await datapath.start(events);
    const host: PcapHost = {
      datapath,
      port,
      events,
      endpoint: { ip: '127.0.0.1', port: datapath.udpPort },
      left: port.left,
      // The bytes are overwritten after the call, as libpcap's are.
      async enter(frame) {
        const borrowed = frame.slice();
        port.events?.frame(borrowed, borrowed.length);
        borrowed.fill(0xee);
      },
      settled: async () => undefined,
      async openPort() {
        const further = new MemoryPort();
        const portName = `memory${ports.size}`;
        ports.set(portName, further);
        return {
          portName,
          left: further.left,
          enter: async (frame) => further.events?.frame(frame.slice(), frame.length),
          delete: async () => assert.equal(further.events, null, 'the datapath has let go of the port'),
        };
      },
    };
    this.#hosts.push(host);
    return host;
  }

  async close(): Promise<void> {
    for (const { datapath } of this.#hosts) await datapath.stop();
  }
}

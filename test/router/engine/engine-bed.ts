// The engine in the hands of the datapath contract: its TAP is real and held by a packet socket, so that the test is the bridge;
// its time is the test's. For a network namespace of its own, with loopback up; needs root.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { nativeFile } from '../../../src/host/native.ts';
import { SystemClock } from '../../../src/host/system-clock.ts';
import { EngineDatapath, type EngineLack } from '../../../src/router/engine/engine-datapath.ts';
import { PcapPort } from '../../../src/router/pcap/pcap-port.ts';
import { ManualClock } from '../../fakes/manual-clock.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';
import { CONTRACT_OPTIONS, type ContractBed, type ContractHost, recordEvents, until } from '../contract-host.ts';

/** Room for the frames above the overlay MTU that the contract enters. */
const TAP_MTU = 9000;
const ETHERNET_BYTES = 14;

type EngineHost = ContractHost & { readonly datapath: EngineDatapath; close(): Promise<void> };

/** Every engine of the bed keeps this time. */
class EngineClock extends ManualClock {
  readonly engines: EngineDatapath[] = [];

  override advance(ms: number): void {
    super.advance(ms);
    for (const engine of this.engines) engine.setClock(this.monotonicMs());
  }
}

class StoppableEngine extends EngineDatapath {
  isStopped = false;

  override stop(): Promise<void> {
    this.isStopped = true;
    return super.stop();
  }
}

/** A TAP, and this test as the bridge that it is a port of. */
class Bridge {
  readonly portName: string;
  readonly left: Uint8Array[] = [];
  readonly #port: PcapPort;
  #isActivated = false;

  constructor(portName: string, failed: (reason: string) => void) {
    this.portName = portName;
    makeTap(portName);
    this.#port = new PcapPort(portName, new SystemClock());
    this.#port.open({ frame: (bytes) => void this.left.push(Uint8Array.from(bytes)), failed });
  }

  inject(frame: Uint8Array): boolean {
    return this.#port.inject(frame);
  }

  /**
   * Until the kernel sends by this TAP: its reader gives it a carrier, but the queue is put in place by a work item (linkwatch), and
   * what comes before that is dropped without a word. That work holds the kernel's lock of links, so a change of one comes after it.
   */
  async activated(): Promise<void> {
    if (this.#isActivated) return;
    const state = (): string => execFileSync('ip', ['-o', 'link', 'show', 'dev', this.portName], { encoding: 'utf8' });
    await until('the TAP has a carrier', () => !/ state DOWN /.test(state()));
    execFileSync('ip', ['link', 'set', 'dev', this.portName, 'alias', 'activated']);
    this.#isActivated = true;
  }

  /** Before the engine stops: a capture is let go of with the next frame, and a TAP without a reader carries none. */
  close(): void {
    this.#port.close();
  }

  remove(): void {
    execFileSync('ip', ['link', 'delete', this.portName]);
  }
}

export class EngineBed implements ContractBed {
  readonly clock = new EngineClock();
  readonly frameBytesMin = ETHERNET_BYTES;
  readonly completesChecksums: boolean;
  readonly #without: readonly EngineLack[];
  readonly #hosts: EngineHost[] = [];

  constructor(without: readonly EngineLack[]) {
    this.#without = without;
    this.completesChecksums = without.includes('vnet');
  }

  async host(): Promise<EngineHost> {
    const events = recordEvents();
    const bridge = new Bridge(`tap${this.#hosts.length}`, (reason) => events.said.push(['bridge failed', reason]));
    const { portName } = bridge;
    const datapath = new StoppableEngine(
      { ...CONTRACT_OPTIONS, listen: { ip: '127.0.0.1', port: 0 }, portName },
      { log: new RecordingLog(), executable: nativeFile('fabric-engine'), without: this.#without },
    );
    await datapath.start(events);
    datapath.setClock(this.clock.monotonicMs());
    this.clock.engines.push(datapath);
    const host = engineHost(datapath, bridge, events);
    this.#hosts.push(host);
    return host;
  }

  async close(): Promise<void> {
    for (const host of this.#hosts) await host.close();
  }
}

function engineHost(datapath: StoppableEngine, main: Bridge, events: EngineHost['events']): EngineHost {
  const further: Bridge[] = [];
  let entered = 0;
  const enterBy = async (bridge: Bridge, frame: Uint8Array): Promise<void> => {
    await datapath.settle();
    if (!datapath.isStopped) await bridge.activated();
    const taken = bridge.inject(frame);
    if (datapath.isStopped) return; // nobody reads the TAP any more
    assert.ok(taken, 'the kernel refused the frame');
    entered++;
    await until('the engine has read the frame', async () => {
      await datapath.settle();
      return datapath.stats().framesIn >= entered;
    });
  };
  return {
    datapath,
    events,
    left: main.left,
    endpoint: { ip: '127.0.0.1', port: datapath.udpPort },
    settled: () => datapath.settle(),
    enter: (frame) => enterBy(main, frame),
    async openPort() {
      const bridge = new Bridge(`${main.portName}f${further.length}`, () => undefined);
      further.push(bridge);
      return {
        portName: bridge.portName,
        left: bridge.left,
        enter: (frame) => enterBy(bridge, frame),
        async delete() {
          bridge.close();
          bridge.remove();
          further.splice(further.indexOf(bridge), 1);
        },
      };
    },
    async close() {
      const bridges = [main, ...further];
      for (const bridge of bridges) bridge.close();
      await datapath.stop();
      for (const bridge of bridges) bridge.remove();
    },
  };
}

/** As the host network makes it, see src/host/linux/port-veths.ts. */
function makeTap(name: string): void {
  execFileSync('ip', ['tuntap', 'add', 'dev', name, 'mode', 'tap', 'vnet_hdr']);
  execFileSync('sysctl', ['-qw', `net.ipv6.conf.${name}.disable_ipv6=1`]);
  execFileSync('ip', ['link', 'set', name, 'mtu', `${TAP_MTU}`, 'up']);
}

// What the benchmark compares: a way to carry frames or packets between two hosts of the lab. A new contender is one file in
// contenders/ and one line in contenders.ts. Invariant: all contenders of a run stand at the same time, on the same underlay,
// so that their measurements can be interleaved.

import type { ExecOptions, Result } from '../test/lab/exec.ts';
import type { LabHost } from '../test/lab/host.ts';
import type { Lab } from '../test/lab/lab.ts';
import type { TrafficName } from './traffic.ts';

/** Where traffic starts or ends: a host of the lab, or a network namespace on one. */
export interface Place {
  run(command: readonly string[], options?: ExecOptions): Promise<Result>;
}

/** A path that is ready for traffic. */
export interface Path {
  readonly client: Place;
  readonly server: Place;
  /** The server's address as the client reaches it. */
  readonly serverIp: string;
  /** The two hosts on which client and server are, or which they are. */
  readonly hosts: readonly LabHost[];
  /** The part of them whose fabric daemon carries the traffic; empty where the kernel or another program does. */
  readonly daemons: readonly LabHost[];
  /** Names, as /proc/PID/stat has them, of the processes on `hosts` that carry the traffic; empty where the kernel does. */
  readonly carriers: readonly string[];
  /** Garbage collections of all daemons so far, where they were started so that they tell. */
  readonly collections?: () => number;
}

export interface Contender {
  /** Short: key in the JSON, and with `-a` or `-b` behind it the name of its hosts (six letters count). */
  readonly name: string;
  /** For people; says what is not alike: unencrypted, packets instead of frames, cipher. */
  readonly title: string;
  /** A program by others that carries traffic in user space: measured less, and left out where it is not installed. */
  readonly isPeer?: boolean;
  /** What is measured of it; all metrics when absent. */
  readonly metrics?: readonly TrafficName[];
  /** Why it can't stand on this machine; null when it can. Absent: it always can. */
  readonly lack?: () => string | null;
  /** Makes its two hosts in the lab and all between them. Once. */
  open(lab: Lab): Promise<Path>;
}

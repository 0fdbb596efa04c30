// What the benchmark compares: a way to carry frames or packets between two hosts of the lab. A new contender is one file in
// contenders/ and one line in main.ts. Invariant: all contenders of a run stand at the same time, on the same underlay, so that
// their measurements can be interleaved.

import type { ExecOptions, Result } from '../test/lab/exec.ts';
import type { LabHost } from '../test/lab/host.ts';
import type { Lab } from '../test/lab/lab.ts';

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
  /** Hosts whose fabric daemon carries the traffic; empty where the kernel does. */
  readonly daemons: readonly LabHost[];
}

export interface Contender {
  /** Short: key in the JSON, and with `-a` or `-b` behind it the name of its hosts (six letters count). */
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** Makes its two hosts in the lab and all between them. Once. */
  open(lab: Lab): Promise<Path>;
}

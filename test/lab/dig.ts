// Asks a name server with Debian's `dig`, from inside a container or on a host, and reads what it prints.

import type { ExecOptions, Result } from './exec.ts';

/** A place where commands run: a container or a host. */
export interface Place {
  run(command: readonly string[], options?: ExecOptions): Promise<Result>;
}

export interface DigAnswer {
  /** `NOERROR`, `NXDOMAIN`, …; empty when nobody answered. */
  readonly status: string;
  /** `qr`, `aa`, `tc`, … */
  readonly flags: readonly string[];
  /** The data of the records of the answer section, in their order. */
  readonly data: readonly string[];
  /** Owner and type of the records of the authority section. */
  readonly authority: readonly string[];
  readonly text: string;
}

/** `args` as dig takes them, for example `['web', 'AAAA', '+search']`. */
export async function dig(place: Place, server: string, args: readonly string[]): Promise<DigAnswer> {
  const { stdout } = await place.run(['dig', `@${server}`, '+time=6', '+tries=1', '+noidnout', ...args], {
    mayFail: true,
  });
  return {
    status: /status: ([A-Z]+)/.exec(stdout)?.[1] ?? '',
    flags: /;; flags: ([^;]*);/.exec(stdout)?.[1]?.trim().split(' ') ?? [],
    data: section(stdout, 'ANSWER').map((fields) => fields.slice(4).join(' ')),
    authority: section(stdout, 'AUTHORITY').map((fields) => `${fields[0]} ${fields[3]}`),
    text: stdout,
  };
}

function section(text: string, name: string): readonly (readonly string[])[] {
  const body = new RegExp(`;; ${name} SECTION:\\n([^;]*?)(?:\\n\\n|$)`).exec(text)?.[1] ?? '';
  return body
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/));
}

// Network namespaces for the netlink tests, gone with their test, and the oracles that look into them. Needs root.

import { execFileSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import type { Test } from 'tap';
import { type Cidr, type IpAddress, parseCidr, parseIp } from '../../../src/base/address.ts';
import { type Mac, parseMac } from '../../../src/base/ids.ts';
import { NetworkNamespace } from '../../../src/host/native.ts';
import { hasErrno } from '../../../src/host/netlink/errors.ts';
import type { Link } from '../../../src/host/netlink/objects.ts';
import { Rtnetlink } from '../../../src/host/netlink/rtnetlink.ts';

export interface Space {
  readonly name: string;
  readonly namespace: NetworkNamespace;
  readonly netlink: Rtnetlink;
}

let spaces = 0;

/** A network namespace with its client, gone with the test. */
export function space(t: Test): Space {
  const name = `fabric-nl-${process.pid}-${spaces++}`;
  run('ip', 'netns', 'add', name);
  const namespace = NetworkNamespace.open(`/run/netns/${name}`);
  const netlink = Rtnetlink.open(namespace.fd);
  t.teardown(() => {
    netlink.close();
    namespace.close();
    run('ip', 'netns', 'delete', name);
  });
  return { name, namespace, netlink };
}

export function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** The objects that `ip -j …` or `bridge -j …` shows inside the namespace. */
export function shown(
  { name }: Space,
  program: 'ip' | 'bridge',
  ...args: readonly string[]
): Record<string, unknown>[] {
  const text = run(program, '-n', name, '-j', '-d', ...args).trim();
  return text === '' ? [] : (JSON.parse(text) as Record<string, unknown>[]);
}

export function mac(text: string): Mac {
  return parseMac(text)!;
}
export function ip(text: string): IpAddress {
  return parseIp(text)!;
}
export function cidr(text: string): Cidr {
  return parseCidr(text)!;
}

export async function fails(t: Test, call: Promise<unknown>, errno: string, name?: string): Promise<void> {
  const error = await call.then(
    () => 'success',
    (reason: unknown) => reason,
  );
  t.ok(hasErrno(error, errno), name ?? errno, { found: String(error) });
}

export async function upVeth({ netlink }: Space, name = 'a', peer = 'b'): Promise<Link> {
  const link = await netlink.createVeth({ name, up: true, peer: { name: peer } });
  await netlink.setLink(peer, { up: true });
  return link;
}

export function openDescriptors(): readonly string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The descriptor of the listing itself.
      return [];
    }
  });
}

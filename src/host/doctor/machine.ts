// Reads what this machine offers: capabilities of the process, kernel modules, devices, programs, and how fast one core encrypts.
// Changes nothing; what can't be read counts as there, because a false alarm costs more than a missed one.

import { createCipheriv, randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { AeadCipher } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import type { MachineReading } from '../../doctor/readings.ts';
import { hasAesInstructions } from '../cpu.ts';
import { PacketFilterPrograms } from '../linux/nft.ts';
import { readNeighbourTables } from './neighbour-tables.ts';

/** Bits of /proc/self/status' CapEff (capabilities(7)). */
const CAPABILITIES = { CAP_NET_ADMIN: 12n, CAP_NET_RAW: 13n, CAP_SYS_ADMIN: 21n };
const MODULES = ['bridge', 'veth', 'nf_tables'];
/** So long that a measurement means something, so short that nobody waits. */
const SEAL_CPU_US = 15_000;
const SEAL_BYTES = 16_384;

export async function readMachine(): Promise<MachineReading> {
  const kernelRelease = release();
  return {
    kernelRelease,
    missingCapabilities: missingCapabilities(readFileSync('/proc/self/status', 'utf8')),
    missingModules: missingModules(kernelRelease),
    hasTun: opens('/dev/net/tun'),
    hasIpv6: existsSync('/proc/net/if_inet6'),
    sysctlReadOnly: isReadOnly('/proc/sys', readFileSync('/proc/self/mounts', 'utf8')),
    neighbourTables: readNeighbourTables(),
    nftFault: await nftFault(),
    hasAes: hasAesInstructions(),
    sealBitsPerSecond: { 'aes-256-gcm': sealSpeed('aes-256-gcm'), 'chacha20-poly1305': sealSpeed('chacha20-poly1305') },
  };
}

/** `status` is the text of /proc/self/status. */
export function missingCapabilities(status: string): readonly string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return Object.entries(CAPABILITIES)
    .filter(([, bit]) => (effective & (1n << bit)) === 0n)
    .map(([name]) => name);
}

/** `mounts` is the text of /proc/self/mounts: of several mounts on a path the last one counts, and the longest path. */
export function isReadOnly(path: string, mounts: string): boolean {
  let best = { length: 0, readOnly: false };
  for (const line of mounts.split('\n')) {
    const [, at, , options] = line.split(' ');
    if (at === undefined || options === undefined) continue;
    const holds = at === path || path.startsWith(at === '/' ? '/' : `${at}/`);
    if (holds && at.length >= best.length) {
      best = { length: at.length, readOnly: options.split(',').includes('ro') };
    }
  }
  return best.readOnly;
}

/** Neither loaded, nor built in, nor among those that modprobe finds; none where the lists are not to be read. */
function missingModules(kernelRelease: string): readonly string[] {
  const folder = `/lib/modules/${kernelRelease}`;
  if (!existsSync(`${folder}/modules.builtin`) || !existsSync(`${folder}/modules.dep`)) return [];
  const known = `${readFileSync(`${folder}/modules.builtin`, 'utf8')}${readFileSync(`${folder}/modules.dep`, 'utf8')}`;
  const loaded = readFileSync('/proc/modules', 'utf8');
  return MODULES.filter((name) => {
    const file = new RegExp(`/${name.replaceAll('_', '[_-]')}\\.ko`);
    return !existsSync(`/sys/module/${name}`) && !file.test(known) && !loaded.includes(`${name} `);
  });
}

function opens(path: string): boolean {
  try {
    closeSync(openSync(path, 'r+'));
    return true;
  } catch {
    return false; // absent, or not for us: the same to fabric
  }
}

async function nftFault(): Promise<string | null> {
  try {
    await new PacketFilterPrograms().list('tables');
    return null;
  } catch (error) {
    if (!(error instanceof FabricError)) throw error;
    return error.explanation.why ?? error.message;
  }
}

/** Bits per second of one core, by OpenSSL; by processor time, so that other programs do not count. */
function sealSpeed(cipher: AeadCipher): number {
  const key = randomBytes(32);
  const nonce = randomBytes(12);
  const plain = Buffer.alloc(SEAL_BYTES);
  const start = process.cpuUsage();
  let sealed = 0;
  for (;;) {
    // The union of both ciphers' names fits no overload; their options are the same.
    const seal = createCipheriv(cipher as 'aes-256-gcm', key, nonce, { authTagLength: 16 });
    seal.update(plain);
    seal.final();
    sealed += SEAL_BYTES;
    const { user, system } = process.cpuUsage(start);
    if (user + system >= SEAL_CPU_US) return (sealed * 8e6) / (user + system);
  }
}

// Reads what tcpdump captured: which packets a filter matches, and whether a text stands anywhere in the file's bytes.

import { createReadStream } from 'node:fs';
import { exec } from './exec.ts';

/** One line per packet that the filter matches. */
export async function packetsIn(file: string, filter: string): Promise<readonly string[]> {
  const { stdout } = await exec(['tcpdump', '-n', '-r', file, filter]);
  return stdout.split('\n').filter((line) => line !== '');
}

export async function countPackets(file: string, filter: string): Promise<number> {
  const { stdout } = await exec(['tcpdump', '-r', file, '--count', filter]);
  return Number(/^(\d+) packet/m.exec(stdout)?.[1]);
}

/** True when the bytes of `text` stand in the file, also across the borders of what is read at once. */
export async function holdsText(file: string, text: string): Promise<boolean> {
  const wanted = Buffer.from(text, 'latin1');
  let tail = Buffer.alloc(0);
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
    const bytes = Buffer.concat([tail, chunk as Buffer]);
    if (bytes.includes(wanted)) return true;
    tail = bytes.subarray(Math.max(0, bytes.length - wanted.length + 1));
  }
  return false;
}

// Searches the memory of another process, as root may, for bytes that should not be there any more, such as keys.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK_BYTES = 1 << 20;

/** How often `pattern` lies in what the process can write to. Pages that cannot be read, such as guards, are skipped. */
export function countInMemory(pid: number, pattern: Uint8Array): number {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    let count = 0;
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
      if (start === undefined) continue;
      count += countInRange(memory, { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) }, pattern);
    }
    return count;
  } finally {
    closeSync(memory);
  }
}

/** Chunks overlap by the pattern, less a byte. */
function countInRange(memory: number, range: { start: bigint; end: bigint }, pattern: Uint8Array): number {
  const chunk = Buffer.alloc(CHUNK_BYTES + pattern.length - 1);
  let count = 0;
  for (let at = range.start; at < range.end; at += BigInt(CHUNK_BYTES)) {
    const wanted = Math.min(chunk.length, Number(range.end - at));
    const bytes = readAt(memory, chunk.subarray(0, wanted), at);
    for (let found = bytes.indexOf(pattern); found !== -1; found = bytes.indexOf(pattern, found + 1)) count++;
  }
  return count;
}

function readAt(memory: number, into: Buffer, at: bigint): Buffer {
  try {
    return into.subarray(0, readSync(memory, into, { position: at }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return into.subarray(0, 0);
    throw error;
  }
}

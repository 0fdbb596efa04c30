// What an engine's memory shows to who gets hold of it, in a process or on a disk: keys that were replaced are nowhere, and pages
// with keys are neither swapped nor part of a core dump. On the real kernel (test/lab/datapath-pair.ts); needs root.

import { readFileSync, statSync } from 'node:fs';
import { type Test, test } from 'tap';
import { CONTAINER, type HostCommand, SIDES, sessionKey } from '../lab/datapath-facts.ts';
import { DatapathPair } from '../lab/datapath-pair.ts';
import { exec } from '../lab/exec.ts';
import { countInMemory } from '../lab/process-memory.ts';

/** kKeyHeapBytes of native/engine/locked_memory.cc, and the limit that it is made for. */
const KEY_HEAP_KIB = 4 * 1_024;
const USUAL_LOCK_KIB = 8 * 1_024;

async function startPair(t: Test) {
  const pair = new DatapathPair({ a: { name: 'engine' }, b: { name: 'engine' } });
  t.teardown(() => pair.destroy());
  return { pair, hosts: await pair.start('underlay4') };
}

if (process.getuid?.() !== 0) {
  test('the memory of an engine', { skip: 'needs root' }, async () => {});
} else {
  test('TM7 keys that were replaced are nowhere in its memory', { timeout: 60_000 }, async (t) => {
    const { pair, hosts } = await startPair(t);
    const copies = (generation: number): readonly number[] =>
      SIDES.map((side) => countInMemory(hosts.a.enginePid, sessionKey(side, generation)));
    const change = async (command: HostCommand): Promise<void> => {
      for (const side of SIDES) await hosts[side].ask(command);
      for (const side of SIDES) await hosts[side].stats(); // it has taken effect
    };
    for (const [old, cipher] of [
      [1, 'ChaCha20-Poly1305'],
      [2, 'AES-256-GCM'],
    ] as const) {
      await change({ addKeys: old });
      await change({ useKeys: old });
      t.equal((await pair.ping(`-c 3 -i 0.1 ${CONTAINER.b.ip4}`)).received, 3, `they talk by ${cipher}`);
      t.ok(
        copies(old).every((count) => count > 0),
        `the keys in use are found: ${copies(old)} times`,
      );
      await change({ addKeys: old + 10 });
      await change({ useKeys: old + 10 });
      await change({ removeKeys: old });
      t.equal((await pair.ping(`-c 3 -i 0.1 ${CONTAINER.b.ip4}`)).received, 3, 'they talk by others');
      t.same(copies(old), [0, 0], 'the removed ones are zeroed');
    }
  });

  test('TM31 nothing of its memory reaches a disk', { timeout: 60_000 }, async (t) => {
    const { hosts } = await startPair(t);
    const proc = `/proc/${hosts.a.enginePid}`;
    t.match(readFileSync(`${proc}/coredump_filter`, 'utf8'), /^0+\n$/, 'no mapping is part of a core dump');
    t.match(readFileSync(`${proc}/limits`, 'utf8'), /Max core file size\s+0\s+0/, 'which may have no byte');
    t.equal(statSync(`${proc}/mem`).uid, 0, 'nor may others of its user read it: it is not dumpable');
    const locked = /^VmLck:\s+(\d+) kB$/m.exec(readFileSync(`${proc}/status`, 'utf8'))?.[1];
    const limit = (await exec(['sh', '-c', 'ulimit -l'])).stdout.trim();
    t.comment(`locked memory: ${locked} kB, the limit is ${limit} kB`);
    const mayLock = limit === 'unlimited' || Number(limit) >= USUAL_LOCK_KIB;
    t.ok(!mayLock || Number(locked) >= KEY_HEAP_KIB, 'keys are locked');
  });
}

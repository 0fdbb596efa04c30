import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PendingDeletes } from '../../src/daemon/pending-deletes.ts';
import { addEnv, CONFIG, FakeBackend } from '../cni-plugin/fake-backend.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

let stateDir: string;
let directory: string;
let backend: FakeBackend;
let pending: PendingDeletes;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'fabric-pending-'));
  directory = join(stateDir, 'cni-pending');
  mkdirSync(directory);
  backend = new FakeBackend();
  pending = new PendingDeletes({ stateDir, backend, log: new RecordingLog() });
});
afterEach(async () => {
  await pending.stop();
  rmSync(stateDir, { recursive: true });
});

function record(name: string, containerId: string, config: unknown = CONFIG): void {
  const env = addEnv({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: containerId });
  writeFileSync(join(directory, name), JSON.stringify({ format: 1, env, stdin: btoa(JSON.stringify(config)) }));
}

describe('deferred DELs', () => {
  test('are done in the order of their names and removed', async () => {
    record('2.json', 'b');
    record('1.json', 'a');
    await pending.workOff();
    expect(backend.detached.map(({ containerId }) => containerId)).toEqual(['a', 'b']);
    expect(readdirSync(directory)).toEqual([]);
    expect(pending.counters).toEqual({ done: 2, kept: 0, rejected: 0 });
  });

  test('that a shim finishes while the start looks at them do not stop the start', async () => {
    symlinkSync(join(directory, 'gone'), join(directory, '1.tmp')); // listed, but stat finds nothing
    await pending.start();
  });

  test('that fail are kept and tried again', async () => {
    record('1.json', 'a');
    record('2.json', 'b');
    backend.stuck.add('a');
    await pending.workOff();
    expect(readdirSync(directory)).toEqual(['1.json']);
    backend.stuck.clear();
    await pending.workOff();
    expect(readdirSync(directory)).toEqual([]);
    expect(pending.counters).toEqual({ done: 2, kept: 1, rejected: 0 });
  });

  test('that fail keep an ADD of the same interface away, which they would end later, and no other', async () => {
    record('1.json', 'a');
    backend.stuck.add('a');
    await expect(pending.beforeAdd(addEnv({ CNI_CONTAINERID: 'a' }))).rejects.toMatchObject({ code: 11 });
    await pending.beforeAdd(addEnv({ CNI_CONTAINERID: 'a', CNI_IFNAME: 'eth1' }));
    await pending.beforeAdd(addEnv({ CNI_CONTAINERID: 'b' }));
    backend.stuck.clear();
    await pending.beforeAdd(addEnv({ CNI_CONTAINERID: 'a' }));
    expect(readdirSync(directory)).toEqual([]);
  });

  test('that can never succeed are set aside and not tried again', async () => {
    record('1.json', 'a/b');
    record('2.json', 'a', { name: '' });
    record('3.json', 'a', 7);
    writeFileSync(join(directory, '4.json'), '{"format":1');
    await pending.beforeAdd(addEnv({ CNI_CONTAINERID: 'a' }));
    await pending.workOff();
    expect(readdirSync(directory).sort()).toEqual(['1', '2', '3', '4'].map((name) => `${name}.json.rejected`));
    expect(backend.detached).toEqual([]);
    expect(pending.counters.rejected).toBe(4);
  });

  test('a missing directory holds none; start makes it 0700', async () => {
    rmSync(directory, { recursive: true });
    await pending.workOff();
    await pending.start();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  test('start works them off before it resolves, and sweeps what killed shims left', async () => {
    record('1.json', 'a');
    writeFileSync(join(directory, '.old.tmp'), '');
    utimesSync(join(directory, '.old.tmp'), 0, 0);
    writeFileSync(join(directory, '.new.tmp'), '');
    await pending.start();
    expect(backend.detached.length).toBe(1);
    expect(readdirSync(directory)).toEqual(['.new.tmp']);
  });

  test('a record that comes during a pass is done before a later call resolves', async () => {
    record('1.json', 'a');
    const first = pending.workOff();
    record('2.json', 'b');
    await Promise.all([first, pending.workOff(), pending.workOff()]);
    expect(readdirSync(directory)).toEqual([]);
    expect(backend.detached.length).toBe(2);
  });
});
